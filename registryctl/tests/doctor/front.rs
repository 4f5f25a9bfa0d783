//! A door in front of a server: gRPC goes through to it, plain HTTP is answered as a test says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What HTTP/2 begins with, and no request of HTTP/1 does.
const HTTP_2: &[u8] = b"PRI ";

/// What is answered over plain HTTP.
#[derive(Default)]
pub(crate) struct Says {
    /// By path; each time it is asked for the next one, and the last one over and over.
    pub(crate) pages: BTreeMap<&'static str, Vec<String>>,
    /// What the server's clock shows; none for the right time.
    pub(crate) date: Option<Box<dyn Fn() -> SystemTime + Send>>,
}

/// A door. Dropping it closes it.
pub(crate) struct Front {
    pub(crate) url: String,
    _serving: JoinSet<()>,
}

impl Front {
    /// In front of the server at a URL.
    pub(crate) async fn before(server: &str, says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (server, says) = (server.trim_start_matches("http://").to_owned(), Arc::new(Mutex::new(says)));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, server.clone(), says.clone()));
            }
        });
        Self { url, _serving: serving }
    }
}

async fn serve(mut stream: TcpStream, server: String, says: Arc<Mutex<Says>>) {
    let mut head = [0; 4];
    // Who connects and says nothing, as a probe of the port does.
    if stream.peek(&mut head).await.unwrap_or(0) < head.len() {
        return;
    }
    if head == HTTP_2 {
        let mut inner = TcpStream::connect(server).await.unwrap();
        // Either side may end it at any time.
        copy_bidirectional(&mut stream, &mut inner).await.ok();
        return;
    }
    let mut request = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut request).await {
        if request.ends_with(b"\r\n\r\n") {
            let answer = says.lock().answer(&String::from_utf8_lossy(&request));
            request.clear();
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

impl Says {
    fn answer(&mut self, request: &str) -> String {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let now = || SystemTime::now();
        let date = httpdate::fmt_http_date(self.date.as_ref().map_or_else(now, |date| date()));
        let (status, body) = match self.pages.get_mut(path) {
            None => ("404 Not Found", "404 page not found\n".to_owned()),
            Some(bodies) if bodies.len() > 1 => ("200 OK", bodies.remove(0)),
            Some(bodies) => ("200 OK", bodies[0].clone()),
        };
        format!("HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }
}

/// The page `/version` of a server of a version in a cluster of another.
pub(crate) fn version(server: &str, cluster: &str) -> (&'static str, Vec<String>) {
    ("/version", vec![format!(r#"{{"etcdserver":"{server}","etcdcluster":"{cluster}"}}"#)])
}
