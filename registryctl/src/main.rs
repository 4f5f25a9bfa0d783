//! `registryctl`: etcdctl's commands against this server, or any other that speaks etcd's v3 API.
//!
//! `args` is the command line, `global` what holds for every command, `connect` the connection, `sdk` the
//! same for the registry's own commands, `commands` has a file for
//! each noun, `output` the forms of what is printed. What etcdctl prints is printed here, so that scripts work with either;
//! errors say more.

#![expect(clippy::print_stderr, reason = "a program that people and scripts read")]

mod args;
mod commands;
mod connect;
mod error;
mod global;
mod http;
mod output;
mod sdk;

use std::process::ExitCode;

use clap::FromArgMatches;

use crate::args::Args;

/// As shells report a program that the signal for it has ended.
const BROKEN_PIPE: u8 = 141;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let matches = args::command(&|name| std::env::var_os(name)).get_matches();
    let args = match Args::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    match commands::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read this program's output has seen enough, as `head` has.
        Err(error) if error.is_nobody_reading() => ExitCode::from(BROKEN_PIPE),
        Err(error) => {
            eprintln!("Error: {error}");
            error.code()
        }
    }
}
