//! What coming and going costs the process: measured in a process of its own, where nothing else runs.

use std::time::Duration;

use registry_client::{Registry, Shutdown};
use registry_tests::{EmbeddedNode, Node, within};

use crate::{HOUR, instance, no_lease_and_no_key_is_left, registry};

/// Rounds before the first look: by then every buffer has its size.
const WARM_UP: usize = BETWEEN;
/// Rounds in all.
const ROUNDS: usize = 10_000;
/// How many are under way together.
const TOGETHER: usize = 50;
/// Rounds between two looks. The allocator takes another megabyte now and then and keeps it, so what is flat is flat
/// between most looks; what leaks grows between all of them.
const BETWEEN: usize = 2_000;
/// What the process may have grown between the two looks between which it grew least: 128 bytes a round.
const GROWTH_KIB: usize = 250;

#[test]
fn g02_ten_thousand_rounds_of_register_and_shutdown_leave_no_lease_and_flat_memory() {
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    let output = alone.args(["--ignored", "--exact", "footprint::alone_in_its_process"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "is run by the test above, alone in a process of its own"]
async fn alone_in_its_process() {
    // A child process: what the server needs must not be counted as the SDK's.
    let server = Node::start(env!("CARGO_BIN_EXE_node"), &[]).await;
    let registry = Registry::builder([server.url()]).build().unwrap();
    come_and_go(&registry, WARM_UP).await;
    let mut looks = vec![resident_kib()];
    for _ in 0..(ROUNDS - WARM_UP) / BETWEEN {
        come_and_go(&registry, BETWEEN).await;
        looks.push(resident_kib());
    }
    assert!(server.client().await.leases().await.is_empty(), "no lease is left");
    let least = looks.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min().expect("there are several looks");
    assert!(least <= GROWTH_KIB, "KiB after each {BETWEEN} rounds: {looks:?}");
}

#[tokio::test]
async fn the_rounds_really_register() {
    let node = EmbeddedNode::start().await;
    let registry = registry(&node);
    let before = node.client().await.revision().await;
    come_and_go(&registry, TOGETHER).await;
    // Each registration is put, shown as draining or not, and deleted by its revoke.
    assert!(node.client().await.revision().await >= before + 2 * TOGETHER as i64);
    no_lease_and_no_key_is_left(&node).await;
}

async fn come_and_go(registry: &Registry, rounds: usize) {
    for wave in 0..rounds / TOGETHER {
        let round = |number: usize| async move {
            let registering = registry.register(instance(&format!("{wave}-{number}"))).ttl(HOUR);
            let registration = registering.await.expect("it registers");
            registration.shutdown(Shutdown::new().drain(Duration::ZERO)).await.expect("it is revoked");
        };
        within(all((0..TOGETHER).map(round))).await;
    }
}

/// Runs futures together on this task.
async fn all(futures: impl IntoIterator<Item = impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Resident memory of this process.
#[expect(clippy::disallowed_methods, reason = "the kernel's own file about this process")]
fn resident_kib() -> usize {
    let status = std::fs::read("/proc/self/status").expect("Linux tells");
    let text = String::from_utf8(status).expect("it is text");
    let line = text.lines().find(|line| line.starts_with("VmRSS")).expect("memory is in it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("it is a number")
}
