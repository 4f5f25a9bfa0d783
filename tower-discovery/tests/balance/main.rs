//! The balancer's promises, checked from outside. A test's number is that of the guarantee it checks.

#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod discovery;
mod each;
mod footprint;
mod grpc;
mod http1;
mod kit;
mod metering;
mod own;
mod picking;
mod resend;
mod retry;
mod securing;
mod sharing;
mod silent;
mod slow;
mod timing;
mod tonic_feed;
