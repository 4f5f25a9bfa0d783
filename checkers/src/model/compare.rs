//! The comparisons of a transaction.

use std::cmp::Ordering;

use registry_proto::etcdserverpb::Compare;
use registry_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use registry_proto::mvccpb::KeyValue;

use super::Model;

impl Model {
    /// Whether a comparison holds for every key that it means. Without any it is made with a key that has
    /// only zeros; but a value that is not there compares with nothing.
    pub(super) fn holds(&self, compare: &Compare) -> bool {
        let mut meant = self.store.live(&compare.key, &compare.range_end).peekable();
        if meant.peek().is_none() {
            let compares_value = compare.target == i32::from(CompareTarget::Value);
            return !compares_value && holds_for(compare, &KeyValue::default());
        }
        meant.all(|kv| holds_for(compare, kv))
    }
}

/// A target that is not the one named counts as zero, or as empty; an unknown target is equal to anything,
/// and an unknown relation always holds.
fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    use CompareTarget as Target;
    use TargetUnion as Given;
    let ordering = match (CompareTarget::try_from(compare.target), &compare.target_union) {
        (Ok(Target::Version), Some(Given::Version(given))) => kv.version.cmp(given),
        (Ok(Target::Version), _) => kv.version.cmp(&0),
        (Ok(Target::Create), Some(Given::CreateRevision(given))) => kv.create_revision.cmp(given),
        (Ok(Target::Create), _) => kv.create_revision.cmp(&0),
        (Ok(Target::Mod), Some(Given::ModRevision(given))) => kv.mod_revision.cmp(given),
        (Ok(Target::Mod), _) => kv.mod_revision.cmp(&0),
        (Ok(Target::Lease), Some(Given::Lease(given))) => kv.lease.cmp(given),
        (Ok(Target::Lease), _) => kv.lease.cmp(&0),
        (Ok(Target::Value), Some(Given::Value(given))) => kv.value.cmp(given),
        (Ok(Target::Value), _) => kv.value.cmp(&Default::default()),
        (Err(_), _) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    }
}
