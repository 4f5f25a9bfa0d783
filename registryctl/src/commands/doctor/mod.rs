//! `doctor`: looks at everything about a cluster that operators look at, and says what to do.
//!
//! [`collect`] gathers [`facts`] from all endpoints and members at once, each question bounded in time; [`rules`] are pure
//! and make [`finding`]s of them. Nothing is changed anywhere, and no key of a user's is read: the one read is of a key called
//! `health`, as `endpoint health` does it.

mod collect;
mod facts;
mod finding;
mod leases;
mod look;
mod rules;

use std::time::Duration;

use clap::Args as ClapArgs;

use self::finding::Findings;
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::print;

const EXAMPLES: &str = "\
Examples:
  registryctl doctor
  registryctl --endpoints 10.0.0.1:2379 doctor -w table
  registryctl doctor --window 10s
  registryctl doctor -w json | jq '.[] | select(.severity == \"error\")'

Each line is an error, a warning, a note or ok; what it is about; what was found; and what to do.
The exit code is 1 if there is an error, else 0.
Clocks are told in whole seconds by servers: a difference of 2 s or more is found, a smaller one may not be.";

/// Looks for what is wrong with a cluster, and says what to do about it. Changes nothing.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// Look at the given endpoints only, not at the members that they tell of.
    #[arg(long)]
    given_only: bool,
    /// Watch the disks for so long, instead of judging all that was since each server's start.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    window: Option<Duration>,
    /// Compare hashes of what the members hold; each reads all of its keys for that.
    #[arg(long)]
    hash: bool,
    /// Warn about certificates that end within this time.
    #[arg(long, default_value = "30d", value_parser = humantime::parse_duration, value_name = "DURATION")]
    expires_within: Duration,
}

impl Doctor {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        // Before anything is asked: what is wrong with the command line is no finding.
        connect::login(global).await?;
        let facts = collect::facts(global, self).await;
        let findings = Findings(rules::judge(&facts));
        print(global, &findings)?;
        if findings.has_error() { Err(CtlError::Unhealthy("errors were found")) } else { Ok(()) }
    }
}
