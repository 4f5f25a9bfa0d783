//! What is counted of gRPC calls: started and ended by method and code, messages and bytes each way, and the
//! unary ones that took long.
//!
//! Every method's counters are there from the start, so that a first error shows as a rise from zero; a
//! request looks its method up once and then only adds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::client_versions::ClientVersions;
use super::methods::{CODES, METHODS, MethodKind, WAITING, code_name};
use super::slow::Throttle;
use crate::traces::{CallSpan, Parent, Traces};
use crate::types::{Counter, Histogram};

/// The bounds that Prometheus' libraries have where nothing else is said.
static HANDLING_BOUNDS: [Duration; 11] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// The counts of all calls of one node.
#[derive(Debug)]
pub struct Calls {
    by_path: HashMap<&'static str, usize>,
    methods: Vec<Method>,
    received_bytes: Counter,
    sent_bytes: Counter,
    pub(super) versions: ClientVersions,
    /// A unary call that takes longer gets a line in the log.
    slow_after: Duration,
    slow_lines: Throttle,
    /// None unless calls are traced.
    traces: Option<Traces>,
}

/// One method's counts.
#[derive(Debug)]
pub(super) struct Method {
    path: &'static str,
    pub(super) kind: MethodKind,
    pub(super) started: Counter,
    /// By code.
    pub(super) handled: [Counter; CODES],
    pub(super) received: Counter,
    pub(super) sent: Counter,
    /// From the beginning to the end.
    pub(super) handling: Histogram,
}

/// One call under way, shared by its request's body and its answer.
#[derive(Debug)]
pub struct Call {
    calls: Arc<Calls>,
    method: usize,
    begun: Instant,
    /// When the first message had come, and when the answer was ready, in nanoseconds from `begun`; 0 before.
    read_ns: AtomicU64,
    answered_ns: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    ended: AtomicBool,
    /// None unless this call is sampled.
    span: Option<Box<CallSpan>>,
}

impl Method {
    fn new(path: &'static str, kind: MethodKind) -> Self {
        let (started, received, sent) = (Counter::default(), Counter::default(), Counter::default());
        let handling = Histogram::new(&HANDLING_BOUNDS);
        Self { path, kind, started, handled: Default::default(), received, sent, handling }
    }

    /// The service's and the method's name.
    pub(super) fn names(&self) -> (&'static str, &'static str) {
        self.path[1..].split_once('/').expect("each path of the table has two parts")
    }
}

impl Calls {
    /// No call yet. A unary one that takes longer than `slow_after` is told in the log.
    #[must_use]
    pub fn new(slow_after: Duration) -> Arc<Self> {
        Self::traced(slow_after, None)
    }

    /// The same, whose calls are traced.
    #[must_use]
    pub fn traced(slow_after: Duration, traces: Option<Traces>) -> Arc<Self> {
        let methods: Vec<_> = METHODS.iter().map(|(path, kind)| Method::new(path, *kind)).collect();
        Arc::new(Self {
            by_path: methods.iter().enumerate().map(|(at, method)| (method.path, at)).collect(),
            methods,
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            versions: ClientVersions::default(),
            slow_after,
            slow_lines: Throttle::default(),
            traces,
        })
    }

    /// A call begins; none for a path that is no method.
    pub(super) fn begin(self: &Arc<Self>, path: &str, headers: &HeaderMap) -> Option<Arc<Call>> {
        let method = *self.by_path.get(path)?;
        self.methods[method].started.inc();
        let traces = self.traces.as_ref();
        let span = traces.and_then(|traces| traces.begin(self.methods[method].path, headers));
        Some(Arc::new(Call {
            calls: self.clone(),
            method,
            begun: Instant::now(),
            read_ns: AtomicU64::new(0),
            answered_ns: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            span: span.map(Box::new),
        }))
    }

    pub(super) fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Bytes of messages that came in.
    pub(super) fn received_bytes(&self) -> u64 {
        self.received_bytes.get()
    }

    /// Bytes of messages that went out.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.get()
    }
}

impl Call {
    fn method(&self) -> &Method {
        &self.calls.methods[self.method]
    }

    /// Counts the version that the client names.
    ///
    /// # Errors
    /// etcd's, for a version that is no text.
    pub(super) fn note_version(&self, headers: &HeaderMap) -> Result<(), Status> {
        self.calls.versions.note(headers, self.method().kind)
    }

    /// A message has come in whole.
    pub(super) fn received(&self, bytes: u64) {
        self.method().received.inc();
        self.calls.received_bytes.add(bytes);
        if self.request_bytes.fetch_add(bytes, Ordering::Relaxed) == 0 && self.method().kind == MethodKind::Unary {
            // A client that sends slowly does not make a request slow.
            self.read_ns.store(self.since_begun(), Ordering::Relaxed);
        }
    }

