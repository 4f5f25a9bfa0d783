//! Create requests: what they ask for, and why they are refused, in etcd's words.

use std::sync::Arc;

use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_proto::etcdserverpb::watch_create_request::FilterType;

use super::range::{EmptyRange, Interest, KeyRange, Options};
use crate::types::Revision;

/// A create request that makes sense.
#[derive(Debug)]
pub(super) struct Create {
    pub(super) interest: Arc<Interest>,
    /// The first revision that is wanted; none for what comes next.
    pub(super) start: Option<Revision>,
    /// The client's choice; none if the stream is to choose.
    pub(super) id: Option<i64>,
    pub(super) progress_notify: bool,
    pub(super) fragment: bool,
}

/// Why no watcher was created. The texts are etcd's `cancel_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A negative start revision.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    NegativeStart,
    /// `range_end` is not above the key.
    #[error(transparent)]
    EmptyRange(#[from] EmptyRange),
    /// The client chose an id that it uses already.
    #[error("mvcc: duplicate watch ID provided on the WatchStream")]
    DuplicateId,
    /// The stream has as many watchers, or as long keys, as it may have.
    #[error("etcdserver: too many requests")]
    TooMany,
}

impl Create {
    /// Reads a request; 0 stands for "none given" in its numbers.
    pub(super) fn from_request(request: &WatchCreateRequest) -> Result<Self, Refusal> {
        if request.start_revision < 0 {
            return Err(Refusal::NegativeStart);
        }
        let range = KeyRange::from_request(&request.key, &request.range_end)?;
        // Numbers that are no filter are ignored, as etcd does.
        let has_filter = |filter: FilterType| request.filters.contains(&(filter as i32));
        let options = Options {
            prev_kv: request.prev_kv,
            no_put: has_filter(FilterType::Noput),
            no_delete: has_filter(FilterType::Nodelete),
        };
        Ok(Self {
            interest: Arc::new(Interest { range, options }),
            start: Some(Revision(request.start_revision)).filter(|start| start.0 != 0),
            id: Some(request.watch_id).filter(|id| *id != 0),
            progress_notify: request.progress_notify,
            fragment: request.fragment,
        })
    }
}
