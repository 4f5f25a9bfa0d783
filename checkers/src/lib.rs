//! Judges what clients saw of an etcd-like server: a [`History`] in, violations of what was promised out.
//!
//! [`history`] is what a run writes down, [`model`] the state machine that a right server has, [`check`] says
//! which [`Promise`]s were broken and by which calls and watches. `chronicle` is the history as watches tell
//! it, `bounds` what real time says of revisions; `kv`, `serializable`, `watch`, `lease`, `members` and
//! `registrations` each judge what their name says.
//!
//! What always holds: nothing here knows a clock, a server or any I/O, so that a simulated run and a real one
//! are judged alike; every rule is sound, so that what is called a violation is one, whatever was going on at
//! the same time; the work is O(n log n) in calls and events.

mod bounds;
mod chronicle;
mod effects;
pub mod history;
mod judge;
mod kv;
mod lease;
mod members;
pub mod model;
mod registrations;
pub mod report;
mod serializable;
mod watch;

pub use history::{Call, History, HowEnded, MemberState, Outcome, Registration, Watch, WatchEnd};
pub use judge::check;
pub use report::{Counts, Limits, Promise, Report, Violation};
