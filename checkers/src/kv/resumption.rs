//! Going on after a gap: a read of everything tells the whole state again.
//!
//! That read is believed, as nothing contradicts it. What was before it stays unknown: reads of older revisions
//! are not judged from then on.

use crate::effects::{Part, parts};
use crate::history::Call;
use crate::model::{Answer, Dialect, Model, Operation};

/// The state at a revision, out of the reads that were answered at it.
pub(super) fn model<'a>(reads: impl Iterator<Item = &'a Call>, revision: i64, dialect: Dialect) -> Option<Model> {
    let mut keys = reads.filter_map(|call| match (&call.operation, call.answer()) {
        (operation, Some(Answer::Range(answer))) if is_of_everything(operation) => {
            answer.kvs.clone().into_messages().ok()
        }
        _ => None,
    });
    Some(Model::at(dialect, revision, keys.next()?))
}

/// Whether a read shows every key with all its fields, as it is now.
fn is_of_everything(operation: &Operation) -> bool {
    let Operation::Range(range) = operation else { return false };
    let is_cut = range.limit > 0 || range.count_only || range.keys_only || range.revision > 0;
    let filters =
        [range.min_mod_revision, range.max_mod_revision, range.min_create_revision, range.max_create_revision];
    range.key == "\0" && range.range_end == "\0" && !is_cut && filters == [0; 4]
}

/// Whether an operation reads nothing older than a revision.
pub(super) fn is_known(operation: &Operation, oldest: i64) -> bool {
    parts(operation).iter().all(|part| match part {
        Part::Range(range) => range.revision <= 0 || range.revision >= oldest,
        _ => true,
    })
}
