//! The project guards its shape: which room of the server may use which, what knows of tonic, and that each
//! file says what it is for and stays small enough to be read. And what it says of its likeness to etcd: `compatibility`. And what
//! users of the SDK can rely on: `public_api`.
//! file says what it is for and stays small enough to be read. And what it says of its likeness to etcd: `compatibility`, and of what shows the
//! SDK's promises: `guarantees`.

mod compatibility;
mod directions;
mod files;
mod public_api;
mod guarantees;
mod sources;
