//! The clients of a checked run: what they ask, what they are answered, and all of it written down.
//!
//! The same load drives a cluster that is simulated in one process on virtual time and one of real processes.
//! [`Load`] is a run; [`Members`] is how its clients reach the cluster; [`Homes`] is where the SDK holds its
//! registrations; [`Recorder`] is where everything is written down, for `registry-checkers` to judge.
//!
//! Rooms: `client` makes calls that `generator` draws, `contender` fences what it writes by a lock, `watching`
//! reads watches, `registrar` uses the SDK; `caller` sends one call, and `sorting` says what a status leaves open.
//!
//! What always holds: time is the runtime's, randomness is the seed's, and a call is sent once and written down
//! before it is sent.

mod caller;
mod client;
mod contender;
mod generator;
mod keepalive;
mod known;
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
