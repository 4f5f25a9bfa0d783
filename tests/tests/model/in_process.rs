//! Most of the operations: nothing is sent, so there is time for many.

use registry_tests::model::{Dialect, Mix, Run, Settings};

use super::in_process_node::InProcessNode;
use super::tell;

/// Without `REGISTRY_MODEL_OPERATIONS`.
const OPERATIONS: usize = 200_000;
/// How often the power is cut.
const POWER_CUTS: usize = 10;

#[tokio::test]
async fn the_services_answer_as_the_model_does_and_so_they_do_after_power_cuts() {
    let mix = Mix { short_leases: true, ..Mix::of(Dialect::Registry) };
    let settings = Settings { at_once: 128, ..Settings::new(OPERATIONS, mix) };
    let mut run = Run::new(settings);
    let mut node = InProcessNode::start().await;
    for part in 1..=POWER_CUTS {
        run.go(&node, settings.operations * part / POWER_CUTS).await;
        node = node.lose_power().await;
        run.compare_everything(&node).await;
    }
    tell(&run);
    assert!(node.has_snapshot() || settings.operations < OPERATIONS, "a run of this length has snapshots");
    node.stop().await;
}
