//! A body that counts the gRPC messages passing through it.
//!
//! It looks at the five bytes before each message and copies nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::calls::Call;
use super::deadline::{Deadline, exceeded};
use super::known::Along;

/// Which way a body goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

pin_project! {
    /// A body of a call; without a call it is passed on as it is.
    #[derive(Debug)]
    pub struct Counted<B> {
        #[pin]
        body: B,
        way: Way,
        call: Option<Arc<Call>>,
        messages: Messages,
        // When the call is ended, if it takes so long; and whether that has happened.
        deadline: Option<Deadline>,
        expired: bool,
        along: Option<Along>,
    }
}

impl<B> Counted<B> {
    /// The body of a request.
    pub(super) fn request(body: B, call: Option<Arc<Call>>) -> Self {
        Self::new(body, Way::In, call, None)
    }

    /// The body of an answer; its trailers, or the deadline, end the call.
    pub(super) fn answer(body: B, call: Option<Arc<Call>>, deadline: Option<Deadline>) -> Self {
        Self::new(body, Way::Out, call, deadline)
    }

    fn new(body: B, way: Way, call: Option<Arc<Call>>, deadline: Option<Deadline>) -> Self {
        let messages = Messages::default();
        Self { body, way, call, messages, deadline, expired: false, along: None }
    }

    /// The same, which takes along until it has ended what belongs to its call.
    pub(super) fn of_call(self, along: Option<Along>) -> Self {
        Self { along, ..self }
    }
}

impl<B: Body<Data = Bytes>> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if *this.expired {
            return Poll::Ready(None);
        }
        if this.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            *this.expired = true;
            let status = exceeded();
            if let Some(call) = this.call.as_deref() {
                call.end(status.code());
            }
            let mut trailers = HeaderMap::new();
            // Its text is a header's.
            drop(status.add_header(&mut trailers));
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let frame = match this.along {
            Some(along) => ready!(along.gathered.poll(cx, |cx| this.body.poll_frame(cx))),
            None => ready!(this.body.poll_frame(cx)),
        };
        if let (Some(call), Some(Ok(frame))) = (this.call.as_deref(), &frame) {
            match this.way {
                Way::In => this.messages.pass(frame.data_ref(), |bytes| call.received(bytes)),
                Way::Out => this.messages.pass(frame.data_ref(), |bytes| call.sent(bytes)),
            }
            if let (Way::Out, Some(trailers)) = (*this.way, frame.trailers_ref()) {
                call.end_by(trailers);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.expired || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Where in the sequence of messages a body is.
#[derive(Debug, Default)]
struct Messages {
    /// The flag and the length before a message, as far as they have come.
    head: [u8; 5],
    head_len: usize,
    /// What the message still lacks once its head is whole.
    left: u64,
}

impl Messages {
    /// Tells the length of each message that ends in `data`.
    fn pass(&mut self, data: Option<&Bytes>, mut whole: impl FnMut(u64)) {
        let mut rest = data.map_or(&[][..], |data| data);
        while !rest.is_empty() {
            if self.head_len < self.head.len() {
                let take = (self.head.len() - self.head_len).min(rest.len());
                self.head[self.head_len..self.head_len + take].copy_from_slice(&rest[..take]);
                self.head_len += take;
                rest = &rest[take..];
                if self.head_len < self.head.len() {
                    return;
                }
                self.left = self.len();
            }
            let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            self.left -= take as u64;
            rest = &rest[take..];
            if self.left == 0 {
                whole(self.len());
                self.head_len = 0;
            }
        }
    }

    fn len(&self) -> u64 {
        let [_, length @ ..] = self.head;
        u64::from(u32::from_be_bytes(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let mut wire = Vec::new();
        for len in [0_u8, 3, 0, 200, 1] {
            wire.extend_from_slice(&[0, 0, 0, 0, len]);
            wire.extend(std::iter::repeat_n(7, usize::from(len)));
        }
        for size in [1, 2, 4, 5, 6, 100, wire.len()] {
            let (mut messages, mut lengths) = (Messages::default(), Vec::new());
            for piece in wire.chunks(size) {
                messages.pass(Some(&Bytes::copy_from_slice(piece)), |len| lengths.push(len));
            }
            assert_eq!(lengths, [0, 3, 0, 200, 1], "in pieces of {size}");
        }
    }
}
