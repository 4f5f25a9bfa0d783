//! What passes between this member and its peers, counted for each of them, whatever carries it.
//!
//! Counted are the bytes of messages, without what the carrier adds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::StreamExt;
use parking_lot::Mutex;

use super::transport::{Answers, Call, Link, LinkError, Messages, Transport};
use super::types::PeerNode;
use crate::types::{Counter, Histogram, MemberId};

/// etcd's: 0.1 ms, each twice the one before, up to 3.2768 s.
static ROUND_TRIP_BOUNDS: [Duration; 16] = {
    let mut bounds = [Duration::from_micros(100); 16];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = Duration::from_micros(100 << at);
        at += 1;
    }
    bounds
};

/// The counts of every peer that was spoken with; only members get so far.
#[derive(Debug, Default)]
pub struct PeerCounts(Mutex<BTreeMap<MemberId, Arc<PeerCount>>>);

/// The counts of one peer.
#[derive(Debug)]
pub struct PeerCount {
    /// Bytes sent to it.
    pub sent_bytes: Counter,
    /// Bytes that came from it.
    pub received_bytes: Counter,
    /// Messages that could not be sent or were not answered.
    pub sent_failures: Counter,
    /// How long it takes to answer what needs no work.
    pub round_trips: Histogram,
}

impl Default for PeerCount {
    fn default() -> Self {
        let (sent_bytes, received_bytes, sent_failures) = Default::default();
        Self { sent_bytes, received_bytes, sent_failures, round_trips: Histogram::new(&ROUND_TRIP_BOUNDS) }
    }
}

impl PeerCounts {
    /// Those of one peer.
    pub fn of(&self, peer: MemberId) -> Arc<PeerCount> {
        self.0.lock().entry(peer).or_default().clone()
    }

    /// Those of all peers, by id.
    pub fn all(&self) -> Vec<(MemberId, Arc<PeerCount>)> {
        self.0.lock().iter().map(|(peer, count)| (*peer, count.clone())).collect()
    }
}

impl PeerCount {
    /// Counts what comes in a stream from it.
    pub(super) fn received(self: &Arc<Self>, messages: Messages) -> Messages {
        let this = self.clone();
        messages.inspect(move |body| this.received_bytes.add(body.len() as u64)).boxed()
    }

    /// Counts what is answered in a stream to it.
    pub(super) fn answered(self: &Arc<Self>, answers: Answers) -> Answers {
        let this = self.clone();
        answers.inspect(move |answer| this.sent_bytes.add(answer.as_ref().map_or(0, Bytes::len) as u64)).boxed()
    }

    fn sent(self: &Arc<Self>, messages: Messages) -> Messages {
        let this = self.clone();
        messages.inspect(move |body| this.sent_bytes.add(body.len() as u64)).boxed()
    }

    /// Counts the answer to what was sent. A refusal is one.
    fn note(&self, answer: &Result<Bytes, LinkError>) {
        match answer {
            Ok(body) => self.received_bytes.add(body.len() as u64),
            Err(LinkError::Refused(_)) => {}
            Err(LinkError::NotSent(_) | LinkError::Lost(_)) => self.sent_failures.inc(),
        }
    }
}

/// A transport whose links count.
pub(super) struct CountedTransport {
    pub(super) inner: Arc<dyn Transport>,
    pub(super) counts: Arc<super::Counts>,
}

impl Transport for CountedTransport {
    fn link(&self, to: MemberId, node: &PeerNode) -> Arc<dyn Link> {
        Arc::new(CountedLink { inner: self.inner.link(to, node), count: self.counts.peers.of(to) })
    }
}

struct CountedLink {
    inner: Arc<dyn Link>,
    count: Arc<PeerCount>,
}

impl Link for CountedLink {
    fn call(&self, call: Call, body: Bytes, limit: Duration) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let (count, bytes) = (self.count.clone(), body.len() as u64);
        let answer = self.inner.call(call, body, limit);
        Box::pin(async move {
            let answer = answer.await;
            if !matches!(answer, Err(LinkError::NotSent(_))) {
                count.sent_bytes.add(bytes);
            }
            count.note(&answer);
            answer
        })
    }

    fn append(&self, requests: Messages, limit: Duration) -> BoxFuture<'static, Result<Answers, LinkError>> {
        let count = self.count.clone();
        let begun = self.inner.append(count.sent(requests), limit);
        Box::pin(async move {
            match begun.await {
                Ok(answers) => Ok(answers.inspect(move |answer| count.note(answer)).boxed()),
                Err(error) => {
                    count.sent_failures.inc();
                    Err(error)
                }
            }
        })
    }

    fn install(&self, parts: Messages) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let count = self.count.clone();
        let installed = self.inner.install(count.sent(parts));
        Box::pin(async move {
            let answer = installed.await;
            count.note(&answer);
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::NoPeers;

    #[tokio::test]
    async fn what_cannot_be_sent_is_a_failure_and_no_bytes() {
        let counts = Arc::<super::super::Counts>::default();
        let transport = CountedTransport { inner: Arc::new(NoPeers), counts: counts.clone() };
        let link = transport.link(MemberId(7), &PeerNode::default());
        assert!(link.call(Call::Ask, Bytes::from_static(b"abc"), Duration::from_secs(1)).await.is_err());
        assert!(link.append(futures_util::stream::empty().boxed(), Duration::from_secs(1)).await.is_err());
        let all = counts.peers.all();
        assert_eq!((all.len(), all[0].0), (1, MemberId(7)));
        assert_eq!((all[0].1.sent_failures.get(), all[0].1.sent_bytes.get()), (2, 0));
    }

    #[test]
    fn the_bounds_are_those_of_etcds_round_trips() {
        let micros: Vec<_> = ROUND_TRIP_BOUNDS.iter().map(Duration::as_micros).collect();
        assert_eq!((micros[0], micros[1], micros[15]), (100, 200, 3_276_800));
    }
}
