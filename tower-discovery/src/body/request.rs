//! A request's body that can be sent a second time while little of it was read.
//!
//! A body that has all it will give at once, as that of a unary call, is read when it is taken over: each attempt
//! then has the same bytes, and nothing need be shared between them. Of any other, what a connection reads is kept
//! (by reference count) until the answer begins or the limit is passed. A second attempt reads what was kept and
//! then the rest; the first one's handle is cut off, so that two connections never read one body at the same time.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::error::BoxError;

/// What was read of a body is kept up to here unless told otherwise; unary calls are smaller, streams outgrow it.
const KEEP_LIMIT_BYTES: usize = 64 * 1024;

/// The body of a request on its way to a connection.
pub struct RequestBody {
    source: Source,
    /// Which attempt this handle reads for.
    attempt: u8,
    /// How many of the kept frames it has passed on.
    position: usize,
}

/// Gives the body once more, if it still can.
pub(crate) struct Replay(Source);

/// Where the frames come from.
#[derive(Clone)]
enum Source {
    /// Empty from the start, as the bodies of most GETs are.
    Empty,
    Whole(Whole),
    Shared(Arc<Mutex<Shared>>),
}

/// A body that is one frame of data.
#[derive(Clone)]
struct Whole {
    data: Bytes,
    /// The caller's body knew its length, so that a content-length may be told.
    is_sized: bool,
}

struct Shared {
    /// What was read when the body was taken over and nobody has asked for yet.
    ahead: Ahead,
    /// What comes after it; `None` once that has ended, as not every body can be asked again after its end.
    rest: Option<Rest>,
    kept: Vec<Kept>,
    kept_bytes: usize,
    keep_limit_bytes: usize,
    /// Ends when the limit is passed, the body fails or the answer begins.
    keeping: bool,
    /// The attempt that may read.
    attempt: u8,
}

type Rest = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;
type Ahead = SmallVec<[Result<Frame<Bytes>, BoxError>; 2]>;

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
    /// Takes over a caller's body. What of it is there at once, up to two frames, is read here.
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
        Self { source: Source::new(keep_limit_bytes, body), attempt: 0, position: 0 }
    }

    pub(crate) fn replay(&self) -> Replay {
        Replay(self.source.clone())
    }
}

impl Source {
    fn new<B>(keep_limit_bytes: usize, body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let is_sized = body.size_hint().exact().is_some();
        let mut rest: Rest = Box::pin(Boxed { body });
        let (ahead, is_over) = read_ahead(rest.as_mut());
        if is_over {
            match ahead.as_slice() {
                [] => return Self::Empty,
                [Ok(frame)] => {
                    if let Some(data) = frame.data_ref().filter(|data| data.len() <= keep_limit_bytes) {
                        return Self::Whole(Whole { data: data.clone(), is_sized });
                    }
                }
                _ => {}
            }
        }
        let rest = Some(rest).filter(|_| !is_over);
        let (kept, kept_bytes) = (Vec::new(), 0);
        let shared = Shared { ahead, rest, kept, kept_bytes, keep_limit_bytes, keeping: true, attempt: 0 };
        Self::Shared(Arc::new(Mutex::new(shared)))
    }
}

/// What a body gives at once, up to two frames, and whether that was all: some bodies learn of their end only when they
/// are asked for more. Nobody need be woken, as a body wakes the one that polled it last.
fn read_ahead(mut body: Pin<&mut (dyn Body<Data = Bytes, Error = BoxError> + Send)>) -> (Ahead, bool) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut ahead = Ahead::new();
    while ahead.len() < ahead.inline_size() {
        let Poll::Ready(read) = body.as_mut().poll_frame(&mut cx) else { return (ahead, false) };
        let Some(read) = read else { return (ahead, true) };
        let is_over = read.is_err() || body.is_end_stream();
        ahead.push(read);
        if is_over {
            return (ahead, true);
        }
    }
    (ahead, false)
}

impl Replay {
    /// Whether [`again`](Self::again) would give the body now. The attempt under way goes on.
    pub(crate) fn can_repeat(&self) -> bool {
        match &self.0 {
            Source::Empty | Source::Whole(_) => true,
            Source::Shared(shared) => shared.lock().keeping,
        }
    }

    /// The body from its beginning, unless too much of it was read to have been kept. The attempt under way is cut
    /// off, unless both have all of it.
    pub(crate) fn again(&self) -> Option<RequestBody> {
        let mut attempt = 0;
        if let Source::Shared(shared) = &self.0 {
            let mut state = shared.lock();
            if !state.keeping {
                return None;
            }
            state.attempt = state.attempt.wrapping_add(1);
            attempt = state.attempt;
        }
        Some(RequestBody { source: self.0.clone(), attempt, position: 0 })
    }

