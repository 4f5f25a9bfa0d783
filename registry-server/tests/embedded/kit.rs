//! A node in a directory of its own, and the way to it.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use registry_server::server::{Config, Running, Server};
use tokio::net::TcpStream;
use tonic::body::Body;
use tower_service::Service;

/// Starts a node on a port of its own over what `data_dir` holds.
pub(crate) async fn start(data_dir: &Path, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config {
        data_dir: data_dir.to_owned(),
        listen_client_urls: vec!["http://127.0.0.1:0".parse().unwrap()],
        worker_threads: Some(1),
        ..Config::default()
    };
    change(&mut config);
    Server::start(config).await.unwrap()
}

/// One HTTP/2 connection, as the transport of generated clients.
#[derive(Clone)]
pub(crate) struct Channel {
    sender: SendRequest<Body>,
    authority: String,
}

impl Channel {
    pub(crate) async fn connect(node: &Running) -> Self {
        let authority = node.client_url().strip_prefix("http://").unwrap().to_owned();
        let stream = TcpStream::connect(&authority).await.unwrap();
        let mut builder = Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.timer(TokioTimer::new()).handshake(TokioIo::new(stream)).await.unwrap();
        drop(tokio::spawn(connection));
        Self { sender, authority }
    }

    /// The status and text of a plain path.
    pub(crate) async fn get(&mut self, path: &str) -> (u16, String) {
        let response = self.call(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.into()).unwrap())
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path_and_query().unwrap().clone();
        let uri = Uri::builder().scheme("http").authority(self.authority.as_str()).path_and_query(path);
        *request.uri_mut() = uri.build().unwrap();
        Box::pin(self.sender.send_request(request))
    }
}