    /// A message goes out.
    pub(super) fn sent(&self, bytes: u64) {
        self.method().sent.inc();
        self.calls.sent_bytes.add(bytes);
        self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The answer's head is ready; what follows depends on how fast the client reads.
    pub(super) fn answered(&self) {
        self.answered_ns.store(self.since_begun(), Ordering::Relaxed);
    }

    /// Above the spans of this call's steps; none if it is not sampled.
    pub(super) fn span(&self) -> Option<&Parent> {
        self.span.as_deref().map(CallSpan::parent)
    }

    /// The call has ended, if these headers or trailers of its answer have a code.
    pub(super) fn end_by(&self, headers: &HeaderMap) {
        if let Some(code) = headers.get(Status::GRPC_STATUS) {
            let message = || Status::from_header_map(headers).map_or_else(String::new, |it| it.message().to_owned());
            self.end_saying(Code::from_bytes(code.as_bytes()), message);
        }
    }

    /// The call has ended with a code; only the first end counts.
    pub(super) fn end(&self, code: Code) {
        self.end_saying(code, String::new);
    }

    fn end_saying(&self, code: Code, message: impl FnOnce() -> String) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(span) = &self.span {
            span.end(code, message);
        }
        self.method().handled[code as usize].inc();
        self.method().handling.observe(self.begun.elapsed());
        if self.method().kind == MethodKind::Unary && !WAITING.contains(&self.method().path) {
            self.tell_if_slow(code);
        }
    }

    fn tell_if_slow(&self, code: Code) {
        let answered = match self.answered_ns.load(Ordering::Relaxed) {
            0 => self.since_begun(),
            answered => answered,
        };
        let took = Duration::from_nanos(answered.saturating_sub(self.read_ns.load(Ordering::Relaxed)));
        if took <= self.calls.slow_after {
            return;
        }
        let Some(held_back) = self.calls.slow_lines.pass(Instant::now()) else { return };
        tracing::warn!(
            method = self.method().path,
            code = code_name(code),
            ?took,
            expected = ?self.calls.slow_after,
            request_bytes = self.request_bytes.load(Ordering::Relaxed),
            response_bytes = self.response_bytes.load(Ordering::Relaxed),
            held_back,
            "a request took too long"
        );
    }

    fn since_begun(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Nobody waited for its end.
        self.end(Code::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    const LIMIT: Duration = Duration::from_millis(300);

    /// What is logged of a call that took `sending` to come in and `handling` to be answered.
    async fn log_of(path: &str, sending: Duration, handling: Duration) -> String {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let call = Calls::new(LIMIT).begin(path, &HeaderMap::new()).unwrap();
        tokio::time::advance(sending).await;
        call.received(7);
        tokio::time::advance(handling).await;
        call.answered();
        call.sent(9);
        call.end(Code::Ok);
        let text = log.0.lock().clone();
        String::from_utf8(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_unary_call_is_told_with_its_sizes() {
        let line = log_of("/etcdserverpb.KV/Put", Duration::ZERO, LIMIT * 2).await;
        for part in ["WARN", "/etcdserverpb.KV/Put", "OK", "600ms", "request_bytes=7", "response_bytes=9"] {
            assert!(line.contains(part), "{part} is missing in {line}");
        }
        assert_eq!(line.lines().count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_quick_calls_nor_slow_senders_nor_streams_nor_waiting_ones_are_told() {
        assert_eq!(log_of("/etcdserverpb.KV/Put", Duration::ZERO, LIMIT).await, "");
        assert_eq!(log_of("/etcdserverpb.KV/Put", LIMIT * 2, Duration::ZERO).await, "");
        assert_eq!(log_of("/etcdserverpb.Watch/Watch", Duration::ZERO, LIMIT * 2).await, "");
        assert_eq!(log_of("/v3lockpb.Lock/Lock", Duration::ZERO, LIMIT * 2).await, "");
    }

    #[test]
    fn a_call_that_nobody_waits_for_ends_as_cancelled_and_each_ends_once() {
        let calls = Calls::new(LIMIT);
        let no = HeaderMap::new();
        drop(calls.begin("/etcdserverpb.KV/Put", &no));
        let call = calls.begin("/etcdserverpb.KV/Put", &no).unwrap();
        call.end(Code::Ok);
        drop(call);
        assert!(calls.begin("/etcdserverpb.KV/Nothing", &no).is_none());
        let put = calls.methods().iter().find(|method| method.names() == ("etcdserverpb.KV", "Put")).unwrap();
        assert_eq!(put.started.get(), 2);
        assert_eq!((put.handled[Code::Ok as usize].get(), put.handled[Code::Cancelled as usize].get()), (1, 1));
    }
}
