//! gRPC calls as bytes: any path, headers and body, whatever a generated client would refuse to send.

use std::time::Duration;

use bytes::{BufMut, Bytes};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower_service::Service;

use crate::budget::{ANSWER, SOON};

/// A message's flag and length on the wire.
const HEAD_BYTES: usize = 5;

/// One HTTP/2 connection. Clones share it.
#[derive(Debug, Clone)]
pub struct Wire {
    channel: Channel,
    url: String,
}

/// The whole answer to a call.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status: 200 for whatever gRPC has to say.
    pub http: StatusCode,
    /// Code and text; OK without a text for a call that succeeded, none when the answer is no gRPC.
    pub status: Option<Status>,
    /// The messages before it.
    pub messages: Vec<Bytes>,
    /// The server ended it: it did not break, nor had it to be left.
    pub is_whole: bool,
}

/// A message as it stands in a body: not compressed, its length, its bytes.
#[must_use]
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(HEAD_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("a test's message is short"));
    framed.put_slice(message);
    framed
}

impl Wire {
    /// Connects to a server that serves.
    ///
    /// # Panics
    /// When that fails.
    pub async fn connect(url: &str) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("it is a URL").connect_timeout(SOON);
        let channel = endpoint.timeout(ANSWER).connect().await.expect("the server serves");
        Self { channel, url: url.to_owned() }
    }

    /// The head of a call, as every gRPC client sends it.
    ///
    /// # Panics
    /// When the path is no part of a URL.
    #[must_use]
    pub fn head(&self, path: &str) -> http::request::Builder {
        let uri = format!("{}{path}", self.url);
        Request::post(uri).header("te", "trailers").header("content-type", "application/grpc")
    }

    /// Calls a method with messages, and then says no more.
    ///
    /// # Errors
    /// When the server ends the stream or the connection instead of answering.
    pub async fn call<M: AsRef<[u8]>>(&self, path: &str, messages: &[M]) -> Result<Answer, tonic::transport::Error> {
        let body = messages.iter().flat_map(|message| frame(message.as_ref())).collect::<Vec<_>>();
        self.send(self.head(path), body).await
    }

    /// The same for a stream that the server may not end: reads until `enough` of it has come.
    ///
    /// # Errors
    /// When the server ends the stream or the connection instead of answering.
    pub async fn call_until<M: AsRef<[u8]>>(
        &self,
        path: &str,
        messages: &[M],
        enough: impl Fn(&[Bytes]) -> bool,
    ) -> Result<Answer, tonic::transport::Error> {
        let body = messages.iter().flat_map(|message| frame(message.as_ref())).collect::<Vec<_>>();
        self.send_until(self.head(path), body, enough).await
    }

    /// Sends a request with any head and body.
    ///
    /// # Errors
    /// When the server ends the stream or the connection instead of answering.
    pub async fn send(
        &self,
        head: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> Result<Answer, tonic::transport::Error> {
        self.send_until(head, body, |_| false).await
    }

    /// Calls a method with a message, and reads nothing of the answer's body.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn unread(&self, path: &str, message: &[u8]) -> http::Response<Body> {
        let request = self.head(path).body(Body::new(Full::new(Bytes::from(frame(message)))));
        let mut channel = self.channel.clone();
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.expect("the connection lives");
        channel.call(request.expect("the head is well-formed")).await.expect("the server answers")
    }

    async fn send_until(
        &self,
        head: http::request::Builder,
        body: impl Into<Bytes>,
        enough: impl Fn(&[Bytes]) -> bool,
    ) -> Result<Answer, tonic::transport::Error> {
        let request = head.body(Body::new(Full::new(body.into()))).expect("the head is well-formed");
        let mut channel = self.channel.clone();
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
        let (head, body) = channel.call(request).await?.into_parts();
        let mut rest = Trailing::default();
        rest.read(body, enough).await;
        let status = Status::from_header_map(&rest.trailers).or_else(|| Status::from_header_map(&head.headers));
        let is_whole = rest.is_ended && rest.broken.is_none();
        Ok(Answer { http: head.status, status: rest.broken.or(status), messages: messages(&rest.body), is_whole })
    }
}

impl Answer {
    /// Code and text, when it is a refusal.
    #[must_use]
    pub fn refusal(&self) -> Option<(Code, String)> {
        let status = self.status.as_ref().filter(|status| status.code() != Code::Ok)?;
        Some((status.code(), status.message().to_owned()))
    }
}

/// What follows an answer's head.
#[derive(Debug, Default)]
struct Trailing {
    body: Vec<u8>,
    trailers: HeaderMap,
    /// What ended the answer early.
    broken: Option<Status>,
    is_ended: bool,
}

impl Trailing {
    async fn read(&mut self, mut body: Body, enough: impl Fn(&[Bytes]) -> bool) {
        while !enough(&messages(&self.body)) {
            // A stream without an end would otherwise hold a test up for ever.
            match tokio::time::timeout(ANSWER, body.frame()).await {
                Ok(None) => return self.is_ended = true,
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.body.extend_from_slice(&data),
                    Err(frame) => self.trailers.extend(frame.into_trailers().unwrap_or_default()),
                },
                Ok(Some(Err(status))) => return self.broken = Some(status),
                Err(_) => return self.broken = Some(no_end(ANSWER)),
            }
        }
    }
}

fn no_end(limit: Duration) -> Status {
    Status::deadline_exceeded(format!("the answer did not end within {limit:?}"))
}

/// The messages of a body.
fn messages(body: &[u8]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(body);
    let mut messages = Vec::new();
    while rest.len() >= HEAD_BYTES {
        let head = rest.split_to(HEAD_BYTES);
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        messages.push(rest.split_to(len.min(rest.len())));
    }
    messages
}
