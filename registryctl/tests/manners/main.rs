//! How the program behaves towards those who use it: what it takes over from etcdctl, its help, its errors, and what it does
//! on a terminal or without one. What the commands do is in the tests beside this folder.

#![expect(clippy::unwrap_used, reason = "a test's fixture may panic")]

mod asked;
mod check;
mod ctl;
mod errors;
mod etcdctl_flags;
mod going;
mod help;
