//! The members that form a cluster, from the flags.

use std::collections::BTreeMap;

use super::config::Config;
use super::identity::Identity;
use super::urls::MemberUrl;
use crate::cluster::{cluster_id, member_id};
use crate::consensus::PeerNode;
use crate::types::MemberId;

/// The first members of a cluster, this one among them. Every one of them comes to the same ids by itself.
#[derive(Debug)]
pub(super) struct Founders {
    own: MemberId,
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
        Self { own: member_id(&own_urls, token), nodes: of_names.into_values().map(node).collect() }
    }

    pub(super) fn identity(&self) -> Identity {
        let ids: Vec<_> = self.nodes.keys().copied().collect();
        Identity { member: self.own, cluster: cluster_id(&ids) }
    }

    /// This member's peer URLs.
    pub(super) fn own_urls(&self) -> &[String] {
        self.nodes.get(&self.own).map_or(&[], |node| &node.peer_urls)
    }

    pub(super) fn into_nodes(self) -> BTreeMap<MemberId, PeerNode> {
        self.nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::InitialMember;

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
    fn without_an_initial_cluster_a_member_is_alone() {
        let alone = founders("a", 1, &[], "t");
        assert_eq!(alone.nodes.len(), 1);
        assert_eq!(alone.own_urls(), ["http://127.0.0.1:1"]);
    }
}
