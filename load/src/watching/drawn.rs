//! Drawn watches: any range, any start, fast and slow readers, carried on at another member or left.

use std::sync::Arc;
use std::time::Duration;

use registry_checkers::history::WatchEnd;
use tokio::time::{Instant, sleep, sleep_until};

use super::stream::{Stream, Wanted};
use super::watcher::Watcher;
use crate::generator::Generator;
use crate::reach::Members;
use crate::recorder::Recorder;
use crate::settings::Settings;
use crate::stage::Stage;

/// How often the reader thinks of something.
const PULSE: Duration = Duration::from_millis(500);
/// After all is healed, a member that says nothing for so long is left.
const SILENCE: Duration = Duration::from_secs(5);
/// Before a stream that broke is opened again.
const PAUSE: Duration = Duration::from_millis(250);

/// The reader of one drawn stream after the other.
pub(crate) struct Drawn {
    client: u32,
    generator: Generator,
    rng: fastrand::Rng,
    members: Arc<dyn Members>,
    recorder: Recorder,
    settings: Arc<Settings>,
    stage: Arc<Stage>,
}

impl Drawn {
    pub(crate) fn new(
        client: u32,
        members: Arc<dyn Members>,
        recorder: Recorder,
        settings: Arc<Settings>,
        stage: Arc<Stage>,
    ) -> Self {
        let rng = fastrand::Rng::with_seed(!settings.seed ^ u64::from(client));
        let generator = Generator::new(client, Arc::clone(&settings));
        Self { client, generator, rng, members, recorder, settings, stage }
    }

    pub(crate) async fn run(mut self) {
        let over = self.stage.over.clone();
        let _ = over.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        let mut carried = Vec::new();
        loop {
            if carried.is_empty() && self.stage.settling.is_cancelled() {
                return self.stage.leave(self.client);
            }
            let wanted = if carried.is_empty() { self.draw() } else { carried };
            let member = self.members.reach(self.client, self.rng.usize(..self.members.count()));
            carried = match Stream::open(self.client, member, wanted, &self.recorder).await {
                Ok(stream) => self.read(stream).await,
                Err(watchers) => carry_on(&watchers),
            };
            sleep(PAUSE).await;
        }
    }

    /// New watchers for a stream: one, mostly.
    fn draw(&mut self) -> Vec<Wanted> {
        let count = if self.rng.u32(..100) < 60 { 1 } else { self.rng.usize(2..=4) };
        let revision = self.stage.revision();
        (0..count).map(|_| (self.generator.watch(revision), None)).collect()
    }

    /// Reads until the stream is over, and says what to carry on.
    async fn read(&mut self, mut stream: Stream) -> Vec<Wanted> {
        let (mut heard, mut pulse) = (Instant::now(), Instant::now() + PULSE);
        let close_at = Instant::now() + Duration::from_millis(self.rng.u64(self.settings.watch_ms.clone()));
        loop {
            let is_settling = self.stage.settling.is_cancelled();
            tokio::select! {
                biased;
                goes_on = stream.next() => {
                    heard = Instant::now();
                    if !goes_on || stream.open_watchers().next().is_none() {
                        return carry_on(&stream.watchers);
                    }
                }
                () = sleep_until(pulse) => {
                    pulse = Instant::now() + PULSE;
                    if is_settling {
                        if heard.elapsed() >= SILENCE {
                            stream.end(&WatchEnd::Broken("it is silent".to_owned()));
                            return carry_on(&stream.watchers);
                        }
                        self.leave_future(&mut stream);
                        stream.ask_progress();
                    } else if Instant::now() >= close_at {
                        stream.end(&WatchEnd::Closed);
                        return if self.rng.bool() { carry_on(&stream.watchers) } else { Vec::new() };
                    } else {
                        self.idle(&mut stream).await;
                    }
                }
            }
            self.note(&stream);
        }
    }

    /// Something that clients do besides reading.
    async fn idle(&mut self, stream: &mut Stream) {
        match self.rng.u32(..100) {
            0..30 => stream.ask_progress(),
            30..40 => {
                let pause = Duration::from_millis(self.rng.u64(1_000..8_000));
                self.recorder.trace(format_args!("client {} reads nothing for {pause:?}", self.client));
                let _ = self.stage.settling.run_until_cancelled(sleep(pause)).await;
            }
            40..45 => stream.cancel(self.rng.usize(..stream.watchers.len())),
            _ => {}
        }
    }

    /// A watcher of what will not come any more keeps all progress of its stream back, as in etcd.
    fn leave_future(&self, stream: &mut Stream) {
        let target = self.stage.target();
        for at in 0..stream.watchers.len() {
            let watcher = &stream.watchers[at];
            if target > 0 && watcher.is_open && watcher.request.start_revision > target {
                stream.cancel(at);
            }
        }
    }

    fn note(&self, stream: &Stream) {
        let target = self.stage.target();
        if target > 0 && stream.next_revision() > target {
            self.stage.reach(self.client);
        }
    }
}

/// Those that were not cancelled, from where they stand. One that never began starts as it was to.
fn carry_on(watchers: &[Watcher]) -> Vec<Wanted> {
    let open = watchers.iter().filter(|watcher| watcher.is_open);
    open.map(|watcher| (watcher.resumed(), (watcher.next > 0).then_some(watcher.number))).collect()
}
