//! What the environment sets, and a failure has to show.

/// A number from the environment.
fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Random choices, which `KILL_SEED` repeats (not the machine's timing).
#[expect(clippy::print_stdout, reason = "a failure shows it")]
pub(crate) fn random() -> fastrand::Rng {
    let seed = setting("KILL_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("KILL_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// How many rounds there are: as many as `name` says, or else the test.
#[expect(clippy::print_stdout, reason = "a failure shows it")]
pub(crate) fn rounds(name: &str, default: usize) -> usize {
    let rounds = setting(name).unwrap_or(default);
    println!("{name}={rounds}");
    rounds
}
