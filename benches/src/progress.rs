//! What is seen while a run goes on: a bar on a terminal, nothing otherwise. Results are for `report`.

use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use tokio::time::Instant;

const STEPS: u64 = 1_000;
const TICK: Duration = Duration::from_millis(200);

/// The bar of the run that is under way, on standard error; hidden when that is no terminal.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// When all that is planned will be done, as far as that is known.
    end: Mutex<Option<Instant>>,
}

impl Progress {
    /// Shows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:28} {bar:32} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, end: Mutex::new(None) }
    }

    /// A run begins.
    pub fn begins(&self, name: impl Into<String>) {
        self.bar.reset();
        self.bar.set_prefix(name.into());
        self.bar.enable_steady_tick(TICK);
    }

    /// What goes on now.
    pub fn says(&self, what: &'static str) {
        self.bar.set_message(format!("{what}{}", self.left()));
    }

    /// All that is planned will be done in so long.
    pub fn expects(&self, left: Duration) {
        *self.end.lock() = Instant::now().checked_add(left);
    }

    fn left(&self) -> String {
        let left = self.end.lock().map(|end| end.saturating_duration_since(Instant::now()));
        left.map_or_else(String::new, |left| format!("; about {} left", HumanDuration(left)))
    }

    /// How much of the measurement is through (0 to 1), and how many operations have been done.
    pub fn is_at(&self, part: f64, operations: u64) {
        self.bar.set_position((part * STEPS as f64) as u64);
        self.bar.set_message(format!("{operations} operations{}", self.left()));
    }

    /// The run is over; the line is free again.
    pub fn ends(&self) {
        self.bar.finish_and_clear();
    }

    /// Shows a line above the bar.
    pub fn prints(&self, line: impl FnOnce()) {
        self.bar.suspend(line);
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
