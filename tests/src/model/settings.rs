//! What a run is made of, and how it is repeated.

use std::fmt;

use super::generator::Mix;

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// From which all operations follow.
    pub seed: u64,
    /// How many of them.
    pub operations: usize,
    /// What kind of operations.
    pub mix: Mix,
    /// How many are sent at once, at most.
    pub at_once: usize,
}

impl Settings {
    /// One operation at a time, of a random seed, and so many of them, unless `REGISTRY_MODEL_SEED` and `REGISTRY_MODEL_OPERATIONS`
    /// say others.
    ///
    /// # Panics
    /// When one of these is not a number.
    #[must_use]
    pub fn new(operations: usize, mix: Mix) -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
        let seed = number("REGISTRY_MODEL_SEED").unwrap_or_else(|| fastrand::u64(..));
        let asked = number("REGISTRY_MODEL_OPERATIONS").map(|count| usize::try_from(count).expect("it is a count"));
        Self { seed, operations: asked.unwrap_or(operations), mix, at_once: 1 }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "REGISTRY_MODEL_SEED={} REGISTRY_MODEL_OPERATIONS={}", self.seed, self.operations)
    }
}
