//! From the answers of probes to a status. Pure.

use crate::instance::Status;

/// How many answers of one kind in a row change the status.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholds {
    pub(super) healthy: u32,
    pub(super) unhealthy: u32,
}

/// What is known of the instance's health.
#[derive(Debug)]
pub(super) struct Gate {
    thresholds: Thresholds,
    status: Status,
    /// Answers in a row that speak against the status.
    against: u32,
}

impl Gate {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, status: Status::Starting, against: 0 }
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// Takes an answer in; says the status if it has changed.
    pub(super) fn note(&mut self, passed: bool) -> Option<Status> {
        let is_up = self.status == Status::Up;
        if passed == is_up {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let (needed, next) = match is_up {
            true => (self.thresholds.unhealthy, Status::Down),
            false => (self.thresholds.healthy, Status::Up),
        };
        if self.against < needed {
            return None;
        }
        (self.status, self.against) = (next, 0);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_changes_after_so_many_answers_in_a_row() {
        let mut gate = Gate::new(Thresholds { healthy: 2, unhealthy: 3 });
        let story = [true, false, true, true, false, false, true, false, false, false, false, true, true];
        let changes: Vec<_> = story.map(|passed| gate.note(passed)).into_iter().flatten().collect();
        assert_eq!(changes, [Status::Up, Status::Down, Status::Up]);
    }

    #[test]
    fn who_never_passed_is_starting_however_often_it_fails() {
        let mut gate = Gate::new(Thresholds { healthy: 1, unhealthy: 1 });
        assert!((0..100).all(|_| gate.note(false).is_none()));
        assert_eq!(gate.status(), Status::Starting);
        assert_eq!(gate.note(true), Some(Status::Up));
    }
}
