//! `lock`.

use clap::Args as ClapArgs;
use registry_proto::v3lockpb::LockRequest;
use registry_proto::v3lockpb::lock_client::LockClient;
use tokio::process::Command;

use super::session::Session;
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{data, say};

const EXAMPLES: &str = "\
Examples:
  registryctl lock backup
  registryctl lock backup -- ./backup.sh --all";

/// Waits for a lock, and holds it until this program is ended, or while a program runs.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Lock {
    /// What it is called.
    name: String,
    /// A program to run while it is held, which finds the lock in `ETCD_LOCK_KEY` and `ETCD_LOCK_REV` of its environment.
    command: Vec<String>,
    /// How long, in seconds, it stays held after this program was killed.
    #[arg(long, default_value_t = 10)]
    ttl: i64,
}

impl Lock {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let connection = connect::any(global).await?;
        let session = Session::begin(connection.clone(), self.ttl).await?;
        let lease = session.lease;
        let held = session.hold(async {
            let request = LockRequest { name: data(&self.name), lease };
            let answer = LockClient::new(connection).lock(request).await?.into_inner();
            let key = String::from_utf8_lossy(&answer.key).into_owned();
            match self.command.split_first() {
                Some((program, arguments)) => {
                    let revision = answer.header.map_or(0, |header| header.revision).to_string();
                    let mut command = Command::new(program);
                    command.args(arguments).env("ETCD_LOCK_KEY", key).env("ETCD_LOCK_REV", revision).kill_on_drop(true);
                    command.status().await.map(Some).map_err(CtlError::io(program))
                }
                None => {
                    say(&key)?;
                    std::future::pending().await
                }
            }
        });
        match held.await? {
            Some(Some(status)) if !status.success() => Err(CtlError::Ended(status)),
            _ => Ok(()),
        }
    }
}
