//! One run: the fast watchers all the time, and stalled ones that read nothing at first and then everything.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::{CompactionRequest, PutRequest, RangeRequest};
use tokio::time::{Instant, sleep};

use super::Stall;
use super::figures::{Run, Sample};
use super::reader::{LAST_KEY, Stalled};
use crate::BenchError;
use crate::channel::{Connection, Endpoint};
use crate::cost::Cost;
use crate::figures::Figures;
use crate::generator::Generator;
use crate::process::{Program, ServerProcess};
use crate::progress::Progress;

/// How often the store's revision is asked for before a compaction.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Starts a server on fresh data, measures a run on it, and ends it.
///
/// # Errors
/// See [`ServerProcess::start`] and [`measure`].
pub async fn measure_program(
    plan: &Stall,
    stalled: usize,
    program: &Program,
    data_root: &Path,
    progress: &Progress,
) -> Result<Run, BenchError> {
    progress.says("starting");
    let server = ServerProcess::start(program, data_root).await?;
    let run = measure(plan, stalled, server.url(), Some(&server), progress).await?;
    server.stop().await?;
    Ok(run)
}

/// Measures a run with so many stalled watchers, which may be none. The server's memory is known only when its
/// process is.
///
/// # Errors
/// See [`Generator`]; and when a stalled watcher misses an event, gets one twice, or is cancelled without reason.
pub async fn measure(
    plan: &Stall,
    stalled: usize,
    endpoint: &str,
    server: Option<&ServerProcess>,
    progress: &Progress,
) -> Result<Run, BenchError> {
    plan.validate()?;
    progress.says("preparing");
    let generator = Generator::start(plan.load.clone(), &[endpoint]).await?;
    let endpoint = Endpoint::parse(endpoint)?;
    let side = Side { kv: KvClient::with_origin(Connection::open(&endpoint).await?, endpoint.origin()) };
    progress.says("warming up");
    generator.warm_up().await?;
    let stalled = try_join_all((0..stalled).map(|_| Stalled::start(&endpoint))).await?;

    let mut scene = Scene { generator, server, progress, began: Instant::now(), memory: Vec::new() };
    let middle = side.revision().await? + puts_within(plan, plan.stall) / 2;
    let compaction = async { if plan.compact { side.compact_at(middle).await } else { Ok(()) } };
    let (stall, ()) = tokio::try_join!(scene.phase(plan.stall), compaction)?;

    let behind = side.revision().await?;
    let readers: Vec<_> = stalled.into_iter().map(|stalled| stalled.read(behind)).collect();
    let catch_up = scene.phase(plan.catch_up).await?;
    side.put_last().await?;
    progress.says("waiting for the stalled");
    let mut caught = Vec::new();
    for reader in readers {
        caught.push(reader.caught().await?);
    }
    Ok(Run { stall, catch_up, caught, memory: scene.memory })
}

/// What both phases of a run need.
struct Scene<'a> {
    generator: Generator,
    server: Option<&'a ServerProcess>,
    progress: &'a Progress,
    began: Instant,
    memory: Vec<Sample>,
}

impl Scene<'_> {
    /// Runs the load for so long, and looks at the server's memory a few times a second meanwhile.
    async fn phase(&mut self, time: Duration) -> Result<Figures, BenchError> {
        let servers = self.server.map_or(&[][..], std::slice::from_ref);
        let cost = Cost::look(servers)?;
        let mut samples = Vec::new();
        let mut watch = |part: f64, operations: u64| {
            self.progress.is_at(part, operations);
            // A server that has ended fails the operations; there is no sample then.
            if let Some(Ok(usage)) = self.server.map(ServerProcess::usage) {
                let (seconds, resident_bytes) = (self.began.elapsed().as_secs_f64(), usage.resident_bytes);
                samples.push(Sample { seconds, resident_bytes });
            }
        };
        let measured = self.generator.measure_for(time, &mut watch).await?;
        let figures = cost.figures(&measured, servers)?;
        self.memory.append(&mut samples);
        Ok(figures)
    }
}

/// How many puts are due in a time.
fn puts_within(plan: &Stall, time: Duration) -> i64 {
    (plan.load.rate.unwrap_or_default() * time.as_secs_f64()) as i64
}

/// The requests beside the load.
struct Side {
    kv: KvClient<Connection>,
}

impl Side {
    async fn revision(&self) -> Result<i64, BenchError> {
        let read = RangeRequest { key: LAST_KEY.into(), ..RangeRequest::default() };
        let answer = self.kv.clone().range(read).await.map_err(BenchError::operation("range"))?;
        let header = answer.into_inner().header;
        header.map(|header| header.revision).ok_or_else(|| BenchError::answer("range", "an answer without a header"))
    }

    /// Waits until the store has come to a revision, and compacts there.
    async fn compact_at(&self, revision: i64) -> Result<(), BenchError> {
        while self.revision().await? < revision {
            sleep(LOOK_EVERY).await;
        }
        let request = CompactionRequest { revision, physical: false };
        self.kv.clone().compact(request).await.map(drop).map_err(BenchError::operation("compact"))
    }

    async fn put_last(&self) -> Result<(), BenchError> {
        let put = PutRequest { key: Bytes::from_static(LAST_KEY), ..PutRequest::default() };
        self.kv.clone().put(put).await.map(drop).map_err(BenchError::operation("put"))
    }
}
