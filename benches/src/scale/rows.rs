//! Puts and gets against the loaded data, by the servers in turn.

use serde::Serialize;

use super::plan::Plan;
use super::subject::Subject;
use crate::BenchError;
use crate::figures::{Figures, Ratios};
use crate::generator::Generator;
use crate::load::Load;
use crate::pairs;
use crate::preload::settle;
use crate::progress::Progress;
use crate::report;

/// One load on every server.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was asked.
    pub load: Load,
    /// Figures by round and server.
    pub rounds: Vec<Vec<Figures>>,
    /// The first server over the second, when there are two.
    pub ratios: Option<Ratios>,
}

/// Measures the plan's rows. All servers run the whole time; those whose turn it is not are idle.
pub(super) async fn measure(
    plan: &Plan,
    subjects: &[Subject<'_>],
    progress: &Progress,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for load in plan.rows() {
        if plan.pairs == 0 {
            break;
        }
        say(&format!("\n{}\n{}", load.title(), report::head()));
        let mut rounds = Vec::new();
        for round in 1..=plan.pairs {
            let mut figures = Vec::new();
            for subject in subjects {
                progress.begins(format!("{round}/{} {}", plan.pairs, subject.name()));
                let run = measure_one(&load, subject, progress).await?;
                progress.ends();
                say(&report::row(&format!("{round} {}", subject.name()), &run));
                figures.push(run);
            }
            rounds.push(figures);
        }
        let ratios = ratios(&rounds);
        rows.push(Row { load, rounds, ratios });
    }
    Ok(rows)
}

async fn measure_one(load: &Load, subject: &Subject<'_>, progress: &Progress) -> Result<Figures, BenchError> {
    progress.says("preparing");
    if load.needs_keys() {
        settle(&subject.endpoint()?).await?;
    }
    let server = subject.process()?;
    let generator = Generator::connect(load.clone(), &[server.url()]).await?;
    pairs::measure(&generator, std::slice::from_ref(server), progress).await
}

fn ratios(rounds: &[Vec<Figures>]) -> Option<Ratios> {
    let pairs = rounds.iter().filter_map(|round| Some((round.first()?.clone(), round.get(1)?.clone())));
    Ratios::new(&pairs.collect::<Vec<_>>())
}
