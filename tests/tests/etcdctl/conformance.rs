//! The conformance script, where the project's surroundings have it.

use std::path::{Path, PathBuf};
use std::process::Command;

use registry_tests::etcdctl::{PATH as ETCDCTL, is_there};
use registry_tests::{Cluster, Node, Plan, Program};

use crate::NODE;

const SCRIPT: &str = "shared/conformance/etcdctl_blackbox";
/// All of its cases.
const ALL: &str = "";
/// Those that do not take the server for the only member: it has to lead then, or to be alone in lists.
const AT_FOLLOWERS: &str = "^(?!endpoint_status|member_|move_leader|zz_member)";
/// It is not about how dear passwords are.
const CHEAP_PASSWORDS: &str = "--bcrypt-cost=4";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_script_finds_no_difference() {
    let Some(script) = script() else { return };
    // A port of its own: others may have the default one, and a node without it adds no members.
    let node = Node::start(NODE, &["--listen-peer-urls=http://127.0.0.1:0", CHEAP_PASSWORDS]).await;
    finds_no_difference(&script, node.address(), ALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_it_at_a_follower() {
    let Some(script) = script() else { return };
    let cluster = Cluster::start(Plan::new(Program::Registry(NODE.into()), 3).with_flags(&[CHEAP_PASSWORDS])).await;
    let leader = cluster.wait_for_leader().await;
    let follower = (0..3).find(|member| *member != leader).expect("two of three follow");
    finds_no_difference(&script, cluster.url(follower).trim_start_matches("http://"), AT_FOLLOWERS);
}

#[expect(clippy::print_stdout, reason = "a test that was skipped says so")]
fn script() -> Option<PathBuf> {
    let script = find(Path::new(env!("CARGO_MANIFEST_DIR")));
    if !is_there() || !has_python() || script.is_none() {
        println!("skipped: it needs etcdctl, python3 and {SCRIPT} beside the project");
        return None;
    }
    script
}

fn finds_no_difference(script: &Path, address: &str, only: &str) {
    let output = Command::new(script).env("ETCDCTL", ETCDCTL).arg(address).args(["--only", only]).output();
    let output = output.expect("the script is started");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<_> = said.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(failed.is_empty() && output.status.success(), "{failed:#?}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() > 50, "{said}");
}

/// The script is in Python, which a machine with nothing but Rust does not have.
fn has_python() -> bool {
    Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Looks beside the project, and around whatever it is checked out in.
fn find(crate_dir: &Path) -> Option<PathBuf> {
    crate_dir.ancestors().skip(1).map(|dir| dir.join(SCRIPT)).find(|script| script.exists())
}
