//! Requests of every kind but transactions.

use bytes::Bytes;
use registry_proto::etcdserverpb::watch_create_request::FilterType;
use registry_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, PutRequest, RangeRequest, WatchCreateRequest,
};

use super::Generator;
use registry_checkers::model::Model;

impl Generator {
    pub(super) fn range(&mut self, model: &Model) -> RangeRequest {
        let (key, range_end) = if self.percent(1) { Default::default() } else { self.keys() };
        let limit = match self.random.u32(0..100) {
            0..60 => 0,
            60..95 => self.random.i64(1..8),
            _ => self.one_of(&[-1, i64::MAX]),
        };
        let (mut sort_order, mut sort_target) = (0, 0);
        if self.percent(40) {
            (sort_order, sort_target) = (self.random.i32(0..3), self.random.i32(0..5));
        }
        if self.mix.dialect.refuses_unknown_sorts() && self.random.u32(0..300) == 0 {
            (sort_order, sort_target) = (self.random.i32(2..5), self.random.i32(4..7));
        }
        let mut request = RangeRequest {
            key,
            range_end,
            limit,
            revision: self.revision(model),
            sort_order,
            sort_target,
            serializable: self.percent(20),
            keys_only: self.percent(15),
            count_only: self.percent(10),
            ..RangeRequest::default()
        };
        if self.percent(15) {
            self.add_filters(&mut request, model);
        }
        request
    }

    fn add_filters(&mut self, request: &mut RangeRequest, model: &Model) {
        let filters = [
            &mut request.min_mod_revision,
            &mut request.max_mod_revision,
            &mut request.min_create_revision,
            &mut request.max_create_revision,
        ];
        for filter in filters {
            if self.percent(40) {
                *filter = model.revision() - self.random.i64(-2..=60);
            }
        }
    }

    pub(super) fn put(&mut self, model: &Model) -> PutRequest {
        let key = if self.random.u32(0..300) == 0 { Bytes::new() } else { self.key() };
        self.put_of(key, true, model)
    }

    /// A put of this key; `keeps` lets it keep the value or the lease that the key has.
    pub(super) fn put_of(&mut self, key: Bytes, keeps: bool, model: &Model) -> PutRequest {
        let ignore_value = keeps && self.percent(8);
        let ignore_lease = keeps && self.percent(8);
        let gives_value = !ignore_value || self.percent(5);
        let gives_lease = if ignore_lease { self.percent(5) } else { self.percent(45) };
        PutRequest {
            key,
            value: if gives_value { self.value() } else { Bytes::new() },
            lease: if gives_lease { self.lease(model) } else { 0 },
            prev_kv: self.percent(30),
            ignore_value,
            ignore_lease,
        }
    }

    pub(super) fn delete(&mut self) -> DeleteRangeRequest {
        let (key, range_end) = if self.random.u32(0..300) == 0 { Default::default() } else { self.keys() };
        // Everything from a key on is deleted now and then only: an empty store has little to tell.
        let range_end = if self.percent(70) { Bytes::new() } else { range_end };
        DeleteRangeRequest { key, range_end, prev_kv: self.percent(40) }
    }

    pub(super) fn compact(&mut self, model: &Model) -> CompactionRequest {
        let (compacted, newest) = (model.compacted(), model.revision());
        let revision = match self.random.u32(0..100) {
            0..70 => self.random.i64(compacted.max(0)..=newest),
            70..80 => newest,
            80..90 => compacted + self.random.i64(-1..=1),
            90..95 => newest + 1,
            _ => self.random.i64(-2..=1),
        };
        CompactionRequest { revision, physical: self.percent(30) }
    }

    pub(super) fn grant(&mut self) -> LeaseGrantRequest {
        let ttl = match self.random.u32(0..100) {
            0..6 => self.one_of(&[9_000_000_001, i64::MAX]),
            6..10 => 9_000_000_000,
            10..25 if self.mix.short_leases => self.one_of(&[i64::MIN, -1, 0, 1, 2, 3]),
            _ => self.random.i64(3_600..100_000),
        };
        LeaseGrantRequest { id: self.lease_id(), ttl }
    }

    pub(super) fn revoke(&mut self, model: &Model) -> LeaseRevokeRequest {
        LeaseRevokeRequest { id: self.lease(model) }
    }

    pub(super) fn time_to_live(&mut self, model: &Model) -> LeaseTimeToLiveRequest {
        LeaseTimeToLiveRequest { id: self.lease(model), keys: self.percent(70) }
    }

    pub(super) fn keep_alive(&mut self, model: &Model) -> LeaseKeepAliveRequest {
        LeaseKeepAliveRequest { id: self.lease(model) }
    }

    /// A watcher that starts at or before the newest revision.
    pub fn watch(&mut self, model: &Model) -> WatchCreateRequest {
        let near_the_compacted = model.compacted() + self.random.i64(-1..=2);
        let start = if self.percent(40) { near_the_compacted } else { self.revision(model) };
        self.watch_from(start, model)
    }

    /// A watcher that starts there, or as near as it may.
    pub fn watch_from(&mut self, start: i64, model: &Model) -> WatchCreateRequest {
        let (key, range_end) = self.keys();
        let start = start.clamp(1, model.revision());
        let is_lossy = start == model.compacted() && !self.mix.dialect.watches_from_the_compacted_revision();
        let filters = match self.random.u32(0..100) {
            0..10 => vec![FilterType::Noput.into()],
            10..20 => vec![FilterType::Nodelete.into()],
            _ => Vec::new(),
        };
        let start_revision = if is_lossy { start + 1 } else { start };
        WatchCreateRequest {
            key,
            range_end,
            start_revision,
            filters,
            prev_kv: self.percent(50),
            ..WatchCreateRequest::default()
        }
    }
}
