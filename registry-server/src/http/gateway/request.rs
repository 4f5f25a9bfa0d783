//! A request's body on its way from JSON to gRPC: each object becomes a message.
//!
//! The call has begun by then, so whatever is wrong with the body ends it as a broken message would, with a status of
//! its own. What is large is read on a thread that may block, a few at a time: a body can ask for a hundred times its size
//! while it is read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use hyper::body::Incoming;
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor};
use tokio::sync::Semaphore;
use tonic::Status;

use super::objects::{ObjectError, Objects};

/// Objects above this are not read in the task of their connection.
const LARGE_BYTES: usize = 16 * 1024;
/// The flag and the length before a message.
const HEAD_BYTES: usize = 5;

type Message = Result<Bytes, Status>;

/// The body of the gRPC call.
pub(super) struct JsonRequest {
    body: Incoming,
    objects: Objects,
    message: MessageDescriptor,
    takes_many: bool,
    /// Places for large objects.
    places: Arc<Semaphore>,
    /// A large object that is being read.
    reading: Option<Pin<Box<dyn Future<Output = Message> + Send>>>,
    has_ended: bool,
}

impl JsonRequest {
    /// Makes messages of `body`: one, or as many as there are, each from up to `limit` bytes of JSON.
    pub(super) fn new(
        body: Incoming,
        message: MessageDescriptor,
        takes_many: bool,
        limit: usize,
        places: Arc<Semaphore>,
    ) -> Self {
        Self { body, objects: Objects::new(limit), message, takes_many, places, reading: None, has_ended: false }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let message = ready!(reading.as_mut().poll(cx));
                self.reading = None;
                return Poll::Ready(Some(message));
            }
            match self.objects.next() {
                Err(error) => return Poll::Ready(Some(Err(refusal(error)))),
                Ok(None) => {}
                Ok(Some(object)) if object.len() <= LARGE_BYTES => {
                    return Poll::Ready(Some(read(&self.message, &object)));
                }
                Ok(Some(object)) => {
                    self.reading = Some(Box::pin(read_aside(self.message.clone(), object, self.places.clone())));
                    continue;
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.objects.push(data);
                    }
                }
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(Status::cancelled(format!("the request's body broke off: {error}")))));
                }
                None => return Poll::Ready(self.last()),
            }
        }
    }

    /// The body has ended: no object at all is an empty message where there is to be one.
    fn last(&self) -> Option<Message> {
        match self.objects.end() {
            Err(error) => Some(Err(refusal(error))),
            Ok(()) if self.takes_many => None,
            Ok(()) => Some(Ok(framed(&DynamicMessage::new(self.message.clone())))),
        }
    }
}

impl HttpBody for JsonRequest {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let message = ready!(self.poll_message(cx));
        // What follows the one object is not looked at, as in etcd.
        self.has_ended = !self.takes_many || !matches!(message, Some(Ok(_)));
        Poll::Ready(message.map(|message| message.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}

/// Reads one object; field names and kinds are protobuf's JSON, and what is unknown is passed over.
fn read(descriptor: &MessageDescriptor, object: &[u8]) -> Message {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let mut parser = serde_json::Deserializer::from_slice(object);
    let message = DynamicMessage::deserialize_with_options(descriptor.clone(), &mut parser, &options);
    let message = message.map_err(|error| {
        Status::invalid_argument(format!("the body is not the JSON of {}: {error}", descriptor.full_name()))
    })?;
    Ok(framed(&message))
}

async fn read_aside(descriptor: MessageDescriptor, object: Bytes, places: Arc<Semaphore>) -> Message {
    let place = places.acquire_owned().await;
    let read = tokio::task::spawn_blocking(move || {
        let message = read(&descriptor, &object);
        drop(place);
        message
    });
    read.await.unwrap_or_else(|error| Err(Status::internal(format!("the body could not be read: {error}"))))
}

/// A message as it stands in a gRPC body.
fn framed(message: &DynamicMessage) -> Bytes {
    let len = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + len);
    frame.put_u8(0);
    // A message beyond 4 GiB would be one of JSON beyond any bound.
    frame.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    message.encode_raw(&mut frame);
    frame.freeze()
}

fn refusal(error: ObjectError) -> Status {
    match error {
        ObjectError::TooLarge(_) => Status::resource_exhausted(error.to_string()),
        ObjectError::NotAnObject(_) | ObjectError::Cut => Status::invalid_argument(error.to_string()),
    }
}

impl std::fmt::Debug for JsonRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonRequest").field("message", &self.message).finish_non_exhaustive()
    }
}
