//! A collector of OpenTelemetry that keeps what it gets.

use std::sync::Arc;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};
use tower_service::Service;

/// A collector; dropping it ends it.
pub(crate) struct Collector {
    address: String,
    kept: Kept,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<ResourceSpans>>>);

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().extend(request.into_inner().resource_spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let kept = Kept::default();
        let service = TraceServiceServer::new(kept.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                let answer = service_fn(move |request| service.clone().call(request));
                let serving = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer);
                drop(tokio::spawn(serving));
            }
        });
        Self { address, kept, accepting }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// What came, in the order in which it ended.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let kept = self.kept.0.lock();
        let scopes = kept.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// What all spans say of their sender by one name.
    pub(crate) fn resource(&self, name: &str) -> String {
        let kept = self.kept.0.lock();
        let attributes = kept.iter().filter_map(|it| it.resource.as_ref()).flat_map(|it| &it.attributes);
        let mut values = attributes.filter(|it| it.key == name).filter_map(|it| it.value.clone()?.value);
        match values.next() {
            Some(Value::StringValue(text)) => text,
            other => panic!("{name} is {other:?}"),
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
