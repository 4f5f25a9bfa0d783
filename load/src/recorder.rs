//! Where everything is written down, in the order in which it happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_checkers::history::{Call, History, HowEnded, MemberState, Outcome, Registration, Watch, WatchEnd};
use registry_checkers::model::Operation;
use registry_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use tokio::time::Instant;

/// Is told everything as it happens, with the time since the start.
pub type Trace = Arc<dyn Fn(Duration, fmt::Arguments<'_>) + Send + Sync>;

/// What all clients write to. Clones write to the same history.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    origin: Instant,
    trace: Option<Trace>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    history: History,
    complaints: Vec<String>,
    /// The hash of all keys, by revision and compacted revision.
    hashes: BTreeMap<(i64, i64), u32>,
}

impl Recorder {
    /// Times count from now on, by the runtime's clock.
    #[must_use]
    pub fn new(trace: Option<Trace>) -> Self {
        Self { shared: Arc::new(Shared { origin: Instant::now(), trace, seen: Mutex::default() }) }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.origin.elapsed()
    }

    /// Writes to the trace only.
    pub fn trace(&self, what: fmt::Arguments<'_>) {
        if let Some(trace) = &self.shared.trace {
            trace(self.now(), what);
        }
    }

    /// Adds a member's state at the end.
    pub fn add_member(&self, state: MemberState) {
        self.trace(format_args!("member {:x} ends at revision {}", state.member, state.revision));
        self.shared.seen.lock().history.members.push(state);
    }

    /// Something is wrong that a history does not show.
    pub fn complain(&self, what: String) {
        self.trace(format_args!("complaint: {what}"));
        self.shared.seen.lock().complaints.push(what);
    }

    /// What is wrong besides the history.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.shared.seen.lock().complaints.clone()
    }

    /// How many calls and watches there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let seen = self.shared.seen.lock();
        (seen.history.calls.len(), seen.history.watches.len())
    }

    /// The history up to now. What is not over yet stays open in it.
    #[must_use]
    pub fn finish(&self) -> History {
        let mut history = self.shared.seen.lock().history.clone();
        history.ended = self.now();
        find_leases(&mut history);
        history
    }

    /// All faults have ended.
    pub(crate) fn heal(&self) {
        self.trace(format_args!("healed"));
        self.shared.seen.lock().history.healed = Some(self.now());
    }

    /// A call is about to be sent; says its number.
    pub(crate) fn ask(&self, client: u32, member: u64, operation: Operation) -> usize {
        let mut seen = self.shared.seen.lock();
        let number = seen.history.calls.len();
        self.trace(format_args!("#{number} client {client} asks {member:x} {operation:?}"));
        let outcome = Outcome::Unknown("no answer".to_owned());
        seen.history.calls.push(Call { client, member, asked: self.now(), answered: None, operation, outcome });
        number
    }

    /// The outcome of a call. One that is not known has no time.
    pub(crate) fn answer(&self, number: usize, outcome: &Outcome) {
        self.trace(format_args!("#{number} {outcome:?}"));
        let mut seen = self.shared.seen.lock();
        let call = &mut seen.history.calls[number];
        call.answered = (!matches!(outcome, Outcome::Unknown(_))).then(|| self.now());
        call.outcome = outcome.clone();
    }

    /// Watches are about to be asked for; says their number.
    pub(crate) fn watch(&self, client: u32, member: u64, request: WatchCreateRequest, resumes: Option<usize>) -> usize {
        let mut seen = self.shared.seen.lock();
        let number = seen.history.watches.len();
        self.trace(format_args!("watch {number} client {client} asks {member:x} {request:?} after {resumes:?}"));
        let opened = self.now();
        seen.history.watches.push(Watch { client, member, opened, request, answers: Vec::new(), end: None, resumes });
        number
    }

    /// What a watch was told.
    pub(crate) fn told(&self, number: usize, answer: WatchResponse) {
        self.trace(format_args!("watch {number} is told {answer:?}"));
        self.shared.seen.lock().history.watches[number].answers.push((self.now(), answer));
    }

    /// The end of a watch.
    pub(crate) fn end_watch(&self, number: usize, end: WatchEnd) {
        self.trace(format_args!("watch {number} ends: {end:?}"));
        self.shared.seen.lock().history.watches[number].end = Some((self.now(), end));
    }

    /// A registration is about to be asked for; says its number.
    pub(crate) fn register(&self, name: &str, key: String, ttl: Duration) -> usize {
        let mut seen = self.shared.seen.lock();
        let number = seen.history.registrations.len();
        self.trace(format_args!("registration {number} of {key}"));
        let (name, began) = (name.to_owned(), self.now());
        let registration = Registration { name, key: key.into(), began, ended: None, leases: Vec::new(), ttl };
        seen.history.registrations.push(registration);
        number
    }

    /// The TTL that was granted to a registration.
    pub(crate) fn granted(&self, number: usize, ttl: Duration) {
        self.shared.seen.lock().history.registrations[number].ttl = ttl;
    }

    /// The end of a registration.
    pub(crate) fn end_registration(&self, number: usize, how: HowEnded) {
        self.trace(format_args!("registration {number} ends: {how:?}"));
        self.shared.seen.lock().history.registrations[number].ended = Some((self.now(), how));
    }

    /// A member's hash of all keys; all that hash the same must find the same.
    pub(crate) fn hash(&self, member: u64, revision: i64, compacted: i64, hash: u32) {
        let known = *self.shared.seen.lock().hashes.entry((revision, compacted)).or_insert(hash);
        self.trace(format_args!("member {member:x} hashes {revision} after {compacted} as {hash:x}"));
        if known != hash {
            self.complain(format!("member {member:x} hashes revision {revision} as {hash:x}, another as {known:x}"));
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// The SDK does not tell its leases; whoever watched the keys has seen them.
fn find_leases(history: &mut History) {
    let mut leases: BTreeMap<_, BTreeSet<i64>> =
        history.registrations.iter().map(|registration| (registration.key.clone(), BTreeSet::new())).collect();
    for (_, answer) in history.watches.iter().flat_map(|watch| &watch.answers) {
        for kv in answer.events.clone().into_messages().unwrap_or_default().iter().filter_map(|event| event.kv.as_ref())
        {
            if let Some(leases) = leases.get_mut(&kv.key).filter(|_| kv.lease != 0) {
                leases.insert(kv.lease);
            }
        }
    }
    for registration in &mut history.registrations {
        registration.leases = leases.get(&registration.key).into_iter().flatten().copied().collect();
    }
}
