//! The etcd v3 API: decode, validate, hand over, answer.
//!
//! One file a service, all over one [`Backend`]; [`check`] refuses what no request may hold before anything
//! is proposed, and [`status`] is the one table of codes and texts. The services work without a network:
//! they are plain structs with async methods.

mod answers;
mod asked;
pub mod audit;
mod auth;
mod backend;
mod caller;
pub mod check;
mod cluster;
mod defragment;
mod downgrade;
mod hash;
mod keep_alive;
mod kv;
mod learner;
mod lease;
mod logins;
mod maintenance;
mod members;
mod overlap;
mod queues;
mod quota;
mod range;
mod require_leader;
mod snapshot;
pub mod status;
mod steps;
pub mod version;
mod watch;

pub use answers::Share;
pub use asked::answer_questions;
pub use auth::AuthService;
pub use backend::{Backend, Limits, SharedBackend};
pub use caller::{Caller, WatchGate};
pub use cluster::ClusterService;
pub use hash::Comparison;
pub use kv::KvService;
pub use learner::LearnerCalls;
pub use lease::LeaseService;
pub use logins::Logins;
pub use maintenance::MaintenanceService;
pub use queues::{ElectionService, LockService, Sessions};
pub use require_leader::RequireLeader;
pub use watch::{WatchAnswers, WatchService, WatchSettings};
