//! The members that form a cluster, from the flags.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::config::Config;
use super::identity::Identity;
use super::urls::MemberUrl;
use crate::cluster::{KNOWN_VERSION, cluster_id, member_id};
use crate::consensus::{Description, PeerNode, describe};
use crate::tls::Connector;
use crate::types::MemberId;

/// For one peer's answer.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(3);

/// The first members of a cluster, this one among them. Every one of them comes to the same ids by itself.
#[derive(Debug)]
pub(super) struct Founders {
    own: MemberId,
    own_urls: Vec<String>,
    nodes: BTreeMap<MemberId, PeerNode>,
}

impl Founders {
    /// Those of `--initial-cluster`, which was checked, or this member alone.
    pub(super) fn new(config: &Config) -> Self {
        let token = &config.initial_cluster_token;
        let own_urls: Vec<_> = config.initial_advertise_peer_urls.iter().map(MemberUrl::to_string).collect();
        let mut of_names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for member in &config.initial_cluster {
            of_names.entry(&member.name).or_default().push(member.peer_url.to_string());
        }
        of_names.insert(&config.name, own_urls.clone());
        let node = |peer_urls: Vec<String>| (member_id(&peer_urls, token), PeerNode { peer_urls });
        let (own, nodes) = (member_id(&own_urls, token), of_names.into_values().map(node).collect());
        Self { own, own_urls, nodes }
    }

    /// What a member that joins a running cluster is in it: its peers know, as it was added there before.
    ///
    /// # Errors
    /// No peer answers, or it was not added, or `--initial-cluster` tells other members than they do.
    pub(super) async fn join(config: &Config, tls: Option<&Connector>) -> Result<Identity, JoinError> {
        let own_urls: BTreeSet<_> = config.initial_advertise_peer_urls.iter().map(MemberUrl::to_string).collect();
        let others = config.initial_cluster.iter().filter(|member| member.name != config.name);
        let mut failures = Vec::new();
        for url in others.map(|member| member.peer_url.to_string()) {
            match describe(&url, DESCRIBE_LIMIT, tls).await {
                Ok(description) => return identity_in(&description, &own_urls, config),
                Err(why) => failures.push(format!("{url}: {why}")),
            }
        }
        Err(JoinError::Unreachable(failures.join("; ")))
    }

    /// Nobody founds anything: the log comes from a leader.
    pub(super) fn none(config: &Config) -> Self {
        Self { nodes: BTreeMap::new(), ..Self::new(config) }
    }

    pub(super) fn identity(&self) -> Identity {
        let ids: Vec<_> = self.nodes.keys().copied().collect();
        Identity { member: self.own, cluster: cluster_id(&ids) }
    }

    /// This member's peer URLs.
    pub(super) fn own_urls(&self) -> &[String] {
        &self.own_urls
    }

    pub(super) fn into_nodes(self) -> BTreeMap<MemberId, PeerNode> {
        self.nodes
    }
}

fn identity_in(description: &Description, own_urls: &BTreeSet<String>, config: &Config) -> Result<Identity, JoinError> {
    if description.version > KNOWN_VERSION {
        return Err(JoinError::TooOld { cluster: description.version });
    }
    let listed: BTreeSet<_> = config.initial_cluster.iter().map(|member| member.peer_url.to_string()).collect();
    let known: BTreeSet<_> = description.members.iter().flat_map(|(_, node)| node.peer_urls.iter().cloned()).collect();
    let is_own = |node: &PeerNode| node.peer_urls.iter().cloned().collect::<BTreeSet<_>>() == *own_urls;
    let Some((member, _)) = description.members.iter().find(|(_, node)| is_own(node)) else {
        return Err(JoinError::NotAdded(own_urls.iter().cloned().collect::<Vec<_>>().join(",")));
    };
    if known != listed {
        let text = |urls: BTreeSet<String>| urls.into_iter().collect::<Vec<_>>().join(",");
        return Err(JoinError::OtherMembers { known: text(known), listed: text(listed) });
    }
    Ok(Identity { member: *member, cluster: description.cluster })
}

/// Why a member cannot join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// No peer of `--initial-cluster` says who the members are.
    #[error("cannot fetch cluster info from peer urls: {0}; start a member of the cluster, or check --initial-cluster")]
    Unreachable(String),
    /// The cluster has no member with these peer URLs.
    #[error("the cluster has no member with the peer URLs {0}: add it first, as with `etcdctl member add`")]
    NotAdded(String),
    /// The cluster's log may say what this program does not know.
    #[error("the cluster has version {cluster}, and this server knows {KNOWN_VERSION}: use the newer server")]
    TooOld {
        /// What the cluster says.
        cluster: u32,
    },
    /// The cluster has other members than the flag says.
    #[error("--initial-cluster lists {listed}, but the cluster's members are {known}: list exactly those")]
    OtherMembers {
        /// What the cluster says.
        known: String,
        /// What the flag says.
        listed: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::InitialMember;
    use crate::types::ClusterId;

    fn founders(name: &str, port: u16, cluster: &[(&str, u16)], token: &str) -> Founders {
        let url = |port: u16| format!("http://127.0.0.1:{port}").parse::<MemberUrl>().unwrap();
        Founders::new(&Config {
            name: name.to_owned(),
            initial_advertise_peer_urls: vec![url(port)],
            initial_cluster: cluster
                .iter()
                .map(|(name, port)| InitialMember { name: (*name).to_owned(), peer_url: url(*port) })
                .collect(),
            initial_cluster_token: token.to_owned(),
            ..Config::default()
        })
    }

    #[test]
    fn all_founders_come_to_the_same_cluster_and_to_an_id_each() {
        let cluster = [("a", 1), ("b", 2), ("c", 3)];
        let [a, b] = [founders("a", 1, &cluster, "t"), founders("b", 2, &cluster, "t")];
        assert_eq!(a.identity().cluster, b.identity().cluster);
        assert_ne!(a.identity().member, b.identity().member);
        assert_eq!(a.nodes, b.nodes);
        assert_eq!(a.nodes.len(), 3);
        assert_ne!(founders("a", 1, &cluster, "other").identity().cluster, a.identity().cluster);
    }

    #[test]
    fn a_cluster_of_a_newer_version_is_not_joined() {
        let url = "http://127.0.0.1:1".to_owned();
        let node = PeerNode { peer_urls: vec![url.clone()] };
        let description =
            |version| Description { cluster: ClusterId(1), members: vec![(MemberId(2), node.clone())], version };
        let config = Config {
            initial_cluster: vec![InitialMember { name: "a".to_owned(), peer_url: url.parse().unwrap() }],
            ..Config::default()
        };
        let join = |version| identity_in(&description(version), &[url.clone()].into(), &config);
        assert_eq!(join(KNOWN_VERSION), Ok(Identity { member: MemberId(2), cluster: ClusterId(1) }));
        assert_eq!(join(KNOWN_VERSION + 1), Err(JoinError::TooOld { cluster: KNOWN_VERSION + 1 }));
    }

    #[test]
    fn without_an_initial_cluster_a_member_is_alone() {
        let alone = founders("a", 1, &[], "t");
        assert_eq!(alone.nodes.len(), 1);
        assert_eq!(alone.own_urls(), ["http://127.0.0.1:1"]);
    }
}
