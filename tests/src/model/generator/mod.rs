//! Random operations that collide: few keys, some of them used far more than others; revisions around the
//! compacted and the newest one; leases that are revoked while keys are attached; transactions that are
//! refused, that fail, and that succeed because the model was asked what holds.
//!
//! Writes and reads come in bursts, so that whoever sends them may send a burst at once.

mod requests;
mod txns;

use bytes::Bytes;
use fastrand::Rng;

use super::Dialect;
use super::Model;
use super::Operation;

/// The longest burst.
const BURST: usize = 200;

/// What is generated.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Whose behaviour is asked for.
    pub dialect: Dialect,
    /// How many keys there are, at most.
    pub keys: usize,
    /// Also leases that end within seconds, for servers in which nothing expires.
    pub short_leases: bool,
}

impl Mix {
    /// For a server on whose clock nothing may depend.
    #[must_use]
    pub fn of(dialect: Dialect) -> Self {
        Self { dialect, keys: 40, short_leases: false }
    }
}

/// Makes operations out of a seed and what the model is at.
#[derive(Debug)]
pub struct Generator {
    random: Rng,
    mix: Mix,
    keys: Vec<Bytes>,
    reads: bool,
    left: usize,
}

impl Generator {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64, mix: Mix) -> Self {
        let count = mix.keys.min(mix.dialect.keys_sorted_stably());
        Self { random: Rng::with_seed(seed), mix, keys: names().take(count).collect(), reads: false, left: 0 }
    }

    /// The next operation.
    pub fn next(&mut self, model: &Model) -> Operation {
        if self.left == 0 {
            self.reads = !self.reads;
            // Short ones more often than long ones.
            self.left = self.random.usize(1..=self.random.clone().usize(1..=BURST));
        }
        self.left -= 1;
        if self.reads { self.read(model) } else { self.write(model) }
    }

    fn write(&mut self, model: &Model) -> Operation {
        match self.random.u32(0..100) {
            0..42 => Operation::Put(self.put(model)),
            42..54 => Operation::DeleteRange(self.delete()),
            54..85 => Operation::Txn(self.txn(model)),
            85 => Operation::Compact(self.compact(model)),
            86..94 => Operation::LeaseGrant(self.grant()),
            _ => Operation::LeaseRevoke(self.revoke(model)),
        }
    }

    fn read(&mut self, model: &Model) -> Operation {
        match self.random.u32(0..100) {
            0..72 => Operation::Range(self.range(model)),
            72..82 => Operation::Txn(self.read_only_txn(model)),
            82..90 => Operation::LeaseTimeToLive(self.time_to_live(model)),
            90..92 => Operation::LeaseLeases(Default::default()),
            _ => Operation::LeaseKeepAlive(self.keep_alive(model)),
        }
    }

    /// True so many times out of a hundred.
    fn percent(&mut self, percent: u32) -> bool {
        self.random.u32(0..100) < percent
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.usize(..choices.len())]
    }

    /// A key; the first ones most often.
    fn key(&mut self) -> Bytes {
        let skewed = self.random.f64() * self.random.f64();
        self.keys[(skewed * self.keys.len() as f64) as usize].clone()
    }

    /// A key and a range end.
    fn keys(&mut self) -> (Bytes, Bytes) {
        let key = self.key();
        let end = match self.random.u32(0..100) {
            0..50 => Bytes::new(),
            50..60 => Bytes::from_static(b"\0"),
            60..70 => [&key, b"\xff".as_slice()].concat().into(),
            _ => self.key(),
        };
        // A range that ends before it begins is rare, but may be asked for.
        if end.len() > 1 && end < key && self.percent(80) { (end, key) } else { (key, end) }
    }

    /// A revision to read or watch from; 0 for the newest.
    fn revision(&mut self, model: &Model) -> i64 {
        let (compacted, newest) = (model.compacted(), model.revision());
        match self.random.u32(0..100) {
            0..35 => 0,
            35..65 => newest - self.random.i64(0..=newest.min(40)),
            65..80 => compacted + self.random.i64(-2..=3),
            80..92 => self.random.i64(compacted.max(1)..=newest),
            92..96 => newest + self.random.i64(1..=2),
            _ => self.random.i64(-3..=1),
        }
    }

    /// A lease that is there, if one is, or one of the few ids that may be.
    fn lease(&mut self, model: &Model) -> i64 {
        let count = model.lease_ids().count();
        if count > 0 && self.percent(75) {
            let chosen = self.random.usize(..count);
            return model.lease_ids().nth(chosen).expect("there are that many");
        }
        self.lease_id()
    }

    fn lease_id(&mut self) -> i64 {
        if self.percent(2) { self.one_of(&[-1, i64::MAX, i64::MIN]) } else { self.random.i64(1..=16) }
    }

    fn value(&mut self) -> Bytes {
        if self.percent(60) {
            return self.one_of(&["", "a", "b", "value", "values", "z"]).into();
        }
        if self.percent(1) {
            return vec![b'x'; self.random.usize(1_000..5_000)].into();
        }
        let len = self.random.usize(0..30);
        (0..len).map(|_| self.random.u8(..)).collect()
    }
}

/// The keys: the smallest and the largest ones, keys that others begin with, and paths.
fn names() -> impl Iterator<Item = Bytes> {
    let special: [&'static [u8]; 7] = [b"a", b"a/1", b"\0", b"b", b"a\0", b"\xff", b"\xff\xff"];
    let paths = (2..).map(|n| Bytes::from(format!("{}/{n}", char::from(b'a' + (n % 3) as u8))));
    special.into_iter().map(Bytes::from_static).chain(paths)
}
