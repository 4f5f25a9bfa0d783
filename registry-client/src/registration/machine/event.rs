//! What the machine is told and what it wants done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::channel::Failure;
use crate::error::{Error, LeaseTrouble};
use crate::instance::{Instance, Status};
use crate::registration::LeaseState;

/// A point on the boot-time clock: the time since boot, suspended time included.
pub(crate) type Moment = Duration;

/// A lease's id, chosen by the client.
pub(crate) type LeaseId = i64;

/// The two keys of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) instance: Bytes,
    /// Where an operator says that the instance is not to come back.
    pub(crate) tombstone: Bytes,
}

/// What to register from now on, by place.
pub(crate) type Changes = Vec<(usize, Arc<Instance>)>;

/// Who holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) lease: LeaseId,
    pub(crate) mod_revision: i64,
    pub(crate) value: Bytes,
}

/// What stands under one key of a put, whether or not it is in its way.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) place: usize,
    pub(crate) holder: Option<Holder>,
    pub(crate) tombstone: bool,
}

/// How a put ended. It stores all of its keys or none.
#[derive(Debug, Clone)]
pub(crate) enum PutOutcome {
    Stored {
        revision: i64,
    },
    /// A comparison failed: this is what stands there.
    Conflict {
        revision: i64,
        found: Vec<Found>,
    },
    /// The lease that the put named does not exist.
    NoLease,
    Failed(Failure),
}

/// How a revoke ended.
#[derive(Debug, Clone)]
pub(crate) enum RevokeOutcome {
    Revoked,
    NotFound,
    /// Whatever the reason, it is sent again.
    Failed,
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// The grant was answered; the granted TTL is the server's, not the one asked for.
    Granted {
        id: LeaseId,
        ttl: Duration,
    },
    /// There is a lease of that id already.
    GrantExists {
        id: LeaseId,
    },
    GrantFailed {
        id: LeaseId,
        failure: Failure,
    },
    Put(PutOutcome),
    Revoke {
        id: LeaseId,
        outcome: RevokeOutcome,
    },
    /// A keep-alive was answered; 0 says that the lease is gone.
    KeptAlive {
        id: LeaseId,
        ttl: Duration,
    },
    /// The keep-alive stream ended or broke; what was asked on it will not be answered.
    StreamLost(LeaseTrouble),
    /// An own key as a watch saw it at `revision`: `None` if it is not there. It may be old.
    Key {
        place: usize,
        revision: i64,
        holder: Option<Holder>,
    },
    /// The same as a linearizable read found it, whose answer may have been overtaken by that of a put.
    KeyRead {
        place: usize,
        revision: i64,
        holder: Option<Holder>,
    },
    /// What to register from now on, and the update's number; the first values are number 1.
    Update {
        changes: Changes,
        number: u64,
    },
    /// The health check has come to another verdict.
    Health {
        status: Status,
    },
    Shutdown {
        drain: Duration,
        deadline: Moment,
    },
    Dropped,
    Tick,
}

/// Which version of the key a put may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Absent,
    ModRevision(i64),
}

/// One key of a put.
#[derive(Debug, Clone)]
pub(crate) struct KeyPut {
    pub(crate) place: usize,
    pub(crate) keys: Keys,
    pub(crate) expect: Expect,
    pub(crate) value: Bytes,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Grant {
        id: LeaseId,
        ttl: Duration,
    },
    Put {
        lease: LeaseId,
        puts: Vec<KeyPut>,
    },
    KeepAlive {
        id: LeaseId,
    },
    Revoke {
        id: LeaseId,
    },
    /// Keep-alives are not answered: another connection may do better.
    Reconnect,
    Report(Progress),
    /// Nothing is left to do; the machine takes no more events.
    Finished,
}

/// What the holder of the registration can wait for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Progress {
    pub(crate) state: LeaseState,
    /// How many updates (the first values are number 1) are stored.
    pub(crate) stored: u64,
    /// What the health check says and the registry has; nothing without one.
    pub(crate) health: Option<Status>,
    /// The newest update that the registry refused, and why.
    pub(crate) refused: Option<(u64, Arc<Error>)>,
    /// Ended, and every lease is confirmed to be gone.
    pub(crate) released: bool,
}
