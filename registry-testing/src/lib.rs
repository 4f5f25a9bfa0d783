//! Service discovery in the tests of programs that use it.
//!
//! [`FakeDiscovery`] is a service whose instances the test says. It needs no server and no network, and obeys tokio's
//! paused time:
//!
//! ```
//! use registry_testing::FakeDiscovery;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pay = FakeDiscovery::new("pay");
//! pay.up("a", "grpc", "http://10.0.0.7:9000")?;
//! let view = pay.view("grpc"); // what the program under test is given
//! view.synced().await?;
//! assert_eq!(view.snapshot().instances().len(), 1);
//!
//! pay.lose_registry();
//! assert_eq!(view.snapshot().instances().len(), 1, "traffic goes on");
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `server` there is `TestRegistry`, the real registry of one member or three in the test's own
//! process, with the faults that a client has to live through: see there.

#[cfg(feature = "server")]
mod embedded;
mod fake;

#[cfg(feature = "server")]
pub use embedded::{Line, Member, TestRegistry, TestingError};
pub use fake::{FakeDiscovery, UnknownInstance};
