//! One connection through a proxy: its bytes go on, wait, are swallowed, or it is reset.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::{Cut, Rules};

/// What is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A connection that one member has opened to another.
#[derive(Debug)]
pub(super) struct Link {
    /// Who has opened it.
    pub(super) from: usize,
    /// Who has accepted it.
    pub(super) to: usize,
    pub(super) rules: watch::Receiver<Rules>,
}

impl Link {
    /// Carries the bytes of both directions to the end of the connection.
    pub(super) async fn carry(mut self, mut client: TcpStream, target: SocketAddr) {
        let Some(mut server) = self.open(target).await else { return reset(&client) };
        // Latency counts for messages that wait for each other.
        drop((client.set_nodelay(true), server.set_nodelay(true)));
        let is_broken = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            let there = pump(from_client, to_server, self.rules.clone(), (self.from, self.to));
            let back = pump(from_server, to_client, self.rules.clone(), (self.to, self.from));
            tokio::select! {
                ended = async { tokio::try_join!(there, back) } => ended.is_err(),
                () = self.is_to_be_reset() => true,
            }
        };
        if is_broken {
            reset(&client);
            reset(&server);
        }
    }

    /// Connects to the member, once neither direction is cut; none if that does not work, or is not to.
    async fn open(&mut self, target: SocketAddr) -> Option<TcpStream> {
        let (from, to) = (self.from, self.to);
        let cuts = |rules: &Rules| [rules.of(from, to), rules.of(to, from)];
        let decided = |rules: &Rules| cuts(rules).contains(&Some(Cut::Reset)) || cuts(rules) == [None, None];
        let is_open = cuts(&*self.rules.wait_for(decided).await.ok()?) == [None, None];
        if is_open { TcpStream::connect(target).await.ok() } else { None }
    }

    /// Ends when one direction is cut in that way.
    async fn is_to_be_reset(&mut self) {
        let (from, to) = (self.from, self.to);
        let is_reset = |rules: &Rules| [rules.of(from, to), rules.of(to, from)].contains(&Some(Cut::Reset));
        // No rules any more: the network is gone.
        drop(self.rules.wait_for(is_reset).await);
    }
}

/// Carries one direction to its end, as long as that is open. An error is an end to be told by a reset.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut rules: watch::Receiver<Rules>,
    (sender, receiver): (usize, usize),
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut has_lost_bytes = false;
    loop {
        let cut = rules.borrow_and_update().of(sender, receiver);
        if has_lost_bytes && cut != Some(Cut::Swallow) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let read = tokio::select! {
            // Rules first: once a path is cut, nothing that comes then goes through.
            biased;
            changed = rules.changed() => {
                changed.map_err(io::Error::other)?;
                continue;
            }
            read = from.read(&mut chunk), if cut != Some(Cut::Hold) => read?,
        };
        if cut == Some(Cut::Swallow) {
            has_lost_bytes = true;
            if read == 0 {
                // The end is not told either, until the path is open again.
                drop(rules.wait_for(|rules| rules.of(sender, receiver) != Some(Cut::Swallow)).await);
            }
        } else if read == 0 {
            return to.shutdown().await;
        } else {
            to.write_all(&chunk[..read]).await?;
        }
    }
}

/// Has the connection end with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    // It may be gone already.
    drop(stream.set_zero_linger());
}
