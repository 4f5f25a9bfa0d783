//! gRPC reflection, for grpcurl and the like: which services there are, and what their messages look like.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use pin_project_lite::pin_project;
use prost::Message as _;
use prost_reflect::prost_types::FileDescriptorSet;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic_reflection::server::Builder;

use super::methods::METHODS;
use super::others::Route;

/// The service's two names. Older clients know only the second.
const V1: &str = "grpc.reflection.v1.ServerReflection";
const V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";
/// What members say to each other is not served here.
const PEERS_FILE: &str = "peer.proto";
/// A question is a name.
const MAX_QUESTION_BYTES: usize = 16 * 1024;

/// Called with a request.
type Answers = Box<dyn Fn(Request<Body>) -> BoxFuture<Response<Body>, Infallible> + Send + Sync>;

/// The two versions. They are the same for all nodes of a process, and made when somebody asks.
static ANSWERS: LazyLock<[Answers; 2]> = LazyLock::new(|| {
    let v1 = builder().build_v1().expect("the build compiled the descriptors");
    let v1 = v1.max_decoding_message_size(MAX_QUESTION_BYTES);
    let v1alpha = builder().build_v1alpha().expect("the build compiled the descriptors");
    let v1alpha = v1alpha.max_decoding_message_size(MAX_QUESTION_BYTES);
    [Box::new(move |request| v1.clone().call(request)), Box::new(move |request| v1alpha.clone().call(request))]
});

/// One version of the service, whose streams end with the server.
struct Reflection {
    version: usize,
    stop: CancellationToken,
}

/// Both versions by name. Their clients' streams end when `stop` is cancelled.
pub(super) fn services(stop: &CancellationToken) -> [(&'static str, Arc<dyn Route>); 2] {
    let service = |version| -> Arc<dyn Route> { Arc::new(Reflection { version, stop: stop.clone() }) };
    [(V1, service(0)), (V1ALPHA, service(1))]
}

impl Route for Reflection {
    fn call(&self, request: Request<Body>) -> BoxFuture<Response<Body>, Infallible> {
        let stop = self.stop.clone().cancelled_owned();
        ANSWERS[self.version](request.map(|body| Body::new(UntilStop { body, stop: Some(Box::pin(stop)) })))
    }
}

/// Tells of the services that are served, and of all files that these need.
fn builder() -> Builder<'static> {
    let own = FileDescriptorSet::decode(registry_proto::DESCRIPTORS).expect("the build compiled the descriptors");
    let own = FileDescriptorSet { file: own.file.into_iter().filter(|file| file.name() != PEERS_FILE).collect() };
    let mut names: Vec<_> = METHODS.iter().filter_map(|(path, _)| Some(path[1..].split_once('/')?.0)).collect();
    names.dedup();
    let builder = Builder::configure()
        .register_file_descriptor_set(own)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
    names.into_iter().fold(builder, Builder::with_service_name)
}

pin_project! {
    /// A request's body that ends at the server's stop, so that a service that reads on ends its answer, too.
    struct UntilStop<B> {
        #[pin]
        body: B,
        // None when it has come.
        stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for UntilStop<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let Some(stop) = this.stop else { return Poll::Ready(None) };
        if stop.as_mut().poll(cx).is_ready() {
            *this.stop = None;
            return Poll::Ready(None);
        }
        this.body.poll_frame(cx)
    }
}
