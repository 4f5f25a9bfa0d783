//! A perfect server: it answers with the model, tells its watchers at once, and ends leases on time.

use std::collections::BTreeMap;
use std::time::Duration;

use registry_checkers::model::{Answer, COMPACTED, Dialect, Model, Operation, Refusal};
use registry_checkers::{Call, History, MemberState, Outcome, Watch, WatchEnd};
use registry_proto::etcdserverpb::{
    LeaseRevokeRequest, RangeRequest, ResponseHeader, WatchCreateRequest, WatchResponse,
};
use registry_proto::mvccpb::Event;
use registry_proto::stored::Records;

pub(crate) const MEMBERS: [u64; 3] = [1, 2, 3];

/// The server, and the history that its clients write down.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) model: Model,
    pub(crate) history: History,
    pub(crate) now: Duration,
    /// The next revision that an open watch is to be told.
    next: BTreeMap<usize, i64>,
    /// When leases end.
    due: BTreeMap<i64, (Duration, i64)>,
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Server {
    pub(crate) fn new() -> Self {
        let model = Model::new(Dialect::Registry);
        Self { model, history: History::default(), now: ms(1), next: BTreeMap::new(), due: BTreeMap::new() }
    }

    /// Lets time pass; leases end meanwhile.
    pub(crate) fn pass(&mut self, time: Duration) {
        let upto = self.now + time;
        while let Some((id, at)) = self.due.iter().map(|(id, (at, _))| (*id, *at)).min_by_key(|(_, at)| *at)
            && at <= upto
        {
            self.now = self.now.max(at);
            let end = Operation::LeaseRevoke(LeaseRevokeRequest { id });
            self.effect(&end).expect("a lease that is due is there");
        }
        self.now = upto;
    }

    /// A call without another at the same time; its index.
    pub(crate) fn call(&mut self, operation: Operation) -> usize {
        let asked = self.now;
        self.pass(ms(1));
        let outcome = match self.effect(&operation) {
            Ok(answer) => Outcome::Answered(answer),
            Err(refusal) => Outcome::Refused(refusal),
        };
        self.pass(ms(1));
        let answered = Some(self.now);
        self.pass(ms(1));
        let index = self.history.calls.len();
        let member = MEMBERS[index % 3];
        self.history.calls.push(Call { client: 0, member, asked, answered, operation, outcome });
        index
    }

    /// Does an operation now and tells watchers of it.
    pub(crate) fn effect(&mut self, operation: &Operation) -> Result<Answer, Refusal> {
        let mut answer = self.model.answer(operation)?;
        match (operation, &mut answer) {
            (Operation::LeaseGrant(_), Answer::LeaseGrant(answer)) => {
                self.due.insert(answer.id, (self.now + seconds(answer.ttl), answer.ttl));
            }
            (Operation::LeaseKeepAlive(request), Answer::LeaseKeepAlive(answer)) if answer.ttl > 0 => {
                self.due.insert(request.id, (self.now + seconds(answer.ttl), answer.ttl));
            }
            (Operation::LeaseRevoke(request), _) => drop(self.due.remove(&request.id)),
            (Operation::LeaseTimeToLive(request), Answer::LeaseTimeToLive(answer)) => {
                if let Some((due, _)) = self.due.get(&request.id) {
                    answer.ttl = i64::try_from((*due - self.now).as_secs()).expect("it is small");
                }
            }
            _ => {}
        }
        self.tell();
        Ok(answer)
    }

    /// A serializable read at an old revision.
    pub(crate) fn stale(&mut self, request: &RangeRequest, revision: i64) -> Result<Answer, Refusal> {
        let old = RangeRequest { revision, serializable: true, ..request.clone() };
        let mut answer = self.model.answer(&Operation::Range(old))?;
        *answer.header_mut() = header(revision);
        Ok(answer)
    }

    /// A new watch; its index.
    pub(crate) fn watch(&mut self, request: WatchCreateRequest, resumes: Option<usize>) -> usize {
        let index = self.history.watches.len();
        let opened = self.now;
        self.pass(ms(1));
        let start = if request.start_revision > 0 { request.start_revision } else { self.model.revision() + 1 };
        let answer = WatchResponse { header: header(self.model.revision()), ..WatchResponse::default() };
        let mut answers = vec![(self.now, WatchResponse { created: true, ..answer.clone() })];
        let mut end = None;
        if start < self.model.compacted() {
            let compact_revision = self.model.compacted();
            answers.push((self.now, WatchResponse { canceled: true, compact_revision, ..answer }));
            end = Some((self.now, WatchEnd::Cancelled));
        } else {
            self.next.insert(index, start);
        }
        let member = MEMBERS[index % 3];
        self.history.watches.push(Watch { client: 0, member, opened, request, answers, end, resumes });
        self.tell();
        index
    }

    /// A watch ends; the revision from which another carries on, as its client knows it.
    pub(crate) fn break_off(&mut self, watch: usize) -> Option<i64> {
        self.next.remove(&watch)?;
        let now = self.now;
        let watch = &mut self.history.watches[watch];
        watch.end = Some((now, WatchEnd::Broken("reset".to_owned())));
        let started = watch.request.start_revision - 1;
        let told = watch.answers.iter().map(|(_, answer)| {
            let header = answer.header.as_ref().map_or(0, |header| header.revision);
            match answer.events.clone().into_messages().expect("events decode").last() {
                Some(last) => happened(last),
                None if answer.created && started >= 0 => started,
                None => header,
            }
        });
        told.max().map(|told| told.max(started) + 1)
    }

    /// A watch is told how far it has come.
    pub(crate) fn progress(&mut self, watch: usize) {
        if self.next.contains_key(&watch) {
            let answer = WatchResponse { header: header(self.model.revision()), ..WatchResponse::default() };
            self.history.watches[watch].answers.push((self.now, answer));
        }
    }

    /// Tells all watchers what they do not know yet: one answer a revision, in two parts where that is asked for.
    fn tell(&mut self) {
        for (index, next) in &mut self.next {
            let watch = &mut self.history.watches[*index];
            let request = WatchCreateRequest { start_revision: *next, ..watch.request.clone() };
            let events = self.model.events(&request, false);
            for group in events.chunk_by(|left, right| happened(left) == happened(right)) {
                let parts = if watch.request.fragment && group.len() > 1 { 1 } else { group.len() };
                for (at, part) in group.chunks(parts).enumerate() {
                    let fragment = (at + 1) * parts < group.len();
                    let header = header(self.model.revision());
                    let events = Records::Decoded(part.to_vec());
                    let answer = WatchResponse { header, fragment, events, ..WatchResponse::default() };
                    watch.answers.push((self.now, answer));
                }
            }
            *next = (*next).max(self.model.revision() + 1);
        }
    }

    /// All is healed; after a wait what the members have is read.
    pub(crate) fn end(mut self, wait: Duration) -> History {
        self.history.healed = Some(self.now);
        self.pass(wait);
        let read = self.now;
        let leases: Vec<_> = self.due.iter().map(|(id, (_, ttl))| (*id, *ttl)).collect();
        let keys: Vec<_> = self.model.all().cloned().collect();
        let (revision, compacted) = (self.model.revision(), self.model.compacted());
        let state = format!("{keys:?}{leases:?}").into();
        let member = MemberState { member: 0, read, revision, compacted, state, keys, leases };
        self.history.members = MEMBERS.map(|id| MemberState { member: id, ..member.clone() }).to_vec();
        self.pass(ms(1));
        self.history.ended = self.now;
        self.history
    }
}

/// Whether a call was refused for a compaction.
pub(crate) fn is_compacted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(refusal) if *refusal == COMPACTED)
}

pub(crate) fn happened(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

#[expect(clippy::unnecessary_wraps, reason = "a header is optional on the wire")]
pub(crate) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).expect("a TTL is positive"))
}
