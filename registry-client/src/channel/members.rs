//! Endpoints that nobody configured: the members that the registry names, looked up anew with each connection.
//!
//! What a member advertises need not be reachable from here, so such endpoints are only ever tried beside those that were
//! configured, and never in their place. A registry names its members to those who ask; one that does not answer changes
//! nothing.

use std::net::IpAddr;
use std::time::Duration;

use registry_proto::etcdserverpb::cluster_client::ClusterClient;
use registry_proto::etcdserverpb::{Member, MemberListRequest};
use tokio::time::timeout;

use super::{CALL_LIMIT, Channel};
use crate::instance::Endpoint;

/// Members come and go while a connection lives.
const INTERVAL: Duration = Duration::from_secs(300);
/// More than any registry has, so that a wrong answer takes no memory.
const LIMIT: usize = 64;

/// Looks up as long as it is polled, after the first call has connected.
pub(super) async fn follow(channel: Channel) {
    let connected = &channel.shared.connected;
    connected.notified().await;
    loop {
        if let Some(members) = ask(&channel).await {
            let learnt = learnt(&channel.shared.endpoints, &members);
            tracing::debug!(endpoints = learnt.len(), "the registry named its members");
            channel.shared.dial.lock().await.learnt = learnt;
        }
        // Whoever connects has lost a member, or found another one.
        drop(timeout(INTERVAL, connected.notified()).await);
    }
}

async fn ask(channel: &Channel) -> Option<Vec<Member>> {
    let mut client = ClusterClient::new(channel.clone());
    let answer = timeout(CALL_LIMIT, client.member_list(MemberListRequest { linearizable: false })).await;
    Some(answer.ok()?.ok()?.into_inner().members)
}

/// The endpoints of members that serve, without those that are configured.
fn learnt(configured: &[Endpoint], members: &[Member]) -> Vec<Endpoint> {
    let mut learnt = Vec::new();
    let local = configured.iter().any(is_local);
    let voters = members.iter().filter(|member| !member.is_learner);
    for url in voters.flat_map(|member| &member.client_ur_ls) {
        let Ok(endpoint) = Endpoint::parse(url) else { continue };
        let speaks = configured.iter().any(|known| known.scheme() == endpoint.scheme());
        // A member that advertises its own loopback names somebody else's to other machines.
        let reachable = local || !is_local(&endpoint);
        if speaks && reachable && !configured.contains(&endpoint) && !learnt.contains(&endpoint) && learnt.len() < LIMIT
        {
            learnt.push(endpoint);
        }
    }
    learnt
}

fn is_local(endpoint: &Endpoint) -> bool {
    endpoint.host() == "localhost" || endpoint.host().parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(urls: &[&str]) -> Vec<Endpoint> {
        urls.iter().map(|url| Endpoint::parse(url).unwrap()).collect()
    }

    fn member(url: &str) -> Member {
        Member { client_ur_ls: vec![url.to_owned()], ..Default::default() }
    }

    #[test]
    fn members_are_learnt_that_can_be_called_from_here() {
        let configured = endpoints(&["http://10.0.0.1:2379"]);
        let mut members = [
            "http://10.0.0.1:2379",
            "http://10.0.0.2:2379",
            "http://10.0.0.2:2379",
            "https://10.0.0.3:2379",
            "http://localhost:2379",
            "http://127.0.0.1:2379",
            "http://0.0.0.0:2379",
            "noise",
            "http://10.0.0.4:2379",
        ]
        .map(member);
        members[8].is_learner = true;
        assert_eq!(learnt(&configured, &members), endpoints(&["http://10.0.0.2:2379"]));
        let local = endpoints(&["http://127.0.0.1:1"]);
        assert!(learnt(&local, &members).contains(&endpoints(&["http://localhost:2379"])[0]));
        let many: Vec<_> = (1..200).map(|port| member(&format!("http://10.0.0.9:{port}"))).collect();
        assert_eq!(learnt(&configured, &many).len(), LIMIT);
    }
}
