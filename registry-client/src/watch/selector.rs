//! Which instances of a service are wanted.

use std::collections::BTreeSet;

use semver::{Version, VersionReq};

use crate::error::Error;
use crate::instance::{Instance, Status};

/// Which instances of a service are wanted, and which of their endpoints.
///
/// ```
/// use registry_client::Selector;
///
/// let selector = Selector::endpoint("grpc").tag("stable").zone("a");
/// # let _ = selector;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a selector does nothing until it is given to `ServiceWatch::select`"]
pub struct Selector {
    endpoint: String,
    statuses: Vec<Status>,
    tags: BTreeSet<String>,
    zone: Option<String>,
    version: Option<String>,
    version_req: Option<VersionReq>,
    metadata: Vec<(String, String)>,
}

impl Selector {
    /// Instances that are [`Status::Up`] and have an endpoint of that name.
    pub fn endpoint(name: impl Into<String>) -> Self {
        Self {
            endpoint: name.into(),
            statuses: vec![Status::Up],
            tags: BTreeSet::new(),
            zone: None,
            version: None,
            version_req: None,
            metadata: Vec::new(),
        }
    }

    /// Only instances that carry the tag; several tags must all be there.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.insert(tag.into());
        self
    }

    /// Only instances of that zone.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Only instances that call their version exactly so.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Only instances whose version meets a requirement as Cargo has them, like `^1.4` or `>=1.4, <1.6`.
    ///
    /// A version may begin with a `v` and lack its last numbers: `v1.4` counts as `1.4.0`. An instance without a
    /// version, or with one that cannot be read so, is left out, and so is a pre-release unless the requirement names one.
    ///
    /// ```
    /// use registry_client::{Instance, Selector};
    ///
    /// let selector = Selector::endpoint("grpc").version_req("^1.4")?;
    /// let instance = Instance::builder("pay").endpoint("grpc", "http://10.0.0.7:9000").version("1.5.2").build()?;
    /// assert!(selector.matches(&instance));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When it is no requirement.
    pub fn version_req(mut self, requirement: &str) -> Result<Self, Error> {
        let unreadable =
            |error| Error::Setting(format!("the version requirement {requirement:?}: {error}; give one like ^1.4"));
        self.version_req = Some(VersionReq::parse(requirement).map_err(unreadable)?);
        Ok(self)
    }

    /// Only instances whose metadata has that entry.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Instances of these statuses, instead of those that are up.
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = Status>) -> Self {
        self.statuses = statuses.into_iter().collect();
        self
    }

    /// The name of the endpoint that is wanted.
    pub fn endpoint_name(&self) -> &str {
        &self.endpoint
    }

    /// Whether the instance is wanted.
    pub fn matches(&self, instance: &Instance) -> bool {
        self.statuses.contains(&instance.status())
            && instance.endpoint(&self.endpoint).is_some()
            && self.tags.is_subset(instance.tags())
            && self.zone.as_deref().is_none_or(|zone| instance.zone() == Some(zone))
            && self.version.as_deref().is_none_or(|version| instance.version() == Some(version))
            && self.version_req.as_ref().is_none_or(|wanted| meets(wanted, instance.version()))
            && self.metadata.iter().all(|(key, value)| instance.metadata().get(key) == Some(value))
    }
}

/// Whether what an instance calls its version meets the requirement.
fn meets(wanted: &VersionReq, version: Option<&str>) -> bool {
    let Some(version) = version else { return false };
    let version = version.strip_prefix('v').unwrap_or(version);
    // The numbers end where a pre-release or a build begins.
    let (numbers, rest) = version.split_at(version.find(['-', '+']).unwrap_or(version.len()));
    let missing = match numbers.split('.').count() {
        1 => ".0.0",
        2 => ".0",
        _ => "",
    };
    Version::parse(&format!("{numbers}{missing}{rest}")).is_ok_and(|version| wanted.matches(&version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        let builder = Instance::builder("pay").endpoint("grpc", "http://10.0.0.7:9000").version("1.4.2").zone("a");
        builder.tag("stable").tag("eu").metadata("k", "v").build().unwrap()
    }

    #[test]
    fn each_part_of_a_selector_is_asked_for() {
        let grpc = || Selector::endpoint("grpc");
        for selector in [
            grpc(),
            grpc().tag("stable").tag("eu"),
            grpc().zone("a"),
            grpc().version("1.4.2"),
            grpc().version_req("^1.4").unwrap(),
            grpc().metadata("k", "v"),
            grpc().statuses([Status::Down, Status::Up]),
        ] {
            assert!(selector.matches(&instance()), "{selector:?}");
        }
        for selector in [
            Selector::endpoint("http"),
            grpc().tag("stable").tag("us"),
            grpc().zone("b"),
            grpc().version("1.4"),
            grpc().version_req("^1.5").unwrap(),
            grpc().metadata("k", "w"),
            grpc().statuses([Status::Draining]),
        ] {
            assert!(!selector.matches(&instance()), "{selector:?}");
        }
    }

    #[test]
    fn versions_meet_requirements_as_cargo_has_them() {
        let meets = |wanted: &str, version| meets(&VersionReq::parse(wanted).unwrap(), Some(version));
        for (wanted, version) in [("^1.4", "1.4.0"), ("^1.4", "v1.9"), ("1", "1"), (">=1.4, <1.6", "1.5.9+build.7")] {
            assert!(meets(wanted, version), "{version} meets {wanted}");
        }
        for (wanted, version) in
            [("^1.4", "2.0.0"), ("^1.4", "1.5.0-rc.1"), ("^1.4", "latest"), ("*", ""), ("*", "1.2.3.4")]
        {
            assert!(!meets(wanted, version), "{version} does not meet {wanted}");
        }
        assert!(meets("^1.5.0-rc", "1.5-rc.1"));
    }

    #[test]
    fn a_requirement_that_cannot_be_read_is_told() {
        let error = Selector::endpoint("grpc").version_req("about 1").unwrap_err().to_string();
        assert!(error.contains("\"about 1\"") && error.contains("^1.4"), "{error}");
    }
}
