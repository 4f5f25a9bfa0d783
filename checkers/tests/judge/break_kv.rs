//! Histories whose keys are not strictly serializable, and ends at which members differ.

use registry_checkers::model::{Answer, COMPACTED, FUTURE_REVISION, Operation};
use registry_checkers::{Outcome, Promise};
use registry_proto::etcdserverpb::response_op::Response;
use registry_proto::etcdserverpb::{PutResponse, RangeResponse, TxnResponse};
use registry_proto::mvccpb::{Event, KeyValue};
use registry_proto::stored::Records;

use crate::requests::{bytes, compact, put, read, read_at};
use crate::server::{header, ms};
use crate::story::Story;
use crate::{Row, are_caught};

fn put_answer(story: &mut Story, name: &str) -> PutResponse {
    match story.answer(name) {
        Answer::Put(answer) => answer.clone(),
        other => panic!("{other:?}"),
    }
}

fn with_txn(story: &mut Story, name: &str, change: impl Fn(&mut TxnResponse)) {
    let Answer::Txn(answer) = story.answer(name) else { panic!("{name} is a transaction") };
    change(answer);
}

fn with_range(story: &mut Story, name: &str, change: impl Fn(&mut RangeResponse, &mut Vec<KeyValue>)) {
    let Answer::Range(answer) = story.answer(name) else { panic!("{name} is a range") };
    let mut kvs = std::mem::take(&mut answer.kvs).into_messages().expect("keys decode");
    change(answer, &mut kvs);
    answer.kvs = Records::Decoded(kvs);
}

/// Whoever was told of the last revision was told of one more, with this event in it.
fn append(story: &mut Story, event: &Event) {
    let revision = story.history.members[0].revision + 1;
    let kv = event.kv.clone().map(|kv| KeyValue { mod_revision: revision, create_revision: revision, ..kv });
    for watch in [0, 1, 3] {
        let answers = &mut story.watch(watch).answers;
        let (at, mut answer) = answers.last().cloned().expect("it was told something");
        answer.header = header(revision);
        answer.events = Records::Decoded(vec![Event { kv: kv.clone(), ..event.clone() }]);
        answers.push((at, answer));
    }
    for member in &mut story.history.members {
        member.revision = revision;
    }
}

fn put_event(key: &str, value: &str) -> Event {
    let kv = KeyValue { key: bytes(key), value: bytes(value), version: 1, ..KeyValue::default() };
    Event { kv: Some(kv), ..Event::default() }
}

#[test]
fn answers_that_are_not_the_state_are_caught() {
    let rows: &[Row] = &[
        ("wrong prev_kv of a put", Promise::RightAnswer, |story| {
            let mut answer = put_answer(story, "put a again");
            answer.prev_kv = Some(KeyValue { key: bytes("a"), ..KeyValue::default() });
            *story.answer("put a again") = Answer::Put(answer);
        }),
        ("wrong delete count", Promise::RightAnswer, |story| {
            let Answer::DeleteRange(answer) = story.answer("delete range") else { panic!() };
            answer.deleted += 1;
        }),
        ("a delete of nothing that was there", Promise::RightAnswer, |story| {
            *story.call("delete nothing") = story.call("delete nothing").clone();
            let operation = story.call("put b").operation.clone();
            let Operation::Put(put) = operation else { panic!() };
            let Operation::DeleteRange(delete) = &mut story.call("delete nothing").operation else { panic!() };
            delete.key = put.key;
        }),
        ("a compare that fails succeeds", Promise::RightAnswer, |story| {
            with_txn(story, "swap fails", |answer| answer.succeeded = true);
        }),
        ("a compare succeeds twice", Promise::OneWriteARevision, |story| {
            let twice = story.answer("swap a").clone();
            *story.answer("swap fails") = twice;
        }),
        ("wrong read in a txn", Promise::RightAnswer, |story| {
            with_txn(story, "swap fails", |answer| {
                let Some(Response::ResponseRange(range)) = &mut answer.responses[0].response else { panic!() };
                range.count = 7;
            });
        }),
        ("an old value is read", Promise::RightAnswer, |story| {
            with_range(story, "read all", |_, kvs| kvs[0].value = bytes("1"));
        }),
        ("a key is not read", Promise::RightAnswer, |story| {
            with_range(story, "read all", |_, kvs| drop(kvs.pop()));
        }),
        ("wrong count", Promise::RightAnswer, |story| with_range(story, "read all", |answer, _| answer.count += 1)),
        ("wrong more", Promise::RightAnswer, |story| with_range(story, "read all", |answer, _| answer.more = true)),
        ("wrong version", Promise::RightAnswer, |story| with_range(story, "read a", |_, kvs| kvs[0].version = 2)),
        ("an old revision read wrong", Promise::RightAnswer, |story| {
            with_range(story, "read old", |_, kvs| kvs[0].value = bytes("1"));
        }),
        ("a dirty read of a refused put", Promise::RightAnswer, |story| {
            with_range(story, "read all", |_, kvs| kvs[0].value = bytes("9"));
        }),
        ("a stale read is wrong", Promise::RightAnswer, |story| {
            with_range(story, "stale", |_, kvs| kvs.push(KeyValue { key: bytes("c"), ..KeyValue::default() }));
        }),
    ];
    are_caught(rows);
}

