//! A request's body that can be sent a second time while little of it was read.
//!
//! What a connection reads is kept (by reference count) until the answer begins or the limit is passed. A
//! second attempt reads what was kept and then the rest; the first one's handle is cut off, so that two
//! connections never read one body at the same time.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use crate::error::BoxError;

/// What was read of a body is kept up to here unless told otherwise; unary calls are smaller, streams outgrow it.
const KEEP_LIMIT_BYTES: usize = 64 * 1024;

/// The body of a request on its way to a connection.
pub struct RequestBody {
    /// `None` for a body that was empty from the start, as those of most GETs are.
    shared: Option<Arc<Mutex<Shared>>>,
    /// Which attempt this handle reads for.
    attempt: u8,
    /// How many of the kept frames it has passed on.
    position: usize,
}

/// Gives the body once more, if it still can.
pub(crate) struct Replay(Option<Arc<Mutex<Shared>>>);

struct Shared {
    rest: Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>,
    kept: Vec<Kept>,
    kept_bytes: usize,
    keep_limit_bytes: usize,
    /// Ends when the limit is passed, the body fails or the answer begins.
    keeping: bool,
    /// The attempt that may read.
    attempt: u8,
}

#[derive(Clone)]
enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// A later attempt reads this body now.
#[derive(Debug, thiserror::Error)]
#[error("the request goes to another endpoint")]
struct Superseded;

impl RequestBody {
    /// Takes over a caller's body.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::keeping(KEEP_LIMIT_BYTES, body)
    }

    /// Takes over a caller's body, of which so much is kept.
    pub(crate) fn keeping<B>(keep_limit_bytes: usize, body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self { shared: None, attempt: 0, position: 0 };
        }
        let rest = Box::pin(Boxed { body });
        let shared = Shared { rest, kept: Vec::new(), kept_bytes: 0, keep_limit_bytes, keeping: true, attempt: 0 };
        Self { shared: Some(Arc::new(Mutex::new(shared))), attempt: 0, position: 0 }
    }

    pub(crate) fn replay(&self) -> Replay {
        Replay(self.shared.clone())
    }
}

impl Replay {
    /// Whether [`again`](Self::again) would give the body now. The attempt under way goes on.
    pub(crate) fn can_repeat(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| shared.lock().keeping)
    }

    /// The body from its beginning, unless too much of it was read to have been kept. The attempt under way is cut
    /// off.
    pub(crate) fn again(&self) -> Option<RequestBody> {
        let Some(shared) = &self.0 else {
            return Some(RequestBody { shared: None, attempt: 0, position: 0 });
        };
        let mut state = shared.lock();
        if !state.keeping {
            return None;
        }
        state.attempt = state.attempt.wrapping_add(1);
        Some(RequestBody { shared: Some(Arc::clone(shared)), attempt: state.attempt, position: 0 })
    }

    /// Lets go of what was kept: the answer has begun.
    pub(crate) fn forget(&self) {
        if let Some(shared) = &self.0 {
            shared.lock().stop_keeping();
        }
    }
}

impl Shared {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if !self.keeping {
            return;
        }
        let kept = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Kept::Data(data.clone()),
            (None, Some(trailers)) => Kept::Trailers(trailers.clone()),
            (None, None) => return self.stop_keeping(),
        };
        if let Kept::Data(data) = &kept {
            self.kept_bytes += data.len();
        }
        if self.kept_bytes > self.keep_limit_bytes {
            return self.stop_keeping();
        }
        self.kept.push(kept);
    }

    fn stop_keeping(&mut self) {
        self.keeping = false;
        self.kept = Vec::new();
    }
}

impl Kept {
    fn frame(&self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data.clone()),
            Self::Trailers(trailers) => Frame::trailers(trailers.clone()),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Trailers(_) => 0,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Some(shared) = &this.shared else {
            return Poll::Ready(None);
        };
        let mut state = shared.lock();
        if state.attempt != this.attempt {
            return Poll::Ready(Some(Err(Box::new(Superseded))));
        }
        if let Some(kept) = state.kept.get(this.position) {
            this.position += 1;
            return Poll::Ready(Some(Ok(kept.frame())));
        }
        let frame = ready!(state.rest.as_mut().poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => state.keep(frame),
            Some(Err(_)) => state.stop_keeping(),
            None => {}
        }
        this.position = state.kept.len();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let state = shared.lock();
            state.attempt == self.attempt && self.position >= state.kept.len() && state.rest.is_end_stream()
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(shared) = &self.shared else {
            return SizeHint::with_exact(0);
        };
        let state = shared.lock();
        let kept: u64 = state.kept.iter().skip(self.position).map(Kept::len).sum();
        let rest = state.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(kept + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(kept + upper);
        }
        hint
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RequestBody").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

pin_project_lite::pin_project! {
    /// A caller's body with its error boxed.
    struct Boxed<B> {
        #[pin]
        body: B,
    }
}

impl<B> Body for Boxed<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    fn chunks(sizes: &[usize]) -> RequestBody {
        let frames: Vec<_> =
            sizes.iter().map(|&size| Ok::<_, BoxError>(Frame::data(Bytes::from(vec![b'x'; size])))).collect();
        RequestBody::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_second_attempt_reads_the_whole_body_after_the_first_read_half() {
        let mut first = chunks(&[3, 4, 5]);
        let replay = first.replay();
        first.frame().await.unwrap().unwrap();
        let second = replay.again().unwrap();
        assert!(first.frame().await.unwrap().is_err(), "the first attempt is cut off");
        assert_eq!(second.collect().await.unwrap().to_bytes().len(), 12);
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_not_given_again() {
        let mut body = chunks(&[KEEP_LIMIT_BYTES, 1]);
        let replay = body.replay();
        body.frame().await.unwrap().unwrap();
        body.frame().await.unwrap().unwrap();
        assert!(replay.again().is_none());
    }

    #[test]
    fn the_size_of_a_second_attempt_is_that_of_the_first() {
        let body = RequestBody::new(Full::new(Bytes::from_static(b"hello")));
        let hint = body.size_hint().exact();
        assert_eq!(hint, Some(5));
        assert_eq!(body.replay().again().unwrap().size_hint().exact(), hint);
    }
}
