//! Traces: what a collector of OpenTelemetry gets to see of calls.

mod collector;
mod export;
