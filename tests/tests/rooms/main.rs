//! The project guards its shape: which room of the server may use which, what knows of tonic, and that each
//! file says what it is for and stays small enough to be read. And what it says of its likeness to etcd: `compatibility`; what
//! users of the SDK can rely on: `public_api`; and what shows the SDK's promises: `guarantees`.

mod compatibility;
mod directions;
mod files;
mod guarantees;
mod public_api;
mod sources;
