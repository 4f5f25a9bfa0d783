//! Calls of one message each way, without the machinery of streams.
//!
//! The generated services treat every call as two streams, each with a buffer of its own. Here the request is read from the
//! bytes as they came, and the answer is one piece of data and its trailers. Whatever is not one plain whole message
//! (compressed, broken, too large, too much, too little) is given to the generated service from its first byte, so what it
//! answers, and in which words, stands in one place.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prost::Message;
use smallvec::SmallVec;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataMap};

/// The flag and the length before a message.
const HEAD_BYTES: usize = 5;

/// What a method of a generated trait returns.
pub(super) type Called<'a, A> = Pin<Box<dyn Future<Output = Result<tonic::Response<A>, Status>> + Send + 'a>>;

/// A method of a service.
pub(super) type Method<S, M, A> = for<'a> fn(&'a S, tonic::Request<M>) -> Called<'a, A>;

/// Answers a call by `method` if it brings one plain message of at most `limit` bytes, and by `otherwise` if not.
pub(super) fn answer<S, M, A, B>(
    request: Request<B>,
    limit: usize,
    (service, method): (Arc<S>, Method<S, M, A>),
    otherwise: impl FnOnce(Request<Again<B>>) -> BoxFuture<Response<Body>, Infallible> + Send + 'static,
) -> BoxFuture<Response<Body>, Infallible>
where
    S: Send + Sync + 'static,
    M: Message + Default + 'static,
    A: Message + 'static,
    B: HttpBody<Data = Bytes, Error: Send> + Send + Unpin + 'static,
{
    Box::pin(async move {
        let (parts, body) = request.into_parts();
        let mut body = Again { pieces: SmallVec::new(), last: None, rest: body };
        let is_plain = !parts.headers.contains_key("grpc-encoding");
        let Some(message) = (if is_plain { body.read_message(limit).await } else { None }) else {
            return otherwise(Request::from_parts(parts, body)).await;
        };
        drop(body);
        let request = tonic::Request::from_parts(MetadataMap::from_headers(parts.headers), parts.extensions, message);
        Ok(match method(&service, request).await {
            Ok(answer) => response(answer),
            Err(status) => status.into_http(),
        })
    })
}

/// A body that was read from already, from its first byte.
pub(super) struct Again<B: HttpBody> {
    pieces: SmallVec<[Bytes; 1]>,
    /// What came behind the pieces and was none.
    last: Option<Result<Frame<Bytes>, B::Error>>,
    rest: B,
}

impl<B: HttpBody<Data = Bytes> + Unpin> Again<B> {
    /// The one message that the body is, if it is that.
    async fn read_message<M: Message + Default>(&mut self, limit: usize) -> Option<M> {
        let mut len = 0;
        while !(self.rest.is_end_stream() && len > 0) {
            match poll_fn(|cx| Pin::new(&mut self.rest).poll_frame(cx)).await.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(piece))) => {
                    len += piece.len();
                    self.pieces.push(piece);
                }
                Some(Ok(Err(frame))) => self.last = Some(Ok(frame)),
                Some(Err(error)) => self.last = Some(Err(error)),
                None => break,
            }
            if self.last.is_some() || len > HEAD_BYTES.saturating_add(limit) {
                return None;
            }
        }
        if let [bytes] = &self.pieces[..] {
            return decoded(bytes.clone(), limit);
        }
        let mut whole = BytesMut::with_capacity(len);
        self.pieces.iter().for_each(|piece| whole.put_slice(piece));
        decoded(whole.freeze(), limit)
    }
}

fn decoded<M: Message + Default>(mut bytes: Bytes, limit: usize) -> Option<M> {
    if bytes.len() < HEAD_BYTES {
        return None;
    }
    let (flag, len) = (bytes.get_u8(), bytes.get_u32() as usize);
    if flag != 0 || len > limit || len != bytes.len() {
        return None;
    }
    M::decode(bytes).ok()
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Again<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if !self.pieces.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.pieces.remove(0)))));
        }
        if let Some(last) = self.last.take() {
            return Poll::Ready(Some(last));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.last.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A whole answer.
fn response<A: Message>(answer: tonic::Response<A>) -> Response<Body> {
    let (metadata, message, extensions) = answer.into_parts();
    let len = message.encoded_len();
    let Ok(head) = u32::try_from(len) else {
        return Status::out_of_range(format!("the answer has {len} bytes, more than a message can have")).into_http();
    };
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + len);
    bytes.put_u8(0);
    bytes.put_u32(head);
    message.encode_raw(&mut bytes);
    let mut response = Response::new(Body::new(Whole { message: Some(bytes.freeze()), is_over: false }));
    *response.headers_mut() = metadata.into_headers();
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    *response.extensions_mut() = extensions;
    response
}

/// One message, and that all is well.
struct Whole {
    message: Option<Bytes>,
    is_over: bool,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if std::mem::replace(&mut self.is_over, true) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
    use registry_proto::etcdserverpb::{PutRequest, PutResponse};

