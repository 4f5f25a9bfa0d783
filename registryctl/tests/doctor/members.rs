//! Members that are down, and a cluster that is well.

use crate::kit::{cluster, doctor, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_down_is_found_from_any_other() {
    let (mut nodes, _ports) = cluster(3).await;
    let found = doctor(nodes[0].url(), &["--hash"]).await;
    assert_eq!(found.code, 0, "{found:?}");
    found.expect("member", "ok cluster", &["3 members have votes", "the failure of 1 is survived"]);
    found.expect("leader", "ok cluster", &["leads"]);
    found.expect("hash", "ok cluster", &["3 members hold the same"]);
    assert_eq!(found.of("read").len(), 3, "members that were not given are looked at: {found:?}");
    let given = doctor(nodes[0].url(), &["--given-only"]).await;
    assert_eq!(given.of("read").len(), 1, "{given:?}");

    let down = nodes.pop().unwrap();
    let url = down.url().to_owned();
    down.stop().await;
    let found = doctor(nodes[0].url(), &[]).await;
    found.expect("member", "error m2 (", &["is down", &url, "nobody answers", "member remove"]);
    found.expect("member", "ok m1 (", &[]);
    found.is_well("read");
    assert_eq!(found.code, 1);

    // As lines and as a table.
    let lines = run(&["--endpoints", nodes[0].url(), "doctor"]).await;
    let first = lines.out.lines().next().unwrap();
    assert!(first.starts_with("error   member") && first.contains(" -- to do: "), "{lines:?}");
    assert!(lines.code == 1 && lines.err.contains("errors were found"), "{lines:?}");
    let table = run(&["--endpoints", nodes[0].url(), "-w", "table", "doctor"]).await;
    assert!(table.out.contains("SEVERITY") && table.out.contains("member remove"), "{table:?}");

    // And without a majority.
    let left = nodes.remove(0);
    nodes.pop().unwrap().stop().await;
    let found = doctor(left.url(), &["--command-timeout", "2s"]).await;
    found.expect("read", &format!("error {}", left.url()), &["a read that needs a majority fails"]);
    found.expect("member", "error m1 (", &["is down"]);
    left.stop().await;
}
