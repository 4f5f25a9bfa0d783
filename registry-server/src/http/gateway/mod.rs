//! etcd's API in JSON over plain HTTP, as its grpc-gateway offers it: `POST /v3/kv/range` and the like.
//!
//! A request is a gRPC call whose messages are written another way. So the gateway reads the JSON (`request`, `objects`),
//! has the server make the call as any other, with its checks and counts, and writes the answer (`answer`, `render`). A
//! service that the server does not have says so itself.
//!
//! What always holds: nothing is held of an answer but what the service gave and one piece of JSON; of a request one object
//! at a time; and what a client can make a thread do in one go is bounded.

mod answer;
mod departure;
mod headers;
mod messages;
mod objects;
mod render;
mod request;
mod routes;
mod shapes;
mod status;

use std::sync::{Arc, LazyLock};

use http::{Method, Request, Response, Uri};
use hyper::body::Incoming;
use prost_reflect::DescriptorPool;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;

pub use answer::Exchange;
pub use departure::Departure;
use request::JsonRequest;
use routes::Routes;
use shapes::Shapes;

/// What all its paths begin with.
pub(crate) const ROOT: &str = "/v3/";
/// Large requests that are read at once.
const LARGE_AT_ONCE: usize = 2;
/// How much longer a message is in JSON, at most as a rule: bytes are a third longer in base64, and some escape its slashes.
const JSON_FACTOR: usize = 2;

/// The same for all nodes of a process.
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(registry_proto::DESCRIPTORS).expect("the build compiled the descriptors");
    let mut shapes = Shapes::default();
    let routes = Routes::new(&pool, &mut shapes);
    Table { routes, shapes: Arc::new(shapes) }
});

#[derive(Debug)]
struct Table {
    routes: Routes,
    shapes: Arc<Shapes>,
}

/// Translates requests and answers.
#[derive(Debug)]
pub struct Gateway {
    /// How long an object may be, in bytes.
    limit: usize,
    /// For requests that take long to read.
    places: Arc<Semaphore>,
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Step {
    /// This gRPC call is to be made, and its answer given to the exchange.
    Call(Request<Body>, Exchange),
    /// It is answered already.
    Answer(Response<Body>),
}

impl Gateway {
    /// A gateway to services that read messages of up to `max_message_bytes`.
    #[must_use]
    pub fn new(max_message_bytes: usize) -> Self {
        let limit = max_message_bytes.saturating_mul(JSON_FACTOR);
        Self { limit, places: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }
    }

    /// Begins to answer a request to a path below `/v3/`.
    pub fn begin(&self, request: Request<Incoming>) -> Step {
        let refused = |status: &Status| Step::Answer(status::refusal(status, false));
        let Some(route) = TABLE.routes.find(request.uri().path()) else {
            return refused(&Status::not_found("Not Found"));
        };
        if request.method() != Method::POST {
            return refused(&Status::unimplemented("Method Not Allowed"));
        }
        let (head, body) = request.into_parts();
        let metadata = match headers::to_metadata(&head.headers) {
            Ok(metadata) => metadata,
            Err(status) => return refused(&status),
        };
        let body = JsonRequest::new(body, route.request.clone(), route.takes_many, self.limit, self.places.clone());
        let mut call = Request::new(Body::new(body));
        *call.method_mut() = Method::POST;
        *call.uri_mut() = Uri::from_static(route.method);
        *call.headers_mut() = metadata;
        let departure = head.extensions.get::<Departure>().cloned();
        Step::Call(call, Exchange { route, shapes: TABLE.shapes.clone(), departure })
    }
}

#[cfg(test)]
mod tests;
