//! What a node counts, as its `/metrics` tell.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How many calls of an RPC a node has begun to answer so far.
///
/// # Panics
/// When the node does not tell.
pub async fn calls(url: &str, method: &str) -> u64 {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.expect("the node serves");
    let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("the node reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("the node answers in text");
    let label = format!("grpc_method=\"{method}\"");
    let is_it = |line: &&str| line.starts_with("grpc_server_started_total{") && line.contains(&label);
    let line = text.lines().find(is_it);
    let count = line.and_then(|line| line.rsplit(' ').next()).map_or(Some(0.0), |number| number.parse().ok());
    // Counters are whole numbers, however they are written.
    count.expect("a counter is a number") as u64
}
