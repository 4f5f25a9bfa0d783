//! A connector of the user's own: HTTP/2 over sockets in the file system, of which this crate knows nothing.

use std::path::PathBuf;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use registry_client::Instance;
use tokio::fs::rename;
use tokio::net::{UnixListener, UnixStream};
use tower_discovery::{BoxError, DiscoveryLayer, RequestBody, Target};
use tower_layer::Layer;

use crate::kit::{Answer, ask, connected, pay};

/// Echoes bodies, until it is aborted.
fn serve(path: PathBuf) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let answer = service_fn(|request: Request<Incoming>| async move {
                    Answer::Ok(Response::new(Full::new(request.into_body().collect().await.unwrap().to_bytes())))
                });
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _closed = builder.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    })
}

#[tokio::test]
async fn a_connector_of_the_users_own_is_balanced_over_and_reconnected() {
    let folder = tempfile::tempdir().unwrap();
    let connector = tower::service_fn(|target: Target| async move {
        let path = target.instance().metadata().get("socket").cloned().ok_or("no socket is registered")?;
        let stream = TokioIo::new(UnixStream::connect(path).await?);
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        let life = target.liveness().guard();
        target.spawn(async move {
            let _closed = connection.await;
            drop(life);
        });
        let connection = tower::service_fn(move |mut request: Request<RequestBody>| {
            let mut sender = sender.clone();
            *request.uri_mut() = Uri::from_static("http://socket/ask");
            async move { sender.send_request(request).await }
        });
        Ok::<_, BoxError>(connection)
    });
    let (view, mut publisher) = pay();
    let mut servers = Vec::new();
    for id in ["a", "b"] {
        let path = folder.path().join(id);
        servers.push(serve(path.clone()));
        let instance = Instance::builder("pay").id(id).endpoint("rpc", "unix://localhost:1");
        publisher.put(instance.metadata("socket", path.to_str().unwrap()).build().unwrap());
    }
    let channel = DiscoveryLayer::new(view).served_by(true).layer(connector);
    connected(&channel, &["a", "b"]).await;
    for _ in 0..20 {
        let body = ask(&channel).await.unwrap().1.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, Bytes::from_static(b"question"));
    }

    servers[0].abort();
    connected(&channel, &["b"]).await;
    assert_eq!(ask(&channel).await.unwrap().0, "b");
    // The file of the socket stayed behind, so the next one is put in its place.
    let _again = serve(folder.path().join("again"));
    rename(folder.path().join("again"), folder.path().join("a")).await.unwrap();
    connected(&channel, &["a", "b"]).await;
}
