//! A member that holds something else than the others is found out, and nothing is written until it is gone.

use std::path::Path;
use std::sync::mpsc;

use bytes::Bytes;
use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::{AlarmMember, AlarmRequest, AlarmType};
use registry_server::storage::{StdVfs, Wal, WalOptions};
use registry_server::types::ThreadExecutor;
use registry_tests::budget::SOON;
use registry_tests::requests::{Operation, delete, leased, put, txn};
use registry_tests::{Client, Cluster, Plan, eventually, refusal};
use tonic::Code;

use crate::{Alone, start_as};

const TRUTH: &str = "this is what was written";
const LIE: &str = "this is something else..";

/// A cluster whose members are compared all the time; none, and a printed line, if that is not the registry's.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
async fn start() -> Option<Alone> {
    let cluster = start_as(|program| Plan::new(program, 3).with_flags(&["--corrupt-check-time=200ms"])).await?;
    if !cluster.is_registry() {
        println!("skipped: etcd has another log, and this is about ours");
        return None;
    }
    Some(cluster)
}

/// Changes what the log of a member that is down says was written: to something that was not, and looks as good.
fn bend_log(data_dir: &Path) {
    let dir = data_dir.join("member/wal");
    let (wal, recovered) = Wal::open(StdVfs, &dir, WalOptions::default(), &ThreadExecutor).expect("the log opens");
    let state = recovered.state;
    let last = state.last_index.expect("there are entries");
    let mut entries = wal.read(state.first_index..last + 1, usize::MAX).expect("the log can be read");
    let bent = |bytes: &Bytes| {
        let at = bytes.windows(TRUTH.len()).position(|window| window == TRUTH.as_bytes())?;
        Some(Bytes::from([&bytes[..at], LIE.as_bytes(), &bytes[at + LIE.len()..]].concat()))
    };
    let first = entries.iter().position(|(_, bytes)| bent(bytes).is_some()).expect("the log has the entry");
    entries[first].1 = bent(&entries[first].1).expect("it was found there");
    let (done, ended) = mpsc::channel();
    wal.truncate_after(Some(entries[first].0 - 1), |result| result.expect("the log takes it"));
    wal.append(entries.split_off(first), move |result| drop(done.send(result))).expect("the log takes it");
    ended.recv().expect("the log answers").expect("the entries are durable");
}

async fn alarms(client: &Client) -> Vec<AlarmMember> {
    let request = AlarmRequest { action: AlarmAction::Get.into(), ..AlarmRequest::default() };
    let answer = client.maintenance.clone().alarm(request).await;
    answer.map(|answer| answer.into_inner().alarms).unwrap_or_default()
}

async fn wait_for_alarms(cluster: &Cluster, members: &[usize], expected: &[AlarmMember]) {
    for member in members {
        let client = cluster.client(*member);
        eventually(SOON, "the alarms are as expected", async || alarms(&client).await == expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_differs_is_found_and_nothing_is_written_until_it_is_gone() {
    let Some(mut cluster) = start().await else { return };
    let leader = cluster.wait_for_leader().await;
    let [liar, honest] = cluster.others(leader)[..] else { unreachable!("there are three") };
    let client = cluster.client(leader);
    client.put("told", TRUTH).await;
    client.grant(7, 2).await.expect("the lease is granted");
    client.try_put(leased("leased", "1", 7)).await.expect("the key is put");
    let revision = client.revision().await;
    cluster.assert_equal_hashes(revision).await;
    let compared = |cluster: &Cluster| {
        cluster.log(leader).iter().any(|line| line.contains("hold the same") && line.contains("\"compared\":3"))
    };
    eventually(SOON, "the leader has compared the members", async || compared(&cluster)).await;
    wait_for_alarms(&cluster, &cluster.members(), &[]).await;

    cluster.kill(liar);
    bend_log(&cluster.data_dir(liar));
    cluster.restart(liar).await;
    let alarm = AlarmMember { member_id: cluster.id(liar), alarm: AlarmType::Corrupt.into() };
    wait_for_alarms(&cluster, &cluster.members(), &[alarm]).await;
    for member in cluster.members() {
        let client = cluster.client(member);
        let corrupt = (Code::DataLoss, "etcdserver: corrupt cluster".to_owned());
        assert_eq!(refusal(client.try_put(put("a", "1")).await), corrupt);
        assert_eq!(refusal(client.delete(delete("told")).await), corrupt);
        assert_eq!(refusal(client.txn(txn(vec![put("a", "1").op()])).await), corrupt);
        assert_eq!(refusal(client.compact(2).await), corrupt);
        assert_eq!(refusal(client.grant(8, 60).await), corrupt);
        assert_eq!(refusal(client.revoke(7).await), corrupt);
        let value = client.value("told").await.expect("it can still be read");
        assert_eq!(value == TRUTH, member != liar, "what is in doubt: {value:?}");
    }
    eventually(SOON, "the lease is over", async || client.time_to_live(7).await.ttl == 0).await;
    assert!(client.value("leased").await.is_some(), "a lease that is over waits until the cluster is sound");

    let leader = cluster.wait_for_leader_of(&[leader, honest]).await;
    cluster.remove(leader, liar).await.expect("the member is removed");
    wait_for_alarms(&cluster, &[leader], &[]).await;
    let client = cluster.client(leader);
    client.put("told", "and nothing else").await;
    eventually(SOON, "the lease runs out", async || client.value("leased").await.is_none()).await;
}
