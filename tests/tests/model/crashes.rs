//! A real process is ended in the middle of a run, by SIGKILL and by SIGTERM, with snapshots in between: what
//! it comes back with is what the model has, and the run goes on.

use registry_tests::Node;
use registry_tests::model::{Dialect, Mix, Run, Settings, Wire};

use super::{NODE, tell};

/// Without `REGISTRY_MODEL_OPERATIONS`.
const OPERATIONS: usize = 12_000;
const ENDS: usize = 6;
/// So little log that snapshots come between two ends.
const FLAGS: [&str; 1] = ["--snapshot-log-bytes=100000"];

#[tokio::test]
async fn a_process_that_was_ended_comes_back_with_what_the_model_has() {
    let settings = Settings::new(OPERATIONS, Mix::of(Dialect::Registry));
    let mut node = Node::start(NODE, &FLAGS).await;
    let mut run = Run::new(settings);
    let mut snapshots = 0;
    for end in 1..=ENDS {
        run.go(&Wire::connect(node.url()).await, settings.operations * end / ENDS).await;
        snapshots += usize::from(node.log_contains("saved snapshot"));
        if end % 2 == 0 {
            assert!(node.terminate().await.success());
            node.start_again().await;
        } else {
            node.restart().await;
        }
        run.compare_everything(&Wire::connect(node.url()).await).await;
    }
    tell(&run);
    assert!(snapshots > 0 || settings.operations < OPERATIONS, "a run of this length has snapshots");
}
