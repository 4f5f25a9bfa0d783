//! What registrations cost the process, measured on the process itself.

use std::future::IntoFuture;
use std::time::Duration;

use registry_client::{Registry, Shutdown};

use crate::kit::{Corner, instance, soon};

/// Resident memory, in KiB.
fn resident_kib() -> usize {
    let status = std::process::Command::new("cat").arg(own_status()).output().unwrap();
    let text = String::from_utf8(status.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn own_status() -> String {
    format!("/proc/{}/status", std::process::id())
}

fn open_files() -> usize {
    std::path::Path::new(&format!("/proc/{}/fd", std::process::id())).read_dir().unwrap().count()
}

async fn come_and_go(registry: &Registry, count: usize) {
    for round in 0..count / 50 {
        let ids = (0..50).map(|number| instance(&format!("{round}-{number}")));
        let one = |instance| async {
            let registration = registry.register(instance).ttl(Duration::from_secs(3600)).into_future().await.unwrap();
            registration.shutdown(Shutdown::new().drain(Duration::ZERO)).await.unwrap();
        };
        soon("a round", futures_util::future::join_all(ids.map(one))).await;
    }
}

#[tokio::test]
async fn g02_what_has_ended_has_no_task_any_more() {
    let Some(corner) = Corner::new("tasks").await else { return };
    let registry = corner.registry();
    come_and_go(&registry, 50).await;
    let before = registry.tasks();
    let lasting = registry.register(instance("lasting")).into_future().await.unwrap();
    let watch = registry.watch("pay").start().unwrap();
    assert!(registry.tasks() > before, "{before} before, and no more with a registration and a watch");
    lasting.shutdown(Shutdown::new().drain(Duration::ZERO)).await.unwrap();
    drop(watch);
    come_and_go(&registry, 50).await;
    soon("no task is left", async {
        while registry.tasks() > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "measures the process: run it alone"]
async fn g02_ten_thousand_registrations_cost_no_memory_and_no_files() {
    let Some(corner) = Corner::alone("footprint").await else { return };
    let registry = corner.registry();
    come_and_go(&registry, 2_000).await;
    let (memory_before, files_before, tasks_before) = (resident_kib(), open_files(), registry.tasks());
    come_and_go(&registry, 8_000).await;
    corner.no_lease_is_left().await;
    let (memory_after, files_after, tasks_after) = (resident_kib(), open_files(), registry.tasks());
    println!(
        "KiB {memory_before}, then {memory_after}; files {files_before}, {files_after}; tasks {tasks_before}, {tasks_after}"
    );
    assert!(tasks_after <= tasks_before, "{tasks_before} tasks before, {tasks_after} after");
    assert!(memory_after <= memory_before + 2 * 1024, "{memory_before} KiB before, {memory_after} KiB after");
    assert!(files_after <= files_before, "{files_before} files before, {files_after} after");
}
