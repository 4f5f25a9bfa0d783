//! Judges what clients saw of an etcd-like server: a history in, violations of what was promised out.
//!
//! [`history`] is what a run writes down; [`model`] is the state machine that a right server has.
//!
//! What always holds: nothing here knows a clock, a server or any I/O, so that a simulated run and a real one
//! are judged alike.

pub mod history;
pub mod model;
