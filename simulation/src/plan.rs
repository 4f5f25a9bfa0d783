//! What a seed means: the cluster, its weather, and its faults with their times.
//!
//! A plan is plain data: it can be printed, and tried again with some of its faults left out.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use crate::node::Settings;

/// When the last fault may begin.
const FAULTS_END: Duration = Duration::from_secs(51);

/// When everything is healed.
pub(crate) const HEALED_AT: Duration = Duration::from_secs(60);

/// All that a simulation does on purpose.
#[derive(Debug, Clone)]
pub struct Plan {
    /// From which everything follows.
    pub seed: u64,
    /// Members that found the cluster, all with votes.
    pub voters: u32,
    /// How they are set.
    pub settings: Settings,
    /// What the network does all the time.
    pub weather: Weather,
    /// In the order of their times.
    pub faults: Vec<Planned>,
}

/// What the network does all the time.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// What a message takes, at most.
    pub delay: Duration,
    /// Of 10,000 messages as many break their connection.
    pub breaks: u32,
    /// Of 10,000 that may be doubled as many are.
    pub doubles: u32,
}

/// A fault with its time.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What happens.
    pub fault: Fault,
    /// What is left to chance in it comes from here.
    pub dice: u64,
}

/// Whom a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Whoever leads then; the first member when nobody does.
    Leader,
    /// A founder, by its number.
    Member(u32),
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A member loses power; of what was not synced so many of four parts are kept.
    PowerLoss(Whom, u8),
    /// A member's machine stops after so many more changes of its disk, and loses power.
    StopsAfter(Whom, u8),
    /// All members lose power.
    PowerCut(u8),
    /// A member's process is killed; its machine goes on.
    Kill(Whom),
    /// A member is asked to stop, and started again.
    Restart(Whom),
    /// A member's process stands still.
    Pause(Whom),
    /// The processes of clients stand still.
    PauseClients,
    /// Nothing gets from one member to another.
    CutOneWay(Whom, u32),
    /// Nothing gets out of a member to other members, or nothing gets in.
    HalfDeaf(Whom, bool),
    /// A member and the others hear nothing of each other.
    Isolate(Whom),
    /// The members fall into two parts.
    Split,
    /// A member and all clients hear nothing of each other.
    CutClients(Whom),
    /// What a member sends is late.
    Late(Whom),
    /// Connections break all the time.
    Storm,
    /// A member's disk is full.
    FullDisk(Whom),
    /// A sync of a member's log fails: it must stop, and be started again.
    FailedSync(Whom),
    /// Syncs of a member take long.
    SlowDisk(Whom),
    /// A bit of a member's older files changes, and the member is started again.
    BitFlip(Whom),
    /// Leadership is handed over to a member.
    HandOver(u32),
    /// A member is added, as a learner if so, and promoted later.
    Grow(bool),
    /// A member is removed, and later a new one is added.
    Replace(Whom),
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed ^ 0x0070_6c61_6e00);
        let voters = match dice.u32(..10) {
            0 => 1,
            1..=5 => 3,
            _ => 5,
        };
        let weather = Weather {
            delay: Duration::from_millis(dice.choice([1, 2, 4, 10, 30]).unwrap_or(2)),
            breaks: dice.choice([0, 0, 0, 5, 30]).unwrap_or(0),
            doubles: dice.choice([0, 500, 3_000]).unwrap_or(0),
        };
        let count = dice.usize(10..=16);
        let mut faults: Vec<_> = (0..count).map(|_| planned(&mut dice, voters)).collect();
        faults.sort_by_key(|planned| planned.at);
        Self { seed, voters, settings: settings(&mut dice), weather, faults }
    }

    /// The same with some of the faults, by their numbers.
    #[must_use]
    pub fn with_faults(&self, kept: &[usize]) -> Self {
        let faults = kept.iter().filter_map(|number| self.faults.get(*number).copied()).collect();
        Self { faults, ..self.clone() }
    }
}

fn settings(dice: &mut Rng) -> Settings {
    let heartbeat_ms = dice.choice([100, 100, 150, 200]).unwrap_or(100);
    Settings {
        heartbeat: Duration::from_millis(heartbeat_ms),
        election: Duration::from_millis(heartbeat_ms * 10),
        segment_bytes: dice.choice([64 << 10, 128 << 10, 256 << 10]).unwrap_or(128 << 10),
        cache_bytes: dice.choice([1 << 10, 16 << 10, 1 << 20]).unwrap_or(16 << 10),
        snapshot_bytes: dice.choice([4 << 10, 16 << 10, 64 << 10]).unwrap_or(16 << 10),
        keep_entries: dice.choice([0, 5, 100]).unwrap_or(5),
        yields: dice.choice([0, 8, 32]).unwrap_or(0),
        sync: Duration::from_millis(dice.choice([0, 1, 3, 10]).unwrap_or(1)),
        narrow_watches: dice.bool(),
    }
}

fn planned(dice: &mut Rng, voters: u32) -> Planned {
    let at = Duration::from_millis(dice.u64(1_500..FAULTS_END.as_millis() as u64));
    let lasts = Duration::from_millis(dice.choice([50, 400, 1_500, 3_000, 6_000]).unwrap_or(400) + dice.u64(..500));
    let fault = fault(dice, voters);
    Planned { at, lasts, fault, dice: dice.u64(..) }
}

fn fault(dice: &mut Rng, voters: u32) -> Fault {
    let whom = if dice.bool() { Whom::Leader } else { Whom::Member(dice.u32(1..=voters)) };
    let other = dice.u32(1..=voters);
    match dice.u32(..100) {
        0..9 => Fault::PowerLoss(whom, dice.u8(..5)),
        9..16 => Fault::StopsAfter(whom, dice.u8(..24)),
        16..21 => Fault::PowerCut(dice.u8(..5)),
        21..27 => Fault::Kill(whom),
        27..31 => Fault::Restart(whom),
        31..40 => Fault::Pause(whom),
        40..43 => Fault::PauseClients,
        43..50 => Fault::CutOneWay(whom, other),
        50..56 => Fault::HalfDeaf(whom, dice.bool()),
        56..63 => Fault::Isolate(whom),
        63..67 => Fault::Split,
        67..71 => Fault::CutClients(whom),
        71..74 => Fault::Late(whom),
        74..77 => Fault::Storm,
        77..81 => Fault::FullDisk(whom),
        81..85 => Fault::FailedSync(whom),
        85..88 => Fault::SlowDisk(whom),
        88..91 => Fault::BitFlip(whom),
        91..95 => Fault::HandOver(other),
        95..98 => Fault::Grow(dice.bool()),
        _ => Fault::Replace(whom),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {} voters, {:?}, {:?}", self.seed, self.voters, self.weather, self.settings)?;
        for (number, planned) in self.faults.iter().enumerate() {
            writeln!(f, "{number:>4}  {planned}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6.2} s for {:.2} s: {:?}", self.at.as_secs_f64(), self.lasts.as_secs_f64(), self.fault)
    }
}
