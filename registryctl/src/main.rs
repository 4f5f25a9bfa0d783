//! `registryctl`: etcdctl's commands against this server, or any other that speaks etcd's v3 API.
//!
//! `args` is the command line, `switches` lets its switches have values, `examples` completes its help, `global` is what holds for every command, `connect`
//! the connection, `sdk` the same for the registry's own commands, `http` what is asked outside of the API; `commands` has a file
//! for each noun, `output` the forms of what is printed. What etcdctl prints is printed here, so that scripts work with either;
//! errors say more.

mod args;
mod commands;
mod connect;
mod error;
mod examples;
mod global;
mod http;
mod output;
mod sdk;
mod switches;

use std::process::ExitCode;

use clap::FromArgMatches;

use crate::args::Args;
use crate::output::tell;

/// As shells report a program that the signal for it has ended.
const BROKEN_PIPE: u8 = 141;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = args::command(&|name| std::env::var_os(name));
    let line = switches::plain(&command, std::env::args_os());
    let args = match Args::from_arg_matches(&command.get_matches_from(line)) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    match commands::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read this program's output has seen enough, as `head` has.
        Err(error) if error.is_nobody_reading() => ExitCode::from(BROKEN_PIPE),
        Err(error) => {
            tell(&format!("Error: {error}"));
            error.code()
        }
    }
}
