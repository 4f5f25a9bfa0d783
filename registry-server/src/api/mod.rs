//! The gRPC services: decode, validate, hand over, answer.

pub mod watch;
