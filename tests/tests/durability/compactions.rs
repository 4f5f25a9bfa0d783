//! Compactions of what is known already, and what the server makes of them.

use parking_lot::Mutex;
use registry_proto::etcdserverpb::RangeRequest;
use registry_tests::requests::key;
use registry_tests::{Client, Watching, refusal};
use tonic::Code;

use registry_tests::chronicle::watch_everything;

/// How many revisions of what is known a compaction leaves, at most.
const LEFT: i64 = 200;

/// All compactions, answered or not.
#[derive(Debug, Default)]
pub(crate) struct Compactions(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    /// The last that was acknowledged, or found out to be done.
    done: i64,
    /// Every revision that was ever asked for; they only grow.
    asked: Vec<i64>,
}

impl Compactions {
    /// A revision to compact to, which is known; none if that is done already.
    pub(crate) fn ask(&self, known: i64, random: &mut fastrand::Rng) -> Option<i64> {
        let mut asked = self.0.lock();
        let least = asked.asked.last().copied().unwrap_or(1).max(known - LEFT) + 1;
        let revision = (least <= known).then(|| random.i64(least..=known))?;
        asked.asked.push(revision);
        Some(revision)
    }

    /// It was acknowledged.
    pub(crate) fn done(&self, revision: i64) {
        self.0.lock().done = revision;
    }

    /// Finds out what is compacted: watchers and readers of older revisions must be told.
    pub(crate) async fn find_out(&self, client: &Client) -> i64 {
        if self.0.lock().asked.is_empty() {
            return 0;
        }
        let mut watching = Watching::of(client, watch_everything(1)).await;
        let answer = watching.answer().await;
        let compacted = answer.compact_revision;
        assert!(answer.canceled == (compacted > 0), "{answer:?}");
        assert!(self.may_be(compacted), "compacted to {compacted}, asked for {:?}", self.0.lock());
        if compacted > 0 {
            let old = client.try_range(RangeRequest { revision: compacted - 1, ..key("put/0/0") }).await;
            assert_eq!(refusal(old).0, Code::OutOfRange);
        }
        self.0.lock().done = compacted;
        compacted
    }

    /// Whether the server may have compacted to this revision: what was acknowledged stays, anything else
    /// that was asked for may have happened.
    fn may_be(&self, compacted: i64) -> bool {
        let asked = self.0.lock();
        compacted == asked.done || (compacted > asked.done && asked.asked.contains(&compacted))
    }

    /// Whether anybody ever asked to compact to this revision.
    pub(crate) fn was_asked(&self, revision: i64) -> bool {
        self.0.lock().asked.contains(&revision)
    }

    /// How many were asked for.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().asked.len()
    }
}
