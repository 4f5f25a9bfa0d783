//! The members that found a cluster, as `--initial-cluster` lists them, with the checks and the ids that etcd has for it.

use std::collections::{BTreeMap, BTreeSet};

use registry_proto::etcdserverpb::Member;

use crate::ids;

/// The founders of a cluster, one of them the own.
#[derive(Debug, Clone, PartialEq)]
pub struct Founders {
    own: u64,
    cluster: u64,
    /// By their ids.
    members: Vec<Member>,
}

/// Why they are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoundersError {
    /// No such URL leads to a member.
    #[error("bad peer URL {url:?}: {reason}; write it as http://host:port")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The own name is none of those listed.
    #[error(
        "couldn't find local name {0:?} in the initial cluster configuration: list it in --initial-cluster as {0}=URL"
    )]
    NotListed(String),
    /// The own URLs are given in two ways.
    #[error(
        "--initial-cluster has {name}={listed}, and --initial-advertise-peer-urls has {advertised}: give both the same"
    )]
    OtherUrls {
        /// The own name.
        name: String,
        /// What `--initial-cluster` has for it.
        listed: String,
        /// What the other flag has.
        advertised: String,
    },
    /// Two members are at one address.
    #[error("initial cluster has duplicate url {0}: each member has its own")]
    Duplicate(String),
}

impl Founders {
    /// Reads `--initial-cluster` (`name=url,...`) for the member of this name, whose URLs `advertised` repeats
    /// (`url,...`). Names in URLs are compared as they are written, not by what they resolve to.
    ///
    /// # Errors
    /// See [`FoundersError`].
    pub fn new(name: &str, cluster: &str, token: &str, advertised: &str) -> Result<Self, FoundersError> {
        let advertised: BTreeSet<_> = advertised.split(',').map(peer_url).collect::<Result<_, _>>()?;
        let mut of_names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for pair in cluster.split(',') {
            let (name, url) = pair.split_once('=').unwrap_or((pair, ""));
            if !pair.is_empty() && !of_names.entry(name).or_default().insert(peer_url(url)?) {
                return Err(FoundersError::Duplicate(url.trim().to_owned()));
            }
        }
        let listed = of_names.get(name).ok_or_else(|| FoundersError::NotListed(name.to_owned()))?;
        if *listed != advertised {
            let [listed, advertised] = [listed, &advertised].map(|urls| Vec::from_iter(urls.iter().cloned()).join(","));
            return Err(FoundersError::OtherUrls { name: name.to_owned(), listed, advertised });
        }
        let mut seen = BTreeSet::new();
        if let Some(url) = of_names.values().flatten().find(|url| !seen.insert(*url)) {
            return Err(FoundersError::Duplicate(url.clone()));
        }
        let id = |urls: &BTreeSet<String>| ids::member_id(urls.iter().map(String::as_str), token);
        let own = id(listed);
        let member = |(name, urls): (&str, BTreeSet<String>)| Member {
            id: id(&urls),
            name: name.to_owned(),
            peer_ur_ls: urls.into_iter().collect(),
            ..Member::default()
        };
        let mut members: Vec<_> = of_names.into_iter().map(member).collect();
        members.sort_unstable_by_key(|member| member.id);
        Ok(Self { own, cluster: ids::cluster_id(members.iter().map(|member| member.id)), members })
    }

    /// The own member's id.
    #[must_use]
    pub const fn own(&self) -> u64 {
        self.own
    }

    /// The cluster's id.
    #[must_use]
    pub const fn cluster(&self) -> u64 {
        self.cluster
    }

    /// All members by their ids, the own among them.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

/// A URL as etcd allows it, without spaces around it.
fn peer_url(text: &str) -> Result<String, FoundersError> {
    let url = text.trim();
    let bad = |reason| Err(FoundersError::Url { url: url.to_owned(), reason });
    match url.split_once("://") {
        Some(("http" | "https", rest)) if rest.contains(['/', '?', '#', '@']) => {
            bad("only a host and a port may follow the scheme")
        }
        Some(("http" | "https", rest)) => match rest.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(url.to_owned()),
            _ => bad("it has no host and port"),
        },
        Some(("unix" | "unixs", rest)) if !rest.is_empty() => Ok(url.to_owned()),
        _ => bad("the scheme is none of http, https, unix and unixs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "etcd-cluster";

    #[test]
    fn every_founder_comes_to_the_same_cluster_and_to_its_own_id() {
        let cluster = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,b=http://127.0.0.1:3";
        let a = Founders::new("a", cluster, TOKEN, "http://127.0.0.1:1").unwrap();
        let b = Founders::new("b", cluster, TOKEN, "http://127.0.0.1:3, http://127.0.0.1:2").unwrap();
        assert_eq!((a.cluster(), a.members()), (b.cluster(), b.members()));
        assert_ne!(a.own(), b.own());
        let of_b = b.members().iter().find(|member| member.id == b.own()).unwrap();
        assert_eq!((of_b.name.as_str(), of_b.peer_ur_ls.len()), ("b", 2));
    }

    #[test]
    fn what_cannot_found_a_cluster_is_told_with_the_flag_to_change() {
        let told = |name: &str, cluster: &str, advertised: &str| {
            Founders::new(name, cluster, TOKEN, advertised).unwrap_err().to_string()
        };
        let url = "http://127.0.0.1:1";
        assert!(told("x", "a=http://127.0.0.1:1", url).contains("couldn't find local name \"x\""));
        assert!(
            told("a", "a=http://127.0.0.1:2", url).contains("--initial-advertise-peer-urls has http://127.0.0.1:1")
        );
        assert!(told("a", "a=http://127.0.0.1:1,b=http://127.0.0.1:1", url).contains("duplicate url"));
        for bad in ["", "127.0.0.1:1", "ftp://a:1", "http://a", "http://a:1/b", "http://a:x", "unix://"] {
            assert!(told("a", &format!("a={bad}"), url).contains("bad peer URL"), "{bad:?}");
        }
    }
}
