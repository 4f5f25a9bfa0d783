//! One history in which everything happens, with names for what is broken later.

use std::collections::BTreeMap;

use registry_checkers::model::{Answer, Operation};
use registry_checkers::{Call, History, HowEnded, Outcome, Registration, Watch};
use registry_proto::etcdserverpb::watch_create_request::FilterType;
use registry_proto::etcdserverpb::{RangeRequest, WatchCreateRequest, WatchResponse};
use registry_proto::mvccpb::Event;
use registry_proto::stored::Records;

use crate::requests::{
    bytes, compact, delete, grant, leases, put, put_under, range, read, read_at, renew, revoke, swap, time_to_live,
    watch, watch_everything,
};
use crate::server::{Server, happened, is_compacted, ms};

/// A history whose calls and watches have names.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) history: History,
    calls: BTreeMap<&'static str, usize>,
}

/// The watches, by their index.
pub(crate) const ALL: usize = 0;
pub(crate) const ALL_BARE: usize = 1;
pub(crate) const PUTS_OF_A: usize = 2;
pub(crate) const PARTS: usize = 3;
pub(crate) const RESUMED: usize = 5;
pub(crate) const TOO_OLD: usize = 6;

/// A lease that is revoked, one that expires, one that is there at the end, and one without keys.
pub(crate) const REVOKED: i64 = 11;
pub(crate) const EXPIRED: i64 = 12;
pub(crate) const KEPT: i64 = 13;

/// What happens, up to the watch that is carried on.
fn first_part(server: &mut Server, call: &mut impl FnMut(&mut Server, &'static str, Operation)) {
    server.watch(watch_everything(1), None);
    server.watch(watch("\0", "\0", 0), None);
    let filters = vec![FilterType::Nodelete.into()];
    server.watch(WatchCreateRequest { filters, prev_kv: true, ..watch("a", "b", 1) }, None);
    server.watch(WatchCreateRequest { fragment: true, ..watch("\0", "\0", 0) }, None);
    server.watch(watch("a", "c", 1), None);
    call(server, "put a", put("a", "1"));
    call(server, "read a", read("a", ""));
    call(server, "swap a", swap("a", 2, ["2", "2 too"]));
    call(server, "swap fails", swap("a", 2, ["3", "3 too"]));
    call(server, "put b", put("b", "4"));
    server.progress(ALL);
    call(server, "read all", read("\0", "\0"));
    call(server, "delete a", delete("a", ""));
    call(server, "delete nothing", delete("a", ""));
    call(server, "put a again", put("a", "5"));
    call(server, "read old", read_at("a", "", 3));
}

fn second_part(server: &mut Server, call: &mut impl FnMut(&mut Server, &'static str, Operation)) {
    call(server, "grant revoked", grant(REVOKED, 5));
    call(server, "put revoked", put_under("r", "6", REVOKED));
    call(server, "put revoked too", put_under("r2", "7", REVOKED));
    call(server, "renew", renew(REVOKED));
    call(server, "time to live", time_to_live(REVOKED));
    call(server, "revoke", revoke(REVOKED));
    call(server, "renew revoked", renew(REVOKED));
    call(server, "grant expired", grant(EXPIRED, 5));
    call(server, "put expired", put_under("e", "8", EXPIRED));
    call(server, "renew expired", renew(EXPIRED));
    server.pass(ms(6_000));
    call(server, "leases", leases());
    call(server, "compact", compact(6));
    call(server, "read compacted", read_at("a", "", 3));
    call(server, "read future", read_at("a", "", 100));
    server.watch(watch("a", "c", 3), None);
    call(server, "put refused", put_under("x", "9", 99));
    call(server, "grant kept", grant(KEPT, 60));
    call(server, "put kept", put_under("k", "10", KEPT));
    call(server, "delete range", delete("a", "b"));
    call(server, "put c", put("c", "11"));
}

/// The right history.
pub(crate) fn tell() -> Story {
    let (mut server, mut calls) = (Server::new(), BTreeMap::new());
    let mut call = |server: &mut Server, name, operation| {
        calls.insert(name, server.call(operation));
    };
    first_part(&mut server, &mut call);
    let next = server.break_off(4).expect("it was open");
    server.watch(watch("a", "c", next), Some(4));
    second_part(&mut server, &mut call);
    serializable(&mut server, &mut calls);
    let mut history = server.end(ms(5));
    assert!(is_compacted(&history.calls[calls["read compacted"]].outcome));
    history.registrations.push(Registration {
        name: "service".to_owned(),
        key: bytes("registered"),
        began: ms(1),
        ended: Some((ms(2), HowEnded::Shutdown)),
        leases: vec![77],
        ttl: ms(5_000),
    });
    Story { history, calls }
}

/// Two serializable reads of one member, the later of which sees more.
fn serializable(server: &mut Server, calls: &mut BTreeMap<&'static str, usize>) {
    for (name, behind) in [("stale", 2), ("less stale", 1)] {
        let request = RangeRequest { serializable: true, ..range("c", "") };
        let answer = server.stale(&request, server.model.revision() - behind).expect("it is not compacted");
        let asked = server.now;
        server.pass(ms(2));
        let answered = Some(server.now);
        server.pass(ms(1));
        let (operation, outcome) = (Operation::Range(request), Outcome::Answered(answer));
        calls.insert(name, server.history.calls.len());
        server.history.calls.push(Call { client: 1, member: 9, asked, answered, operation, outcome });
    }
}

impl Story {
    pub(crate) fn index(&self, name: &str) -> usize {
        self.calls[name]
    }

    pub(crate) fn call(&mut self, name: &str) -> &mut Call {
        &mut self.history.calls[self.calls[name]]
    }

    pub(crate) fn answer(&mut self, name: &str) -> &mut Answer {
        match &mut self.call(name).outcome {
            Outcome::Answered(answer) => answer,
            other => panic!("{name} was not answered: {other:?}"),
        }
    }

    pub(crate) fn watch(&mut self, index: usize) -> &mut Watch {
        &mut self.history.watches[index]
    }

    /// The answer in which a watch is told of a revision.
    pub(crate) fn told(&mut self, watch: usize, revision: i64) -> &mut WatchResponse {
        let at = self.place(watch, revision);
        &mut self.history.watches[watch].answers[at].1
    }

    /// Where a watch is told of a revision first.
    pub(crate) fn place(&self, watch: usize, revision: i64) -> usize {
        let answers = &self.history.watches[watch].answers;
        let place =
            answers.iter().position(|(_, answer)| events(answer).iter().any(|event| happened(event) == revision));
        place.expect("the watch is told of the revision")
    }

    /// Changes what all watches tell of a revision; nothing is told if nothing is left.
    pub(crate) fn retell(&mut self, revision: i64, change: impl Fn(&mut Vec<Event>)) {
        for watch in &mut self.history.watches {
            watch.answers.retain_mut(|(_, answer)| {
                let mut events = events(answer);
                if events.first().is_none_or(|event| happened(event) != revision) {
                    return true;
                }
                change(&mut events);
                let is_told = !events.is_empty();
                answer.events = Records::Decoded(events);
                is_told
            });
        }
    }
}

pub(crate) fn events(answer: &WatchResponse) -> Vec<Event> {
    answer.events.clone().into_messages().expect("events decode")
}
