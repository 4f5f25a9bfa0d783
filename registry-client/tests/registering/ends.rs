//! How long a registration outlives its process, for each way in which a process ends. Where something still runs
//! that can revoke, TTLs are an hour, so that expiry hides nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::kit::{Corner, End, Holder, eventually, instance};

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_secs(3);
/// What a server may take beyond the TTL: etcd looks twice a second, and an answer takes a moment, which is long on a busy
/// machine.
const MARGIN: Duration = Duration::from_secs(5);

/// From the end of the process to the end of the key.
#[expect(clippy::print_stdout, reason = "a figure to read")]
async fn time_to_deregistration(corner: &Corner, end: End, ttl: Duration) -> Duration {
    let key = corner.key(&instance("1"));
    let mut holder = Holder::start(corner, end, ttl);
    assert!(corner.calls.clone().get(&key).await.is_some());
    holder.end(end);
    let ended = Instant::now();
    eventually("the key is gone", || {
        let (mut calls, key) = (corner.calls.clone(), key.clone());
        async move { calls.get(&key).await.is_none() }
    })
    .await;
    let time = ended.elapsed();
    println!("{end:?} with a TTL of {ttl:?}: deregistered after {time:?}");
    corner.no_lease_is_left().await;
    time
}

#[tokio::test]
async fn g03_who_can_still_revoke_does_at_once() {
    let Some(corner) = Corner::alone("ends-revoked").await else { return };
    for end in [End::Unwinds, End::DropsRuntime] {
        let time = time_to_deregistration(&corner, end, HOUR).await;
        assert!(time < MARGIN, "{end:?}: {time:?}");
    }
}

#[tokio::test]
async fn g03_where_nothing_is_dropped_the_ttl_is_the_bound() {
    let Some(corner) = Corner::alone("ends-expired").await else { return };
    for end in [End::Killed, End::Exits, End::Forgets, End::Static] {
        let time = time_to_deregistration(&corner, end, SHORT).await;
        assert!(time < SHORT + MARGIN, "{end:?}: {time:?}");
    }
}

#[tokio::test]
#[ignore = "builds a program whose panics abort; `.ci/verify` runs it"]
async fn g03_a_panic_that_aborts_revokes_with_the_hook() {
    let Some(corner) = Corner::alone("ends-aborted").await else { return };
    let time = time_to_deregistration(&corner, End::Aborts, HOUR).await;
    assert!(time < MARGIN, "{time:?}");
}
