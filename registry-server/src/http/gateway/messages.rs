//! The messages in the body of a gRPC answer, and the status behind them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as HttpBody;
use tonic::{Code, Status};

/// The flag and the length before a message.
const HEAD_BYTES: usize = 5;

/// A body that is being read.
pub(super) struct Messages<B> {
    body: Pin<Box<B>>,
    waiting: Bytes,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    Message(Bytes),
    /// The status of the call.
    End(Status),
}

impl<B> Messages<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    pub(super) fn new(body: B) -> Self {
        Self { body: Box::pin(body), waiting: Bytes::new() }
    }

    /// The next message, or the end.
    pub(super) async fn next(&mut self) -> Next {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(message) = self.take() {
                return Poll::Ready(Next::Message(message));
            }
            let frame = match ready!(self.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Next::End(Status::internal(error.to_string()))),
                None => return Poll::Ready(Next::End(Status::internal("the answer ended without a status"))),
            };
            match frame.into_data() {
                Ok(data) => self.waiting = append(&self.waiting, data),
                Err(frame) => {
                    let status = frame.trailers_ref().and_then(Status::from_header_map);
                    return Poll::Ready(Next::End(status.unwrap_or_else(|| Status::new(Code::Ok, ""))));
                }
            }
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let head = self.waiting.first_chunk::<HEAD_BYTES>()?;
        let [_, length @ ..] = *head;
        let len = u32::from_be_bytes(length) as usize;
        if self.waiting.len() - HEAD_BYTES < len {
            return None;
        }
        self.waiting.advance(HEAD_BYTES);
        Some(self.waiting.split_to(len))
    }
}

/// A large answer comes in one piece as a rule, and is not copied then.
fn append(waiting: &Bytes, data: Bytes) -> Bytes {
    if waiting.is_empty() {
        return data;
    }
    let mut both = BytesMut::with_capacity(waiting.len() + data.len());
    both.extend_from_slice(waiting);
    both.extend_from_slice(&data);
    both.freeze()
}
