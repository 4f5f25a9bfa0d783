//! The directory of a new member out of a snapshot, with etcdutl's flags.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use registry_etcd_files::founders::Founders;
use registry_etcd_files::restore::{Options, Progress, Step, restore};

use super::progress::{beside, tell};
use crate::error::CtlError;
use crate::output::say;

const EXAMPLES: &str = "\
Examples:
  registryctl snapshot restore backup.db --data-dir new
  registryctl snapshot restore backup.db --data-dir new --bump-revision 1000000000 --mark-compacted
  registryctl snapshot restore backup.db --name a --data-dir a \\
    --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380 \\
    --initial-advertise-peer-urls http://10.0.0.1:2380

Each member of the new cluster is made of the same file, with its own name and URLs. etcd starts from the directory. Clients that watch
and go on with the new cluster see its revision fall behind, unless it is bumped by more than the old cluster has written since.";

/// Makes the directory of a new member, of a new cluster, out of a snapshot.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Restore {
    /// The snapshot.
    file: PathBuf,
    /// The member's new directory [default: NAME.etcd].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where its log goes [default: member/wal in its directory].
    #[arg(long, value_name = "DIR")]
    wal_dir: Option<PathBuf>,
    /// The member's name.
    #[arg(long, default_value = "default")]
    name: String,
    /// All members of the new cluster, this one among them.
    #[arg(long, value_name = "NAME=URL,...", default_value = "default=http://localhost:2380")]
    initial_cluster: String,
    /// Parts this cluster from others with the same members.
    #[arg(long, value_name = "TOKEN", default_value = "etcd-cluster")]
    initial_cluster_token: String,
    /// Where the other members reach this one, as `--initial-cluster` has it.
    #[arg(long, value_name = "URL,...", default_value = "http://localhost:2380")]
    initial_advertise_peer_urls: String,
    /// Take a file without a digest, as a database is that was copied from a member's directory.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    skip_hash_check: bool,
    /// Add so much to the revision, so that it never falls for clients of the old cluster.
    #[arg(long, value_name = "N", default_value_t = 0)]
    bump_revision: u64,
    /// Mark all before that revision compacted, so that watchers start anew; goes with --bump-revision.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    mark_compacted: bool,
    /// Nothing is mapped into memory here; etcdutl has this flag.
    #[arg(long, value_name = "BYTES", hide = true)]
    initial_memory_map_size: Option<u64>,
}

impl Restore {
    pub(super) async fn run(&self) -> Result<(), CtlError> {
        let bump = NonZeroU64::new(self.bump_revision);
        if bump.is_some() != self.mark_compacted {
            let text = "--mark-compacted and --bump-revision go together: give both, or none";
            return Err(CtlError::Arguments(text.to_owned()));
        }
        let (cluster, token) = (&self.initial_cluster, &self.initial_cluster_token);
        let founders = Founders::new(&self.name, cluster, token, &self.initial_advertise_peer_urls);
        let founders = founders.map_err(CtlError::files)?;
        let data_dir = self.data_dir.clone().unwrap_or_else(|| format!("{}.etcd", self.name).into());
        let (wal_dir, skip_hash_check) = (self.wal_dir.clone(), self.skip_hash_check);
        let options = Options { data_dir: data_dir.clone(), wal_dir, skip_hash_check, bump };
        let file = self.file.clone();
        let restored = beside(move |bar| {
            let mut told = |Progress { step, done, total }| {
                let step = match step {
                    Step::Checking => "checking",
                    Step::Measuring => "measuring",
                    Step::Writing => "writing",
                };
                tell(bar, step, done, total);
            };
            restore(&file, &founders, &options, &mut told).map_err(CtlError::files)
        });
        let restored = restored.await?;
        let (member, cluster, revision) = (restored.member, restored.cluster, restored.revision);
        say(&format!(
            "Restored in {}: member {member:x} of cluster {cluster:x}, revision {revision}",
            data_dir.display()
        ))
    }
}
