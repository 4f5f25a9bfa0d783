//! The clients of a checked run: what they ask, what they are answered, and all of it written down.
//!
//! The same load drives a cluster that is simulated in one process on virtual time and one of real processes.
//! [`Load`] is a run; [`Members`] is how its clients reach the cluster; [`Homes`] is where the SDK holds its
//! registrations; [`Recorder`] is where everything is written down, for `registry-checkers` to judge.
//!
//! Rooms: `client` makes calls that `generator` draws, `contender` fences what it writes by a lock,
//! `latecomer` renews leases that are about to end, `bulk` writes large values, `watching` reads watches, `registrar` uses
//! the SDK; `caller` sends one call, and `sorting` says what a status leaves open.
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use registry_load::{Load, Member, Settings, read_state};
//! # async fn example(channels: Vec<(u64, tonic::transport::Channel)>) -> Result<(), Box<dyn std::error::Error>> {
//! let members: Vec<_> = channels.into_iter().map(|(id, channel)| Member::new(id, channel)).collect();
//! let spawn = Arc::new(|task| drop(tokio::spawn(task)));
//! let mut load = Load::new(Settings { seed: 7, ..Settings::default() }, Arc::new(members.clone()), spawn)?;
//! load.run().await; // meanwhile others make faults, and here they end
//! load.settle(Duration::from_secs(30)).await;
//! let mut newest = 0;
//! for member in &members {
//!     let state = read_state(member, load.recorder()).await?;
//!     newest = newest.max(state.revision);
//!     load.recorder().add_member(state);
//! }
//! let (history, complaints) = load.conclude(newest, Duration::from_secs(30)).await;
//! let report = registry_checkers::check(&history, &registry_checkers::Limits::default());
//! assert!(report.is_good() && complaints.is_empty(), "{report}");
//! # Ok(())
//! # }
//! ```
//!
//! What always holds: time is the runtime's, randomness is the seed's, and a call is sent once and written down
//! before it is sent.

mod bulk;
mod caller;
mod client;
mod contender;
mod generator;
mod keepalive;
mod known;
mod latecomer;
mod load;
mod reach;
mod recorder;
mod registrar;
mod settings;
mod sorting;
mod stage;
mod states;
mod watching;

pub use load::Load;
pub use reach::{BoxFuture, CarryError, Member, Members, Spawn};
pub use recorder::{Recorder, Trace};
pub use registrar::Homes;
pub use settings::{Settings, Shares};
pub use sorting::{is_refusal, outcome};
pub use states::read_state;
