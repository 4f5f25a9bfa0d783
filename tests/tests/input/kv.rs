//! Ranges, puts, deletes and compactions that make no sense.

use registry_proto::etcdserverpb::{CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest};
use registry_tests::requests::{delete, everything, key, leased, put};
use tonic::Code::{InvalidArgument, NotFound, OutOfRange, Unimplemented};

use crate::table::{COMPACTED, NEWEST, Row, holds, row};

const RANGE: &str = "/etcdserverpb.KV/Range";
const STREAM: &str = "/etcdserverpb.KV/RangeStream";
const PUT: &str = "/etcdserverpb.KV/Put";
const DELETE: &str = "/etcdserverpb.KV/DeleteRange";
const COMPACT: &str = "/etcdserverpb.KV/Compact";

const NO_KEY: &str = "key is not provided";
const COMPACTED_TEXT: &str = "mvcc: required revision has been compacted";
const FUTURE_TEXT: &str = "mvcc: required revision is a future revision";
const NEWER: &str = "3.4 does not check sort options; 3.7 does";
const ALL: &str = "a b c leased of 4";

fn ranges(path: &'static str) -> Vec<Row> {
    let ask = |what, request: RangeRequest| row(what, path, &request);
    let at = |revision| RangeRequest { revision, ..everything() };
    vec![
        ask("no key", key("")).refused(InvalidArgument, NO_KEY),
        ask("no key but an end", RangeRequest { range_end: "\0".into(), ..key("") }).refused(InvalidArgument, NO_KEY),
        ask("an end below the key", RangeRequest { range_end: "a".into(), ..key("b") }).taken(" of 0"),
        ask("an end at the key", RangeRequest { range_end: "b".into(), ..key("b") }).taken(" of 0"),
        ask("a negative limit", RangeRequest { limit: -1, ..everything() }).taken(ALL),
        ask("the least limit", RangeRequest { limit: i64::MIN, ..everything() }).taken(ALL),
        ask("a future revision", at(NEWEST + 1)).refused(OutOfRange, FUTURE_TEXT),
        ask("the last revision there can be", at(i64::MAX)).refused(OutOfRange, FUTURE_TEXT),
        ask("a compacted revision", at(COMPACTED - 1)).refused(OutOfRange, COMPACTED_TEXT),
        ask("where history begins", at(COMPACTED)).taken("a of 1"),
        ask("a negative revision is the newest", at(-1)).taken(ALL),
        ask("the least revision", at(i64::MIN)).taken(ALL),
        ask("a key that is no text", RangeRequest { key: vec![0xff; 9].into(), ..key("") }).taken(" of 0"),
    ]
}

fn range_rows() -> Vec<Row> {
    let ask = |what, request: RangeRequest| row(what, RANGE, &request);
    let invalid = "invalid sort option";
    let mut rows = ranges(RANGE);
    rows.extend([
        ask("an unknown order", RangeRequest { sort_order: 9, ..everything() })
            .refused(InvalidArgument, invalid)
            .etcd_takes(ALL, NEWER),
        ask("a negative order", RangeRequest { sort_order: -1, ..everything() })
            .refused(InvalidArgument, invalid)
            .etcd_takes(ALL, NEWER),
        ask("an unknown target", RangeRequest { sort_target: 9, ..everything() })
            .refused(InvalidArgument, invalid)
            .etcd_is_not_asked("3.4 panics, and is gone"),
        ask("no key and an unknown order", RangeRequest { sort_order: 9, ..key("") }).refused(InvalidArgument, NO_KEY),
        ask("negative filters", RangeRequest { min_mod_revision: -1, max_create_revision: -1, ..everything() })
            .taken(" of 4"),
        ask("a future revision, serializable", RangeRequest { revision: 99, serializable: true, ..key("a") })
            .refused(OutOfRange, FUTURE_TEXT),
    ]);
    rows
}

fn stream_rows() -> Vec<Row> {
    let missing = "unknown method RangeStream for service etcdserverpb.KV";
    let ask = |what, request: RangeRequest| row(what, STREAM, &request);
    let mut rows = ranges(STREAM);
    rows.extend([
        ask("an unknown order", RangeRequest { sort_order: 9, ..key("a") })
            .refused(InvalidArgument, "invalid sort option"),
        ask("a custom order", RangeRequest { sort_order: 2, ..key("a") })
            .refused_plainly(Unimplemented, "RangeStream does not support custom sort orders"),
        ask("a filter", RangeRequest { min_mod_revision: -1, ..key("a") })
            .refused_plainly(Unimplemented, "RangeStream does not support revision filters"),
    ]);
    rows.into_iter().map(|row| row.etcd_refuses_plainly(Unimplemented, missing, "it came with 3.7")).collect()
}

