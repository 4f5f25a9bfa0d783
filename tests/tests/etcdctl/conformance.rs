//! The conformance script, where the project's surroundings have it.

use std::path::{Path, PathBuf};
use std::process::Command;

use registry_tests::Node;
use registry_tests::etcdctl::{PATH as ETCDCTL, is_there};

use crate::NODE;

const SCRIPT: &str = "shared/conformance/etcdctl_blackbox";
/// What the server covers so far.
const ONLY: &str =
    "^(version|endpoint|put|get|unicode|del|watch|lease|txn|compaction|member_list|lock|elect|make_mirror|alarm)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_script_finds_no_difference() {
    let script = find(Path::new(env!("CARGO_MANIFEST_DIR")));
    let (true, true, Some(script)) = (is_there(), has_python(), script) else {
        println!("skipped: it needs etcdctl, python3 and {SCRIPT} beside the project");
        return;
    };
    let node = Node::start(NODE, &[]).await;
    let output =
        Command::new(script).env("ETCDCTL", ETCDCTL).arg(node.address()).args(["--only", ONLY]).output().unwrap();
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
