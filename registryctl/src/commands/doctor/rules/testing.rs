//! Facts of a cluster that is well, for the tests of rules to change.

use std::time::{Duration, UNIX_EPOCH};

use registry_proto::etcdserverpb::{Member, ResponseHeader, StatusResponse};

use super::super::facts::{Cluster, Facts, Figured, Leases, Look, Refusal, Spoken};
use crate::http::Target;

/// In seconds since 1970.
pub(super) const NOW: u64 = 1_800_000_000;

pub(super) fn facts(looks: Vec<Look>) -> Facts {
    Facts {
        looks,
        cluster: Some(cluster_of(Vec::new())),
        now: UNIX_EPOCH + Duration::from_secs(NOW),
        own_certificate: None,
        expires_within: Duration::from_secs(30 * 86_400),
    }
}

pub(super) fn look(endpoint: &str, member_id: u64) -> Look {
    let header = ResponseHeader { cluster_id: 0xc, member_id, revision: 100, raft_term: 2 };
    let status = StatusResponse {
        header: Some(header),
        version: "3.7.1".to_owned(),
        leader: 1,
        raft_index: 10,
        raft_applied_index: 10,
        ..StatusResponse::default()
    };
    Look {
        endpoint: endpoint.to_owned(),
        place: Target::of_url(endpoint, false),
        spoken: Spoken::Api,
        login: None,
        status: Ok(status),
        read: Ok(Duration::from_millis(1)),
        clock: None,
        versions: None,
        figures: Ok(Figured::default()),
        lifetimes: Vec::new(),
        hash: None,
    }
}

pub(super) fn member(id: u64, place: &str) -> Member {
    Member {
        id,
        name: format!("m{id}"),
        peer_ur_ls: vec![format!("http://peer-of-{place}")],
        client_ur_ls: vec![format!("http://{place}")],
        is_learner: false,
    }
}

pub(super) fn cluster_of(members: Vec<Member>) -> Cluster {
    Cluster {
        endpoint: "a:1".to_owned(),
        id: 0xc,
        members: Ok(members),
        alarms: Ok(Vec::new()),
        leases: Ok(Leases::default()),
        is_given_only: false,
    }
}

pub(super) fn refused(text: &str) -> Refusal {
    Refusal { is_forbidden: false, text: text.to_owned() }
}
