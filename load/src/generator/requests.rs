//! Puts, ranges, deletes and watches.

use bytes::Bytes;
use registry_proto::etcdserverpb::watch_create_request::FilterType;
use registry_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, WatchCreateRequest};

use super::{COUNTER, Generator, SESSIONS};
use crate::known::Known;

impl Generator {
    pub(super) fn put(&mut self, known: &Known) -> PutRequest {
        if self.percent(20) {
            return self.session(known);
        }
        let key = self.key();
        let mut request = self.put_of(key, known);
        if self.percent(8) {
            (request.ignore_value, request.value) = (true, Bytes::new());
        }
        if self.percent(8) {
            (request.ignore_lease, request.lease) = (true, 0);
        }
        request
    }

    /// A key that goes with a lease, as those of instances do: nobody deletes it, so that leases end with keys.
    fn session(&mut self, known: &Known) -> PutRequest {
        let (client, number, lease) = (self.client, self.rng.u32(..4), self.lease(known));
        let key = format!("{SESSIONS}{client}-{number}").into();
        PutRequest { key, value: self.value(), lease, ..PutRequest::default() }
    }

    /// A put of this key without what depends on the state of the key.
    pub(super) fn put_of(&mut self, key: Bytes, known: &Known) -> PutRequest {
        let lease = if self.percent(35) { self.lease(known) } else { 0 };
        PutRequest { key, value: self.value(), lease, prev_kv: self.percent(40), ..PutRequest::default() }
    }

    pub(super) fn delete(&mut self) -> DeleteRangeRequest {
        let (key, mut range_end) = self.keys();
        // An empty store has little to tell.
        if self.percent(50) {
            range_end = Bytes::new();
        }
        DeleteRangeRequest { key, range_end, prev_kv: self.percent(50) }
    }

    pub(super) fn range(&mut self, known: &Known) -> RangeRequest {
        let (key, range_end) = match self.rng.u32(..100) {
            0..10 => (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")),
            10..20 => (COUNTER.into(), Bytes::new()),
            _ => self.keys(),
        };
        let mut request = RangeRequest {
            key,
            range_end,
            limit: if self.percent(25) { self.rng.i64(1..6) } else { 0 },
            revision: self.revision(known),
            serializable: self.percent(30),
            keys_only: self.percent(10),
            count_only: self.percent(10),
            ..RangeRequest::default()
        };
        if self.percent(30) {
            (request.sort_order, request.sort_target) = (self.rng.i32(0..3), self.rng.i32(0..5));
        }
        if self.percent(12) {
            self.add_filters(&mut request, known);
        }
        request
    }

    fn add_filters(&mut self, request: &mut RangeRequest, known: &Known) {
        let filters = [
            &mut request.min_mod_revision,
            &mut request.max_mod_revision,
            &mut request.min_create_revision,
            &mut request.max_create_revision,
        ];
        for filter in filters {
            if self.percent(40) {
                *filter = (known.revision - self.rng.i64(-2..=40)).max(0);
            }
        }
    }

    /// A revision to read at; 0 for the newest.
    pub(super) fn revision(&mut self, known: &Known) -> i64 {
        match self.rng.u32(..100) {
            0..65 => 0,
            65..92 => (known.revision - self.rng.i64(0..=30)).max(1),
            92..96 => known.revision + self.rng.i64(1..=3),
            _ => self.rng.i64(1..=known.revision.max(1)),
        }
    }

    /// A watcher of some keys from the past, from now, or from a revision that is still to come.
    pub(crate) fn watch(&mut self, revision: i64) -> WatchCreateRequest {
        let (key, mut range_end) = match self.rng.u32(..100) {
            0..30 => (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")),
            30..40 => (COUNTER.into(), Bytes::new()),
            _ => self.keys(),
        };
        // Nobody can watch an empty range.
        if range_end != b"\0"[..] && range_end <= key {
            range_end = Bytes::new();
        }
        let start_revision = match self.rng.u32(..100) {
            0..35 => 0,
            35..80 => (revision - self.rng.i64(0..=60)).max(1),
            80..90 => revision + self.rng.i64(1..=20),
            _ => self.rng.i64(1..=revision.max(1)),
        };
        let filters = match self.rng.u32(..100) {
            0..10 => vec![FilterType::Noput.into()],
            10..20 => vec![FilterType::Nodelete.into()],
            _ => Vec::new(),
        };
        WatchCreateRequest {
            key,
            range_end,
            start_revision,
            filters,
            prev_kv: self.percent(50),
            progress_notify: self.percent(40),
            fragment: self.percent(40),
            watch_id: 0,
        }
    }
}
