//! Right histories by the thousand: random calls at the same time, lost answers, stale reads, watches that
//! break, leases that end. None may be called wrong.

use std::collections::BTreeMap;

use fastrand::Rng;
use registry_checkers::model::{Answer, Operation, Refusal};
use registry_checkers::{Call, History, Outcome};
use registry_proto::etcdserverpb::watch_create_request::FilterType;
use registry_proto::etcdserverpb::{RangeRequest, WatchCreateRequest};

use crate::requests::{
    compact, delete, grant, leases, put, put_under, range, read, read_at, renew, revoke, swap, time_to_live, watch,
    watch_everything,
};
use crate::server::{MEMBERS, Server, ms};

const KEYS: [&str; 5] = ["a", "a-too", "b", "c", "d"];

/// Clients of a perfect server.
struct Clients {
    random: Rng,
    server: Server,
    values: usize,
    /// How far each member has come, as clients know.
    members: BTreeMap<u64, i64>,
    compacts: bool,
}

impl Clients {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let members = MEMBERS.map(|member| (member, 1)).into();
        let compacts = random.bool();
        let mut server = Server::new();
        server.watch(watch_everything(1), None);
        server.watch(watch("\0", "\0", 0), None);
        Self { random, server, values: 0, members, compacts }
    }

    fn key(&mut self) -> &'static str {
        KEYS[self.random.usize(..KEYS.len())]
    }

    fn value(&mut self) -> String {
        self.values += 1;
        self.values.to_string()
    }

    /// One of the last leases; few are granted twice.
    fn lease(&mut self) -> i64 {
        self.random.i64(1..6) + i64::try_from(self.values / 16).expect("they are few")
    }

    fn write(&mut self) -> Operation {
        let (key, value, lease) = (self.key(), self.value(), self.lease());
        let end = if self.random.bool() { "b" } else { "" };
        let newest = self.server.model.newest(key.as_bytes()).map_or(0, |kv| kv.mod_revision);
        match self.random.u32(..12) {
            0..4 => put(key, &value),
            4..6 => put_under(key, &value, lease),
            6 => delete(key, end),
            7 => swap(key, newest - self.random.i64(..2), [&value, &value]),
            8 => grant(lease, self.random.i64(2..6)),
            9 => revoke(lease),
            10 if self.compacts => compact(self.server.model.revision() - self.random.i64(-1..8)),
            _ => renew(lease),
        }
    }

    fn read(&mut self) -> Operation {
        let (key, lease) = (self.key(), self.lease());
        let revision = self.server.model.revision() - self.random.i64(-1..8);
        match self.random.u32(..8) {
            0..2 => read(key, ""),
            2 => read("\0", "\0"),
            3..5 => read_at(key, "z", revision),
            5 => Operation::Range(RangeRequest { limit: 1, sort_order: 2, ..range("\0", "\0") }),
            6 => time_to_live(lease),
            _ => leases(),
        }
    }

    /// A call that is done now, that was asked before and is answered later, or never.
    fn call(&mut self) {
        let operation = if self.random.bool() { self.write() } else { self.read() };
        let member = MEMBERS[self.random.usize(..3)];
        let is_lost = self.random.u32(..8) == 0;
        let asked = self.server.now.saturating_sub(ms(self.random.u64(..if is_lost { 2_000 } else { 60 })));
        if is_lost && self.random.bool() {
            return self.enter(member, asked, operation, Outcome::Unknown("never sent".to_owned()));
        }
        let answer = self.server.effect(&operation);
        let outcome = if is_lost { Outcome::Unknown("timed out".to_owned()) } else { outcome(answer) };
        self.members.insert(member, self.server.model.revision());
        self.enter(member, asked, operation, outcome);
    }

    /// A serializable read, of a member that may be behind.
    fn stale_read(&mut self) {
        let member = MEMBERS[self.random.usize(..3)];
        let request = RangeRequest { serializable: true, ..range(self.key(), "z") };
        let newest = self.server.model.revision();
        let at = self.random.i64(self.members[&member]..=newest);
        self.members.insert(member, at.max(self.server.model.compacted()));
        let answer = self.server.stale(&request, self.members[&member]);
        let asked = self.server.now.saturating_sub(ms(self.random.u64(..60)));
        self.enter(member, asked, Operation::Range(request), outcome(answer));
    }

    fn enter(&mut self, member: u64, asked: std::time::Duration, operation: Operation, outcome: Outcome) {
        let is_known = !matches!(outcome, Outcome::Unknown(_));
        let answered = is_known.then(|| self.server.now + ms(self.random.u64(..60)));
        self.server.history.calls.push(Call { client: 0, member, asked, answered, operation, outcome });
    }

    /// Something about watches.
    fn watch(&mut self) {
        let watches = self.server.history.watches.len();
        let chosen = self.random.usize(..watches);
        let newest = self.server.model.revision();
        match self.random.u32(..3) {
            0 => self.server.progress(chosen),
            1 if chosen > 0 => {
                if let Some(next) = self.server.break_off(chosen) {
                    let request = self.server.history.watches[chosen].request.clone();
                    self.server.pass(ms(self.random.u64(..500)));
                    let request = WatchCreateRequest { start_revision: next, ..request };
                    self.server.watch(request, Some(chosen));
                }
            }
            _ => {
                let start = if self.random.bool() { 0 } else { (newest - self.random.i64(-3..10)).max(1) };
                let end = if self.random.bool() { "c" } else { "\0" };
                let filters = [FilterType::Noput, FilterType::Nodelete].map(i32::from);
                let filters = filters.into_iter().filter(|_| self.random.u32(..4) == 0).collect();
                let (prev_kv, fragment) = (self.random.bool(), self.random.bool());
                self.server.watch(WatchCreateRequest { filters, prev_kv, fragment, ..watch("a", end, start) }, None);
            }
        }
    }

    fn run(mut self, calls: usize) -> History {
        for _ in 0..calls {
            match self.random.u32(..10) {
                0 => self.watch(),
                1 => self.stale_read(),
                _ => self.call(),
            }
            self.server.pass(ms(self.random.u64(..120)));
        }
        let wait = ms(self.random.u64(..30_000));
        self.server.end(wait)
    }
}

fn outcome(answer: Result<Answer, Refusal>) -> Outcome {
    match answer {
        Ok(answer) => Outcome::Answered(answer),
        Err(refusal) => Outcome::Refused(refusal),
    }
}

/// The right history of a seed.
pub(crate) fn history(seed: u64, calls: usize) -> History {
    Clients::new(seed).run(calls)
}

/// All of a seed's history is judged, and nothing is wrong.
fn is_right(seed: u64, calls: usize) {
    let history = history(seed, calls);
    let report = registry_checkers::check(&history, &registry_checkers::Limits::default());
    assert!(report.violations.is_empty(), "seed {seed}: {report}");
    assert!(report.counts.gaps.is_empty(), "seed {seed}: {report}");
}

#[test]
fn right_histories_are_accepted() {
    for seed in 0..2_000 {
        is_right(seed, 60);
    }
}

#[test]
fn a_long_right_history_is_accepted() {
    is_right(7, 3_000);
}
