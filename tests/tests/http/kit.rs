//! An HTTP client, of version 1 and of version 2, that sees heads and bodies as they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use registry_tests::within;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

type Body = Either<Full<Bytes>, Channel<Bytes>>;

/// One connection. Dropping it closes it.
pub(crate) struct Http {
    sender: Sending,
    address: String,
    connection: JoinHandle<()>,
}

enum Sending {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

/// An answer that is there as a whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// A stream both ways.
pub(crate) struct Stream {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    requests: Sender<Bytes>,
    body: Incoming,
    waiting: Vec<u8>,
}

impl Http {
    /// HTTP/1.1 to a node's URL.
    pub(crate) async fn connect(url: &str) -> Self {
        let (stream, address) = dial(url).await;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("the server speaks HTTP/1");
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { sender: Sending::One(sender), address, connection }
    }

    /// HTTP/2 to a node's URL.
    pub(crate) async fn connect2(url: &str) -> Self {
        let (stream, address) = dial(url).await;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("the server speaks HTTP/2");
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { sender: Sending::Two(sender), address, connection }
    }

    /// Any request.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        Answer::read(self.send(self.request(method, path, headers, Either::Left(Full::new(body.into())))).await).await
    }

    /// POSTs JSON; none if the connection was closed before an answer was read.
    pub(crate) async fn try_post(&mut self, path: &str, body: impl Into<Bytes>) -> Option<Answer> {
        let headers = [("content-type", "application/json")];
        let request = self.request(Method::POST, path, &headers, Either::Left(Full::new(body.into())));
        Some(Answer::read(self.try_send(request).await.ok()?).await)
    }

    /// POSTs JSON.
    pub(crate) async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.ask(Method::POST, path, &[("content-type", "application/json")], body).await
    }

    /// POSTs JSON that is to be answered well, with what is told there.
    pub(crate) async fn call(&mut self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body.to_string()).await;
        assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
        answer.json()
    }

    /// Opens a stream whose first requests are `first`; more can follow.
    pub(crate) async fn stream(&mut self, path: &str, headers: &[(&str, &str)], first: &str) -> Stream {
        let (mut requests, body) = Channel::new(8);
        requests.send_data(first.to_owned().into()).await.expect("there is room for it");
        let response = self.send(self.request(Method::POST, path, headers, Either::Right(body))).await;
        let (head, body) = response.into_parts();
        Stream { status: head.status, headers: head.headers, requests, body, waiting: Vec::new() }
    }

    /// A gRPC call with an empty message: its code and text.
    pub(crate) async fn grpc(&mut self, method: &str) -> (i64, String) {
        let body = Either::Left(Full::new(Bytes::from_static(&[0; 5])));
        let headers = [("content-type", "application/grpc"), ("te", "trailers")];
        let (head, body) = self.send(self.request(Method::POST, method, &headers, body)).await.into_parts();
        let body = within(body.collect()).await.expect("the answer is whole");
        let trailers = body.trailers().unwrap_or(&head.headers).clone();
        let status = tonic::Status::from_header_map(&trailers).expect("gRPC tells a status");
        (i64::from(i32::from(status.code())), status.message().to_owned())
    }

    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
        let uri = match self.sender {
            Sending::One(_) => path.parse().expect("tests ask for paths"),
            Sending::Two(_) => format!("http://{}{path}", self.address).parse::<Uri>().expect("tests ask for paths"),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if matches!(self.sender, Sending::One(_)) && headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", &self.address);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body).expect("tests send valid heads")
    }

    async fn send(&mut self, request: Request<Body>) -> http::Response<Incoming> {
        self.try_send(request).await.expect("the server answers")
    }

    async fn try_send(&mut self, request: Request<Body>) -> hyper::Result<http::Response<Incoming>> {
        match &mut self.sender {
            Sending::One(sender) => {
                within(sender.ready()).await.expect("the connection is open");
                within(sender.send_request(request)).await
            }
            Sending::Two(sender) => within(sender.send_request(request)).await,
        }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Answer {
    async fn read(response: http::Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = within(body.collect()).await.expect("the answer is whole");
        let text = String::from_utf8(body.to_bytes().to_vec()).expect("answers are text");
        Self { status: head.status, headers: head.headers, text }
    }

    /// The body, which is JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The status, and the code and message in the body.
    pub(crate) fn refusal(&self) -> (u16, i64, String) {
        refusal(self.status, &self.json())
    }
}

impl Stream {
    /// One more request on the stream.
    pub(crate) async fn send(&mut self, request: &Value) {
        self.requests.send_data(request.to_string().into()).await.expect("the stream takes requests");
    }

    /// No more requests.
    pub(crate) fn finish(&mut self) {
        self.requests = Channel::<Bytes>::new(1).0;
    }

    /// The next line; none at the end.
    pub(crate) async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.waiting.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("each line is JSON"));
            }
            let Some(frame) = within(self.body.frame()).await else {
                assert!(self.waiting.is_empty(), "half a line: {:?}", self.waiting);
                return None;
            };
            if let Ok(data) = frame.expect("the stream does not break").into_data() {
                self.waiting.extend_from_slice(&data);
            }
        }
    }

    /// The result in the next line.
    pub(crate) async fn result(&mut self) -> Value {
        let mut line = self.line().await.expect("the stream goes on");
        assert!(line["result"].is_object(), "{line}");
        line["result"].take()
    }
}

/// The status, and the code and message of an error.
pub(crate) fn refusal(status: StatusCode, error: &Value) -> (u16, i64, String) {
    let object = error.as_object().expect("an error is an object");
    assert!(object.keys().all(|key| key == "code" || key == "message"), "{error}");
    (
        status.as_u16(),
        error["code"].as_i64().expect("an error has a code"),
        error["message"].as_str().unwrap_or_default().to_owned(),
    )
}

/// In base64.
pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

async fn dial(url: &str) -> (TcpStream, String) {
    let address = url.trim_start_matches("http://").to_owned();
    (within(TcpStream::connect(&address)).await.expect("the server listens"), address)
}
