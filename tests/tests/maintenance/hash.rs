//! Hash: the same on all members for the same state, another one for any change of it.

use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::{AlarmRequest, AlarmType, HashRequest};
use registry_tests::budget::SOON;
use registry_tests::requests::{leased, put};
use registry_tests::{Client, Cluster, Plan, Program, eventually};

async fn hash(client: &Client) -> u32 {
    client.maintenance.clone().hash(HashRequest {}).await.expect("hash is answered").into_inner().hash
}

#[tokio::test]
async fn members_come_to_the_same_hash_and_any_change_shows_in_it() {
    let cluster = Cluster::start(Plan::new(Program::Registry(env!("CARGO_BIN_EXE_node").into()), 3)).await;
    let clients = cluster.clients();
    let client = &clients[0];
    let agreed = async || {
        let agree = async || {
            let (one, two, three) = (hash(&clients[0]).await, hash(&clients[1]).await, hash(&clients[2]).await);
            one == two && two == three
        };
        eventually(SOON, "all members say the same", agree).await;
        hash(client).await
    };
    let mut seen = vec![agreed().await];
    for key in 0..50 {
        client.try_put(put(&format!("key/{key}"), "1")).await.unwrap();
    }
    seen.push(agreed().await);
    client.grant(7, 600).await.unwrap();
    seen.push(agreed().await);
    client.try_put(leased("key/0", "1", 7)).await.unwrap();
    seen.push(agreed().await);
    client.compact(30).await.unwrap();
    seen.push(agreed().await);
    let raise = AlarmRequest { action: AlarmAction::Activate.into(), member_id: 99, alarm: AlarmType::Nospace.into() };
    client.maintenance.clone().alarm(raise).await.unwrap();
    seen.push(agreed().await);
    let mut different = seen.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), seen.len(), "{seen:?}");
}
