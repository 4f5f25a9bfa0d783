//! Spans: of a call, under its caller's span if it names one, and of the steps of a call.

use http::{Extensions, HeaderMap};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use parking_lot::Mutex;
use tonic::Code;

/// What is told of a span: a name and a value.
pub type Attribute = KeyValue;

/// Of a key so many bytes are told.
const MOST_BYTES: usize = 512;

/// Makes spans. Clones send theirs the same way.
#[derive(Debug, Clone)]
pub struct Traces {
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

/// The span of one call. Dropped without an end, it ends at once.
#[derive(Debug)]
pub struct CallSpan {
    span: Mutex<opentelemetry_sdk::trace::Span>,
    parent: Parent,
}

/// A span under which others can be, among the extensions of a request that is sampled.
#[derive(Debug, Clone)]
pub struct Parent {
    tracer: SdkTracer,
    context: SpanContext,
}

/// The span of a part of a call, up to its drop.
#[derive(Debug)]
#[must_use = "a step ends when it is dropped"]
pub struct Step {
    _span: opentelemetry_sdk::trace::Span,
}

impl Traces {
    pub(super) fn new(tracer: SdkTracer) -> Self {
        Self { tracer, propagator: TraceContextPropagator::new() }
    }

    /// A call of a method begins, by its path; none if it is not sampled. A `traceparent` that cannot be read is as good as
    /// none.
    #[must_use]
    pub fn begin(&self, path: &'static str, headers: &HeaderMap) -> Option<CallSpan> {
        let caller = self.propagator.extract_with_context(&Context::new(), &Headers(headers));
        let name = path.trim_start_matches('/');
        let attributes = [KeyValue::new("rpc.method", name), KeyValue::new("rpc.system.name", "grpc")];
        let span = self.tracer.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let span = span.start_with_context(&self.tracer, &caller);
        let parent = Parent { tracer: self.tracer.clone(), context: span.span_context().clone() };
        span.is_recording().then(|| CallSpan { span: Mutex::new(span), parent })
    }
}

impl CallSpan {
    /// For the steps of this call.
    #[must_use]
    pub fn parent(&self) -> &Parent {
        &self.parent
    }

    /// The call has ended. `message` is asked for when the code is the server's fault, as in etcd.
    pub fn end(&self, code: Code, message: impl FnOnce() -> String) {
        let mut span = self.span.lock();
        span.set_attribute(KeyValue::new("rpc.response.status_code", canonical(code)));
        let is_fault = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        if is_fault {
            span.set_status(Status::error(message()));
        }
        span.end();
    }
}

impl Parent {
    /// The span above, of a request that is sampled.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// A part of the call begins.
    pub fn step(&self, name: &'static str, attributes: impl IntoIterator<Item = Attribute>) -> Step {
        let above = Context::new().with_remote_span_context(self.context.clone());
        let span = self.tracer.span_builder(name).with_kind(SpanKind::Internal).with_attributes(attributes);
        Step { _span: span.start_with_context(&self.tracer, &above) }
    }
}

/// A key, or its beginning, as an attribute.
#[must_use]
pub fn text(name: &'static str, bytes: &[u8]) -> Attribute {
    let told = &bytes[..bytes.len().min(MOST_BYTES)];
    KeyValue::new(name, String::from_utf8_lossy(told).into_owned())
}

/// A code's name in gRPC's specification.
fn canonical(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A request's headers, where the caller's span stands.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
