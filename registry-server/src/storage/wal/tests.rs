//! Claims about the log: one file a topic, and what they share.

mod crash;
mod damage;
mod end;
mod faults;
mod files;
mod room;
mod survey;
mod ways;

use std::path::PathBuf;

use super::segment::segment_name;
use super::*;
use crate::storage::testing::ManualExecutor;
use crate::storage::{MemVfs, Vfs};

const DIR: &str = "/wal";
const SEGMENT: u64 = 16 << 10;

/// The lanes of a log, in the order in which it makes them.
const WAL_LANE: usize = 0;
const SPACE_LANE: usize = 1;

/// What was answered, in order.
type Answers = Arc<Mutex<Vec<Result<(), WalError>>>>;

/// A log on a disk in memory, whose jobs run by hand.
struct Bench {
    vfs: MemVfs,
    executor: ManualExecutor,
    wal: Wal<MemVfs>,
    recovered: Recovered,
    answers: Answers,
}

fn disk() -> MemVfs {
    let vfs = MemVfs::new();
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    vfs
}

fn options() -> WalOptions {
    WalOptions { segment_bytes: SEGMENT, cache_bytes: 0, unsafe_no_fsync: false, salt: 0x5a17 }
}

impl Bench {
    fn new() -> Self {
        Self::open(disk()).unwrap()
    }

    /// Opens a log without running the jobs that this starts.
    fn open(vfs: MemVfs) -> Result<Self, WalError> {
        let executor = ManualExecutor::default();
        let (wal, recovered) = Wal::open(vfs.clone(), Path::new(DIR), options(), &executor)?;
        Ok(Self { vfs, executor, wal, recovered, answers: Answers::default() })
    }

    /// Opens what a power loss leaves of everything unsynced.
    fn after_power_loss(&self) -> Self {
        Self::open(self.vfs.crash()).unwrap()
    }

    fn done(&self) -> impl FnOnce(Result<(), WalError>) + Send + use<> {
        let answers = self.answers.clone();
        move |result| answers.lock().push(result)
    }

    fn append(&self, index: u64) -> Result<(), WalError> {
        self.wal.append(vec![(index, payload(index))], self.done())
    }

    /// Appends as a node does: with room for the entry reserved until it is on its way.
    fn append_reserved(&self, index: u64) -> Result<(), WalError> {
        let _room = self.wal.reserve(payload(index).len())?;
        self.append(index)
    }

    /// Appends and runs all jobs, one entry at a time.
    fn append_each(&self, range: Range<u64>) {
        for index in range {
            self.append(index).unwrap();
            self.executor.run_all();
        }
    }

    fn entries(&self) -> Vec<(u64, Bytes)> {
        self.wal.read(0..u64::MAX, usize::MAX).unwrap()
    }

    fn indices(&self) -> Vec<u64> {
        self.entries().iter().map(|(index, _)| *index).collect()
    }

    fn segments(&self) -> Vec<String> {
        self.vfs.list(Path::new(DIR)).unwrap()
    }
}

/// Payloads of different sizes, told apart by their content.
fn payload(index: u64) -> Bytes {
    let size = 8 + (index as usize).wrapping_mul(37) % 900;
    index.to_le_bytes().repeat(size / 8).into()
}

fn path(number: u32) -> PathBuf {
    Path::new(DIR).join(segment_name(number))
}