fn put_rows() -> Vec<Row> {
    let ask = |what, request: PutRequest| row(what, PUT, &request);
    let keeps_value = |key: &str, value: &str| PutRequest { ignore_value: true, ..put(key, value.to_owned()) };
    let keeps_lease = |request: PutRequest| PutRequest { ignore_lease: true, ..request };
    let no_lease = "requested lease not found";
    vec![
        ask("no key", put("", "v")).refused(InvalidArgument, NO_KEY),
        ask("nothing at all", put("", "")).refused(InvalidArgument, NO_KEY),
        ask("no key, value kept and given", keeps_value("", "v")).refused(InvalidArgument, NO_KEY),
        ask("a value kept and given", keeps_value("a", "v")).refused(InvalidArgument, "value is provided"),
        ask("a lease kept and given", keeps_lease(leased("a", "v", 9))).refused(InvalidArgument, "lease is provided"),
        ask("both kept and given", PutRequest { lease: 9, ..keeps_lease(keeps_value("a", "v")) })
            .refused(InvalidArgument, "value is provided"),
        ask("the value of a missing key kept", keeps_value("none", "")).refused(InvalidArgument, "key not found"),
        ask("the lease of a missing key kept", keeps_lease(put("none", "v"))).refused(InvalidArgument, "key not found"),
        ask("an unknown lease", leased("a", "v", 404)).refused(NotFound, no_lease),
        ask("a negative lease", leased("a", "v", -1)).refused(NotFound, no_lease),
        ask("the least lease", leased("a", "v", i64::MIN)).refused(NotFound, no_lease),
        ask("an unknown lease and a missing key kept", PutRequest { lease: 404, ..keeps_value("none", "") })
            .refused(NotFound, no_lease),
        ask("a key of zero bytes only is one", put("\0", "v")),
        ask("a key that is no text is one", PutRequest { key: vec![0xff, 0, 0xc3].into(), ..put("", "v") }),
    ]
}

fn delete_rows() -> Vec<Row> {
    let ask = |what, request: DeleteRangeRequest| row(what, DELETE, &request);
    vec![
        ask("no key", delete("")).refused(InvalidArgument, NO_KEY),
        ask("no key but an end", DeleteRangeRequest { range_end: "z".into(), ..delete("") })
            .refused(InvalidArgument, NO_KEY),
        ask("an end below the key", DeleteRangeRequest { range_end: "a".into(), ..delete("b") }).taken("0 gone"),
        ask("an end at the key", DeleteRangeRequest { range_end: "b".into(), ..delete("b") }).taken("0 gone"),
        ask("a missing key", DeleteRangeRequest { prev_kv: true, ..delete("none") }).taken("0 gone"),
    ]
}

fn compact_rows() -> Vec<Row> {
    let ask = |what, revision| row(what, COMPACT, &CompactionRequest { revision, physical: false });
    let wait = |what, revision| row(what, COMPACT, &CompactionRequest { revision, physical: true });
    vec![
        ask("into the future", NEWEST + 1).refused(OutOfRange, FUTURE_TEXT),
        ask("as far as can be", i64::MAX).refused(OutOfRange, FUTURE_TEXT),
        ask("twice", COMPACTED).refused(OutOfRange, COMPACTED_TEXT),
        ask("before what is compacted", 1).refused(OutOfRange, COMPACTED_TEXT),
        ask("at 0", 0).refused(OutOfRange, COMPACTED_TEXT),
        ask("a negative revision", -1).refused(OutOfRange, COMPACTED_TEXT),
        ask("the least revision", i64::MIN).refused(OutOfRange, COMPACTED_TEXT),
        wait("into the future, and waiting", NEWEST + 1).refused(OutOfRange, FUTURE_TEXT),
        wait("a negative revision, and waiting", -1).refused(OutOfRange, COMPACTED_TEXT),
    ]
}

#[tokio::test]
async fn ranges_get_etcds_answers() {
    holds(range_rows()).await;
}

#[tokio::test]
async fn streamed_ranges_get_the_answers_of_ranges() {
    holds(stream_rows()).await;
}

#[tokio::test]
async fn puts_deletes_and_compactions_get_etcds_answers() {
    let mut rows = compact_rows();
    rows.extend(delete_rows());
    rows.extend(put_rows());
    holds(rows).await;
}
