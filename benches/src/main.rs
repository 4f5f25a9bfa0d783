//! The `registry-bench` program: reads the command line, measures, prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the program's output")]

mod args;
mod files;

use std::path::Path;
use std::process::ExitCode;

use args::{Args, Command, CompareArgs, InstancesArgs, RunArgs, ScaleArgs, SnapshotsArgs, StallArgs, UpkeepArgs};
use clap::Parser;
use registry_bench::compare::{Comparison, svg};
use registry_bench::figures::{Figures, Ratios};
use registry_bench::pairs::{measure_endpoint, measure_in_turn};
use registry_bench::process::ServerProcess;
use registry_bench::progress::Progress;
use registry_bench::report::{self, Report};
use registry_bench::{BenchError, load::Load};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let Args { command } = Args::parse();
    // Measuring threads bring their own runtimes; this one starts, waits and shows.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run_until_signalled(&command)),
        Err(source) => Err(BenchError::System { what: "a runtime".to_owned(), source }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registry-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A signal drops the run, which ends the servers and removes their data.
async fn run_until_signalled(command: &Command) -> Result<(), BenchError> {
    let handler = |kind| signal(kind).map_err(|source| BenchError::System { what: "signals".to_owned(), source });
    let (mut terminate, mut interrupt) = (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    tokio::select! {
        biased;
        _ = terminate.recv() => Err(BenchError::Interrupted),
        _ = interrupt.recv() => Err(BenchError::Interrupted),
        outcome = carry_out(command) => outcome,
    }
}

async fn carry_out(command: &Command) -> Result<(), BenchError> {
    match command {
        Command::Run(args) => run(args).await,
        Command::Compare(args) => compare(args).await,
        Command::Scale(args) => scale(args).await,
        Command::Stall(args) => stall(args).await,
        Command::Upkeep(args) => upkeep(args).await,
        Command::Instances(args) => instances(args).await,
        Command::Snapshots(args) => snapshots(args).await,
    }
}

async fn run(args: &RunArgs) -> Result<(), BenchError> {
    let load = args.load();
    load.validate()?;
    let busy_before = report::load_average();
    println!("{}", load.title());
    println!("{}", report::head());
    let (names, rounds) = match &args.endpoint {
        Some(endpoint) => (vec![endpoint.clone()], vec![vec![at_endpoint(&load, endpoint).await?]]),
        None => of_programs(args, &load).await?,
    };
    let pairs = rounds.iter().filter_map(|round| Some((round.first()?.clone(), round.get(1)?.clone())));
    let ratios = Ratios::new(&pairs.collect::<Vec<_>>());
    if rounds.len() > 1 {
        print_medians(&names, &rounds);
    }
    if let (Some(ratios), [server, peer]) = (&ratios, names.as_slice()) {
        println!("{server} ÷ {peer}, median of {} pairs:\n{}", rounds.len(), report::ratios(ratios));
    }
    if let Some(path) = &args.json {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let load_average = [busy_before, report::load_average()];
        files::write_json(
            path,
            &Report { load: &load, programs: names, cores, load_average, rounds: &rounds, ratios },
        )?;
    }
    Ok(())
}

async fn compare(args: &CompareArgs) -> Result<(), BenchError> {
    let (progress, data_root) = (Progress::new(), args.data_root());
    warn_of_memory(&data_root);
    let say = |line: &str| progress.prints(|| println!("{line}"));
    let keep = |comparison: &Comparison| {
        args.json.as_deref().map_or(Ok(()), |path| files::write_json(path, comparison))?;
        args.svg.as_deref().map_or(Ok(()), |path| files::write(path, &svg(comparison)))
    };
    let [server, peer] = &args.programs();
    let comparison =
        registry_bench::compare::compare(&args.plan(), [server, peer], &data_root, &progress, keep, say).await?;
    match comparison.failed() {
        failed if failed.is_empty() => Ok(()),
        failed => Err(BenchError::Incomplete(failed)),
    }
}

async fn scale(args: &ScaleArgs) -> Result<(), BenchError> {
    let (progress, data_root) = (Progress::new(), args.data_root());
    warn_of_memory(&data_root);
    let say = |line: &str| progress.prints(|| println!("{line}"));
    let comparison = registry_bench::scale::compare(&args.plan(), &args.programs(), &data_root, &progress, say).await?;
    args.json.as_deref().map_or(Ok(()), |path| files::write_json(path, &comparison))
}

async fn stall(args: &StallArgs) -> Result<(), BenchError> {
    let (progress, data_root) = (Progress::new(), args.data_root());
    warn_of_memory(&data_root);
    let say = |line: &str| progress.prints(|| println!("{line}"));
    let comparison =
        registry_bench::stall::compare(&args.plan(), &args.programs(), args.pairs, &data_root, &progress, say).await?;
    args.json.as_deref().map_or(Ok(()), |path| files::write_json(path, &comparison))
}

async fn upkeep(args: &UpkeepArgs) -> Result<(), BenchError> {
    let (progress, data_root) = (Progress::new(), args.data_root());
    warn_of_memory(&data_root);
    let say = |line: &str| progress.prints(|| println!("{line}"));
    let comparison =
        registry_bench::upkeep::compare(&args.plan(), &args.programs(), &data_root, &progress, say).await?;
    args.json.as_deref().map_or(Ok(()), |path| files::write_json(path, &comparison))
}

async fn instances(args: &InstancesArgs) -> Result<(), BenchError> {
    let (progress, data_root, plan) = (Progress::new(), args.data_root(), args.plan());
    warn_of_memory(&data_root);
    let server = ServerProcess::start(&args.program(), &data_root).await?;
    let figures = registry_bench::instances::measure(server.url(), server.pid(), &plan, &progress).await?;
    server.stop().await?;
    registry_bench::instances::rows(&plan, &figures).iter().for_each(|row| println!("{row}"));
    args.json.as_deref().map_or(Ok(()), |path| files::write_json(path, &figures))
}

async fn snapshots(args: &SnapshotsArgs) -> Result<(), BenchError> {
    let (progress, data_root) = (Progress::new(), args.data_root());
    warn_of_memory(&data_root);
    let say = |line: &str| progress.prints(|| println!("{line}"));
    let comparison =
        registry_bench::snapshots::compare(&args.plan(), &args.sides(), &data_root, &progress, say).await?;
    args.json.as_deref().map_or(Ok(()), |path| files::write_json(path, &comparison))
}

async fn at_endpoint(load: &Load, endpoint: &str) -> Result<Figures, BenchError> {
    let progress = Progress::new();
    progress.begins(endpoint);
    let figures = measure_endpoint(load, endpoint, &progress).await?;
    progress.ends();
    println!("{}", report::row(endpoint, &figures));
    Ok(figures)
}

async fn of_programs(args: &RunArgs, load: &Load) -> Result<(Vec<String>, Vec<Vec<Figures>>), BenchError> {
    let programs = args.programs();
    let data_root = args.data_root();
    warn_of_memory(&data_root);
    let progress = Progress::new();
    let names: Vec<String> = programs.iter().map(|program| program.name.clone()).collect();
    let show = |round: usize, place: usize, figures: &Figures| {
        progress.prints(|| println!("{}", report::row(&format!("{} {}", round + 1, names[place]), figures)));
    };
    let rounds = measure_in_turn(load, &programs, args.nodes, args.pairs, &data_root, &progress, show).await?;
    Ok((names, rounds))
}

fn print_medians(names: &[String], rounds: &[Vec<Figures>]) {
    for (place, name) in names.iter().enumerate() {
        let runs: Vec<&Figures> = rounds.iter().filter_map(|round| round.get(place)).collect();
        if let Some(median) = report::median(&runs) {
            println!("{}", report::row(&format!("median {name}"), &median));
        }
    }
}

fn warn_of_memory(data_root: &Path) {
    if is_in_memory(data_root) {
        eprintln!("registry-bench: {} is in memory: syncs cost nothing there; see --data-root", data_root.display());
    }
}

fn is_in_memory(path: &Path) -> bool {
    /// `TMPFS_MAGIC` of `linux/magic.h`.
    const TMPFS: u64 = 0x0102_1994;
    rustix::fs::statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| kind == TMPFS))
}
