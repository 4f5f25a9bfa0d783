//! How long the runs that are left will take: as long as their like did so far, or as the plan has it. Pure.

use std::time::Duration;

use super::rows::Row;

/// One run: of a row, on the server at a place.
type Run = (Row, usize);

/// The runs that are left.
#[derive(Debug)]
pub(super) struct Schedule {
    left: Vec<Run>,
    took: Vec<(Run, Duration)>,
    /// What a run of a row is taken for before there was one.
    guess: fn(Row, Duration) -> Duration,
    duration: Duration,
}

impl Schedule {
    /// All runs of so many pairs of servers; `guess` is told the row and the length of a load.
    pub(super) fn new(rows: &[Row], pairs: usize, duration: Duration, guess: fn(Row, Duration) -> Duration) -> Self {
        let both = |row: &Row| [(*row, 0), (*row, 1)];
        let left = rows.iter().flat_map(|row| std::iter::repeat_n(both(row), pairs).flatten()).collect();
        Self { left, took: Vec::new(), guess, duration }
    }

    /// A run is over.
    pub(super) fn ended(&mut self, row: Row, place: usize, took: Duration) {
        self.took.push(((row, place), took));
        if let Some(at) = self.left.iter().position(|run| *run == (row, place)) {
            self.left.remove(at);
        }
    }

    /// Nothing more comes of a row.
    pub(super) fn given_up(&mut self, row: Row) {
        self.left.retain(|(of, _)| *of != row);
    }

    /// All runs that are left.
    pub(super) fn time_left(&self) -> Duration {
        self.left.iter().map(|run| self.expected(*run)).sum()
    }

    fn expected(&self, (row, place): Run) -> Duration {
        let mean = |is_like: &dyn Fn(Run) -> bool| {
            let like: Vec<Duration> =
                self.took.iter().filter(|(run, _)| is_like(*run)).map(|(_, took)| *took).collect();
            u32::try_from(like.len()).ok().filter(|count| *count > 0).map(|count| like.iter().sum::<Duration>() / count)
        };
        let same = || mean(&|run| run == (row, place));
        let other = || mean(&|(of, _)| of == row);
        same().or_else(other).unwrap_or_else(|| (self.guess)(row, self.duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_seen_takes_the_place_of_the_guess() {
        let mut schedule = Schedule::new(&[Row::Put, Row::Get], 2, 10 * SECOND, |_, duration| duration + SECOND);
        assert_eq!(schedule.time_left(), 88 * SECOND);
        schedule.ended(Row::Put, 0, 5 * SECOND);
        // One more of its like at 5, the peer's two at 5 as well, as nothing better is known.
        assert_eq!(schedule.time_left(), (15 + 44) * SECOND);
        schedule.ended(Row::Put, 1, 7 * SECOND);
        assert_eq!(schedule.time_left(), (5 + 7 + 44) * SECOND);
        schedule.given_up(Row::Get);
        assert_eq!(schedule.time_left(), 12 * SECOND);
    }
}
