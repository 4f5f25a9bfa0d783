//! `check`, with a load that a test can wait for.

use crate::ctl::{Ctl, Going, command};

#[tokio::test(flavor = "multi_thread")]
async fn a_performance_check_judges_and_leaves_nothing() {
    let ctl = Ctl::start().await;
    let ran = ctl.run(&["check", "perf", "--duration", "2s", "--auto-compact", "--auto-defrag"]).await;
    let ran_lines: Vec<_> = ran.out.lines().collect();
    assert!(ran.out.contains(" writes/s\n") && ran.out.contains("Compacted with revision"), "{ran:?}");
    // Whether this machine is fast enough is not for this test: what it says must fit how it ends.
    assert_eq!(*ran_lines.last().unwrap(), if ran.code == 0 { "PASS" } else { "FAIL" }, "{ran:?}");
    let writes =
        ran.out.split("Throughput").nth(1).unwrap().split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap();
    assert!((20..=152).contains(&writes), "it writes at no more than its rate: {}", ran.out);
    assert_eq!(ctl.prints(&["get", "--prefix", "", "--count-only"]).await, "0\n");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_check_removes_what_it_wrote() {
    let ctl = Ctl::start().await;
    let url = ctl.url();
    let mut check = Going::start(command(&["--endpoints", &url, "check", "perf"]));
    while ctl.prints(&["get", "--prefix", "", "--count-only"]).await == "0\n" {}
    let id = check.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(check.next_told(), "interrupted: what was written is removed");
    assert_eq!(tokio::task::block_in_place(|| check.child.wait()).unwrap().code(), Some(1));
    assert_eq!(ctl.prints(&["get", "--prefix", "", "--count-only"]).await, "0\n");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_refuses_keys_that_are_somebody_elses() {
    let ctl = Ctl::start().await;
    ctl.prints(&["put", "mine/1", "x"]).await;
    let refused = ctl.run(&["check", "perf", "--prefix", "mine/"]).await;
    assert!(refused.code == 128 && refused.err.contains("prefix \"mine/\" has keys"), "{refused:?}");
    assert_eq!(ctl.prints(&["get", "mine/1"]).await, "mine/1\nx\n");
    ctl.node.shutdown().await.unwrap();
}
