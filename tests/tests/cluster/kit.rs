//! The kit's promises: no process outlives its test, and each fault does what it says.

use std::path::PathBuf;
use std::time::Duration;

use registry_tests::budget::SOON;
use registry_tests::requests::{key, put};
use registry_tests::{Client, Cut, eventually};
use tokio::time::timeout;

use crate::{start, start_with_proxies};

/// What is not answered by then waits for something.
const A_WHILE: Duration = Duration::from_secs(1);

async fn answers(client: &Client) -> bool {
    matches!(timeout(A_WHILE, client.try_put(put("a", "1"))).await, Ok(Ok(_)))
}

#[tokio::test]
async fn no_process_and_no_directory_outlives_its_test_even_if_that_panics() {
    let (sender, started) = tokio::sync::oneshot::channel();
    let test = tokio::spawn(async {
        let Some(mut cluster) = start_with_proxies().await else { return };
        // A process that stands still ends as well.
        cluster.pause(1);
        let pids: Vec<_> = (0..3).map(|member| cluster.pid(member).unwrap()).collect();
        sender.send((pids, cluster.data_dir(0))).unwrap();
        panic!("as a test does that fails");
    });
    let Ok((pids, data_dir)): Result<(Vec<u32>, PathBuf), _> = started.await else { return };
    assert!(test.await.unwrap_err().is_panic());
    assert!(pids.iter().all(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()), "{pids:?}");
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn a_member_that_was_killed_or_stopped_comes_back_as_who_it_was() {
    let Some(mut cluster) = start(3).await else { return };
    let before = cluster.standings().await;
    cluster.client(0).put("a", "1").await;
    cluster.kill(0);
    assert_eq!(cluster.alive(), [1, 2]);
    cluster.wait_for_leader().await;
    cluster.restart(0).await;
    assert!(cluster.stop(1).await.success() || !cluster.is_registry());
    cluster.restart(1).await;
    cluster.wait_for_leader().await;
    let after = cluster.standings().await;
    let ids = |standings: &[registry_tests::Standing]| standings.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&before));
    assert_eq!(cluster.client(0).value("a").await.unwrap(), "1");
    let revision = cluster.client(2).revision().await;
    cluster.assert_equal_hashes(revision).await;
}

#[tokio::test]
async fn a_paused_member_says_nothing_until_it_is_resumed() {
    let Some(mut cluster) = start(3).await else { return };
    let member = cluster.others(cluster.wait_for_leader().await)[0];
    assert!(answers(&cluster.client(member)).await);
    cluster.pause(member);
    assert!(!answers(&cluster.client(member)).await);
    cluster.resume(member);
    eventually(SOON, "it answers again", async || answers(&cluster.client(member)).await).await;
}

#[tokio::test]
async fn a_member_that_is_isolated_in_any_way_comes_back() {
    let Some(cluster) = start_with_proxies().await else { return };
    for how in [Cut::Hold, Cut::Swallow, Cut::Reset] {
        let leader = cluster.wait_for_leader().await;
        let isolated = cluster.others(leader)[0];
        cluster.network().isolate(isolated, how);
        assert!(!answers(&cluster.client(isolated)).await, "{how:?}");
        eventually(SOON, "the others go on", async || answers(&cluster.client(leader)).await).await;
        cluster.network().heal(isolated);
        eventually(SOON, "it answers again", async || answers(&cluster.client(isolated)).await).await;
    }
}

#[tokio::test]
async fn a_cut_of_one_direction_leaves_the_other_open() {
    let Some(cluster) = start_with_proxies().await else { return };
    let leader = cluster.wait_for_leader().await;
    let [deaf, other] = cluster.others(leader)[..] else { unreachable!("there are three") };
    // What the leader has written the others have within an election timeout.
    let has = async |member: usize, value: &str| {
        let local = registry_proto::etcdserverpb::RangeRequest { serializable: true, ..key("a") };
        let found = cluster.client(member).range(local).await;
        found.first().is_some_and(|kv| kv.value == value)
    };
    cluster.network().cut(leader, deaf, Cut::Hold);
    cluster.network().cut(other, deaf, Cut::Hold);
    eventually(SOON, "the others go on", async || {
        timeout(A_WHILE, cluster.client(other).try_put(put("a", "2"))).await.is_ok_and(|answer| answer.is_ok())
    })
    .await;
    eventually(SOON, "the other one hears it", async || has(other, "2").await).await;
    assert!(!has(deaf, "2").await, "who hears nothing knows nothing");
    cluster.network().heal_all();
    eventually(SOON, "it hears again", async || has(deaf, "2").await).await;
}
