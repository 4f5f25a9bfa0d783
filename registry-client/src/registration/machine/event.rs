//! What the machine is told and what it wants done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::channel::Failure;
use crate::error::{Error, LeaseTrouble};
use crate::instance::Instance;
use crate::registration::LeaseState;

/// A point on the boot-time clock: the time since boot, suspended time included.
pub(crate) type Moment = Duration;

/// A lease's id, chosen by the client.
pub(crate) type LeaseId = i64;

/// Who holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) lease: LeaseId,
    pub(crate) mod_revision: i64,
    pub(crate) value: Bytes,
}

/// How a put ended.
#[derive(Debug, Clone)]
pub(crate) enum PutOutcome {
    Stored {
        revision: i64,
    },
    /// The comparison failed: this is what stands there instead.
    Conflict {
        revision: i64,
        holder: Option<Holder>,
        tombstone: bool,
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
    /// The own key as somebody saw it at `revision`: `None` if it is not there.
    Key {
        revision: i64,
        holder: Option<Holder>,
    },
    /// The value to register from now on, and its number; the first value is number 1.
    Update {
        instance: Box<Instance>,
        number: u64,
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

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Grant {
        id: LeaseId,
        ttl: Duration,
    },
    Put {
        lease: LeaseId,
        expect: Expect,
        value: Bytes,
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
    /// How many updates (the first value is number 1) are stored.
    pub(crate) stored: u64,
    /// The newest update that the registry refused, and why.
    pub(crate) refused: Option<(u64, Arc<Error>)>,
    /// Ended, and every lease is confirmed to be gone.
    pub(crate) released: bool,
}
