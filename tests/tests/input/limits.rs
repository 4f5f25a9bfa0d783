//! Bounds of a connection that clients know beforehand, and what becomes of one that goes beyond: pings and streams.

use std::time::Duration;

use registry_tests::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::healthy::Subject;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00";
const PING: &[u8] = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00pingpong";
/// Types of frames, and HTTP/2's errors.
const RESET: u8 = 3;
const PINGED: u8 = 6;
const GOAWAY: u8 = 7;
const REFUSED_STREAM: u8 = 7;
const ENHANCE_YOUR_CALM: u8 = 11;

/// A frame: its stream, and what is in it.
struct Frame(u32, Vec<u8>);

/// Says what HTTP/2 begins with, and then `bytes`.
async fn connect(subject: &Subject, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(subject.node.address()).await.expect("the port is open");
    stream.write_all(&[PREFACE, SETTINGS, bytes].concat()).await.expect("it is read");
    stream
}

/// The head of a watch, which goes on for as long as the client says nothing more.
fn watch(stream: u32) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("it is short")], text.as_bytes()].concat();
    // From HPACK's static table as far as it goes: POST, http, a path, an authority and a content type.
    let path = text("/etcdserverpb.Watch/Watch");
    let block = [b"\x83\x86\x44", path.as_slice(), b"\x41\x01a\x5f", &text("application/grpc")].concat();
    let length = u32::try_from(block.len()).expect("it is short").to_be_bytes();
    [&length[1..], b"\x01\x04", &stream.to_be_bytes(), &block].concat()
}

/// The next frame of a type; none when the connection ends before.
async fn next(stream: &mut TcpStream, wanted: u8) -> Option<Frame> {
    let reading = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, _, id @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            stream.read_exact(&mut payload).await.ok()?;
            if kind == wanted {
                return Some(Frame(u32::from_be_bytes(id), payload));
            }
        }
    };
    within(reading).await
}

/// The connection ends with the words that gRPC's libraries know.
async fn is_sent_away(stream: &mut TcpStream, last: u8) {
    let Some(Frame(0, payload)) = next(stream, GOAWAY).await else { panic!("it is not told to go") };
    assert_eq!(payload[..8], [0, 0, 0, last, 0, 0, 0, ENHANCE_YOUR_CALM]);
    assert_eq!(&payload[8..], b"too_many_pings");
    assert!(next(stream, GOAWAY).await.is_none(), "the connection ends");
}

#[tokio::test]
async fn who_pings_too_often_is_sent_away_as_by_grpc_for_go() {
    let subject = Subject::start(&["--unsafe-no-fsync"]).await;
    // Without a call, the first is free and two more are borne.
    let mut idle = connect(&subject, &PING.repeat(3)).await;
    for _ in 0..3 {
        next(&mut idle, PINGED).await.expect("it is answered");
    }
    idle.write_all(PING).await.expect("it is read");
    is_sent_away(&mut idle, 0).await;
    // With one, what was sent of it excuses the first.
    let mut busy = connect(&subject, &watch(1)).await;
    next(&mut busy, 1).await.expect("the watch is answered");
    busy.write_all(&PING.repeat(4)).await.expect("it is read");
    for _ in 0..3 {
        next(&mut busy, PINGED).await.expect("it is answered");
    }
    busy.write_all(&PING.repeat(2)).await.expect("it is read");
    is_sent_away(&mut busy, 1).await;
    subject.is_healthy().await;
}

#[tokio::test]
async fn who_pings_as_often_as_it_may_stays() {
    for flag in ["--grpc-keepalive-min-time=1ms", "--grpc-keepalive-min-time=0"] {
        let subject = Subject::start(&["--unsafe-no-fsync", flag]).await;
        let mut stream = connect(&subject, &watch(1)).await;
        for _ in 0..20 {
            // The bound is about the time in between.
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream.write_all(PING).await.expect("it is read");
            let Frame(_, payload) = next(&mut stream, PINGED).await.expect("it is answered");
            assert_eq!(payload, b"pingpong");
        }
    }
}

#[tokio::test]
async fn a_stream_too_many_is_refused_and_the_others_go_on() {
    let subject = Subject::start(&["--unsafe-no-fsync", "--max-concurrent-streams=2"]).await;
    let streams: Vec<_> = [1, 3, 5].into_iter().flat_map(watch).collect();
    let mut stream = connect(&subject, &streams).await;
    let Frame(id, payload) = next(&mut stream, RESET).await.expect("one is reset");
    assert_eq!((id, payload.as_slice()), (5, &[0, 0, 0, REFUSED_STREAM][..]));
    stream.write_all(PING).await.expect("it is read");
    next(&mut stream, PINGED).await.expect("the connection goes on");
    subject.is_healthy().await;
}

#[tokio::test]
async fn the_bounds_are_told_at_the_beginning() {
    let subject = Subject::start(&["--unsafe-no-fsync", "--max-concurrent-streams=7"]).await;
    let mut stream = connect(&subject, b"").await;
    let Frame(_, settings) = next(&mut stream, SETTINGS[3]).await.expect("it tells its settings");
    let told = |id: u16| {
        settings.chunks(6).find(|setting| setting[..2] == id.to_be_bytes()).map(|setting| setting[2..].to_vec())
    };
    assert_eq!(told(3), Some(7_u32.to_be_bytes().to_vec()), "streams");
    assert_eq!(told(6), Some((64 * 1024_u32).to_be_bytes().to_vec()), "headers");
}
