//! The end of a run, when all members must come to hold the same.

use registry_checkers::MemberState;
use registry_load::{Members, Recorder, read_state};
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::PATIENCE;
use crate::users::Users;

/// How often members are asked whether they agree.
const LOOK: Duration = Duration::from_millis(250);
/// The number of a client that asks for states; the load's have lower ones.
const READER: u32 = u32::MAX;

/// What all members hold, as soon as they agree; if they never do, the last that they held, for the checkers to say how it
/// differs.
///
/// # Panics
/// When a member cannot be read.
pub(crate) async fn states(users: &Users, recorder: &Recorder) -> Vec<MemberState> {
    let end = Instant::now() + PATIENCE;
    loop {
        let states = read_all(users, recorder).await;
        let is_late = Instant::now() > end;
        match states {
            Ok(states) if agree(&states) || is_late => return states,
            Err(why) if is_late => panic!("the cluster does not come to rest: {why}"),
            _ => sleep(LOOK).await,
        }
    }
}

fn agree(states: &[MemberState]) -> bool {
    let held = |state: &MemberState| (state.revision, state.state.clone(), state.leases.clone());
    states.windows(2).all(|two| held(&two[0]) == held(&two[1]))
}

async fn read_all(users: &Users, recorder: &Recorder) -> Result<Vec<MemberState>, String> {
    let mut states = Vec::new();
    for index in 0..users.count() {
        let member = users.reach(READER, index);
        let state = timeout(PATIENCE, read_state(&member, recorder)).await;
        let state = state.map_err(|_| format!("member {index} is silent"))?;
        states.push(state.map_err(|status| format!("member {index}: {status}"))?);
    }
    Ok(states)
}
