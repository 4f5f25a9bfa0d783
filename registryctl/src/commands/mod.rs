//! The commands, one file a noun. Each makes its request, and says how the answer reads in the forms of `output`.

pub(crate) mod alarm;
pub(crate) mod auth;
pub(crate) mod check;
pub(crate) mod compaction;
pub(crate) mod completion;
#[cfg(feature = "debug")]
pub(crate) mod debug;
pub(crate) mod defrag;
pub(crate) mod del;
pub(crate) mod doctor;
pub(crate) mod downgrade;
pub(crate) mod drain;
pub(crate) mod elect;
pub(crate) mod endpoint;
pub(crate) mod get;
pub(crate) mod instances;
pub(crate) mod lease;
pub(crate) mod leases;
mod lines;
pub(crate) mod lock;
pub(crate) mod make_mirror;
pub(crate) mod man;
pub(crate) mod member;
pub(crate) mod move_leader;
pub(crate) mod put;
pub(crate) mod register;
mod registry;
pub(crate) mod remove;
pub(crate) mod role;
pub(crate) mod services;
mod session;
pub(crate) mod snapshot;
mod span;
pub(crate) mod top;
pub(crate) mod txn;
pub(crate) mod user;
pub(crate) mod watch;
pub(crate) mod watch_service;
mod words;

use tonic::Status;

use crate::args::{Args, Command};
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::say;

/// Whose commands these are.
const ETCDCTL: &str = "3.7.0";

/// Does what was asked for.
pub(crate) async fn run(args: Args) -> Result<(), CtlError> {
    let Args { mut global, command } = args;
    // A password is asked for once, and before anything is bounded in time: each connection logs in anew.
    let asks_nobody = matches!(command, Command::Completion(_) | Command::Man(_) | Command::Version);
    let is_typing = std::io::IsTerminal::is_terminal(&std::io::stdin());
    if is_typing
        && !asks_nobody
        && let Some((_, password)) = connect::login(&global).await?
    {
        global.password = Some(password);
    }
    let work = async {
        match &command {
            Command::Get(get) => get.run(&global).await,
            Command::Put(put) => put.run(&global).await,
            Command::Del(del) => del.run(&global).await,
            Command::Watch(watch) => watch.run(&global).await,
            Command::Txn(txn) => txn.run(&global).await,
            Command::Compaction(compaction) => compaction.run(&global).await,
            Command::Lease(lease) => lease.run(&global).await,
            Command::Endpoint(endpoint) => endpoint.run(&global).await,
            Command::Member(member) => member.run(&global).await,
            Command::Defrag(defrag) => defrag.run(&global).await,
            Command::MoveLeader(move_leader) => move_leader.run(&global).await,
            Command::Alarm(alarm) => alarm.run(&global).await,
            Command::Check(check) => check.run(&global).await,
            Command::Downgrade(downgrade) => downgrade.run(&global).await,
            Command::Completion(completion) => completion.run(),
            Command::Man(man) => man.run(),
            Command::Lock(lock) => lock.run(&global).await,
            Command::Elect(elect) => elect.run(&global).await,
            Command::Auth(auth) => auth.run(&global).await,
            Command::User(user) => user.run(&global).await,
            Command::Role(role) => role.run(&global).await,
            // etcdctl's two lines, as scripts look for them; `--version` tells the program's own.
            Command::Version => say(&format!("etcdctl version: {ETCDCTL}\nAPI version: 3.7")),
            Command::Snapshot(snapshot) => snapshot.run(&global).await,
            Command::MakeMirror(mirror) => mirror.run(&global).await,
            Command::Doctor(doctor) => doctor.run(&global).await,
            Command::Services(services) => services.run(&global).await,
            Command::Instances(instances) => instances.run(&global).await,
            Command::WatchService(watch) => watch.run(&global).await,
            Command::Register(register) => register.run(&global).await,
            Command::Drain(drain) => drain.run(&global).await,
            Command::Remove(remove) => remove.run(&global).await,
            Command::Leases(leases) => leases.run(&global).await,
            Command::Top(top) => top.run(&global).await,
            #[cfg(feature = "debug")]
            Command::Debug(debug) => debug.run(),
        }
    };
    if command.is_bounded() { within(&global, work).await } else { work.await }
}

/// Bounds what is asked: the time to dial each endpoint, and that of a request.
async fn within<T>(global: &Global, work: impl Future<Output = Result<T, CtlError>>) -> Result<T, CtlError> {
    let dialling = global.dial_timeout.saturating_mul(u32::try_from(global.endpoints.len()).unwrap_or(u32::MAX));
    let limit = dialling.saturating_add(global.command_timeout);
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("").into()))
}

impl Command {
    /// It is one request, or a few. The others go on until somebody ends them, wait for whoever types, or bound each of their
    /// requests by themselves.
    fn is_bounded(&self) -> bool {
        match self {
            Self::Get(_)
            | Self::Del(_)
            | Self::Compaction(_)
            | Self::MoveLeader(_)
            | Self::Member(_)
            | Self::Alarm(_)
            | Self::Auth(_)
            | Self::Downgrade(_)
            | Self::Role(_)
            | Self::Completion(_)
            | Self::Man(_)
            | Self::Version => true,
            Self::Lease(lease) => !matches!(lease, lease::Lease::KeepAlive(_)),
            Self::Put(_)
            | Self::Txn(_)
            | Self::User(_)
            | Self::Endpoint(_)
            | Self::Check(_)
            | Self::Defrag(_)
            | Self::Watch(_)
            | Self::Lock(_)
            | Self::Elect(_)
            | Self::Snapshot(_)
            | Self::MakeMirror(_)
            | Self::Doctor(_)
            | Self::Services(_)
            | Self::Instances(_)
            | Self::WatchService(_)
            | Self::Register(_)
            | Self::Drain(_)
            | Self::Remove(_)
            | Self::Leases(_)
            | Self::Top(_) => false,
            #[cfg(feature = "debug")]
            Self::Debug(_) => false,
        }
    }
}
