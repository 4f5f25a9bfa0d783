//! The instances as they were told, and what an event makes of them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use registry_client::Instance;
use registry_proto::mvccpb::KeyValue;

use super::change::Change;

/// What stands under a key.
#[derive(Debug, Clone)]
struct Entry {
    create_revision: i64,
    mod_revision: i64,
    /// None if the record could not be read.
    instance: Option<Instance>,
}

/// A service's instances by what stands behind its prefix, be it text or not.
pub(super) struct Known {
    service: String,
    entries: BTreeMap<Vec<u8>, Entry>,
}

impl Known {
    pub(super) fn new(service: &str) -> Self {
        Self { service: service.to_owned(), entries: BTreeMap::new() }
    }

    /// The key was put, or found by the first list; its id begins after `skip` bytes.
    pub(super) fn put(&mut self, skip: usize, kv: &KeyValue, first: bool) -> Change {
        let id = kv.key.get(skip..).unwrap_or_default();
        let (revision, name) = (kv.mod_revision, String::from_utf8_lossy(id).into_owned());
        let read = Instance::from_record(&self.service, id, &kv.value);
        let entry = Entry {
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            instance: read.as_ref().ok().cloned(),
        };
        let before = self.entries.insert(id.to_vec(), entry);
        let now = match read {
            Ok(instance) => instance,
            Err(error) => return Change::Unreadable { revision, id: name, why: error.to_string() },
        };
        match before {
            _ if first => Change::Present { revision, id: name, now },
            None => Change::Added { revision, id: name, now },
            Some(before) if before.create_revision != kv.create_revision => {
                Change::Replaced { revision, id: name, now }
            }
            Some(before) => Change::Changed { revision, id: name, before: before.instance.map(Box::new), now },
        }
    }

    /// The key was deleted.
    pub(super) fn delete(&mut self, skip: usize, kv: &KeyValue) -> Change {
        let id = kv.key.get(skip..).unwrap_or_default();
        let before = self.entries.remove(id).and_then(|entry| entry.instance).map(Box::new);
        Change::Removed { revision: kv.mod_revision, id: String::from_utf8_lossy(id).into_owned(), before }
    }

    /// The registry is another one: what stands there now are other registrations, whatever their revisions.
    pub(super) fn forget_revisions(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.create_revision = 0);
    }

    /// A whole list at `revision` takes the place of what was known; what differs is told.
    pub(super) fn replace(&mut self, skip: usize, kvs: &[KeyValue], revision: i64) -> Vec<Change> {
        let there: BTreeSet<_> = kvs.iter().map(|kv| kv.key.get(skip..).unwrap_or_default()).collect();
        let gone: Vec<_> = self.entries.keys().filter(|id| !there.contains(id.as_slice())).cloned().collect();
        let gone = gone.into_iter().map(|id| {
            let before = self.entries.remove(&id).and_then(|entry| entry.instance).map(Box::new);
            Change::Removed { revision, id: String::from_utf8_lossy(&id).into_owned(), before }
        });
        let mut changes: Vec<_> = gone.collect();
        for kv in kvs {
            let id = kv.key.get(skip..).unwrap_or_default();
            let same =
                |entry: &Entry| (entry.create_revision, entry.mod_revision) == (kv.create_revision, kv.mod_revision);
            if !self.entries.get(id).is_some_and(same) {
                changes.push(self.put(skip, kv, false));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKIP: usize = "/services/pay/".len();

    fn kv(id: &str, create_revision: i64, mod_revision: i64, value: &str) -> KeyValue {
        let key = format!("/services/pay/{id}").into();
        KeyValue { key, create_revision, mod_revision, value: value.to_owned().into(), ..KeyValue::default() }
    }

    fn up(id: &str, create_revision: i64, mod_revision: i64) -> KeyValue {
        kv(id, create_revision, mod_revision, r#"{"version":1}"#)
    }

    fn names(changes: &[Change]) -> Vec<(&'static str, String)> {
        changes.iter().map(|change| (change.event(), change.id().unwrap_or_default().to_owned())).collect()
    }

    #[test]
    fn each_event_is_what_it_makes_of_what_was_known() {
        let mut known = Known::new("pay");
        let changes = [
            known.put(SKIP, &up("a", 1, 1), true),
            known.put(SKIP, &up("b", 2, 2), false),
            known.put(SKIP, &up("b", 2, 3), false),
            known.put(SKIP, &kv("b", 2, 4, "?"), false),
            known.put(SKIP, &up("b", 5, 5), false),
            known.delete(SKIP, &up("a", 0, 6)),
        ];
        let told: Vec<_> = changes.iter().map(Change::event).collect();
        assert_eq!(told, ["present", "added", "changed", "unreadable", "replaced", "removed"]);
    }

    #[test]
    fn after_a_gap_all_that_differs_is_told_and_nothing_else() {
        let mut known = Known::new("pay");
        for kv in [up("a", 1, 1), up("b", 2, 2), up("c", 3, 3), up("d", 4, 4)] {
            known.put(SKIP, &kv, true);
        }
        let changes = known.replace(SKIP, &[up("a", 1, 1), up("b", 2, 7), up("c", 8, 8), up("e", 9, 9)], 9);
        let expected = [("removed", "d"), ("changed", "b"), ("replaced", "c"), ("added", "e")];
        assert_eq!(names(&changes), expected.map(|(event, id)| (event, id.to_owned())));
        assert!(known.replace(SKIP, &[up("a", 1, 1), up("b", 2, 7), up("c", 8, 8), up("e", 9, 9)], 9).is_empty());
        known.forget_revisions();
        assert_eq!(names(&known.replace(SKIP, &[up("a", 1, 1)], 9))[3], ("replaced", "a".to_owned()));
    }
}
