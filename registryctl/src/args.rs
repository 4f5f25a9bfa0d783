//! The command line. Flags are etcdctl's; each can be given by environment as `REGISTRYCTL_FLAG`, or `ETCDCTL_FLAG`
//! where the first is not set.

use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{
    alarm, auth, check, compaction, completion, defrag, del, doctor, downgrade, drain, elect, endpoint, get, instances,
    lease, leases, lock, make_mirror, man, member, move_leader, put, register, remove, role, services, snapshot, top,
    txn, user, watch, watch_service,
};
use crate::global::Global;
use crate::{examples, switches};

const EXAMPLES: &str = "\
Examples:
  registryctl put greeting hello
  registryctl get greeting
  registryctl --endpoints 10.0.0.1:2379,10.0.0.2:2379 endpoint status --cluster -w table
  registryctl lease grant 60

Exit codes: 0 all is well; 1 the server refused it, or something was found; 2 no endpoint can be reached, or the command line
is wrong; 128 arguments that do not go together; 141 nobody read the output; of a program that was run, its own.";

/// What was asked for.
#[derive(Debug, Parser)]
#[command(name = "registryctl", version, about = "Reads and changes a registry, or any server that speaks etcd's v3 API", after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Reads keys.
    Get(get::Get),
    /// Sets a key.
    Put(put::Put),
    /// Deletes keys.
    Del(del::Del),
    /// Prints changes as they come.
    Watch(watch::Watch),
    /// Does several things at once, or others if comparisons fail.
    Txn(txn::Txn),
    /// Forgets history before a revision.
    Compaction(compaction::Compaction),
    /// Makes, keeps and ends leases.
    #[command(subcommand)]
    Lease(lease::Lease),
    /// Looks at each endpoint.
    Endpoint(endpoint::Endpoint),
    /// Has each endpoint give back the memory and disk that garbage takes.
    Defrag(defrag::Defrag),
    /// Has the leader hand over to another member.
    MoveLeader(move_leader::MoveLeader),
    /// Tells the cluster's members, and changes who they are.
    #[command(subcommand)]
    Member(member::Member),
    /// Measures what the cluster can do.
    #[command(subcommand)]
    Check(check::Check),
    /// Prepares an etcd cluster for older servers.
    #[command(subcommand)]
    Downgrade(downgrade::Downgrade),
    /// Prints a script that completes commands and flags in a shell.
    Completion(completion::Completion),
    /// Writes manual pages, one for each command.
    Man(man::Man),
    /// Tells alarms, and ends them.
    #[command(subcommand)]
    Alarm(alarm::Alarm),
    /// Waits for a lock, and holds it.
    Lock(lock::Lock),
    /// Stands for an election, or tells who leads.
    Elect(elect::Elect),
    /// Switches authentication on and off.
    #[command(subcommand)]
    Auth(auth::Auth),
    /// Users and their roles.
    #[command(subcommand)]
    User(user::User),
    /// Roles and what they permit.
    #[command(subcommand)]
    Role(role::Role),
    /// Takes snapshots.
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Copies keys to another cluster, and every change after that.
    MakeMirror(make_mirror::MakeMirror),
    /// Looks for what is wrong with a cluster, and says what to do about it.
    Doctor(doctor::Doctor),
    /// Tells all services, with the numbers of their instances by status.
    Services(services::Services),
    /// Tells a service's instances.
    Instances(instances::Instances),
    /// Tells a service's instances, and then each change of them.
    WatchService(watch_service::WatchService),
    /// Holds a registration for a process that has no SDK.
    Register(Box<register::Register>),
    /// Shows instances as draining, so that they get no new requests.
    Drain(drain::Drain),
    /// Takes an instance out of the registry, and keeps it away.
    Remove(remove::Remove),
    /// Tells all leases, or those that hold no key.
    Leases(leases::Leases),
    /// Shows members, services and requests as they are, over and over.
    Top(top::Top),
    /// Prints what is on disk of a server's data directory.
    #[cfg(feature = "debug")]
    #[command(subcommand)]
    Debug(crate::commands::debug::Debug),
    /// Prints which etcdctl this stands in for; `--version` prints this program's own version.
    #[command(after_help = "Example:\n  registryctl version")]
    Version,
}

/// The command line, with what the environment says as defaults.
pub(crate) fn command(environment: &dyn Fn(&str) -> Option<OsString>) -> clap::Command {
    let mut command = examples::everywhere(Args::command());
    let flags: Vec<_> =
        command.get_arguments().filter_map(|arg| Some((arg.get_id().clone(), arg.get_long()?.to_owned()))).collect();
    for (id, long) in flags {
        let name = long.to_uppercase().replace('-', "_");
        let given = ["REGISTRYCTL_", "ETCDCTL_"].iter().find_map(|prefix| environment(&format!("{prefix}{name}")));
        if let Some(value) = given.filter(|value| !value.is_empty()) {
            // The help would show it, and it may be a password.
            let said = |arg: clap::Arg| arg.default_value(clap::builder::OsStr::from(value)).hide_default_value(true);
            command = command.mut_arg(id, said);
        }
    }
    command
}

/// The arguments of a line that was entered; what is wrong with it otherwise.
pub(crate) fn parsed_line<T: Parser>(words: Vec<String>) -> Result<T, String> {
    let words = switches::plain(&T::command(), words.into_iter().map(OsString::from));
    T::try_parse_from(words).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::global::Format;

    fn parsed(line: &[&str], environment: &[(&str, &str)]) -> Result<Args, clap::Error> {
        let look =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        let matches = command(&look).try_get_matches_from([&["registryctl"], line].concat())?;
        Args::from_arg_matches(&matches)
    }

    #[test]
    fn the_command_line_wins_over_the_environment_and_our_names_over_etcdctls() {
        let both = [("ETCDCTL_ENDPOINTS", "a:1,b:2"), ("REGISTRYCTL_ENDPOINTS", "c:3"), ("ETCDCTL_WRITE_OUT", "json")];
        let args = parsed(&["get", "x"], &both).unwrap();
        assert_eq!((args.global.endpoints.as_slice(), args.global.write_out), (&["c:3".to_owned()][..], Format::Json));
        let args = parsed(&["get", "x", "--endpoints", "d:4", "-w", "fields"], &both).unwrap();
        assert_eq!(
            (args.global.endpoints.as_slice(), args.global.write_out),
            (&["d:4".to_owned()][..], Format::Fields)
        );
        assert_eq!(parsed(&["get", "x"], &both[..1]).unwrap().global.endpoints, ["a:1", "b:2"]);
    }

    #[test]
    fn the_help_tells_nothing_that_the_environment_says() {
        let look = |name: &str| (name == "ETCDCTL_PASSWORD").then(|| OsString::from("secret"));
        assert!(!command(&look).render_long_help().to_string().contains("secret"));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(parsed(&["get", "x", "--cert", "c.pem"], &[]).is_err());
    }

    fn leaves<'a>(command: &'a clap::Command, found: &mut Vec<&'a clap::Command>) {
        command.get_subcommands().for_each(|below| leaves(below, found));
        if !command.has_subcommands() {
            found.push(command);
        }
    }

    #[test]
    fn every_command_shows_examples() {
        let (command, mut found) = (command(&|_| None), Vec::new());
        leaves(&command, &mut found);
        assert!(found.len() > 60, "{}", found.len());
        let has_none = |command: &&&clap::Command| {
            command.get_after_help().is_none_or(|help| !help.to_string().contains("registryctl "))
        };
        let without: Vec<_> = found.iter().filter(has_none).map(|command| command.get_name()).collect();
        assert_eq!(without, [""; 0]);
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}
