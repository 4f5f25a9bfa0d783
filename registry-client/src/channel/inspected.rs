//! The body of an answer to a call that carried a token: a stream may be told at its very end that the token is bad.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;

use super::ChannelError;
use super::refusal::token_refusal;
use super::token::Tokens;

/// Passes everything on but trailers that refuse the token, in whose place stands an error that says so.
pub(super) struct Inspected {
    body: Body,
    tokens: Tokens,
    /// The token that the call carried.
    number: u64,
}

impl Inspected {
    pub(super) fn new(body: Body, tokens: Tokens, number: u64) -> Self {
        Self { body, tokens, number }
    }
}

impl HttpBody for Inspected {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(message) = frame.trailers_ref().and_then(token_refusal)
        {
            self.tokens.refuse(self.number);
            return Poll::Ready(Some(Err(ChannelError::TokenRefused(message).into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
