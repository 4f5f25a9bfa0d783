//! The registry's own commands, each with the program itself against this server, and against etcd where it is installed.

#![expect(clippy::unwrap_used, reason = "a test's fixture may panic")]

mod etcd;
mod kit;
mod leases;
mod listing;
mod operating;
mod registering;
mod securing;
mod standing;
mod watching;