    /// Lets go of what was kept: the answer has begun.
    pub(crate) fn forget(&self) {
        if let Source::Shared(shared) = &self.0 {
            shared.lock().stop_keeping();
        }
    }
}

impl Shared {
    /// What nobody has read yet.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(self.ahead.remove(0)));
        }
        match &mut self.rest {
            Some(rest) => rest.as_mut().poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

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
        let shared = match &this.source {
            Source::Shared(shared) => shared,
            Source::Whole(whole) if this.position == 0 => {
                this.position = 1;
                return Poll::Ready(Some(Ok(Frame::data(whole.data.clone()))));
            }
            Source::Whole(_) | Source::Empty => return Poll::Ready(None),
        };
        let mut state = shared.lock();
        if state.attempt != this.attempt {
            return Poll::Ready(Some(Err(Box::new(Superseded))));
        }
        if let Some(kept) = state.kept.get(this.position) {
            this.position += 1;
            return Poll::Ready(Some(Ok(kept.frame())));
        }
        let frame = ready!(state.poll_next(cx));
        match &frame {
            Some(Ok(frame)) => state.keep(frame),
            Some(Err(_)) => state.stop_keeping(),
            None => {}
        }
        this.position = state.kept.len();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Whole(_) => self.position > 0,
            Source::Shared(shared) => {
                let state = shared.lock();
                state.attempt == self.attempt
                    && self.position >= state.kept.len()
                    && state.ahead.is_empty()
                    && state.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let shared = match &self.source {
            Source::Empty => return SizeHint::with_exact(0),
            Source::Whole(_) if self.position > 0 => return SizeHint::with_exact(0),
            Source::Whole(whole) if whole.is_sized => return SizeHint::with_exact(whole.data.len() as u64),
            Source::Whole(_) => return SizeHint::default(),
            Source::Shared(shared) => shared,
        };
        let state = shared.lock();
        let kept: u64 = state.kept.iter().skip(self.position).map(Kept::len).sum();
        let ahead = state.ahead.iter().filter_map(|read| read.as_ref().ok()?.data_ref());
        let known = kept + ahead.map(|data| data.len() as u64).sum::<u64>();
        let rest = state.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), |rest| rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(known + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(known + upper);
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

    /// A body that says of nothing how much it is, nor that it is over, as those of generated clients do.
    fn unsized_chunks(sizes: &[usize]) -> RequestBody {
        let frames: Vec<_> =
            sizes.iter().map(|&size| Ok::<_, BoxError>(Frame::data(Bytes::from(vec![b'x'; size])))).collect();
        // An `unfold` panics when it is asked again after its end.
        let frames =
            futures_util::stream::unfold(frames.into_iter(), async |mut frames| Some((frames.next()?, frames)));
        RequestBody::new(StreamBody::new(frames))
    }

    #[tokio::test]
    async fn a_body_that_is_there_at_once_is_shared_by_all_attempts() {
        let mut first = unsized_chunks(&[5]);
        let replay = first.replay();
        let second = replay.again().unwrap();
        replay.forget();
        assert!(replay.can_repeat(), "nothing is kept for it but its bytes");
        assert_eq!((first.size_hint().exact(), first.is_end_stream()), (None, false));
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "xxxxx");
        assert!(first.is_end_stream() && first.frame().await.is_none());
        assert_eq!(second.collect().await.unwrap().to_bytes(), "xxxxx");
    }

    #[tokio::test]
    async fn a_body_is_not_asked_again_after_its_end() {
        for sizes in [&[][..], &[1], &[KEEP_LIMIT_BYTES + 1], &[1, 2], &[1, 2, 3]] {
            let body = unsized_chunks(sizes);
            assert_eq!(body.collect().await.unwrap().to_bytes().len(), sizes.iter().sum::<usize>(), "{sizes:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_fails_at_once_fails_when_it_is_read() {
        let frames = futures_util::stream::once(async { Err::<Frame<Bytes>, BoxError>("torn".into()) });
        let mut body = RequestBody::new(StreamBody::new(frames));
        assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "torn");
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn the_size_of_a_second_attempt_is_that_of_the_first() {
        let body = RequestBody::new(Full::new(Bytes::from_static(b"hello")));
        let hint = body.size_hint().exact();
        assert_eq!(hint, Some(5));
        assert_eq!(body.replay().again().unwrap().size_hint().exact(), hint);
    }
}
