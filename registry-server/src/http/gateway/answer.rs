//! The answer of a call as HTTP has it: one object, or a line for each message of a stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::body::Body;
use tonic::{Code, Status};

use super::departure::Departure;
use super::headers::from_metadata;
use super::messages::{Messages, Next};
use super::render::{PIECE_BYTES, Render};
use super::routes::Route;
use super::shapes::Shapes;
use super::status::{JSON, refusal, whole, write_error_line};

/// A request whose call has begun.
#[derive(Debug)]
pub struct Exchange {
    pub(super) route: &'static Route,
    pub(super) shapes: Arc<Shapes>,
    /// Of a connection that does not tell by itself when its client is gone.
    pub(super) departure: Option<Departure>,
}

impl Exchange {
    /// Waits for the answer, and makes HTTP's of it. A client that goes away ends the call.
    pub async fn answer<B>(self, call: impl Future<Output = Result<Response<B>, Infallible>>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: std::fmt::Display> + Send + 'static,
    {
        let Some(departure) = &self.departure else { return self.begin(call).await };
        let gone = departure.wait();
        tokio::select! {
            biased;
            () = gone => refusal(&Status::cancelled("context canceled"), self.route.gives_many),
            response = self.begin(call) => response,
        }
    }

    /// The head says how the call went, so it waits for the first message, or the error in its place.
    async fn begin<B>(&self, call: impl Future<Output = Result<Response<B>, Infallible>>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: std::fmt::Display> + Send + 'static,
    {
        let Ok(answer) = call.await;
        let (head, body) = answer.into_parts();
        let metadata = from_metadata(&head.headers);
        let mut messages = Messages::new(body);
        let next = match Status::from_header_map(&head.headers) {
            Some(status) => Next::End(status),
            None => messages.next().await,
        };
        let mut response = match next {
            Next::Message(message) => self.render(message, messages).await,
            Next::End(status) if status.code() != Code::Ok => refusal(&status, self.route.gives_many),
            Next::End(_) if self.route.gives_many => whole(Vec::new()),
            Next::End(_) => refusal(&Status::internal("the call was answered without a message"), false),
        };
        let headers: &mut HeaderMap = response.headers_mut();
        headers.extend(metadata);
        // What the server knows of the answer, it knows of its JSON.
        *response.extensions_mut() = head.extensions;
        response
    }

    async fn render<B>(&self, message: Bytes, messages: Messages<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: std::fmt::Display> + Send + 'static,
    {
        let mut lines = JsonAnswer {
            messages,
            shapes: self.shapes.clone(),
            route: self.route,
            render: None,
            out: Vec::new(),
            gone: self.departure.as_ref().map(|departure| Box::pin(departure.wait())),
            has_ended: false,
        };
        lines.begin(message);
        // What is small is sent with its length.
        if !self.route.gives_many && matches!(lines.fill(), Ok(true)) {
            return match lines.messages.next().await {
                Next::End(status) if status.code() != Code::Ok => refusal(&status, false),
                Next::End(_) | Next::Message(_) => whole(lines.out),
            };
        }
        let mut response = Response::new(Body::new(lines));
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    }
}

/// The body: JSON, a piece at a time, as the client takes it.
struct JsonAnswer<B> {
    messages: Messages<B>,
    shapes: Arc<Shapes>,
    route: &'static Route,
    /// The message that is being written.
    render: Option<Render>,
    /// What was written and not sent.
    out: Vec<u8>,
    gone: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    has_ended: bool,
}

impl<B> JsonAnswer<B> {
    fn begin(&mut self, message: Bytes) {
        if self.route.gives_many {
            self.out.extend_from_slice(b"{\"result\":");
        }
        self.render = Some(Render::begin(self.shapes.clone(), self.route.response, message, &mut self.out));
    }

    /// Writes up to a piece of the message; true when it has ended.
    fn fill(&mut self) -> Result<bool, Status> {
        let Some(render) = &mut self.render else { return Ok(true) };
        let has_ended = render.fill(&mut self.out).map_err(|error| {
            tracing::error!(%error, method = self.route.method, "an answer cannot be written as JSON");
            Status::internal(error.to_string())
        })?;
        if has_ended {
            self.render = None;
            if self.route.gives_many {
                self.out.extend_from_slice(b"}\n");
            }
        }
        Ok(has_ended)
    }

    fn piece(&mut self) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.out).into()))))
    }
}

impl<B> HttpBody for JsonAnswer<B>
where
    B: HttpBody<Data = Bytes, Error: std::fmt::Display>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.gone.as_mut().is_some_and(|gone| gone.as_mut().poll(cx).is_ready()) {
            self.gone = None;
            self.has_ended = true;
            self.out.clear();
        }
        while !self.has_ended {
            self.fill()?;
            if self.out.len() >= PIECE_BYTES {
                return self.piece();
            }
            match self.messages.poll_next(cx) {
                Poll::Ready(Next::Message(message)) => self.begin(message),
                Poll::Ready(Next::End(status)) => {
                    self.has_ended = true;
                    if status.code() != Code::Ok && self.route.gives_many {
                        write_error_line(&status, &mut self.out);
                    }
                }
                Poll::Pending if self.out.is_empty() => return Poll::Pending,
                Poll::Pending => return self.piece(),
            }
        }
        if self.out.is_empty() { Poll::Ready(None) } else { self.piece() }
    }
}

impl<B> Unpin for JsonAnswer<B> {}
