//! How spans leave: ended ones wait, at most [`MOST_WAITING`] of them, and go out in batches from a thread that waits for the
//! collector; another one carries the connection. What comes while all places are taken is lost, counted, and told in the
//! log; no call ever waits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter as Exporter,
    SpanProcessor,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::settings::TraceSettings;
use super::span::Traces;

/// Of whom the spans of calls are said to be, as etcd's.
const SCOPE: &str = "go.etcd.io/etcd";
/// Spans that have ended and are not sent yet.
const MOST_WAITING: usize = 2_048;
/// Spans that are sent together.
const BATCH: usize = 512;
/// How long a span waits for others to be sent with.
const DELAY: Duration = Duration::from_secs(5);
/// How long a batch may take to be taken by the collector.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stop waits for the last spans to be sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The threads that send spans. Dropping it ends them as [`Exporting::finish`] does, without waiting.
#[derive(Debug)]
pub struct Exporting {
    stop: DropGuard,
    ended: oneshot::Receiver<()>,
}

impl Exporting {
    /// Begins to send spans as `settings`, which have been validated, say. Whether the collector is there shows with the
    /// first batch.
    ///
    /// # Errors
    /// When the system has no thread or no file descriptor left.
    pub async fn start(settings: &TraceSettings) -> io::Result<(Self, Traces)> {
        let stop = CancellationToken::new();
        let (end, ended) = oneshot::channel::<()>();
        let (made, provider) = oneshot::channel();
        let (token, settings) = (stop.clone(), settings.clone());
        let stop = stop.drop_guard();
        // The runtime is made and dropped on the thread: one that is dropped on an async thread panics.
        let main = move || {
            let (runtime, provider) = match sending(&settings) {
                Ok(sending) => sending,
                Err(error) => return drop(made.send(Err(error))),
            };
            drop(made.send(Ok(provider.clone())));
            runtime.block_on(async {
                token.cancelled().await;
                // It waits for the sending thread, whose connection needs this one meanwhile.
                let flush = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
                if !matches!(flush.await, Ok(Ok(()))) {
                    tracing::warn!("the last spans could not be sent to the collector");
                }
            });
            drop(runtime);
            // Nothing is sent: whoever waits sees that the thread is done.
            drop(end);
        };
        thread::Builder::new().name("traces".to_owned()).spawn(main)?;
        let provider = provider.await.map_err(|_| io::Error::other("the thread of the traces has ended"))??;
        Ok((Self { stop, ended }, Traces::new(provider.tracer(SCOPE))))
    }

    /// Sends the spans that have ended, for two seconds at most. Dropping the future ends the threads all the same.
    pub async fn finish(self) {
        let Self { stop, ended } = self;
        drop(stop);
        drop(ended.await);
    }
}

/// What sends, and the runtime that its connection belongs to.
fn sending(settings: &TraceSettings) -> io::Result<(Runtime, SdkTracerProvider)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let provider = {
        let _entered = runtime.enter();
        provider(settings)?
    };
    Ok((runtime, provider))
}

fn provider(settings: &TraceSettings) -> io::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(format!("http://{}", settings.address));
    let exporter = exporter.with_timeout(SEND_TIMEOUT).build().map_err(io::Error::other)?;
    let waiting = Arc::new(Waiting::default());
    let exporter = Watched { exporter, waiting: waiting.clone(), has_failed: AtomicBool::new(false) };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(MOST_WAITING)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let id = settings.instance_id.clone().map(|id| KeyValue::new("service.instance.id", id));
    let resource = Resource::builder().with_service_name(settings.service_name.clone()).with_attributes(id).build();
    let sampler = if settings.sampling_per_million == 0 {
        Sampler::AlwaysOff
    } else {
        Sampler::TraceIdRatioBased(settings.ratio())
    };
    Ok(SdkTracerProvider::builder()
        .with_span_processor(Bounded { processor, waiting })
        .with_sampler(Sampler::ParentBased(Box::new(sampler)))
        .with_resource(resource)
        .build())
}

/// The spans on their way.
#[derive(Debug, Default)]
struct Waiting {
    spans: AtomicUsize,
    /// How many were lost since the last line about it.
    lost: AtomicU64,
}

/// Lets no more spans wait than there are places. The library has a bound of its own, but tells nobody what it loses.
#[derive(Debug)]
struct Bounded {
    processor: BatchSpanProcessor,
    waiting: Arc<Waiting>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.spans.fetch_add(1, Ordering::Relaxed) < MOST_WAITING {
            return self.processor.on_end(span);
        }
        self.waiting.spans.fetch_sub(1, Ordering::Relaxed);
        self.waiting.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// Sends batches, and says in the log when that begins and ceases to fail.
#[derive(Debug)]
struct Watched {
    exporter: SpanExporter,
    waiting: Arc<Waiting>,
    has_failed: AtomicBool,
}

impl Exporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.exporter.export(batch).await;
        self.waiting.spans.fetch_sub(spans, Ordering::Relaxed);
        match &outcome {
            Ok(()) if self.has_failed.swap(false, Ordering::Relaxed) => {
                let lost = self.waiting.lost.swap(0, Ordering::Relaxed);
                tracing::info!(lost, "the collector of traces takes spans again");
            }
            Ok(()) => {
                let lost = self.waiting.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!(
                        lost,
                        "spans were lost: they come faster than the collector takes them; sample fewer"
                    );
                }
            }
            Err(error) => {
                self.waiting.lost.fetch_add(spans as u64, Ordering::Relaxed);
                if !self.has_failed.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "spans are lost: the collector of traces does not take them; see --distributed-tracing-address");
                }
            }
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
