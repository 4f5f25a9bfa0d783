//! The flags of automatic compaction.

use clap::Args;

use super::retention::{self, CompactionMode, Retention};

#[derive(Debug, Args)]
#[command(next_help_heading = "Compaction")]
pub(super) struct CompactionFlags {
    /// What --auto-compaction-retention counts: periodic for time, revision for revisions.
    #[arg(long, value_name = "MODE", value_parser = retention::mode, default_value = "periodic")]
    pub(super) auto_compaction_mode: CompactionMode,
    /// How much history is kept: a time (10m; a bare number is hours), or with --auto-compaction-mode=revision a number of
    /// revisions; 0 never compacts.
    #[arg(long, value_name = "RETENTION", value_parser = retention::retention, default_value = "0")]
    pub(super) auto_compaction_retention: Retention,
}
