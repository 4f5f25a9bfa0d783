//! The echo service, compiled from `proto/echo.proto`: what the suites put load on.
#![expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; the .proto file says what there is"
)]

tonic::include_proto!("echo");
