//! Claims about databases of etcd, made here entry by entry; those that etcd itself has made, the integration tests take.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use registry_etcd_files::bbolt::ImageWriter;
use registry_etcd_files::schema::{self, key, member_key, member_value, tombstone};
use registry_proto::etcdserverpb::{AlarmMember, AlarmType};
use registry_proto::mvccpb::KeyValue;
use tempfile::TempDir;

use super::*;
use crate::mvcc::RangeQuery;
use crate::types::LeaseId;

type Buckets = BTreeMap<&'static str, BTreeMap<Vec<u8>, Vec<u8>>>;

fn feed(buckets: &Buckets, mut image: ImageWriter) -> ImageWriter {
    for (name, entries) in buckets {
        image.begin_bucket(name.as_bytes());
        entries.iter().for_each(|(key, value)| image.put(key, value));
    }
    image
}

fn bytes_of(buckets: &Buckets) -> Vec<u8> {
    let (layout, _) = feed(buckets, ImageWriter::measure()).finish();
    let mut image = feed(buckets, ImageWriter::write(layout));
    let mut bytes = image.take(1).to_vec();
    bytes.extend_from_slice(&image.finish().1);
    bytes
}

/// Writes a database and reads it.
fn imported(buckets: &Buckets) -> Result<Imported, ImportError> {
    imported_bytes(&bytes_of(buckets))
}

#[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
fn imported_bytes(bytes: &[u8]) -> Result<Imported, ImportError> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("db");
    std::fs::write(&path, bytes).unwrap();
    import(&Image::open(&path)?)
}

fn refused(buckets: &Buckets) -> String {
    imported(buckets).map(|_| ()).unwrap_err().to_string()
}

fn at(main: i64, sub: i64) -> Vec<u8> {
    RevisionKey { main, sub, is_tombstone: false }.encode().as_ref().to_vec()
}

fn put(key: &'static str, created: i64, main: i64, version: i64, lease: i64) -> Vec<u8> {
    let key = Bytes::from_static(key.as_bytes());
    let value = Bytes::from_static(b"value");
    KeyValue { key, create_revision: created, mod_revision: main, version, value, lease }.encode_to_vec()
}

/// Some history: `a` is put twice, `b` under a lease and deleted, `c` under a lease that is gone.
fn database() -> Buckets {
    let mut keys = BTreeMap::from([
        (at(2, 0), put("a", 2, 2, 1, 0)),
        (at(3, 0), put("b", 3, 3, 1, 7)),
        (at(3, 1), put("c", 3, 3, 1, 99)),
        (at(4, 0), put("a", 2, 4, 2, 7)),
    ]);
    let deleted = RevisionKey { main: 5, sub: 0, is_tombstone: true }.encode();
    keys.insert(deleted.as_ref().to_vec(), tombstone(b"b"));
    let lease = schema::Lease { id: 7, ttl_seconds: 60, remaining_seconds: 20 };
    let negative = schema::Lease { id: -7, ttl_seconds: 0, remaining_seconds: 0 };
    let leases = [lease, negative].map(|lease| (lease.key().to_vec(), lease.encode_to_vec()));
    let meta = [
        (key::CONSISTENT_INDEX.as_bytes().to_vec(), 77_u64.to_be_bytes().to_vec()),
        (key::TERM.as_bytes().to_vec(), 3_u64.to_be_bytes().to_vec()),
    ];
    [(bucket::KEY, keys), (bucket::LEASE, leases.into()), (bucket::META, meta.into())].into()
}

fn with(bucket: &'static str, key: &[u8], value: &[u8]) -> Buckets {
    let mut buckets = database();
    buckets.entry(bucket).or_default().insert(key.to_vec(), value.to_vec());
    buckets
}

fn keys_at(imported: &Imported, revision: i64) -> u64 {
    let query = RangeQuery { revision: Revision(revision), ..RangeQuery::range("\0", "\0") };
    imported.state.store.read().range(&query).map_or(0, |answer| answer.len as u64)
}

#[test]
fn keys_their_history_and_their_leases_are_as_they_were() {
    let imported = imported(&database()).unwrap();
    assert_eq!((imported.applied_index, imported.applied_term), (77, 3));
    assert_eq!((2..=5).map(|revision| keys_at(&imported, revision)).collect::<Vec<_>>(), [1, 3, 3, 2]);
    let (store, leases) = (imported.state.store.read(), imported.state.leases.read());
    assert_eq!((store.revision(), store.compacted()), (Revision(5), crate::mvcc::NEVER_COMPACTED));
    assert_eq!(store.get(b"c").unwrap().lease, LeaseId(99), "its lease is gone, and the key stays");
    let lease = leases.get(LeaseId(7)).unwrap();
    assert_eq!((lease.ttl_seconds, lease.remaining_seconds), (60, Some(20)));
    assert_eq!(lease.keys.iter().collect::<Vec<_>>(), [&b"a"[..]]);
    assert_eq!(leases.get(LeaseId(-7)).unwrap().ttl_seconds, 1);
    assert_eq!(leases.len(), 2);
}

