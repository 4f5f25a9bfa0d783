//! Ranges, by etcd's own steps: fetch, filter, sort, cut.

use registry_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use registry_proto::etcdserverpb::{RangeRequest, RangeResponse};
use registry_proto::mvccpb::KeyValue;
use registry_proto::stored::Records;

use super::Model;
use super::refusal::{COMPACTED, FUTURE_REVISION, Refusal};

impl Model {
    /// A range; inside a transaction it sees what was changed before.
    pub(super) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        let at = self.readable(request.revision)?;
        let all: Vec<_> = self.store.live_at(&request.key, &request.range_end, at).collect();
        let count = all.len() as i64;
        let (kvs, more) = if request.count_only { (Vec::new(), false) } else { self.chosen(request, all) };
        Ok(RangeResponse { header: self.header_inside(), kvs: Records::Decoded(kvs), more, count })
    }

    /// The revision to read at, if it can be read.
    fn readable(&self, asked: i64) -> Result<i64, Refusal> {
        match if asked <= 0 { self.store.seen() } else { asked } {
            at if at > self.store.seen() => Err(FUTURE_REVISION),
            at if at < self.store.compacted => Err(COMPACTED),
            at => Ok(at),
        }
    }

    fn chosen(&self, request: &RangeRequest, all: Vec<&KeyValue>) -> (Vec<KeyValue>, bool) {
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
        let target = request.sort_target();
        let descends = request.sort_order() == SortOrder::Descend;
        let filters = [
            (request.max_mod_revision, request.max_create_revision, 1),
            (request.min_mod_revision, request.min_create_revision, -1),
        ];
        let filtered = filters.iter().any(|(modified, created, _)| *modified != 0 || *created != 0);
        // Whoever names a target and no order has only the first keys sorted.
        let fetch_all = filtered || request.sort_order() != SortOrder::None;
        let fetch = limit.filter(|_| !fetch_all).map_or(usize::MAX, |limit| limit.saturating_add(1));
        let mut kvs: Vec<_> = all.into_iter().take(fetch).collect();
        for (modified, created, sign) in filters {
            kvs.retain(|kv| modified == 0 || kv.mod_revision.saturating_sub(modified) * sign <= 0);
            kvs.retain(|kv| created == 0 || kv.create_revision.saturating_sub(created) * sign <= 0);
        }
        sort(&mut kvs, target, descends);
        let more = limit.is_some_and(|limit| kvs.len() > limit);
        kvs.truncate(limit.unwrap_or(usize::MAX));
        (kvs.into_iter().map(|kv| self.shown(request, kv.clone())).collect(), more)
    }

    fn shown(&self, request: &RangeRequest, kv: KeyValue) -> KeyValue {
        if !request.keys_only {
            return kv;
        }
        let hides_lease = self.dialect.keys_only_hides_the_lease() && request.sort_target() != SortTarget::Value;
        KeyValue { value: Default::default(), lease: if hides_lease { 0 } else { kv.lease }, ..kv }
    }
}

/// Equals stay in the order of keys.
fn sort(kvs: &mut [&KeyValue], target: SortTarget, descends: bool) {
    kvs.sort_by(|left, right| {
        let order = match target {
            SortTarget::Key => left.key.cmp(&right.key),
            SortTarget::Version => left.version.cmp(&right.version),
            SortTarget::Create => left.create_revision.cmp(&right.create_revision),
            SortTarget::Mod => left.mod_revision.cmp(&right.mod_revision),
            SortTarget::Value => left.value.cmp(&right.value),
        };
        if descends { order.reverse() } else { order }
    });
}
