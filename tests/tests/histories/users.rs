//! How the load's clients reach the members, and where its users of the SDK are.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use registry_client::Registry;
use registry_load::{Homes, Member, Members};
use registry_tests::Cluster;
use tonic::transport::{Channel, Endpoint};

/// A member that runs takes a connection at once.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// The members, each of which every client reaches over a connection of its own: one that reads nothing for a while
/// holds up nobody else.
#[derive(Debug)]
pub(crate) struct Users {
    /// By member: its id, and where it serves clients.
    members: Vec<(u64, String)>,
    /// By client and member.
    channels: Mutex<BTreeMap<(u32, usize), Channel>>,
}

impl Users {
    /// Those of a cluster in which all members serve.
    pub(crate) async fn of(cluster: &Cluster) -> Self {
        let standings = cluster.standings().await;
        assert_eq!(standings.len(), cluster.len(), "{standings:?}");
        let members = standings.iter().map(|standing| (standing.id, cluster.url(standing.member))).collect();
        Self { members, channels: Mutex::default() }
    }
}

fn channel(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("it is a URL");
    endpoint.connect_timeout(CONNECT_LIMIT).connect_lazy()
}

impl Members for Users {
    fn count(&self) -> usize {
        self.members.len()
    }

    fn reach(&self, client: u32, index: usize) -> Member {
        let (id, url) = &self.members[index];
        let channel = self.channels.lock().entry((client, index)).or_insert_with(|| channel(url)).clone();
        Member::new(*id, channel)
    }
}

/// Threads of this process, which cannot be killed: [`crate::instances`] has processes that can.
impl Homes for Users {
    fn start(&self, _: u32) -> Registry {
        let urls = self.members.iter().map(|(_, url)| url.clone());
        Registry::builder(urls).build().expect("the members have addresses")
    }

    fn kill(&self, _: u32) -> bool {
        false
    }
}
