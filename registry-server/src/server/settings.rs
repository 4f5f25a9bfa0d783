//! What the rooms below are set to, from the flags.

use std::collections::BTreeMap;

use super::config::Config;
use super::identity::Identity;
use super::member::Reach;
use super::slow::slow_applies;
use crate::api::Limits;
use crate::consensus::{GrpcTransport, NodeOptions, PeerNode, Told};
use crate::storage::{DataDir, Vfs, WalOptions};
use crate::tls::Connector;
use crate::types::MemberId;

/// Entries kept behind a snapshot. A sole voter has no peers that need them.
const KEEP_ENTRIES: u64 = 100;

/// A node's, for a member of a cluster that `founders` form, or that it joins if there are none.
#[must_use]
pub fn node_options<V: Vfs>(
    config: &Config,
    identity: Identity,
    founders: BTreeMap<MemberId, PeerNode>,
    data_dir: &DataDir<V>,
) -> NodeOptions {
    NodeOptions {
        member: identity.member,
        keep_entries: if founders.len() == 1 { 0 } else { KEEP_ENTRIES },
        founders,
        life: fastrand::u64(1..),
        heartbeat_interval: config.heartbeat_interval,
        election_timeout: config.election_timeout,
        snapshot_after_bytes: config.snapshot_log_bytes,
        wal_dir: data_dir.wal_dir().to_owned(),
        snapshot_dir: data_dir.snap_dir().to_owned(),
        wal: wal_options(config),
        slow_apply: Some(slow_applies(config.warning_apply_duration)),
    }
}

/// Reaches the peers. One that is silent for half an election is asked for a sign of life, so that a call finds out
/// within an election that nobody is there.
pub(super) fn transport(
    config: &Config,
    identity: Identity,
    Reach { directory, removed }: Reach,
    tls: Option<Connector>,
) -> GrpcTransport {
    GrpcTransport {
        directory,
        removed,
        cluster: identity.cluster,
        member: identity.member,
        silence: config.election_timeout / 2,
        max_message_bytes: config.max_peer_message_bytes(),
        tls,
        told: Told::default(),
    }
}

/// The log's.
pub(super) fn wal_options(config: &Config) -> WalOptions {
    WalOptions {
        segment_bytes: config.segment_bytes(),
        unsafe_no_fsync: config.unsafe_no_fsync,
        // A client that could guess it could put what looks like the log's own headers into a value.
        salt: fastrand::u64(..),
        ..WalOptions::default()
    }
}

/// Those of requests.
pub(super) fn limits(config: &Config) -> Limits {
    // etcd's rule: one and a half election timeouts, in whole seconds, rounded up.
    let min_lease_ttl = (config.election_timeout * 3 / 2).as_millis().div_ceil(1000);
    Limits {
        max_learners: config.max_learners,
        max_txn_ops: config.max_txn_ops,
        max_request_bytes: config.max_request_bytes,
        max_answers_bytes: config.max_answers_bytes,
        min_lease_ttl_seconds: i64::try_from(min_lease_ttl).unwrap_or(i64::MAX),
        quota_bytes: config.quota_bytes.unwrap_or(0),
    }
}
