//! Leases that end too early, too late or not for good.

use std::time::Duration;

use registry_checkers::model::{Answer, LEASE_NOT_FOUND};
use registry_checkers::{HowEnded, Limits, Outcome, Promise, check};
use registry_proto::mvccpb::KeyValue;

use crate::requests::{bytes, grant, leases, put_under, renew};
use crate::server::ms;
use crate::story::{EXPIRED, KEPT, REVOKED, Story};
use crate::{Row, are_caught, story};

fn renewed(story: &mut Story, name: &str, ttl: i64) {
    let Answer::LeaseKeepAlive(answer) = story.answer(name) else { panic!("{name} is a keep-alive") };
    answer.ttl = ttl;
}

/// A lease has no end any more: all was healed long before the members were read.
fn wait(story: &mut Story) {
    for member in &mut story.history.members {
        member.read += Duration::from_secs(1_000);
    }
    story.history.ended += Duration::from_secs(1_000);
}

#[test]
fn leases_that_end_early_are_caught() {
    let rows: &[Row] = &[
        ("keys gone before the TTL", Promise::LeaseNeverEarly, |story| {
            let at = story.place(0, 11);
            story.watch(0).answers[at].0 = ms(4_000);
        }),
        ("a keep-alive finds nothing", Promise::LeaseNeverEarly, |story| {
            story.call("leases").operation = renew(KEPT);
            renewed(story, "renew revoked", 0);
            let asked = story.call("put c").asked;
            let mut call = story.call("renew revoked").clone();
            (call.asked, call.answered, call.operation) = (asked, Some(asked + ms(1)), renew(KEPT));
            *story.call("put refused") = call;
        }),
        ("a put finds nothing", Promise::LeaseNeverEarly, |story| {
            let asked = story.call("put c").asked;
            let call = story.call("put refused");
            (call.asked, call.answered, call.operation) = (asked, Some(asked + ms(1)), put_under("q", "q", KEPT));
            call.outcome = Outcome::Refused(LEASE_NOT_FOUND);
        }),
        ("a member lacks it at the end", Promise::LeaseNeverEarly, |story| {
            story.history.members[0].leases.clear();
        }),
        ("a list lacks it", Promise::LeaseNeverEarly, |story| {
            let asked = story.call("put c").asked;
            let call = story.call("leases");
            (call.asked, call.answered) = (asked, Some(asked + ms(1)));
        }),
    ];
    are_caught(rows);
}

#[test]
fn leases_that_come_back_are_caught() {
    let rows: &[Row] = &[
        ("a keep-alive after a revoke", Promise::LeaseEndsForGood, |story| renewed(story, "renew revoked", 5)),
        ("a keep-alive after its end", Promise::LeaseEndsForGood, |story| {
            let asked = story.call("put c").asked;
            let call = story.call("renew expired");
            (call.asked, call.answered) = (asked, Some(asked + ms(1)));
        }),
        ("a put under a revoked lease", Promise::LeaseEndsForGood, |story| {
            story.call("put kept").operation = put_under("k", "10", REVOKED);
        }),
        ("a list shows it", Promise::LeaseEndsForGood, |story| {
            let Answer::LeaseLeases(answer) = story.answer("leases") else { panic!() };
            answer.leases.push(registry_proto::etcdserverpb::LeaseStatus { id: REVOKED });
        }),
        ("TimeToLive shows it", Promise::LeaseEndsForGood, |story| {
            let asked = story.call("put c").asked;
            let call = story.call("time to live");
            (call.asked, call.answered) = (asked, Some(asked + ms(1)));
        }),
        ("it is there at the end", Promise::LeaseEndsForGood, |story| {
            story.history.members[0].leases.push((REVOKED, 5));
        }),
        ("nobody asked for it", Promise::LeaseWasGranted, |story| {
            story.history.registrations.clear();
            story.history.members[0].leases.push((12_345, 5));
        }),
        ("a revoke leaves a key", Promise::LeaseTakesItsKeys, |story| {
            story.retell(9, |events| events.truncate(1));
            // The other key is deleted by whoever asked for that and was not answered.
            let mut call = story.call("delete nothing").clone();
            call.operation = crate::requests::delete("r", "");
            call.outcome = Outcome::Unknown("timed out".to_owned());
            story.history.calls.push(call);
        }),
        ("a key names a lease that is gone", Promise::LeaseTakesItsKeys, |story| {
            let key = KeyValue { key: bytes("z"), lease: EXPIRED, ..KeyValue::default() };
            story.history.members[0].keys.push(key);
            story.history.members[0].revision += 1;
        }),
    ];
    are_caught(rows);
}

#[test]
fn wrong_ttls_and_late_ends_are_caught() {
    let rows: &[Row] = &[
        ("a keep-alive shows more", Promise::LeaseTtl, |story| renewed(story, "renew", 6)),
        ("TimeToLive shows more", Promise::LeaseTtl, |story| {
            let Answer::LeaseTimeToLive(answer) = story.answer("time to live") else { panic!() };
            answer.ttl = 6;
        }),
        ("another TTL was granted", Promise::LeaseTtl, |story| {
            let Answer::LeaseTimeToLive(answer) = story.answer("time to live") else { panic!() };
            answer.granted_ttl = 4;
        }),
        ("a member has another TTL", Promise::LeaseTtl, |story| {
            story.history.members.iter_mut().for_each(|member| member.leases[0].1 += 1);
        }),
        ("there long after its end", Promise::LeaseNeverLate, wait),
        ("keys there long after its end", Promise::LeaseNeverLate, |story| {
            story.history.healed = Some(ms(1));
            let late = ms(1_000_000);
            let index = story.index("read all");
            let mut call = story.history.calls[index].clone();
            (call.asked, call.answered) = (late, Some(late));
            *call_header(&mut call.outcome) = 10;
            story.history.calls.push(call);
        }),
        ("a registration that was killed stays", Promise::RegistrationEnds, |story| {
            story.history.registrations[0].ended = Some((ms(2), HowEnded::Killed));
            story.history.members[0].leases.push((77, 5));
            wait(story);
        }),
        ("a registration that was dropped stays", Promise::RegistrationEndsSoon, |story| {
            story.history.registrations[0].ended = Some((ms(2), HowEnded::Dropped));
            story.history.members[0].leases.push((77, 5));
            story.history.members[0].read += Duration::from_secs(6);
        }),
    ];
    are_caught(rows);
}

fn call_header(outcome: &mut Outcome) -> &mut i64 {
    match outcome {
        Outcome::Answered(answer) => &mut answer.header_mut().as_mut().expect("it has a header").revision,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lease_that_may_have_been_revoked_or_granted_again_is_no_violation() {
    let mut story = story::tell();
    let at = story.place(0, 11);
    story.watch(0).answers[at].0 = ms(4_000);
    let mut revoke = story.call("revoke").clone();
    revoke.operation = crate::requests::revoke(EXPIRED);
    revoke.outcome = Outcome::Unknown("timed out".to_owned());
    story.history.calls.push(revoke);
    assert!(!check(&story.history, &Limits::default()).breaks(Promise::LeaseNeverEarly));

    let mut story = story::tell();
    renewed(&mut story, "renew revoked", 5);
    let mut again = story.call("grant revoked").clone();
    (again.operation, again.outcome) = (grant(REVOKED, 5), Outcome::Unknown("timed out".to_owned()));
    story.history.calls.push(again);
    assert!(!check(&story.history, &Limits::default()).breaks(Promise::LeaseEndsForGood));
    assert_ne!(leases(), grant(1, 1));
}
