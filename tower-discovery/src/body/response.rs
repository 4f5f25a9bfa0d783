//! An answer's body: its end is the end of the request.
//!
//! Until then it counts as load, keeps to the request's deadline, and turns a failure into an error that
//! names the endpoint, which a gRPC caller sees as a status.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::error::{BoxError, Error, is_the_callers};
use crate::grpc;
use crate::load::InFlight;
use crate::meters::{Metered, Outcome};
use crate::target::Target;

pin_project_lite::pin_project! {
    /// The body of an answer; see [`crate::Balance`].
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        // `None` when nothing more will come.
        #[pin]
        inner: Option<B>,
        watched: Option<Watched>,
    }
}

/// What an answer that has not ended is held to.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) target: Target,
    pub(crate) in_flight: InFlight,
    pub(crate) metered: Metered,
    pub(crate) deadline: Option<(Pin<Box<Sleep>>, Duration)>,
    /// Failures are told as trailers.
    pub(crate) is_grpc: bool,
}

impl<B: Body> ResponseBody<B> {
    pub(crate) fn new(inner: B, watched: Watched) -> Self {
        if inner.is_end_stream() {
            return Self { inner: Some(inner), watched: None };
        }
        Self { inner: Some(inner), watched: Some(watched) }
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn empty() -> Self {
        Self { inner: None, watched: None }
    }

    /// Ends the body with what went wrong, and says whose doing it was.
    fn fail(
        self: Pin<&mut Self>,
        error: impl FnOnce(&Watched) -> (Error, Outcome),
    ) -> Option<Result<Frame<Bytes>, Error>> {
        let mut this = self.project();
        this.inner.set(None);
        let mut watched = this.watched.take()?;
        let (error, outcome) = error(&watched);
        if outcome == Outcome::Failed {
            watched.in_flight.failed(Instant::now());
        }
        watched.metered.set(outcome);
        Some(if watched.is_grpc { Ok(Frame::trailers(grpc::trailers(&error))) } else { Err(error) })
    }
}

impl Watched {
    fn failed(&self, error: BoxError) -> (Error, Outcome) {
        let outcome = if is_the_callers(error.as_ref()) { Outcome::Cancelled } else { Outcome::Failed };
        (Error::endpoint(&self.target, error), outcome)
    }

    fn is_late(&self) -> bool {
        self.deadline.as_ref().is_some_and(|(sleep, _)| sleep.deadline() <= Instant::now())
    }

    fn deadline_exceeded(&self) -> Error {
        let limit = self.deadline.as_ref().map_or(Duration::ZERO, |(_, limit)| *limit);
        Error::DeadlineExceeded { limit, target: Some(self.target.clone()) }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.deadline {
            Some((sleep, _)) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut this = self.as_mut().project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let polled = inner.poll_frame(cx);
        if polled.is_pending() {
            if let Some(watched) = this.watched.as_mut() {
                ready!(watched.poll_deadline(cx));
                return Poll::Ready(self.fail(|watched| (watched.deadline_exceeded(), Outcome::Failed)));
            }
            return Poll::Pending;
        }
        match ready!(polled) {
            // The end is handed on even if the deadline passed meanwhile. An answer that still goes on is over, which is
            // not for want of data from the endpoint.
            Some(Ok(frame))
                if frame.is_data()
                    && this.watched.as_ref().is_some_and(Watched::is_late)
                    && this.inner.as_ref().as_pin_ref().is_some_and(|inner| !inner.is_end_stream()) =>
            {
                Poll::Ready(self.fail(|watched| (watched.deadline_exceeded(), Outcome::Cancelled)))
            }
            Some(Ok(frame)) => {
                if let (Some(trailers), Some(watched)) = (frame.trailers_ref(), this.watched.as_mut())
                    && grpc::blames_the_endpoint(trailers)
                {
                    watched.in_flight.failed(Instant::now());
                    watched.metered.set(Outcome::Failed);
                }
                if frame.is_trailers() || this.inner.as_ref().as_pin_ref().is_none_or(|inner| inner.is_end_stream()) {
                    *this.watched = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(self.fail(|watched| watched.failed(error.into()))),
            None => {
                this.inner.set(None);
                *this.watched = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
