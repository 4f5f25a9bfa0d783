//! Calls whose message is fine and whose surroundings are not, and the other way round: frames, bodies, headers
//! and paths, as bytes.
//!
//! Texts that only a library says are not compared, where no client reads them; the codes are.

use http::request::Builder;
use prost::Message;
use registry_tests::Wire;
use registry_tests::requests::key;
use registry_tests::wire::{Answer, frame};
use tonic::Code;
use tonic::Code::{Internal, Unimplemented};

use crate::healthy::Servers;

const RANGE: &str = "/etcdserverpb.KV/Range";

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
enum Back {
    /// The call succeeds.
    Taken,
    /// A code, and how its text begins.
    Refused(Code, &'static str),
    /// A code; the text is the library's.
    Code(Code),
    /// No gRPC, but this HTTP status.
    Http(u16),
    /// The stream is reset.
    Reset,
    /// It is not asked.
    NotAsked,
}

use Back::{Http, Refused, Reset, Taken};

/// One call, what our server says and what etcd does.
struct Case {
    what: &'static str,
    path: &'static str,
    change: fn(Builder) -> Builder,
    body: Vec<u8>,
    ours: Back,
    etcd: Back,
}

fn is(back: &Back, said: &Result<Answer, tonic::transport::Error>) -> bool {
    let Ok(answer) = said else { return *back == Reset };
    let is_grpc = answer.status.is_some() && answer.http == 200;
    match (back, answer.refusal()) {
        (Taken, refusal) => is_grpc && refusal.is_none() && answer.messages.len() == 1,
        (Refused(code, text), Some((said, words))) => *code == said && words.starts_with(text),
        (Back::Code(code), Some((said, _))) => *code == said,
        (Http(status), _) => answer.http == *status,
        (Reset, Some((_, text))) => text.contains("h2 protocol error"),
        _ => false,
    }
}

async fn hold(cases: Vec<Case>) {
    let servers = Servers::start().await;
    for (url, of_etcd) in servers.urls() {
        let wire = Wire::connect(url).await;
        let mut wrong = Vec::new();
        for case in &cases {
            let expected = if of_etcd { &case.etcd } else { &case.ours };
            if *expected == Back::NotAsked {
                continue;
            }
            let said = wire.send((case.change)(wire.head(case.path)), case.body.clone()).await;
            if !is(expected, &said) {
                wrong.push(format!("{}: {expected:?} expected, {said:?} said", case.what));
            }
        }
        let who = if of_etcd { "etcd" } else { "our server" };
        assert!(wrong.is_empty(), "{who} says otherwise:\n{}", wrong.join("\n"));
    }
    servers.are_healthy().await;
}

fn unchanged(head: Builder) -> Builder {
    head
}

fn same(what: &'static str, body: Vec<u8>, back: fn() -> Back) -> Case {
    Case { what, path: RANGE, change: unchanged, body, ours: back(), etcd: back() }
}

/// A transaction in a transaction, and so on: no test could encode that many levels by recursion.
fn nested(levels: usize) -> Vec<u8> {
    let wrap = |tag: u8, inner: Vec<u8>| {
        let mut outer = vec![tag];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend_from_slice(&inner);
        outer
    };
    // Operation 4 of a list is a transaction, whose list 2 is of operations.
    (0..levels).fold(Vec::new(), |inner, _| wrap(0x12, wrap(0x22, inner)))
}

/// A body with another flag, or another length than it has.
fn reframed(flag: u8, length: u32, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &length.to_be_bytes(), message].concat()
}

fn bodies() -> Vec<Case> {
    let message = key("a").encode_to_vec();
    let len = message.len() as u32;
    let internal = || Back::Code(Internal);
    // Who cuts a frame off is no gRPC client, so nobody reads the code; ours is the library's.
    let cut_off = || Refused(Code::Unknown, "unexpected EOF");
    let unknown_field = [&message[..], &[0xfa, 0x7f, 3, b'n', b'e', b'w'], &[0xf8, 0x7e, 9]].concat();
    let wrong_type = vec![0x08, 1];
    let huge_field = vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x07, b'a'];
    let long_varint = vec![0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    vec![
        same("a message", frame(&message), || Taken),
        same("fields that nobody knows", frame(&unknown_field), || Taken),
        same("bytes that are no message", frame(&[0xff; 20]), internal),
        same("a field of another type", frame(&wrong_type), internal),
        same("a field longer than the message", frame(&huge_field), internal),
        same("a number without an end", frame(&long_varint), internal),
        same("a message that is cut off", frame(&message[..2]), internal),
        same("a field numbered 0", frame(&[0x02, 0x00]), internal),
        same("a group that nobody closes", frame(&[0x0b]), internal),
        Case {
            path: "/etcdserverpb.KV/Txn",
            etcd: Refused(Code::InvalidArgument, "etcdserver: too many operations in txn request"),
            ..same("5,000 levels of transactions", frame(&nested(5_000)), internal)
        },
        // 3.4 never answers that one.
        Case { etcd: Back::NotAsked, ..same("no message at all", Vec::new(), internal) },
        Case { etcd: cut_off(), ..same("half a frame's head", vec![0, 0, 0], internal) },
        Case { etcd: cut_off(), ..same("a frame that is cut off", reframed(0, len + 5, &message), internal) },
        same("a flag that does not exist", reframed(7, len, &message), internal),
        same("compressed with nothing", reframed(1, len, &message), internal),
        same("a frame of 4 GiB", reframed(0, u32::MAX, &message), || {
            Refused(Code::ResourceExhausted, "grpc: received message larger than max (4294967295 vs. 2097152)")
        }),
    ]
}

