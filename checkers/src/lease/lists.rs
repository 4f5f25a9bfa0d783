//! Lists of all leases: each shows those in it, and that the others are not there.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use registry_proto::etcdserverpb::LeaseLeasesResponse;

use super::Life;
use super::life::Sight;

/// So many absences of a lease are looked at; the first count, as what is gone stays so.
const ABSENCES: usize = 8;

/// Enters what the lists tell of the leases. A lease is looked for from its grant on, until it was missed often
/// enough, so that the work is in the leases of a time and not in all that ever were.
pub(super) fn enter(lives: &mut BTreeMap<i64, Life>, mut lists: Vec<(Sight, &LeaseLeasesResponse)>) {
    lists.sort_by_key(|(list, _)| list.asked);
    let mut granted: Vec<(Duration, i64)> =
        lives.iter().filter_map(|(id, life)| Some((life.granted_by()?, *id))).collect();
    granted.sort_unstable_by(|one, other| other.cmp(one));
    let mut looked_for: Vec<i64> = Vec::new();
    for (list, answer) in lists {
        while let Some((_, id)) = granted.pop_if(|(at, _)| *at < list.asked) {
            looked_for.push(id);
        }
        let ids: HashSet<i64> = answer.leases.iter().map(|lease| lease.id).collect();
        for id in &ids {
            if let Some(life) = lives.get_mut(id) {
                life.listed = Some(list);
            }
        }
        looked_for.retain(|id| {
            let Some(life) = lives.get_mut(id).filter(|_| !ids.contains(id)) else { return true };
            life.absent.push(list);
            life.absent.len() < ABSENCES
        });
    }
}
