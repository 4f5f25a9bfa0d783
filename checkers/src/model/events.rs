//! Events, as watchers see them.

use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_proto::etcdserverpb::watch_create_request::FilterType;
use registry_proto::mvccpb::event::EventType;
use registry_proto::mvccpb::{Event, KeyValue};

use super::Model;
use super::store::is_in;

impl Model {
    /// All that a watcher gets that was created by this request and has read to the newest revision, from its
    /// start revision on. Whoever `was_there` saw each change when it happened; who comes later does not get
    /// to know what was before it, where that is compacted.
    #[must_use]
    pub fn events(&self, watcher: &WatchCreateRequest, was_there: bool) -> Vec<Event> {
        let changes = self.store.changes_from(watcher.start_revision);
        let mut events = Vec::new();
        for (at, kv) in changes.iter().enumerate() {
            let is_meant = is_in(&kv.key, key_of(watcher), &watcher.range_end);
            if is_meant && !self.is_replaced(kv, &changes[at + 1..]) && !is_filtered(kv, watcher) {
                events.push(self.event(kv, watcher.prev_kv, was_there));
            }
        }
        events
    }

    /// Whether what a change did was changed again in the same revision.
    fn is_replaced(&self, kv: &KeyValue, later: &[KeyValue]) -> bool {
        let mut same_revision = later.iter().take_while(|later| later.mod_revision == kv.mod_revision);
        self.dialect.merges_changes_of_a_revision() && same_revision.any(|later| later.key == kv.key)
    }

    fn event(&self, kv: &KeyValue, with_prev: bool, was_there: bool) -> Event {
        let before = kv.mod_revision - 1;
        let prev = self.store.get_at(&kv.key, before);
        let is_known = was_there || before >= self.store.compacted;
        // A key that was deleted and made again in one revision: etcd tells the deletion, too, and with it
        // what was before.
        let is_new = kv.version > 0 && kv.create_revision == kv.mod_revision;
        let is_told_before = is_new && !self.dialect.merges_changes_of_a_revision();
        Event {
            r#type: if kv.version > 0 { EventType::Put } else { EventType::Delete }.into(),
            kv: Some(kv.clone()),
            prev_kv: prev.filter(|_| with_prev && is_known && !is_told_before).cloned(),
        }
    }
}

/// No key at all stands for the smallest.
fn key_of(watcher: &WatchCreateRequest) -> &[u8] {
    if watcher.key.is_empty() { b"\0" } else { &watcher.key }
}

fn is_filtered(kv: &KeyValue, watcher: &WatchCreateRequest) -> bool {
    let filter = if kv.version > 0 { FilterType::Noput } else { FilterType::Nodelete };
    watcher.filters.contains(&filter.into())
}
