//! Lock and Election: what names no lease, no key or no leader. etcd hands these errors on without their codes.

use registry_proto::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use registry_proto::v3lockpb::{LockRequest, UnlockRequest};
use tonic::Code::Unknown;

use crate::table::{Row, holds, row};

macro_rules! ask {
    ($service:literal, $method:literal, $request:expr) => {
        row(concat!($service, "/", $method), concat!("/", $service, "/", $method), &$request)
    };
}

fn rows() -> Vec<Row> {
    let leader = |key: &str| Some(LeaderKey { name: "e".into(), key: key.to_owned().into(), rev: 404, lease: 404 });
    let proclaim = |key| ProclaimRequest { leader: leader(key), value: "v".into() };
    let campaign = CampaignRequest { name: "e".into(), lease: 404, value: "v".into() };
    let missing = "\"leader\" field must be provided";
    vec![
        ask!("v3lockpb.Lock", "Lock", LockRequest { name: "l".into(), lease: 404 })
            .refused(Unknown, "requested lease not found"),
        ask!("v3lockpb.Lock", "Lock", LockRequest { name: "".into(), lease: -5 })
            .refused(Unknown, "requested lease not found"),
        ask!("v3lockpb.Lock", "Unlock", UnlockRequest { key: "none".into() }),
        ask!("v3lockpb.Lock", "Unlock", UnlockRequest::default()).refused(Unknown, "key is not provided"),
        ask!("v3electionpb.Election", "Campaign", campaign).refused(Unknown, "requested lease not found"),
        ask!("v3electionpb.Election", "Proclaim", proclaim("none")).refused_plainly(Unknown, "election: not leader"),
        ask!("v3electionpb.Election", "Proclaim", proclaim("")).refused(Unknown, "key is not provided"),
        ask!("v3electionpb.Election", "Proclaim", ProclaimRequest::default()).refused_plainly(Unknown, missing),
        ask!("v3electionpb.Election", "Leader", LeaderRequest { name: "e".into() })
            .refused_plainly(Unknown, "election: no leader"),
        ask!("v3electionpb.Election", "Resign", ResignRequest { leader: leader("none") }),
        ask!("v3electionpb.Election", "Resign", ResignRequest { leader: leader("") })
            .refused(Unknown, "key is not provided"),
        ask!("v3electionpb.Election", "Resign", ResignRequest::default()).refused_plainly(Unknown, missing),
    ]
}

#[tokio::test]
async fn locks_and_elections_are_refused_as_by_etcd() {
    holds(rows()).await;
}
