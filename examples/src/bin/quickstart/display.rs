//! What is seen during the run: a live table with a progress bar, or plain lines.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use registry_client::ServiceWatch;
use tokio::time::{Instant, sleep};
use tower_discovery::GrpcChannel;

use crate::traffic::Tally;

/// How often the table is drawn.
const REFRESH: Duration = Duration::from_millis(150);

/// Where the rows come from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) watch: ServiceWatch,
    pub(crate) channel: GrpcChannel,
    pub(crate) tally: Arc<Mutex<Tally>>,
}

/// Shows steps, and between them the table.
pub(crate) enum Display {
    Live { screen: MultiProgress, progress: ProgressBar },
    Plain { since: Instant },
}

impl Display {
    pub(crate) fn new(plain: bool, steps: u64) -> Self {
        if plain || !std::io::stdout().is_terminal() {
            return Self::Plain { since: Instant::now() };
        }
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let progress = screen.add(ProgressBar::new(steps));
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {elapsed} {msg}");
        progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self::Live { screen, progress }
    }

    /// The run goes on to its next step.
    pub(crate) fn step(&self, text: &str) {
        match self {
            Self::Live { progress, .. } => {
                progress.inc(1);
                progress.set_message(text.to_owned());
            }
            Self::Plain { .. } => self.tell(&format!("… {text}")),
        }
    }

    /// Something has happened.
    pub(crate) fn tell(&self, text: &str) {
        match self {
            // A terminal that cannot be written to has nobody in front of it.
            Self::Live { screen, .. } => drop(screen.println(text)),
            Self::Plain { since } => println!("{:6.2} s  {text}", since.elapsed().as_secs_f64()),
        }
    }

    /// Draws the table until the future is dropped. Plain output gets it once a step instead.
    pub(crate) async fn keep_drawing(&self, source: &Source) -> Infallible {
        let Self::Live { screen, .. } = self else {
            return std::future::pending().await;
        };
        let mut lines: BTreeMap<String, ProgressBar> = BTreeMap::new();
        loop {
            for (id, row) in rows(source) {
                let line = lines.entry(id).or_insert_with(|| {
                    let style = ProgressStyle::with_template("{msg}");
                    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
                    screen.add(ProgressBar::new_spinner().with_style(style))
                });
                line.set_message(row);
            }
            sleep(REFRESH).await;
        }
    }

    /// The table as lines, where it is not on the screen anyway.
    pub(crate) fn table(&self, source: &Source) {
        if matches!(self, Self::Plain { .. }) {
            for row in rows(source).values() {
                self.tell(&format!("    {row}"));
            }
        }
    }

    /// Takes the table off the screen.
    pub(crate) fn end(&self) {
        if let Self::Live { screen, progress } = self {
            progress.finish_and_clear();
            drop(screen.clear());
        }
    }
}

/// A row for each instance that was ever seen, by id.
fn rows(source: &Source) -> BTreeMap<String, String> {
    let snapshot = source.watch.snapshot();
    let known: BTreeMap<_, _> =
        snapshot.instances().iter().map(|found| (found.id().to_owned(), found.status())).collect();
    let connected: Vec<_> = source.channel.connected().iter().map(|target| target.key().id().to_owned()).collect();
    let tally = source.tally.lock().clone();
    let row = |id: &String| {
        let status = known.get(id).map_or("gone".to_owned(), |status| format!("{status:?}").to_lowercase());
        let link = if connected.contains(id) { "connected" } else { "-" };
        let served = tally.served.get(id).cloned().unwrap_or_default();
        let failed = tally.failed.get(id).map_or(0, |failed| failed.requests);
        let p99 = served.p99().as_secs_f64() * 1e3;
        format!("{id:<12} {status:<9} {link:<10} {:>7} requests {failed:>3} failed  p99 {p99:>6.1} ms", served.requests)
    };
    known.keys().chain(tally.served.keys()).map(|id| (id.clone(), row(id))).collect()
}
