//! One run: one row on one server, on fresh data.

use std::path::Path;
use std::time::Duration;

use super::plan::Plan;
use super::result::Sample;
use super::rows::Row;
use crate::BenchError;
use crate::pairs::measure_program;
use crate::process::Program;
use crate::progress::Progress;

/// Starting, loading keys, warming up and stopping, before anything is known about it.
const AROUND_A_LOAD: Duration = Duration::from_secs(6);

pub(super) async fn run(
    row: Row,
    plan: &Plan,
    program: &Program,
    data_root: &Path,
    progress: &Progress,
) -> Result<Sample, BenchError> {
    let figures = measure_program(&row.load(plan), program, plan.nodes, data_root, progress).await?;
    Ok(Sample::of_load(figures))
}

/// What the row is, in words.
pub(super) fn title(plan: &Plan, row: Row) -> String {
    row.load(plan).title()
}

/// How long a run of a row will take, whose load lasts so long.
pub(super) fn guess(_: Row, duration: Duration) -> Duration {
    duration + AROUND_A_LOAD
}
