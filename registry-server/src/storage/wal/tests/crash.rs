//! Random operations, a power loss at any point, any subset of what was not synced: what was acknowledged is
//! there, and what is there was asked for, in order.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Truncate(u8),
    Purge(u8),
    Install,
    Vote,
    Committed,
    Run(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..6_u8).prop_map(Step::Append),
        1 => any::<u8>().prop_map(Step::Truncate),
        1 => any::<u8>().prop_map(Step::Purge),
        1 => Just(Step::Install),
        1 => Just(Step::Vote),
        1 => Just(Step::Committed),
        8 => any::<bool>().prop_map(Step::Run),
    ]
}

/// What a log should hold: the model.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    entries: Vec<(u64, Bytes)>,
    purged: Option<u64>,
    vote: Option<Bytes>,
}

impl Model {
    fn of(wal: &Wal<MemVfs>) -> Self {
        let state = wal.state();
        let entries = wal.read(0..u64::MAX, usize::MAX).unwrap();
        Self { entries, purged: state.purged.map(|(index, _)| index), vote: state.vote }
    }

    fn next(&self) -> u64 {
        self.entries.last().map(|(index, _)| *index).or(self.purged).map_or(0, |last| last + 1)
    }

    fn purge(&mut self, index: u64) {
        self.entries.retain(|(found, _)| *found > index);
        self.purged = Some(index);
    }
}

/// A log, and what it should hold after each of its operations.
struct Run {
    bench: Bench,
    /// `history[n]`: after `n` operations.
    history: Vec<Model>,
    acknowledged: Arc<Mutex<usize>>,
    count: u64,
}

impl Run {
    fn done(&mut self, model: Model) -> impl FnOnce(Result<(), WalError>) + Send + use<> {
        self.history.push(model);
        let number = self.history.len() - 1;
        let acknowledged = self.acknowledged.clone();
        move |result| {
            if result.is_ok() {
                let mut acknowledged = acknowledged.lock();
                assert!(*acknowledged < number, "answers come in order");
                *acknowledged = number;
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let mut model = self.history.last().unwrap().clone();
        let wal = self.bench.wal.clone();
        let unique = |count: &mut u64| {
            *count += 1;
            Bytes::from(count.to_le_bytes().repeat(1 + (*count as usize * 7) % 60))
        };
        match step {
            Step::Append(entries) => {
                let next = model.next();
                let entries: Vec<_> =
                    (next..next + u64::from(*entries)).map(|index| (index, unique(&mut self.count))).collect();
                model.entries.extend(entries.clone());
                let done = self.done(model);
                if wal.append(entries, done).is_err() {
                    self.history.pop();
                }
            }
            Step::Truncate(back) => {
                let first = model.purged.map_or(0, |purged| purged + 1);
                let kept = model.next().saturating_sub(u64::from(*back) % 8).max(first);
                model.entries.retain(|(index, _)| *index < kept);
                wal.truncate_after(kept.checked_sub(1), self.done(model));
            }
            Step::Purge(forward) => {
                let Some((first, _)) = model.entries.first() else { return };
                let index = (first + u64::from(*forward) % 40).min(model.next() - 1);
                model.purge(index);
                wal.purge(index, Bytes::from_static(b"id"), self.done(model));
            }
            Step::Install => {
                let index = model.next() + 10;
                model.purge(index);
                wal.purge(index, Bytes::from_static(b"id"), self.done(model));
            }
            Step::Vote => {
                model.vote = Some(unique(&mut self.count));
                wal.save_vote(model.vote.clone().unwrap(), self.done(model));
            }
            Step::Committed => wal.save_committed(unique(&mut self.count)),
            Step::Run(space) => {
                self.bench.executor.run_one(if *space { SPACE_LANE } else { WAL_LANE });
            }
        }
    }
}

fn start(vfs: MemVfs) -> Option<Run> {
    let bench = Bench::open(vfs).ok()?;
    let history = vec![Model::of(&bench.wal)];
    Some(Run { bench, history, acknowledged: Arc::default(), count: 0 })
}

/// Runs the steps until the machine stops, then checks what is left; answers the disk after the power loss.
fn live_and_crash(vfs: &MemVfs, steps: &[Step], stop_after: u64, random: &mut fastrand::Rng) -> MemVfs {
    vfs.stop_after(stop_after);
    let run = start(vfs.clone()).map(|mut run| {
        for step in steps {
            run.step(step);
        }
        run
    });
    let keep_percent = random.u32(0..=100);
    let crashed = vfs.crash_with(|_| random.u32(0..100) < keep_percent);
    if let Some(run) = run {
        let left = Model::of(&Bench::open(crashed.clone()).unwrap().wal);
        let acknowledged = *run.acknowledged.lock();
        // A batch may hold parts of an operation's entries.
        let found = (acknowledged..run.history.len()).any(|at| {
            let (before, after) = (&run.history[at], run.history.get(at + 1));
            left == *before || after.is_some_and(|after| is_between(before, &left, after))
        });
        assert!(found, "left {left:?}\nacknowledged {acknowledged}: {:?}", &run.history[acknowledged..]);
    }
    crashed
}

fn is_between(before: &Model, left: &Model, after: &Model) -> bool {
    left.purged == after.purged
        && left.vote == after.vote
        && after.entries.starts_with(&left.entries)
        && left.entries.starts_with(&before.entries)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_crash_loses_an_acknowledged_operation(
        steps in prop::collection::vec(step(), 1..250),
        stops in prop::collection::vec(0..150_u64, 1..4),
        seed: u64,
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut vfs = disk();
        for stop_after in stops {
            vfs = live_and_crash(&vfs, &steps, stop_after, &mut random);
        }
    }
}
