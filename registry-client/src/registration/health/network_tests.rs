//! The probes against servers that answer well, badly, late and not at all.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A listener whose connections are answered with that text, once something was read.
async fn answering(text: &'static str) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    if text.is_empty() || stream.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    endpoint
}

async fn refusing() -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}

#[tokio::test]
async fn tcp_passes_where_somebody_listens() {
    Network::Tcp(answering("").await).probe(&Security::default()).await.unwrap();
    assert!(Network::Tcp(refusing().await).probe(&Security::default()).await.is_err());
}

#[cfg(feature = "health")]
#[tokio::test]
async fn http_passes_with_a_success_only() {
    let probe =
        async |text| Network::http(answering(text).await, "/healthz?full").unwrap().probe(&Security::default()).await;
    probe("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    probe("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nlong").await.unwrap();
    for text in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 302 Found\r\n\r\n", "SSH-2.0\r\n", ""] {
        let error = probe(text).await.unwrap_err();
        assert!(!error.to_string().is_empty(), "{text}");
    }
    assert!(Network::http(refusing().await, "/").unwrap().probe(&Security::default()).await.is_err());
    assert!(Network::http(Endpoint::parse("tcp://h:1").unwrap(), "/").is_err());
    assert!(Network::http(Endpoint::parse("http://h:1").unwrap(), "a b").is_err());
}

#[cfg(feature = "health")]
#[tokio::test]
async fn grpc_passes_while_the_service_serves() {
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tonic_health::ServingStatus;
    use tower_service::Service as _;

    let (reporter, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let health = health.clone();
            let answer = service_fn(move |request| health.clone().call(request));
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), answer));
        }
    });
    let probe = async |service: &str| {
        Network::grpc(endpoint.clone(), service.to_owned()).unwrap().probe(&Security::default()).await
    };
    probe("").await.unwrap();
    reporter.set_service_status("pay", ServingStatus::NotServing).await;
    let error = probe("pay").await.unwrap_err();
    assert!(error.to_string().contains("NOT_SERVING"), "{error}");
    reporter.set_service_status("pay", ServingStatus::Serving).await;
    probe("pay").await.unwrap();
    assert!(probe("unknown").await.is_err());
    assert!(
        Network::grpc(answering("HTTP/1.1 200 OK\r\n\r\n").await, String::new())
            .unwrap()
            .probe(&Security::default())
            .await
            .is_err()
    );
}
