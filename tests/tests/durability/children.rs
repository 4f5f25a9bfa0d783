//! The kit's promise that no server outlives its test.

use std::path::PathBuf;

use registry_tests::Node;

use crate::NODE;

#[tokio::test]
async fn a_child_and_its_directory_are_gone_with_the_test_even_if_that_panics() {
    let (sender, started) = tokio::sync::oneshot::channel();
    let test = tokio::spawn(async {
        let node = Node::start(NODE, &[]).await;
        sender.send((node.pid(), node.data_dir().to_owned())).unwrap();
        panic!("as a test does that fails");
    });
    let (pid, data_dir): (u32, PathBuf) = started.await.unwrap();
    assert!(test.await.unwrap_err().is_panic());
    assert!(!PathBuf::from(format!("/proc/{pid}")).exists(), "the child is still there, or was not reaped");
    assert!(!data_dir.exists());
}