fn paths() -> Vec<Case> {
    let body = frame(&key("a").encode_to_vec());
    // The gRPC library of 3.4 has another code for it than that of 3.7.
    let older = |case: Case| Case { etcd: Refused(Code::ResourceExhausted, "malformed method name: "), ..case };
    let at = |what, path, back: fn() -> Back| Case { path, ..same(what, body.clone(), back) };
    vec![
        at("an unknown method", "/etcdserverpb.KV/Nothing", || {
            Refused(Unimplemented, "unknown method Nothing for service etcdserverpb.KV")
        }),
        at("a method in another case", "/etcdserverpb.KV/range", || {
            Refused(Unimplemented, "unknown method range for service etcdserverpb.KV")
        }),
        at("no method", "/etcdserverpb.KV/", || Refused(Unimplemented, "unknown method  for service etcdserverpb.KV")),
        at("an unknown method of a stream", "/etcdserverpb.Watch/Look", || {
            Refused(Unimplemented, "unknown method Look for service etcdserverpb.Watch")
        }),
        at("an unknown method of health", "/grpc.health.v1.Health/Ask", || {
            Refused(Unimplemented, "unknown method Ask for service grpc.health.v1.Health")
        }),
        at("an unknown service", "/etcdserverpb.None/Range", || {
            Refused(Unimplemented, "unknown service etcdserverpb.None")
        }),
        older(at("no service", "/Range", || Refused(Unimplemented, "malformed method name: \"/Range\""))),
        at("a longer path", "/x/etcdserverpb.KV/Range", || Refused(Unimplemented, "unknown service x/etcdserverpb.KV")),
        older(at("no path", "/", || Refused(Unimplemented, "malformed method name: \"/\""))),
    ]
}

fn headers() -> Vec<Case> {
    let body = || frame(&key("a").encode_to_vec());
    let with =
        |what, change: fn(Builder) -> Builder, ours, etcd| Case { what, path: RANGE, change, body: body(), ours, etcd };
    let unpacked = || Back::Code(Unimplemented);
    let no_time = || Refused(Internal, "malformed grpc-timeout");
    // Plain HTTP paths are served over HTTP/2, too; etcd serves nothing but gRPC there.
    vec![
        with("text", |head| replace(head, "content-type", "text/plain"), Http(404), Reset),
        with("no content type", |head| replace(head, "content-type", ""), Http(404), Reset),
        with("a content type with more", |head| replace(head, "content-type", "application/grpc+proto"), Taken, Taken),
        with(
            "another encoding of messages",
            |head| replace(head, "content-type", "application/grpc+json"),
            Taken,
            Taken,
        ),
        with("no te", |head| replace(head, "te", ""), Taken, Taken),
        with("another te", |head| replace(head, "te", "gzip"), Taken, Taken),
        with("a GET", |head| head.method("GET"), Taken, Taken),
        with("an unknown encoding", |head| head.header("grpc-encoding", "best"), unpacked(), unpacked()),
        // Newer etcds say so, too; a 3.4 resets the stream.
        with("a time limit that is none", |head| head.header("grpc-timeout", "soon"), no_time(), Reset),
        with("a time limit without a unit", |head| head.header("grpc-timeout", "10"), no_time(), Reset),
        with("a time limit too long to write", |head| head.header("grpc-timeout", "123456789S"), no_time(), Reset),
        with("binary metadata that is no base64", |head| head.header("trace-bin", "*!?"), Taken, Taken),
        with("metadata that is no text", |head| head.header("x-name", &b"\xff\xfe"[..]), Taken, Taken),
        with("an API version that is none", |head| head.header("client-api-version", "new!"), Taken, Taken),
        // 3.4 panics at it and is gone; 3.7 refuses it.
        with(
            "an API version that is no text",
            |head| head.header("client-api-version", &b"\xff"[..]),
            Refused(Code::InvalidArgument, "etcdserver: invalid client api version"),
            Back::NotAsked,
        ),
        with("30 KiB of headers", |head| head.header("x-long", "x".repeat(30 << 10)), Taken, Taken),
    ]
}

/// The header with one value, or without any.
fn replace(mut head: Builder, name: &'static str, value: &'static str) -> Builder {
    let headers = head.headers_mut().expect("the head is well-formed so far");
    headers.remove(name);
    if !value.is_empty() {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    head
}

#[tokio::test]
async fn bodies_that_hold_no_message_are_refused_with_etcds_code() {
    hold(bodies()).await;
}

#[tokio::test]
async fn paths_that_lead_nowhere_get_etcds_words() {
    hold(paths()).await;
}

#[tokio::test]
async fn headers_that_are_not_as_they_should_be_hurt_their_own_call_at_most() {
    hold(headers()).await;
}
