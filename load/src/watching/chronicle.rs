//! A chronicle: everything that happens, as one member tells it, from its first revision to the last.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use registry_checkers::history::WatchEnd;
use registry_proto::etcdserverpb::WatchCreateRequest;
use tokio::time::{Instant, sleep};

use super::stream::Stream;
use crate::reach::Members;
use crate::recorder::Recorder;
use crate::stage::Stage;

/// How often it is asked how far the member is.
const PULSE: Duration = Duration::from_millis(500);
/// A member that says nothing for so long is asked anew.
const SILENCE: Duration = Duration::from_secs(5);
/// Before a stream that broke is opened again.
const PAUSE: Duration = Duration::from_millis(250);

/// The reader of one member's chronicle.
pub(crate) struct Chronicle {
    pub(crate) client: u32,
    /// The member's index.
    pub(crate) index: usize,
    pub(crate) members: Arc<dyn Members>,
    pub(crate) recorder: Recorder,
    pub(crate) stage: Arc<Stage>,
}

impl Chronicle {
    /// Begins after `confirmed`, which older chronicles have seen.
    pub(crate) async fn run(self, confirmed: i64) {
        let over = self.stage.over.clone();
        let _ = over.run_until_cancelled(self.follow(confirmed + 1)).await;
    }

    async fn follow(&self, from: i64) {
        let (mut next, mut last) = (from, None);
        loop {
            if !self.members.is_there(self.index) {
                // Nobody waits for it.
                self.stage.reach(self.client);
                self.stage.leave_out(self.index);
                sleep(PAUSE).await;
                continue;
            }
            let member = self.members.reach(self.client, self.index);
            let everything = WatchCreateRequest {
                key: Bytes::from_static(b"\0"),
                range_end: Bytes::from_static(b"\0"),
                start_revision: next,
                prev_kv: true,
                progress_notify: true,
                // Some in parts and some not: they must tell the same.
                fragment: self.index % 2 == 1,
                ..WatchCreateRequest::default()
            };
            match Stream::open(self.client, member, vec![(everything, last)], &self.recorder).await {
                Ok(stream) => (next, last) = self.read(stream).await,
                // It says where it stands, too: it has seen what the one before has.
                Err(watchers) => last = watchers.first().map(|watcher| watcher.number),
            }
            sleep(PAUSE).await;
        }
    }

    /// Reads until the stream is over, and says what to carry on from.
    async fn read(&self, mut stream: Stream) -> (i64, Option<usize>) {
        let mut heard = Instant::now();
        let mut pulse = Instant::now() + PULSE;
        loop {
            tokio::select! {
                biased;
                goes_on = stream.next() => {
                    heard = Instant::now();
                    if !goes_on || stream.open_watchers().next().is_none() {
                        break;
                    }
                }
                () = tokio::time::sleep_until(pulse) => {
                    pulse = Instant::now() + PULSE;
                    if heard.elapsed() >= SILENCE {
                        stream.end(&WatchEnd::Broken("it is silent".to_owned()));
                        break;
                    }
                    stream.ask_progress();
                }
            }
            self.note(&stream);
        }
        self.carry_on(&stream)
    }

    fn note(&self, stream: &Stream) {
        let next = stream.next_revision();
        self.stage.confirm(self.index, next - 1);
        let target = self.stage.target();
        if target > 0 && next > target {
            self.stage.reach(self.client);
        }
    }

    /// One that was cancelled has nothing that could be carried on without a gap.
    fn carry_on(&self, stream: &Stream) -> (i64, Option<usize>) {
        let watcher = &stream.watchers[0];
        if watcher.is_open {
            return (watcher.next, Some(watcher.number));
        }
        self.recorder.complain(format!("the chronicle of member {} was cancelled at {}", self.index, watcher.next));
        // What is compacted is lost to it.
        (self.stage.revision().max(1), None)
    }
}
