//! Watches against a registry whose every answer the test writes itself, on paused time: what a real server says
//! rarely, or only when it is broken.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod listing;
mod registry;
mod streams;
