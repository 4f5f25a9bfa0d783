//! Defragment: memory and disk come back, and nobody who writes meanwhile waits long.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use registry_proto::etcdserverpb::{DefragmentRequest, StatusRequest, StatusResponse};
use registry_tests::budget::SOON;
use registry_tests::requests::{prefix, put};
use registry_tests::{Client, EmbeddedNode, eventually};
use tokio::task::JoinSet;

const KEYS: usize = 9_000;

async fn status(client: &Client) -> StatusResponse {
    client.maintenance.clone().status(StatusRequest {}).await.expect("status is answered").into_inner()
}

async fn write(client: &Client, keys: impl Iterator<Item = usize>) {
    let keys: Vec<_> = keys.collect();
    let mut writers = JoinSet::new();
    for some in keys.chunks(keys.len().div_ceil(200)) {
        let (client, some) = (client.clone(), some.to_vec());
        writers.spawn(async move {
            for key in some {
                client.try_put(put(&format!("key/{key:06}"), vec![b'v'; 300])).await.expect("the put is accepted");
            }
        });
    }
    writers.join_all().await;
}

/// A third of each chunk is garbage afterwards, which compaction leaves where it is.
async fn fragment(client: &Client) {
    write(client, 0..KEYS).await;
    write(client, (0..KEYS).step_by(3)).await;
    client.compact(client.revision().await).await.expect("the compaction is accepted");
}

async fn defragment(client: &Client) {
    client.maintenance.clone().defragment(DefragmentRequest {}).await.expect("defragmenting is accepted");
}

/// The bytes of all snapshots.
fn snapshot_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("the directory can be read").flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn afterwards_nothing_is_held_that_is_not_in_use_and_all_is_there_also_after_a_restart() {
    let mut node = EmbeddedNode::start().await;
    let client = node.client().await;
    fragment(&client).await;
    let before = status(&client).await;
    assert!(before.db_size > before.db_size_in_use + 500_000, "{before:?}");
    let kvs = client.range(prefix("key/")).await;
    defragment(&client).await;
    let after = status(&client).await;
    assert_eq!((after.db_size, after.db_size_in_use), (after.db_size_in_use, before.db_size_in_use));
    assert_eq!(client.range(prefix("key/")).await, kvs);
    // Again at once: nothing is left to do, and it is done.
    defragment(&client).await;
    drop(client);
    node.restart().await;
    assert_eq!(node.client().await.range(prefix("key/")).await, kvs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_gets_its_space_back_as_well() {
    let dir = tempfile::TempDir::new().unwrap();
    let data = dir.path().join("data");
    let place = data.clone();
    let node = EmbeddedNode::start_with(move |config| config.data_dir = place).await;
    let client = node.client().await;
    write(&client, 0..2_000).await;
    defragment(&client).await;
    let snapshots = data.join("member/snap");
    eventually(SOON, "a snapshot is written", async || snapshot_bytes(&snapshots) > 500_000).await;
    client.delete(registry_tests::requests::delete_prefix("key/")).await.unwrap();
    client.compact(client.revision().await).await.unwrap();
    defragment(&client).await;
    eventually(SOON, "a small one takes its place", async || snapshot_bytes(&snapshots) < 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_go_on_while_the_store_is_defragmented() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    fragment(&client).await;
    let written = Arc::new(AtomicUsize::new(0));
    let writer = tokio::spawn({
        let (client, written) = (node.client().await, written.clone());
        async move {
            loop {
                client.try_put(put("other", "1")).await.expect("the put is accepted");
                written.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    // The second of two writes, one after the other, began and ended while the store was being defragmented.
    let seen = Mutex::new(0..7);
    eventually(4 * SOON, "writes are answered meanwhile", async || {
        let round = seen.lock().next().unwrap_or_default();
        write(&client, (0..KEYS).skip(round).step_by(7)).await;
        client.compact(client.revision().await).await.expect("the compaction is accepted");
        let before = written.load(Ordering::SeqCst);
        defragment(&client).await;
        written.load(Ordering::SeqCst) >= before + 2
    })
    .await;
    writer.abort();
}
