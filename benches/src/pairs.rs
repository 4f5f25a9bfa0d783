//! Two servers in turn, A B A B, under the same load: what the machine does meanwhile hits both.

use std::path::Path;

use crate::BenchError;
use crate::cluster::Cluster;
use crate::cost::Cost;
use crate::figures::Figures;
use crate::generator::Generator;
use crate::load::Load;
use crate::process::{Program, ServerProcess};
use crate::progress::Progress;

/// Measures a load on a server that runs already. Its own costs are unknown.
///
/// # Errors
/// See [`Generator`].
pub async fn measure_endpoint(load: &Load, endpoint: &str, progress: &Progress) -> Result<Figures, BenchError> {
    progress.says("preparing");
    measure(&Generator::start(load.clone(), &[endpoint]).await?, &[], progress).await
}

/// Starts a server of so many nodes on fresh data, measures a load on it, and ends it.
///
/// # Errors
/// See [`Cluster::start`] and [`Generator`].
pub async fn measure_program(
    load: &Load,
    program: &Program,
    nodes: usize,
    data_root: &Path,
    progress: &Progress,
) -> Result<Figures, BenchError> {
    progress.says("starting");
    let cluster = Cluster::start(program, nodes, data_root).await?;
    progress.says("preparing");
    let generator = Generator::start(load.clone(), &cluster.urls()).await?;
    let figures = measure(&generator, cluster.members(), progress).await?;
    drop(generator);
    cluster.stop().await?;
    Ok(figures)
}

/// Measures the programs, of so many nodes each, one after the other, `rounds` times. `done` is told each result as
/// it comes: the round and the program's place, both from 0.
///
/// # Errors
/// The first run that failed; there are no figures of half a pair.
pub async fn measure_in_turn(
    load: &Load,
    programs: &[Program],
    nodes: usize,
    rounds: usize,
    data_root: &Path,
    progress: &Progress,
    mut done: impl FnMut(usize, usize, &Figures),
) -> Result<Vec<Vec<Figures>>, BenchError> {
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut figures = Vec::new();
        for (place, program) in programs.iter().enumerate() {
            progress.begins(format!("{}/{rounds} {}", round + 1, program.name));
            let run = measure_program(load, program, nodes, data_root, progress).await?;
            progress.ends();
            done(round, place, &run);
            figures.push(run);
        }
        all.push(figures);
    }
    Ok(all)
}

/// Warms up and measures what is connected already; the server's own costs are known when its processes are.
pub(crate) async fn measure(
    generator: &Generator,
    servers: &[ServerProcess],
    progress: &Progress,
) -> Result<Figures, BenchError> {
    progress.says("warming up");
    generator.warm_up().await?;
    let cost = Cost::look(servers)?;
    let measured = generator.measure(&mut |part, operations| progress.is_at(part, operations)).await?;
    cost.figures(&measured, servers)
}
