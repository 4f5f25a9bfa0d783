//! Bytes on the client port that are no request: noise, halves of protocols, and HTTP at its worst.
//!
//! Whatever they are, they end their own connection. After each batch the server answers, is the same process,
//! has not panicked, and holds no more descriptors and hardly more memory than before.

use std::time::Duration;

use fastrand::Rng;
use registry_tests::budget::SOON;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::healthy::Subject;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// Connections of one batch, and how many of them are open together.
const CONNECTIONS: usize = 400;
const TOGETHER: usize = 80;
/// How long a client waits for the server's last word before it goes; most are told at once.
const LAST_WORD: Duration = Duration::from_millis(200);
/// What the process may have grown after a batch: buffers of connections that are gone stay with the allocator.
const ROOM_KIB: usize = 8 * 1024;

/// Sends bytes on a connection of its own, and returns what came back before it ended or the client went.
async fn say(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("the port is open");
    // A server that has heard enough resets the connection while we speak.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    drop(timeout(LAST_WORD, stream.read_to_end(&mut answer)).await);
    answer
}

/// A batch of connections, each with other bytes of the same kind.
async fn batch(seed: u64, make: fn(&mut Rng) -> Vec<u8>) {
    let subject = Subject::start(&["--unsafe-no-fsync"]).await;
    let (mut rng, mut under_way) = (Rng::with_seed(seed), JoinSet::new());
    for _ in 0..CONNECTIONS {
        if under_way.len() == TOGETHER {
            under_way.join_next().await;
        }
        let (address, bytes) = (subject.node.address().to_owned(), make(&mut rng));
        under_way.spawn(async move { say(&address, &bytes).await });
    }
    under_way.join_all().await;
    subject.is_healthy().await;
    subject.holds_no_more(ROOM_KIB).await;
}

