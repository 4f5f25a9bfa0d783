//! Traces of what clients ask: a span for each gRPC call, and within it one for what etcd calls a step, sent to an
//! OpenTelemetry collector.
//!
//! Names and attributes are etcd's. `settings` says where spans go and how many, `span` makes them, `export` sends them from
//! threads of their own. A call that is not sampled has no span, and without the flag nobody looks for one. Values,
//! passwords and tokens are in none; keys are, as in etcd.

mod export;
mod settings;
mod span;

pub use export::Exporting;
pub use settings::{TraceSettings, TraceSettingsError};
pub use span::{Attribute, CallSpan, Parent, Step, Traces, text};
