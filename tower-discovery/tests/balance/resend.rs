//! What is sent a second time, and what is not.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower_discovery::{DiscoveryLayer, Error, GrpcConnect};
use tower_layer::Layer;

use crate::kit::{Behaviour, Fleet, ask, connected, instance, pay};

/// What is not answered by then is lost; a server that answers is faster, however busy the machine is.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn g17_a_request_that_was_given_back_goes_to_another_endpoint() {
    let fleet = Fleet::default();
    fleet.set("a", Behaviour::GiveBack);
    let (view, mut publisher) = pay();
    publisher.replace([instance("a", 1), instance("b", 2)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a", "b"]).await;
    for _ in 0..20 {
        let (id, answer) = ask(&channel).await.unwrap();
        assert_eq!(id, "b");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), Bytes::from_static(b"question"));
    }
    assert!(fleet.requests("a") > 0, "the case was met");
}

#[tokio::test(start_paused = true)]
async fn g17_it_goes_to_another_endpoint_once() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    for id in ["a", "b", "c"] {
        fleet.set(id, Behaviour::GiveBack);
        publisher.put(instance(id, 1));
    }
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a", "b", "c"]).await;
    let error = ask(&channel).await.unwrap_err();
    assert!(error.to_string().contains("closed meanwhile"), "{error}");
    assert_eq!(["a", "b", "c"].map(|id| fleet.requests(id)).iter().sum::<usize>(), 2);
}

#[tokio::test(start_paused = true)]
async fn g17_a_request_whose_fate_is_open_is_not_sent_again_and_its_error_names_the_endpoint() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    for id in ["a", "b"] {
        fleet.set(id, Behaviour::Break);
        publisher.put(instance(id, 1));
    }
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a", "b"]).await;
    let error = ask(&channel).await.unwrap_err();
    let Error::Endpoint { target, .. } = &error else { panic!("{error}") };
    let expected = format!("pay/{} at http://127.0.0.1:1 failed: connection reset", target.key().id());
    assert_eq!(error.to_string(), expected);
    assert_eq!(fleet.requests("a") + fleet.requests("b"), 1);
}

/// What a frame-level server does with each request.
#[derive(Clone, Copy)]
pub(crate) enum Reply {
    /// RST_STREAM with this reason.
    Reset(u32),
    /// GOAWAY with stream 0 as the last one that was looked at.
    GoAway,
    /// A 200 without a body.
    Answer,
    /// Nothing, ever.
    Silence,
}

/// Speaks just enough HTTP/2 to answer as told.
async fn serve_frames(mut stream: TcpStream, reply: Reply) -> std::io::Result<()> {
    stream.write_all(&frame(4, 0, 0, &[])).await?;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        let is_request = head[3] == 1;
        let is_settings = head[3] == 4 && head[4] == 0;
        if is_settings {
            stream.write_all(&frame(4, 1, 0, &[])).await?;
        } else if is_request {
            let answer = match reply {
                Reply::Reset(reason) => frame(3, 0, id, &reason.to_be_bytes()),
                Reply::GoAway => frame(7, 0, 0, &[0; 8]),
                // 0x88 is `:status: 200` in HPACK's static table.
                Reply::Answer => frame(1, 5, id, &[0x88]),
                Reply::Silence => continue,
            };
            stream.write_all(&answer).await?;
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Starts a server that answers as told and gives its port.
pub(crate) async fn frame_server(reply: Reply) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_frames(stream, reply));
        }
    });
    port
}

/// Twenty requests over an endpoint that replies so and one that answers.
async fn answers_beside(reply: Reply) -> Vec<Result<String, Error>> {
    let (view, mut publisher) = pay();
    let (odd, good) = (frame_server(reply).await, frame_server(Reply::Answer).await);
    publisher.replace([instance("odd", odd), instance("good", good)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    connected(&channel, &["good", "odd"]).await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(ask(&channel).await.map(|(id, _)| id));
    }
    answers
}

#[tokio::test]
async fn g17_a_refused_stream_goes_to_another_endpoint() {
    let refused_stream = 7;
    for answer in answers_beside(Reply::Reset(refused_stream)).await {
        assert_eq!(answer.unwrap(), "good");
    }
}

#[tokio::test]
async fn g17_a_stream_beyond_goaways_last_goes_to_another_endpoint() {
    for answer in answers_beside(Reply::GoAway).await {
        assert_eq!(answer.unwrap(), "good");
    }
}

#[tokio::test]
async fn g17_a_stream_that_was_reset_otherwise_is_not_sent_again() {
    let internal_error = 2;
    let answers = answers_beside(Reply::Reset(internal_error)).await;
    let errors: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert!((1..=2).contains(&errors.len()), "{errors:?}");
    assert!(errors[0].to_string().starts_with("pay/odd at http://127.0.0.1:"), "{}", errors[0]);
}

#[tokio::test]
async fn g14_an_endpoint_that_swallows_a_request_gets_no_second_one() {
    let (view, mut publisher) = pay();
    let (silent, good) = (frame_server(Reply::Silence).await, frame_server(Reply::Answer).await);
    publisher.replace([instance("silent", silent), instance("good", good)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    connected(&channel, &["good", "silent"]).await;
    let mut lost = 0;
    for _ in 0..50 {
        let answer = tokio::time::timeout(LOST_AFTER, ask(&channel)).await;
        lost += usize::from(answer.is_err());
    }
    assert!(lost <= 1, "{lost} requests were lost");
}

#[tokio::test]
async fn g17_a_refusal_by_the_only_endpoint_is_told() {
    let (view, mut publisher) = pay();
    publisher.put(instance("a", frame_server(Reply::Reset(7)).await));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    assert!(matches!(ask(&channel).await, Err(Error::Endpoint { .. })));
}
