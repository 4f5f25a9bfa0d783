//! The examples that share requests out do so as they say, against a registry in this process.
#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use registry_testing::TestRegistry;
use tokio::process::Command;

/// What an example prints, line by line.
async fn lines_of(program: &str, arguments: &[&str]) -> Vec<String> {
    let registry = TestRegistry::start().await.unwrap();
    let mut command = Command::new(program);
    let run = command.args(arguments).args(["--registry", &registry.endpoints()[0]]).output().await.unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_canary_gets_the_share_of_its_weight() {
    let lines = lines_of(env!("CARGO_BIN_EXE_canary"), &["--weights", "5,95,0", "--requests", "1000"]).await;
    let share = |line: &String| line.split([' ', ':']).nth(3).unwrap().parse::<u32>().unwrap();
    let shares: Vec<_> = lines.iter().map(share).collect();
    assert!((15..120).contains(&shares[0]), "{lines:?}");
    assert!((350..650).contains(&shares[1]), "{lines:?}");
    assert_eq!(shares[2], 0, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn requests_stay_in_the_zone_while_it_has_instances() {
    let lines = lines_of(env!("CARGO_BIN_EXE_zones"), &["--requests", "100"]).await;
    let expected = [
        "2 of 4 instances in zone a: 100 to a",
        "1 of 3 instances in zone a: 100 to a",
        "0 of 2 instances in zone a: 100 to b",
    ];
    assert_eq!(lines, expected);
}
