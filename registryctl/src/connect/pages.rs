//! Pages that a server has beside gRPC, such as its metrics.

use http::Request;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::body::Body;
use tower_service::Service as _;

use super::to;
use crate::error::CtlError;
use crate::global::Global;

/// The most that is read of a page.
const PAGE_BYTES: usize = 16 << 20;

/// The text at that path of an endpoint.
///
/// With TLS it comes over the connection that requests would take; without, over one of HTTP/1, as etcd takes all plain
/// HTTP/2 for gRPC.
pub(crate) async fn text(global: &Global, endpoint: &str, path: &str) -> Result<String, CtlError> {
    let asked = async {
        let wants_tls = global.cacert.is_some() || global.cert.is_some() || !global.insecure_transport;
        let host = endpoint.trim_start_matches("http://");
        let is_plain = if endpoint.contains("://") { endpoint.starts_with("http://") } else { !wants_tls };
        if is_plain { plain(host, path).await } else { secured(global, endpoint, path).await }
    };
    let asked = tokio::time::timeout(global.dial_timeout.saturating_add(global.command_timeout), asked).await;
    let failed = |why| CtlError::Unreachable(format!("{endpoint}{path}: {why}"));
    asked.map_err(|_| failed("no answer in time".into()))?.map_err(failed)
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn plain(host: &str, path: &str) -> Result<String, Failure> {
    let stream = TcpStream::connect(host).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header("host", host).body(Empty::<bytes::Bytes>::new())?;
    // The connection carries the answer while it is read, and ends with it.
    let read = async { whole(sender.send_request(request).await?).await };
    tokio::select! {
        text = read => text,
        Err(error) = connection => Err(error.into()),
    }
}

async fn secured(global: &Global, endpoint: &str, path: &str) -> Result<String, Failure> {
    let mut connection = to(global, endpoint).await?;
    std::future::poll_fn(|context| connection.poll_ready(context)).await?;
    whole(connection.call(Request::get(path).body(Body::empty())?).await?).await
}

async fn whole<B>(answer: http::Response<B>) -> Result<String, Failure>
where
    B: http_body::Body<Error: Into<Failure>>,
{
    let status = answer.status();
    let bytes = Limited::new(answer.into_body(), PAGE_BYTES).collect().await?.to_bytes();
    if !status.is_success() {
        return Err(format!("answered with {status}").into());
    }
    Ok(String::from_utf8(bytes.to_vec())?)
}
