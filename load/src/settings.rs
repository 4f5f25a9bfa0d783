//! What a run is made of.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The settings of a load. The same settings and the same answers give the same calls.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where all randomness comes from.
    pub seed: u64,
    /// Clients that call one operation after the other.
    pub clients: u32,
    /// Calls of each client before the end.
    pub calls: u64,
    /// A client stops here even if calls are left.
    pub limit: Duration,
    /// Few keys make many collisions.
    pub keys: usize,
    /// How often each kind of operation is drawn.
    pub shares: Shares,
    /// Between two calls of a client, in milliseconds.
    pub think_ms: RangeInclusive<u64>,
    /// How long a client waits for an answer, in milliseconds.
    pub timeout_ms: RangeInclusive<u64>,
    /// Of leases and of locks, in seconds.
    pub ttl_seconds: RangeInclusive<i64>,
    /// The shortest TTL that the server grants, in seconds.
    pub min_ttl_seconds: i64,
    /// Streams with drawn watchers that are open at a time.
    pub watches: u32,
    /// How long a drawn stream lives before it is closed or carried on elsewhere, in milliseconds.
    pub watch_ms: RangeInclusive<u64>,
    /// Clients that contend for a lock.
    pub contenders: u32,
    /// How often each of them tries.
    pub locks: u64,
    /// Clients that renew leases when they are about to end.
    pub latecomers: u32,
    /// How often each of them does.
    pub late_renewals: u64,
    /// Processes that hold one registration after the other.
    pub registrars: u32,
    /// How many registrations each of them holds.
    pub registrations: u64,
    /// How long a registration is held, in milliseconds.
    pub held_ms: RangeInclusive<u64>,
    /// The most bytes of a value that one more client writes now and then, three in one request; 0 for no such client.
    pub large_bytes: usize,
    /// Between two rounds of large values, in milliseconds.
    pub large_pause_ms: RangeInclusive<u64>,
    /// Calls of each client after all is healed, each of which must succeed.
    pub last_calls: u64,
}

impl Default for Settings {
    /// A small load of all kinds, for a few minutes of a simulation.
    fn default() -> Self {
        Self {
            seed: 0,
            clients: 5,
            calls: 200,
            limit: Duration::from_secs(300),
            keys: 6,
            shares: Shares::default(),
            think_ms: 0..=200,
            timeout_ms: 1_000..=5_000,
            ttl_seconds: 2..=20,
            min_ttl_seconds: 2,
            watches: 3,
            watch_ms: 2_000..=20_000,
            contenders: 2,
            locks: 6,
            latecomers: 1,
            late_renewals: 6,
            registrars: 2,
            registrations: 4,
            held_ms: 3_000..=20_000,
            large_bytes: 0,
            large_pause_ms: 5_000..=15_000,
            last_calls: 5,
        }
    }
}

impl Settings {
    /// Whether a run can be made of it.
    ///
    /// # Errors
    /// What makes no sense.
    pub fn validate(&self) -> Result<(), String> {
        let wrong = [
            (self.clients == 0, "there must be a client"),
            (self.keys == 0, "there must be a key"),
            (self.shares.sum() == 0, "some operation must have a share"),
            (self.think_ms.is_empty() || self.timeout_ms.is_empty(), "a range of times is empty"),
            (self.watch_ms.is_empty() || self.held_ms.is_empty(), "a range of times is empty"),
            (self.large_pause_ms.is_empty(), "a range of times is empty"),
            (self.ttl_seconds.is_empty() || *self.ttl_seconds.start() < 1, "a TTL is at least 1 s"),
            (*self.timeout_ms.start() == 0, "a call needs time"),
        ];
        wrong.iter().find(|(is_wrong, _)| *is_wrong).map_or(Ok(()), |(_, text)| Err((*text).to_owned()))
    }
}

macro_rules! shares {
    ($($(#[$doc:meta])* $name:ident $kind:ident = $share:literal,)+) => {
        /// How often each kind of operation is drawn, relative to the others.
        #[derive(Debug, Clone)]
        pub struct Shares {
            $($(#[$doc])* pub $name: u32,)+
        }

        /// What is drawn.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind {
            $($kind,)+
        }

        impl Default for Shares {
            fn default() -> Self {
                Self { $($name: $share,)+ }
            }
        }

        impl Shares {
            /// All of them.
            #[must_use]
            pub fn sum(&self) -> u32 {
                0 $(+ self.$name)+
            }

            /// The kind at that place below the sum.
            pub(crate) fn at(&self, mut place: u32) -> Kind {
                let shares = [$((self.$name, Kind::$kind),)+];
                for (share, kind) in shares {
                    if place < share {
                        return kind;
                    }
                    place -= share;
                }
                shares[0].1
            }
        }
    };
}

shares! {
    /// Puts alone.
    put Put = 24,
    /// Ranges alone.
    range Range = 22,
    /// Deletes alone.
    delete Delete = 7,
    /// Transactions of all forms.
    txn Txn = 18,
    /// Steps of the counter: a read, and a compare-and-swap of what was read.
    counter Counter = 8,
    /// Compactions.
    compact Compact = 2,
    /// Grants.
    grant Grant = 5,
    /// Revokes.
    revoke Revoke = 2,
    /// Renewals of any lease, besides those of leases that are held.
    renew Renew = 3,
    /// What is left of a lease.
    time_to_live TimeToLive = 4,
    /// Which leases there are.
    leases Leases = 2,
    /// The members, linearizably.
    members Members = 1,
    /// Hashes of all keys at a revision.
    hash Hash = 2,
}
