//! Building an instance; everything that could be wrong with it is told by `build`.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::{DEFAULT_WEIGHT, Endpoint, EndpointError, Instance, Status};

/// Service names and ids longer than this are refused: they become keys.
const NAME_LIMIT_BYTES: usize = 253;

/// Why there is no such instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// A service name or id that could not stand as one part of a key.
    #[error("{what} {name:?} must be 1 to 253 bytes without '/', white space or control characters")]
    Name {
        /// Which of the two.
        what: &'static str,
        /// What was given.
        name: String,
    },
    /// An endpoint that cannot be dialled.
    #[error("endpoint {name:?}")]
    Endpoint {
        /// The endpoint's name.
        name: String,
        /// What is wrong with its address.
        source: EndpointError,
    },
}

/// Gathers what [`Instance`] holds; see [`Instance::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct InstanceBuilder {
    instance: Instance,
    /// The first endpoint that was wrong; told by `build`.
    error: Option<InstanceError>,
}

impl InstanceBuilder {
    pub(super) fn new(service: String) -> Self {
        let id = format!("{:032x}", fastrand::u128(..));
        let instance = Instance {
            service,
            id,
            status: Status::default(),
            endpoints: IndexMap::new(),
            version: None,
            zone: None,
            weight: DEFAULT_WEIGHT,
            tags: BTreeSet::new(),
            metadata: BTreeMap::new(),
            extra: serde_json::Map::new(),
        };
        Self { instance, error: None }
    }

    /// Names the instance; two that live at once under one id conflict.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.instance.id = id.into();
        self
    }

    /// Adds an endpoint under a name, from a text like `http://10.0.0.7:9000` or an [`Endpoint`].
    pub fn endpoint<E>(mut self, name: impl Into<String>, endpoint: E) -> Self
    where
        E: TryInto<Endpoint>,
        EndpointError: From<E::Error>,
    {
        let name = name.into();
        match endpoint.try_into().map_err(EndpointError::from) {
            Ok(endpoint) => drop(self.instance.endpoints.insert(name, endpoint)),
            Err(source) => {
                self.error.get_or_insert(InstanceError::Endpoint { name, source });
            }
        }
        self
    }

    /// Names the program's version.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.instance.set_version(version);
        self
    }

    /// Names the failure domain.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.instance.set_zone(zone);
        self
    }

    /// Sets the share of the traffic, relative to the other instances.
    pub fn weight(mut self, weight: u32) -> Self {
        self.instance.weight = weight;
        self
    }

    /// Sets the status it is registered with; [`Status::Up`] unless given.
    pub fn status(mut self, status: Status) -> Self {
        self.instance.status = status;
        self
    }

    /// Adds a word to select by.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.instance.add_tag(tag);
        self
    }

    /// Adds an entry of metadata.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.instance.set_metadata(key, value);
        self
    }

    /// The instance.
    ///
    /// # Errors
    /// When the service's name or the id cannot be part of a key, or an endpoint cannot be dialled.
    pub fn build(self) -> Result<Instance, InstanceError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        check_name("service", &self.instance.service)?;
        check_name("id", &self.instance.id)?;
        Ok(self.instance)
    }
}

/// A name is one part of a key, and readable in a terminal.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), InstanceError> {
    if name.is_empty() || name.len() > NAME_LIMIT_BYTES || name.contains('/') || !is_readable(name) {
        return Err(InstanceError::Name { what, name: name.to_owned() });
    }
    Ok(())
}

/// Nothing in it that a terminal would not show, or show as something else.
pub(crate) fn is_readable(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_leave_its_prefix_is_refused() {
        for name in ["", "pay/ments", "a b", "a\n", &"x".repeat(254)] {
            let error = Instance::builder(name).build().unwrap_err();
            assert!(matches!(error, InstanceError::Name { what: "service", .. }), "{name:?}");
            assert!(Instance::builder("pay").id(name).build().is_err());
        }
    }

    #[test]
    fn a_bad_endpoint_is_told_by_its_name() {
        let error = Instance::builder("pay").endpoint("grpc", "http://h:0").build().unwrap_err();
        assert!(matches!(error, InstanceError::Endpoint { name, .. } if name == "grpc"));
    }
}
