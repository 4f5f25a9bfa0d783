//! What is shown of a cluster, printed once.

use crate::kit::{cluster, run, say};

#[tokio::test(flavor = "multi_thread")]
async fn members_services_leases_and_requests_are_printed_once() {
    let (mut nodes, _ports) = cluster(3).await;
    let url = nodes[0].url().to_owned();
    let granted = say(&url, &["lease", "grant", "600"]).await;
    let lease = granted.split(' ').nth(1).unwrap();
    for key in ["/services/pay/1", "/services/pay/2", "/services/mail/1", "/services/pay", "/other/a/b"] {
        say(&url, &["put", "--lease", lease, key, "{}"]).await;
    }
    nodes.pop().unwrap().stop().await;
    let top = ["--endpoints", &url, "top", "--once", "--interval", "200ms"];
    let ran = run(&top).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let first = ran.out.lines().next().unwrap();
    assert!(first.contains("2 of 3 members up") && first.contains("2 services, 3 instances, 1 leases"), "{ran:?}");
    let line = |begin: &str| {
        ran.out.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{begin}: {ran:?}"))
    };
    assert!(line("m0").contains(&url) && line("m2").contains("DOWN"), "{ran:?}");
    assert_eq!(ran.out.lines().filter(|line| line.contains(" leader ")).count(), 1, "{ran:?}");
    let cells = |begin: &str| line(begin).split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((cells("pay"), cells("mail")), (vec!["2".to_owned()], vec!["1".to_owned()]));
    // Its own looks are requests as well.
    assert!(cells("Range")[0].parse::<f64>().unwrap() > 0.0, "{ran:?}");
    // Neither a terminal nor --once: the same.
    let piped = run(&["--endpoints", &url, "top", "--interval", "100ms", "--namespace", "/none"]).await;
    assert!(piped.code == 0 && piped.out.contains("0 services") && !piped.out.contains('\x1b'), "{piped:?}");
    for node in nodes {
        node.stop().await;
    }
    let away = run(&top).await;
    assert!(away.code == 2 && away.err.contains("no endpoint can be reached"), "{away:?}");
}
