//! Each watch against the history: etcd's watch guarantees, one by one.
//!
//! Ordered, unique, reliable, atomic, resumable, bookmarkable: <https://etcd.io/docs/latest/learning/api_guarantees/>.
//! [`reader`] goes through the answers, [`revision`] compares one revision's events, [`protocol`] judges how a
//! watch begins, ends and carries on. Where the history has a gap nothing is said.

mod protocol;
mod reader;
mod revision;

use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_proto::etcdserverpb::watch_create_request::FilterType;
use registry_proto::mvccpb::Event;

use crate::chronicle::key_of;
use crate::history::{History, Watch};
use crate::kv::Replayed;
use crate::kv::refusals::Compactions;
use crate::model::is_in;
use crate::report::{Promise, Violation};

use reader::Reader;

/// What watches are judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) history: &'a History,
    pub(crate) replayed: &'a Replayed,
    pub(crate) compactions: &'a Compactions,
}

/// How far a watch has come.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// The first revision that it is about; none if that is not known.
    first: Option<i64>,
    /// The last whole revision of which it told events.
    last_event: Option<i64>,
    /// All up to here was told.
    upto: i64,
}

impl Judge<'_> {
    pub(crate) fn check(self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut progress = Vec::new();
        for (index, watch) in self.history.watches.iter().enumerate() {
            let mut reader = Reader::new(self, watch);
            let come_to = reader.read();
            let before =
                watch.resumes.and_then(|before| Some((self.history.watches.get(before)?, progress.get(before)?)));
            let mut wrong = reader.wrong;
            wrong.extend(protocol::check(self, watch));
            wrong.extend(before.and_then(|(before, upto)| protocol::resumed(watch, before, *upto)));
            violations.extend(wrong.into_iter().map(|(promise, text)| Violation::new(promise, text).watches([index])));
            progress.push(come_to);
        }
        violations
    }

    /// The first revision between two that has an event that the watch was to get.
    fn skipped(self, watch: &Watch, after: i64, before: i64) -> Option<i64> {
        if after + 1 >= before {
            return None;
        }
        let between = self.replayed.revisions.range(after + 1..before);
        let mut meant = between.filter(|(_, known)| known.events.iter().any(|event| is_meant(event, &watch.request)));
        meant.next().map(|(revision, _)| *revision)
    }
}

/// A broken promise, and how.
type Wrong = (Promise, String);

/// Whether a watch is about an event.
fn is_meant(event: &Event, request: &WatchCreateRequest) -> bool {
    is_in_range(event, request) && !is_filtered(event, request)
}

/// No key at all stands for the smallest.
fn is_in_range(event: &Event, request: &WatchCreateRequest) -> bool {
    let key: &[u8] = if request.key.is_empty() { b"\0" } else { &request.key };
    is_in(&key_of(event), key, &request.range_end)
}

fn is_filtered(event: &Event, request: &WatchCreateRequest) -> bool {
    let filter = if event.r#type == 0 { FilterType::Noput } else { FilterType::Nodelete };
    request.filters.contains(&filter.into())
}