#[test]
fn broken_real_time_is_caught() {
    let rows: &[Row] = &[
        ("a stale linearizable read", Promise::RealTime, |story| {
            with_range(story, "read all", |answer, kvs| {
                answer.header = header(2);
                kvs.truncate(1);
            });
        }),
        ("a read from the future", Promise::RealTime, |story| {
            *story.answer("read a").header_mut() = header(5);
        }),
        ("a write before what was told", Promise::RealTime, |story| {
            *story.answer("put b").header_mut() = header(3);
        }),
        ("a write at the revision that a read told", Promise::RealTime, |story| {
            let asked = story.call("swap a").asked;
            story.call("put a").asked = asked;
        }),
        ("a watch told of it before", Promise::RealTime, |story| {
            let last = story.place(0, 14);
            story.watch(0).answers[last].0 = ms(1);
        }),
        ("a member goes backwards", Promise::Monotonic, |story| {
            let (first, second) = (story.index("stale"), story.index("less stale"));
            let outcome = story.history.calls[first].outcome.clone();
            story.history.calls[first].outcome = std::mem::replace(&mut story.history.calls[second].outcome, outcome);
        }),
    ];
    are_caught(rows);
}

#[test]
fn wrong_writes_are_caught() {
    let rows: &[Row] = &[
        ("a lost write", Promise::NoLostWrite, |story| story.retell(4, Vec::clear)),
        ("a lost write, others instead", Promise::NoLostWrite, |story| {
            story.retell(4, |events| events.clone_from(&vec![Event { kv: moved("z", 4), ..put_event("z", "z") }]));
        }),
        ("a write that is lost at the end", Promise::NoLostWrite, |story| {
            story.history.members.iter_mut().for_each(|member| member.revision = 13);
        }),
        ("a txn half applied", Promise::AllOrNothing, |story| story.retell(3, |events| events.truncate(1))),
        ("more than was asked for", Promise::NothingInvented, |story| {
            story.retell(4, |events| events.push(Event { kv: moved("z", 4), ..put_event("z", "z") }));
        }),
        ("a write happens twice", Promise::OnceAtMost, |story| append(story, &put_event("c", "11"))),
        ("a refused write happens", Promise::RefusedMeansUnchanged, |story| append(story, &put_event("x", "9"))),
        ("a revision of nobody", Promise::NothingInvented, |story| append(story, &put_event("p", "phantom"))),
        ("one revision told for two writes", Promise::OneWriteARevision, |story| {
            *story.answer("put b").header_mut() = header(6);
        }),
        ("two histories", Promise::OneHistory, |story| {
            let events = vec![Event { kv: moved("b", 4), ..put_event("b", "other") }];
            story.told(1, 4).events = Records::Decoded(events);
        }),
        ("a gap that watches passed over", Promise::NoGap, |story| {
            story.retell(4, Vec::clear);
            story.call("put b").outcome = Outcome::Unknown("timed out".to_owned());
        }),
    ];
    are_caught(rows);
}

fn moved(key: &str, revision: i64) -> Option<KeyValue> {
    let (create_revision, mod_revision) = (revision, revision);
    Some(KeyValue { key: bytes(key), value: bytes("z"), version: 1, create_revision, mod_revision, lease: 0 })
}

#[test]
fn wrong_refusals_are_caught() {
    let rows: &[Row] = &[
        ("refused as compacted, and it is not", Promise::RightRefusal, |story| {
            story.call("read compacted").operation = read_at("a", "", 6);
        }),
        ("refused as future, and it is not", Promise::RightRefusal, |story| {
            story.call("read future").operation = read_at("a", "", 10);
        }),
        ("read below the compaction", Promise::RightRefusal, |story| {
            let old = story.call("read old").clone();
            *story.call("read future") = registry_checkers::Call { asked: story.call("read future").asked, ..old };
        }),
        ("compacted again", Promise::RightRefusal, |story| {
            let asked = story.call("put c").asked;
            let done = story.call("compact").clone();
            *story.call("put kept") = registry_checkers::Call { asked, operation: compact(5), ..done };
        }),
        ("a compaction refused without one", Promise::RightRefusal, |story| {
            story.call("read a").operation = compact(2);
            story.call("read a").outcome = Outcome::Refused(COMPACTED);
        }),
        ("a compaction of the past refused as future", Promise::RightRefusal, |story| {
            story.call("read future").operation = compact(8);
            story.call("read future").outcome = Outcome::Refused(FUTURE_REVISION);
        }),
    ];
    are_caught(rows);
}

#[test]
fn wrong_ends_are_caught() {
    let rows: &[Row] = &[
        ("a member differs by a byte", Promise::MembersAgree, |story| {
            story.history.members[1].state = bytes("something else");
        }),
        ("a member is behind", Promise::MembersAgree, |story| story.history.members[2].revision -= 1),
        ("a member lacks a key", Promise::MembersAgree, |story| drop(story.history.members[2].keys.pop())),
        ("a member has another lease", Promise::MembersAgree, |story| story.history.members[2].leases.push((5, 5))),
        ("all members lack a key", Promise::MembersRight, |story| {
            story.history.members.iter_mut().for_each(|member| drop(member.keys.pop()));
        }),
        ("all members have another version", Promise::MembersRight, |story| {
            story.history.members.iter_mut().for_each(|member| member.keys[0].version += 1);
        }),
        ("a registration's lease is left", Promise::RegistrationEnds, |story| {
            story.history.members[0].leases.push((77, 5));
        }),
        ("a registration's key is left", Promise::RegistrationEnds, |story| {
            let key = KeyValue { key: bytes("registered"), lease: 77, ..KeyValue::default() };
            story.history.members[0].keys.push(key);
        }),
    ];
    are_caught(rows);
}

#[test]
fn a_read_that_was_not_answered_says_nothing() {
    let mut story = crate::story::tell();
    for name in ["read a", "read all"] {
        story.call(name).outcome = Outcome::Unknown("timed out".to_owned());
        story.call(name).operation = read("b", "");
    }
    story.call("put refused").operation = put("x", "90");
    crate::is_right(&story.history);
}
