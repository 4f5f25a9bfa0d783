//! What operators look with: the program against servers that have what is to be found.
//!
//! Servers are real ones in this process. What they cannot be made to have (a slow disk, another version, a clock that is
//! wrong) a `front` says in their place: it passes gRPC on, and answers plain HTTP as the test wants it. `kit` runs the
//! program, `authority` makes certificates.

#![expect(clippy::unwrap_used, reason = "a test's fixture may panic")]
#![expect(clippy::disallowed_methods, reason = "tests have files and a clock of their own")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

mod authority;
mod certificates;
mod clocks;
#[cfg(feature = "debug")]
mod debug;
mod disks;
mod endpoints;
mod etcd;
mod front;
mod kit;
mod leases;
mod members;
mod space;
mod top;
mod users;
mod versions;
