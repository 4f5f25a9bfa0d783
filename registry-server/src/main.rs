//! The `registry-server` program.

use std::process::ExitCode;

/// Half the system allocator's cost under many small answers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    registry_server::server::program::main()
}