fn noise(rng: &mut Rng, most: usize) -> Vec<u8> {
    let len = rng.usize(1..most);
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

/// A frame with a valid length and any type, flags and stream.
fn frame(rng: &mut Rng) -> Vec<u8> {
    let payload = noise(rng, 300);
    let length = (payload.len() as u32).to_be_bytes();
    let stream = if rng.bool() { rng.u32(0..4) } else { rng.u32(..) };
    [&length[1..], &[rng.u8(0..12), rng.u8(..)], &stream.to_be_bytes(), &payload].concat()
}

fn http1(rng: &mut Rng) -> Vec<u8> {
    const LINES: [&str; 12] = [
        "GET /version HTTP/1.1",
        "GET /health HTTP/9.9",
        "POST /etcdserverpb.KV/Range HTTP/1.1",
        "BREW * HTTP/1.0",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\nx",
        "Host: a\r\nHost: b",
        "\u{0}: \u{7f}",
        " folded: line",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
    ];
    let mut request = String::from(LINES[rng.usize(0..4)]);
    for _ in 0..rng.usize(0..6) {
        request.push_str("\r\n");
        request.push_str(LINES[rng.usize(..LINES.len())]);
    }
    request.push_str(if rng.bool() { "\r\n\r\n" } else { "\r\nX: " });
    [request.into_bytes(), noise(rng, 50)].concat()
}

#[tokio::test]
async fn noise_hurts_nobody() {
    batch(1, |rng| noise(rng, 2_000)).await;
}

#[tokio::test]
async fn noise_behind_the_preface_of_http2_hurts_nobody() {
    batch(2, |rng| [PREFACE, &noise(rng, 2_000)].concat()).await;
}

#[tokio::test]
async fn frames_of_any_type_on_any_stream_hurt_nobody() {
    batch(3, |rng| {
        let frames: Vec<_> = (0..rng.usize(1..20)).flat_map(|_| frame(rng)).collect();
        [PREFACE, SETTINGS, &frames].concat()
    })
    .await;
}

#[tokio::test]
async fn http1_at_its_worst_hurts_nobody() {
    batch(4, http1).await;
}

/// Each of these once by hand: what they have in common is only that no server should mind.
#[tokio::test]
async fn what_is_known_to_trouble_servers_is_answered_or_closed() {
    let subject = Subject::start(&["--unsafe-no-fsync"]).await;
    let long_line = [b"GET /", vec![b'a'; 1 << 20].as_slice(), b" HTTP/1.1\r\n\r\n"].concat();
    let many_headers = format!("GET /version HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let two_lengths = b"GET /version HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!";
    let both_ways =
        b"POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n";
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let data_on_nothing = [PREFACE, SETTINGS, b"\x00\x00\x01\x00\x00\x00\x00\x00\x07x"].concat();
    let huge_frame = [PREFACE, SETTINGS, b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"].concat();
    let broken_hpack = [PREFACE, SETTINGS, b"\x00\x00\x03\x01\x05\x00\x00\x00\x01\xff\xff\xff"].concat();
    let huge_window = [PREFACE, SETTINGS, b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff"].concat();
    for (what, bytes, answer) in [
        ("a request line of 1 MiB", long_line.as_slice(), Some("HTTP/1.1 4")),
        ("ten thousand headers", many_headers.as_bytes(), Some("HTTP/1.1 431")),
        ("two lengths", two_lengths.as_slice(), Some("HTTP/1.1 400")),
        ("a length and chunks", both_ways.as_slice(), Some("HTTP/1.1 4")),
        ("half of a TLS hello", hello.as_slice(), Some("")),
        ("data on a stream that nobody opened", &data_on_nothing, None),
        ("a frame longer than frames may be", &huge_frame, None),
        ("headers that cannot be unpacked", &broken_hpack, None),
        ("a window that overflows", &huge_window, None),
    ] {
        let said = say(subject.node.address(), bytes).await;
        let text = String::from_utf8_lossy(&said);
        match answer {
            Some(begin) => assert!(text.starts_with(begin), "{what}: {text:?}"),
            // HTTP/2 says goodbye with a GOAWAY frame, whose type is 7.
            None => assert!(said.windows(6).any(|frame| frame[3] == 7), "{what}: {said:?}"),
        }
        subject.is_healthy().await;
    }
    subject.holds_no_more(ROOM_KIB).await;
}

#[tokio::test]
async fn grpc_over_http1_is_no_path_of_ours() {
    let subject = Subject::start(&["--unsafe-no-fsync"]).await;
    for method in ["GET", "POST", "PUT"] {
        let request = format!(
            "{method} /etcdserverpb.KV/Range HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let text = String::from_utf8(say(subject.node.address(), request.as_bytes()).await).unwrap();
        assert!(text.starts_with("HTTP/1.1 404"), "{text}");
    }
    subject.is_healthy().await;
}

/// Streams that are opened and reset as fast as can be: the connection is ended, not the server.
#[tokio::test]
async fn a_flood_of_resets_ends_its_connection() {
    let subject = Subject::start(&["--unsafe-no-fsync"]).await;
    // A POST to a path of one letter, from HPACK's static table as far as it goes.
    let block = b"\x83\x86\x44\x02/x\x41\x01a";
    let mut flood = [PREFACE, SETTINGS].concat();
    for stream in (1_u32..20_001).step_by(2) {
        let length = (block.len() as u32).to_be_bytes();
        flood.extend_from_slice(&[&length[1..], b"\x01\x04", &stream.to_be_bytes(), block].concat());
        flood.extend_from_slice(&[b"\x00\x00\x04\x03\x00".as_slice(), &stream.to_be_bytes(), &[0; 4]].concat());
    }
    let stream = TcpStream::connect(subject.node.address()).await.expect("the port is open");
    let (mut answers, mut requests) = stream.into_split();
    // The other side stops reading at some point, so both ways go at once.
    let flooding = tokio::spawn(async move { requests.write_all(&flood).await });
    let mut answer = Vec::new();
    drop(timeout(SOON, answers.read_to_end(&mut answer)).await.expect("the connection is ended"));
    flooding.abort();
    // A GOAWAY that says ENHANCE_YOUR_CALM.
    let calm = |frame: &[u8]| frame[3] == 7 && frame[13..17] == [0, 0, 0, 11];
    assert!(answer.windows(17).any(calm), "{answer:?}");
    subject.is_healthy().await;
    subject.holds_no_more(ROOM_KIB).await;
}

/// 500 clients that connect and say nothing are no trouble, and are let go when they are (the limit of 30 s
/// is `server/connection`'s, and tested there on paused time).
#[tokio::test]
async fn silent_connections_leave_nothing_behind() {
    let subject = Subject::start(&["--unsafe-no-fsync"]).await;
    let mut silent = Vec::new();
    let begin = Instant::now();
    for n in 0..500_usize {
        let mut stream = TcpStream::connect(subject.node.address()).await.expect("the port is open");
        // Some say the beginning of something.
        drop(stream.write_all(&PREFACE[..n % PREFACE.len()]).await);
        silent.push(stream);
    }
    subject.is_healthy().await;
    assert!(begin.elapsed() < SOON, "connections are not accepted");
    drop(silent);
    subject.holds_no_more(ROOM_KIB).await;
}