#[test]
fn a_compaction_that_had_only_begun_is_finished() {
    let mut buckets = with(bucket::META, key::FINISHED_COMPACTION.as_bytes(), &at(2, 0));
    buckets.get_mut(bucket::META).unwrap().insert(key::SCHEDULED_COMPACTION.into(), at(4, 0));
    // The sweep has come past the first change.
    buckets.get_mut(bucket::KEY).unwrap().remove(&at(2, 0));
    let imported = imported(&buckets).unwrap();
    assert_eq!(imported.state.store.read().compacted(), Revision(4));
    assert_eq!([3, 4, 5].map(|revision| keys_at(&imported, revision)), [0, 3, 2]);
}

#[test]
fn a_bumped_revision_counts_and_what_is_marked_compacted_is() {
    let mut buckets = with(bucket::KEY, &at(1_000_005, 0), b"");
    buckets.get_mut(bucket::META).unwrap().insert(key::SCHEDULED_COMPACTION.into(), at(1_000_005, 0));
    let imported = imported(&buckets).unwrap();
    let store = imported.state.store.read();
    assert_eq!((store.revision(), store.compacted()), (Revision(1_000_005), Revision(1_000_005)));
    assert_eq!(store.keys(), 2);
}

#[test]
fn a_store_whose_newest_changes_were_compacted_away_keeps_its_revision() {
    let mut buckets = database();
    buckets.get_mut(bucket::KEY).unwrap().clear();
    for name in [key::FINISHED_COMPACTION, key::SCHEDULED_COMPACTION] {
        buckets.get_mut(bucket::META).unwrap().insert(name.into(), at(9, 0));
    }
    assert_eq!(imported(&buckets).unwrap().state.store.read().revision(), Revision(9));
}

#[test]
fn alarms_members_and_who_was_removed_are_kept() {
    let alarm = AlarmMember { member_id: 5, alarm: AlarmType::Nospace.into() };
    let member = Member { id: 5, name: "a".to_owned(), ..Member::default() };
    let mut buckets = with(bucket::ALARM, &alarm.encode_to_vec(), b"");
    buckets.insert(bucket::MEMBERS, [(member_key(5), member_value(&member))].into());
    buckets.insert(bucket::MEMBERS_REMOVED, [(member_key(0xab), b"removed".to_vec())].into());
    let imported = imported(&buckets).unwrap();
    assert_eq!(imported.state.alarms.read().of(AlarmType::None), [alarm]);
    assert_eq!((imported.members, imported.removed), (vec![member], vec![MemberId(0xab)]));
}

#[test]
fn what_cannot_be_is_refused_with_its_bucket_and_key() {
    let alarm = AlarmMember { member_id: 5, alarm: 77 }.encode_to_vec();
    let too_long = schema::Lease { id: 8, ttl_seconds: i64::MAX, remaining_seconds: 0 };
    let cases: [(&'static str, &[u8], &[u8], &str); 10] = [
        (bucket::KEY, b"short", b"", "bucket key, key short: it is no revision"),
        (bucket::KEY, &at(6, 0), b"\xff", "bucket key, key 6_0"),
        (bucket::KEY, &at(6, 0), &put("a", 2, 5, 2, 0), "bucket key, key 6_0: "),
        (bucket::KEY, &at(6, 0), &put("a", 2, 6, -1, 0), "key 6_0"),
        (bucket::KEY, &at(4, 1), &put("a", 2, 4, 3, 0), "up to revision 5"),
        (bucket::LEASE, b"8", &too_long.encode_to_vec(), "bucket lease, key 8: it is a lease of another id"),
        (bucket::LEASE, &too_long.key(), &too_long.encode_to_vec(), "too large lease TTL"),
        (bucket::ALARM, &alarm, b"", "kind 77"),
        (bucket::AUTH_USERS, b"anna", b"\x0a\x03bob", "bucket authUsers, key anna: it has another name"),
        (bucket::META, key::CONSISTENT_INDEX.as_bytes(), b"1", "key consistent_index: it is no number"),
    ];
    for (bucket, key, value, expected) in cases {
        let text = refused(&with(bucket, key, value));
        assert!(text.contains(expected) && text.contains("db: "), "{text}");
    }
    let latest = refused(&with(bucket::KEY, &at(i64::MAX, 0), b""));
    assert!(latest.contains("no revision follows it"), "{latest}");
    assert!(refused(&Buckets::from([(bucket::META, BTreeMap::new())])).contains("no database of etcd"));
}

#[test]
fn a_changed_byte_is_an_error_or_another_state_but_never_a_panic() {
    let good = bytes_of(&database());
    let (mut refused, mut read) = (0, 0);
    // Most of the pages is empty: only what is not, each byte in one of its bits.
    for at in (0..good.len()).filter(|at| good[*at] != 0) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        match imported_bytes(&bad) {
            Err(_) => refused += 1,
            Ok(imported) => {
                read += 1;
                assert!(imported.state.store.read().revision() >= Revision::FIRST);
            }
        }
    }
    assert!(refused > 100 && read > 10, "{refused} were refused, and {read} read");
}
