//! A store with all that can be in one, and what a server says of it.

use bytes::Bytes;
use registry_proto::etcdserverpb::{RangeRequest, RequestOp, WatchCreateRequest};
use registry_proto::mvccpb::{Event, KeyValue};
use registry_tests::requests::{self, Operation};
use registry_tests::{Client, Watching, refusal};

const ACCEPTED: &str = "the request is accepted";
/// Leases and their TTLs.
const LEASES: [(i64, i64); 2] = [(0x11, 10_000), (0x7fff_1234_5678_9abc, 20_000)];
/// Where the history is compacted: at the revision of a deletion.
pub(crate) const COMPACTED: i64 = 142;
/// Keys that are deleted there.
const DELETED: usize = 100;
/// Where the history of a real etcd is compacted: etcd forgets the deletions of the revision itself, which are kept here.
pub(crate) const COMPACTED_THERE: i64 = COMPACTED + 1;
/// Changes from the deletion on.
const EVENTS: usize = DELETED + 2 + 1 + 100 + 102 + 2;
/// Entries of the bucket of keys: the changes, and for each other key its state at the compaction.
pub(crate) const KEY_ENTRIES: usize = EVENTS + 11_900;

/// Everything that clients can see.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    /// At some revisions, with all fields of each key.
    states: Vec<(i64, Vec<KeyValue>)>,
    events: Vec<Event>,
    /// Each with the granted TTL and its keys.
    leases: Vec<(i64, i64, Vec<Bytes>)>,
}

fn block(number: usize, value: &[u8]) -> Vec<RequestOp> {
    (0..100).map(|key| requests::put(&format!("{number:03}-{key:03}"), value.to_vec()).op()).collect()
}

/// Makes the history; tells the newest revision.
pub(crate) async fn write(client: &Client) -> i64 {
    write_compacted(client, COMPACTED).await
}

/// The same, compacted at another revision.
pub(crate) async fn write_compacted(client: &Client, compacted: i64) -> i64 {
    for (id, ttl) in LEASES {
        client.grant(id, ttl).await.expect(ACCEPTED);
    }
    for number in 0..120 {
        client.txn(requests::txn(block(number, &[number as u8; 150]))).await.expect(ACCEPTED);
    }
    for number in 0..20 {
        client.txn(requests::txn(block(number, b"written again"))).await.expect(ACCEPTED);
    }
    client.delete(requests::delete_prefix("003-")).await.expect(ACCEPTED);
    assert_eq!(client.revision().await, COMPACTED);
    for (key, (lease, _)) in ["leased-a", "leased-b"].into_iter().zip(LEASES) {
        client.try_put(requests::leased(key, "of a lease", lease)).await.expect(ACCEPTED);
    }
    client.compact(compacted).await.expect(ACCEPTED);
    client.try_put(requests::put("large", vec![b'l'; 300_000])).await.expect(ACCEPTED);
    client.delete(requests::delete_prefix("004-")).await.expect(ACCEPTED);
    let several = [requests::put("x", "1").op(), requests::delete_prefix("005-").op(), requests::put("y", "").op()];
    client.txn(requests::txn(several.into())).await.expect(ACCEPTED);
    client.put("004-000", "created again").await;
    client.put("leased-a", "of no lease any more").await
}

/// Looks at all of it.
pub(crate) async fn see(client: &Client) -> Seen {
    see_from(client, COMPACTED).await
}

/// The same of a history that was compacted there or one later.
pub(crate) async fn see_from(client: &Client, compacted: i64) -> Seen {
    let before = if compacted == COMPACTED { 0 } else { DELETED };
    let newest = client.revision().await;
    let mut states = Vec::new();
    for revision in compacted..=newest {
        let kvs = client.range(RangeRequest { revision, ..requests::everything() }).await;
        states.push((revision, kvs));
    }
    let gone = RangeRequest { revision: compacted - 1, ..requests::everything() };
    let (_, text) = refusal(client.try_range(gone).await);
    assert_eq!(text, "etcdserver: mvcc: required revision has been compacted");
    let everything = WatchCreateRequest { start_revision: compacted, ..requests::watch_prefix("") };
    let mut watching = Watching::of(client, everything).await;
    let events = watching.events(EVENTS - before).await;
    let mut leases = Vec::new();
    for id in client.leases().await {
        let lease = client.time_to_live(id).await;
        let mut keys = lease.keys;
        keys.sort();
        leases.push((id, lease.granted_ttl, keys));
    }
    Seen { states, events, leases }
}

impl Seen {
    /// How many keys there are at the newest revision.
    pub(crate) fn keys(&self) -> usize {
        self.states.last().map_or(0, |(_, kvs)| kvs.len())
    }
}