    use super::*;

    const LIMIT: usize = 1024;

    type Frames = Vec<Result<Frame<Bytes>, Status>>;

    /// A service that answers nothing but its own name.
    struct Short;

    fn put(_: &Short, request: tonic::Request<PutRequest>) -> Called<'_, PutResponse> {
        assert_eq!(request.into_inner().key, "key");
        Box::pin(async { Err(Status::already_exists("by the short way")) })
    }

    /// A message with its flag and length.
    fn message(flag: u8, message: &[u8]) -> Vec<u8> {
        let len = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[flag], &len[..], message].concat()
    }

    fn plain() -> Vec<u8> {
        message(0, &PutRequest { key: "key".into(), value: "v".into(), ..PutRequest::default() }.encode_to_vec())
    }

    fn data(pieces: &[&[u8]]) -> Frames {
        pieces.iter().map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect()
    }

    /// What the generated service was given, bytes and number of other frames; none if the short way was gone.
    async fn given(frames: Frames, encoding: Option<&str>) -> Option<(Vec<u8>, usize)> {
        let mut request = Request::new(StreamBody::new(futures_util::stream::iter(frames)));
        if let Some(encoding) = encoding {
            request.headers_mut().insert("grpc-encoding", encoding.parse().unwrap());
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        let otherwise = move |request: Request<Again<_>>| -> BoxFuture<Response<Body>, Infallible> {
            Box::pin(async move {
                let (mut body, mut bytes, mut others) = (request.into_body(), Vec::new(), 0);
                while let Some(frame) = body.frame().await {
                    match frame.map(Frame::into_data) {
                        Ok(Ok(data)) => bytes.extend_from_slice(&data),
                        Ok(Err(_)) | Err(_) => others += 1,
                    }
                }
                tell.send((bytes, others)).unwrap();
                Ok(Response::new(Body::empty()))
            })
        };
        let Ok(answer) = answer(request, LIMIT, (Arc::new(Short), put as Method<_, _, _>), otherwise).await;
        let told = told.await.ok();
        let by_short = Status::from_header_map(answer.headers()).is_some_and(|it| it.message() == "by the short way");
        assert_eq!(by_short, told.is_none());
        told
    }

    #[tokio::test]
    async fn one_whole_message_goes_the_short_way_however_it_is_cut() {
        let plain = plain();
        assert_eq!(given(data(&[&plain]), None).await, None);
        for at in 0..=plain.len() {
            assert_eq!(given(data(&[&plain[..at], &plain[at..]]), None).await, None, "cut at {at}");
        }
        assert_eq!(given(data(&plain.chunks(1).collect::<Vec<_>>()), None).await, None);
    }

    #[tokio::test]
    async fn whatever_else_comes_is_given_to_the_generated_service_from_its_first_byte() {
        let twice = [plain(), plain()].concat();
        let large = message(0, &[0; LIMIT + 1]);
        for bytes in [&b""[..], b"\0\0", &plain()[..7], &message(1, b"zip"), &message(0, b"\xff\xff"), &twice, &large] {
            assert_eq!(given(data(&[bytes]), None).await, Some((bytes.to_vec(), 0)), "{bytes:?}");
            let cut = bytes.len() / 2;
            assert_eq!(
                given(data(&[&bytes[..cut], &bytes[cut..]]), None).await,
                Some((bytes.to_vec(), 0)),
                "{bytes:?}"
            );
        }
        assert_eq!(given(data(&[&plain()]), Some("gzip")).await, Some((plain(), 0)));
        let trailers = || Ok(Frame::trailers(HeaderMap::new()));
        assert_eq!(given([data(&[&plain()]), vec![trailers()]].concat_frames(), None).await, Some((plain(), 1)));
        let broken = vec![Err(Status::cancelled("gone"))];
        assert_eq!(
            given([data(&[&plain()[..7]]), broken].concat_frames(), None).await,
            Some((plain()[..7].to_vec(), 1))
        );
    }

    /// Frames are no `Clone`, which `concat` wants.
    trait ConcatFrames {
        fn concat_frames(self) -> Frames;
    }

    impl ConcatFrames for [Frames; 2] {
        fn concat_frames(self) -> Frames {
            self.into_iter().flatten().collect()
        }
    }

    #[tokio::test]
    async fn an_answer_is_one_message_and_its_trailers() {
        let mut answered = response(tonic::Response::new(PutRequest { key: "key".into(), ..PutRequest::default() }));
        assert_eq!(answered.headers()[CONTENT_TYPE], "application/grpc");
        assert!(!answered.body().is_end_stream());
        let body = answered.body_mut();
        let sent = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(sent, message(0, &PutRequest { key: "key".into(), ..PutRequest::default() }.encode_to_vec()));
        assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap()[Status::GRPC_STATUS], "0");
        assert!(body.frame().await.is_none());
    }
}
