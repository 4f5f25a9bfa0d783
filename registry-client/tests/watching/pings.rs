//! How often the SDK asks whether its connection is alive, read from the bytes: etcd sends clients away that ask
//! oftener than every 5 s.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::kit::{Corner, eventually};

/// etcd's bound.
const LEAST: Duration = Duration::from_secs(5);
/// What every HTTP/2 connection begins with.
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const PING: u8 = 6;
const ACK: u8 = 1;

type Pings = Arc<Mutex<Vec<Instant>>>;

/// Carries frames to the server, and notes when a ping that asks was among them.
async fn note_pings(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, pings: Pings) -> std::io::Result<()> {
    let mut preface = [0; PREFACE_BYTES];
    from.read_exact(&mut preface).await?;
    to.write_all(&preface).await?;
    loop {
        let mut head = [0; HEAD_BYTES];
        from.read_exact(&mut head).await?;
        if (head[3], head[4] & ACK) == (PING, 0) {
            pings.lock().unwrap().push(Instant::now());
        }
        let mut frame = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        from.read_exact(&mut frame).await?;
        to.write_all(&[&head[..], &frame].concat()).await?;
    }
}

/// A way to the server on which pings are noted.
async fn noted(target: &str) -> (String, Pings) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (pings, target) = (Pings::default(), target.trim_start_matches("http://").to_owned());
    let noting = Arc::clone(&pings);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&target).await.unwrap();
            let (near_in, mut near_out) = near.into_split();
            let (mut far_in, far_out) = far.into_split();
            tokio::spawn(note_pings(near_in, far_out, Arc::clone(&noting)));
            tokio::spawn(async move { drop(tokio::io::copy(&mut far_in, &mut near_out).await) });
        }
    });
    (endpoint, pings)
}

#[tokio::test]
async fn g11_an_idle_connection_is_asked_whether_it_lives_no_oftener_than_etcd_allows() {
    let Some(corner) = Corner::new("pings").await else { return };
    let (endpoint, pings) = noted(corner.endpoint()).await;
    let registry = corner.registry_by(&endpoint);
    let watch = registry.watch("pay").start().unwrap();
    eventually("two pings", || async { pings.lock().unwrap().len() >= 2 }).await;
    let times = pings.lock().unwrap().clone();
    let apart: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(apart.iter().all(|apart| *apart >= LEAST), "{apart:?}");
    assert_eq!(watch.snapshot().freshness(), registry_client::Freshness::Synced);
}
