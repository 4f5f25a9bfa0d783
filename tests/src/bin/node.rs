//! `registry-server` under another name: the suites start it as a child process, and cargo builds it for them.

use std::process::ExitCode;

fn main() -> ExitCode {
    registry_server::server::program::main()
}
