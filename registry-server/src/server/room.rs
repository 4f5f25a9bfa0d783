//! A member that is out of space looks whether it has room again, and then clears its alarm by itself.
//!
//! etcd has an operator compact, defragment and disarm, in this order and on every member. Here, whatever freed the
//! space is enough: a compaction, deletes, leases that ended. What is garbage but not given back yet, because its chunks are not
//! mostly garbage, the member gives back itself first.
//!
//! The alarm goes when there has been room for a while, a tenth of the quota at least. So it does not come and go while
//! writers use up what a moment has freed.

use std::time::Duration;

use crate::api::SharedBackend;
use crate::storage::Vfs;
use crate::types::Runtime;

/// Between two looks. There must have been room at two of them.
const LOOK: Duration = Duration::from_secs(1);

/// What a look shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// No alarm, or no room and nothing to be done about it.
    Nothing,
    /// Enough of what is held is garbage.
    Garbage,
    /// There is room.
    Room,
}

/// Clears this member's alarm whenever there is room again, for as long as the node runs.
pub(super) async fn clear_when_there_is_room<R: Runtime, V: Vfs>(backend: SharedBackend<R, V>) {
    let looking = async {
        let mut before = Sight::Nothing;
        loop {
            R::sleep(LOOK).await;
            let now = look(&backend);
            match (before, now) {
                (Sight::Room, Sight::Room) => backend.clear_no_space().await,
                // Once: if it stays, something holds it, a reader for one.
                (Sight::Nothing | Sight::Room, Sight::Garbage) => drop(backend.defragment().await),
                _ => {}
            }
            before = now;
        }
    };
    backend.node.while_running(looking).await;
}

fn look<R: Runtime, V: Vfs>(backend: &SharedBackend<R, V>) -> Sight {
    if !backend.is_out_of_space() {
        return Sight::Nothing;
    }
    let quota = backend.limits.quota_bytes;
    if quota == 0 {
        return Sight::Room;
    }
    let sizes = backend.state.sizes();
    sight(quota, sizes.held_bytes, sizes.live_bytes)
}

fn sight(quota: u64, held: u64, live: u64) -> Sight {
    let has_room = |size: u64| size <= quota - quota / 10;
    match (has_room(held), has_room(live)) {
        (true, _) => Sight::Room,
        (false, true) => Sight::Garbage,
        (false, false) => Sight::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_quota_must_be_free() {
        assert_eq!(sight(1_000, 901, 901), Sight::Nothing);
        assert_eq!(sight(1_000, 950, 900), Sight::Garbage);
        assert_eq!(sight(1_000, 900, 100), Sight::Room);
        assert_eq!(sight(u64::MAX, u64::MAX, 5), Sight::Garbage);
    }
}
