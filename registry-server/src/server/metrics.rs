//! `/metrics`: the figures of one node under etcd's names, so that dashboards and alerts made for etcd work.
//!
//! Rooms count in plain atomics of their own; here they are read, when somebody asks. Help texts and kinds
//! are etcd's, even where a name says `_total` and the kind is a gauge.
//!
//! `etcd_disk_backend_commit_duration_seconds` needs a word. There is no database file whose commits could
//! be timed: what stands between the sync of the log and the answer here is applying a run of committed
//! entries to the store in memory. That is what is timed, so etcd's alert on slow commits tells what it
//! tells there: the state machine holds up writes.

use std::sync::Arc;

use super::calls::{Calls, Method};
use super::methods::{CODES, code_name};
use super::process;
use crate::api::SharedBackend;
use crate::api::version::{CLUSTER_VERSION, ETCD_VERSION};
use crate::http::MetricsText;
use crate::http::exposition::{Exposition, Kind};
use crate::storage::Vfs;
use crate::types::Runtime;
use crate::watch::Hub;

/// Where a node's figures are.
pub(super) struct NodeMetrics<R: Runtime, V: Vfs> {
    pub(super) backend: SharedBackend<R, V>,
    pub(super) hub: Arc<Hub>,
    pub(super) calls: Arc<Calls>,
}

impl<R: Runtime, V: Vfs> NodeMetrics<R, V> {
    /// What `/metrics` answers.
    pub(super) fn source(self) -> MetricsText {
        Arc::new(move || {
            let mut text = Exposition::default();
            self.add_server(&mut text);
            self.add_alarms(&mut text);
            self.add_proposals(&mut text);
            self.add_disk(&mut text);
            self.add_store(&mut text);
            self.add_watch(&mut text);
            self.add_leases(&mut text);
            add_calls(&mut text, &self.calls);
            add_handling(&mut text, &self.calls);
            self.add_peers(&mut text);
            process::add(&mut text);
            text.finish()
        })
    }

    fn add_server(&self, text: &mut Exposition) {
        let (raft, counts) = (self.backend.node.status(), self.backend.node.counts());
        let is_leader = raft.leader == Some(self.backend.member);
        let help = "Whether or not a leader exists. 1 is existence, 0 is not.";
        text.gauge("etcd_server_has_leader", help, u8::from(raft.leader.is_some()));
        let help = "Whether or not this member is a leader. 1 if is, 0 otherwise.";
        text.gauge("etcd_server_is_leader", help, u8::from(is_leader));
        let help = "Whether or not this member is a learner. 1 if is, 0 otherwise.";
        text.gauge("etcd_server_is_learner", help, u8::from(self.backend.is_learner()));
        let help = "The number of leader changes seen.";
        text.counter("etcd_server_leader_changes_seen_total", help, counts.leader_changes.get());
        let help = "The total number of failed read indexes seen.";
        text.counter("etcd_server_read_indexes_failed_total", help, counts.reads_failed.get());
        let help = "Which version is running. 1 for 'server_version' label with current version.";
        text.info("etcd_server_version", help, ("server_version", ETCD_VERSION));
        let help = "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.";
        text.info("etcd_server_id", help, ("server_id", &self.backend.member.to_string()));
        let help = "Which version is running. 1 for 'cluster_version' label with current cluster version";
        let minor = CLUSTER_VERSION.rsplit_once('.').map_or(CLUSTER_VERSION, |(minor, _)| minor);
        text.info("etcd_cluster_version", help, ("cluster_version", minor));
        let quota = match self.backend.limits.quota_bytes {
            0 => -1,
            bytes => i64::try_from(bytes).unwrap_or(i64::MAX),
        };
        text.gauge("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.", quota);
    }

    fn add_alarms(&self, text: &mut Exposition) {
        let help = "Alarms for every member in cluster. 1 for 'server_id' label with current ID. 2 for 'alarm_type' \
                    label with type of this alarm";
        let mut family = text.family(Kind::Gauge, "etcd_debugging_server_alarms", help);
        for (member, alarm) in self.backend.state.alarms.read().iter() {
            let labels = [("alarm_type", alarm.as_str_name()), ("server_id", &*member.to_string())];
            family.sample(&labels, 1);
        }
    }

    fn add_proposals(&self, text: &mut Exposition) {
        let (raft, counts) = (self.backend.node.status(), self.backend.node.counts());
        let help = "The total number of consensus proposals committed.";
        text.gauge("etcd_server_proposals_committed_total", help, raft.committed_index);
        let help = "The total number of consensus proposals applied.";
        text.gauge("etcd_server_proposals_applied_total", help, raft.applied_index);
        let help = "The current number of pending proposals to commit.";
        text.gauge("etcd_server_proposals_pending", help, counts.proposals_pending.get());
        let help = "The total number of failed proposals seen.";
        text.counter("etcd_server_proposals_failed_total", help, counts.proposals_failed.get());
        let help = "The total number of slow apply requests (likely overloaded from slow disk).";
        text.counter("etcd_server_slow_apply_total", help, counts.slow_applies.get());
    }

    fn add_peers(&self, text: &mut Exposition) {
        let peers = self.backend.node.counts().peers.all();
        let peers: Vec<_> = peers.into_iter().map(|(id, count)| (id.to_string(), count)).collect();
        let help = "The total number of bytes sent to peers.";
        let mut family = text.family(Kind::Counter, "etcd_network_peer_sent_bytes_total", help);
        peers.iter().for_each(|(id, count)| family.sample(&[("To", id)], count.sent_bytes.get()));
        let help = "The total number of bytes received from peers.";
        let mut family = text.family(Kind::Counter, "etcd_network_peer_received_bytes_total", help);
        peers.iter().for_each(|(id, count)| family.sample(&[("From", id)], count.received_bytes.get()));
        let help = "The total number of send failures from peers.";
        let mut family = text.family(Kind::Counter, "etcd_network_peer_sent_failures_total", help);
        peers.iter().for_each(|(id, count)| family.sample(&[("To", id)], count.sent_failures.get()));
        let help = "Round-Trip-Time histogram between peers";
        let labels: Vec<_> = peers.iter().map(|(id, _)| [("To", id.as_str())]).collect();
        let round_trips = labels.iter().zip(&peers).map(|(labels, (_, count))| (&labels[..], &count.round_trips));
        text.histograms("etcd_network_peer_round_trip_time_seconds", help, round_trips);
    }

    fn add_disk(&self, text: &mut Exposition) {
        let counts = self.backend.node.counts();
        let help = "The latency distributions of fsync called by WAL.";
        text.durations("etcd_disk_wal_fsync_duration_seconds", help, &counts.log_syncs);
        let help = "The latency distributions of commit called by backend.";
        text.durations("etcd_disk_backend_commit_duration_seconds", help, &counts.applied_runs);
    }

    fn add_store(&self, text: &mut Exposition) {
        let sizes = self.backend.state.sizes();
        let (keys, revision, compacted) = {
            let store = self.backend.state.store.read();
            (store.keys(), store.revision(), store.compacted())
        };
        let help = "Total size of the underlying database physically allocated in bytes.";
        text.gauge("etcd_mvcc_db_total_size_in_bytes", help, sizes.held_bytes);
        let help = "Total size of the underlying database logically in use in bytes.";
        text.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", help, sizes.live_bytes);
        text.gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.", keys);
        text.gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.", revision);
        let help = "The revision of the last compaction in store.";
        text.gauge("etcd_debugging_mvcc_compact_revision", help, compacted);
        let counts = &self.backend.state.counts;
        text.counter("etcd_mvcc_put_total", "Total number of puts seen by this member.", counts.puts.get());
        text.counter("etcd_mvcc_delete_total", "Total number of deletes seen by this member.", counts.deletes.get());
        text.counter("etcd_mvcc_range_total", "Total number of ranges seen by this member.", counts.ranges.get());
        text.counter("etcd_mvcc_txn_total", "Total number of txns seen by this member.", counts.txns.get());
    }

    fn add_watch(&self, text: &mut Exposition) {
        let counts = self.hub.counts();
        let (watchers, slow) = (counts.watchers.get(), counts.slow_watchers.get());
        text.gauge("etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams.", counts.streams.get());
        text.gauge("etcd_debugging_mvcc_watcher_total", "Total number of watchers.", watchers);
        text.gauge("etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers.", slow);
        let help = "Total number of events sent by this member.";
        text.counter("etcd_debugging_mvcc_events_total", help, counts.events.get());
    }

    fn add_leases(&self, text: &mut Exposition) {
        let (counts, keeper) = (&self.backend.state.counts, &self.backend.keeper);
        let (granted, revoked) = (counts.leases_granted.get(), counts.leases_revoked.get());
        let help = "The total number of expired leases.";
        text.counter("etcd_debugging_server_lease_expired_total", help, keeper.expired_total());
        text.counter("etcd_debugging_lease_granted_total", "The total number of granted leases.", granted);
        text.counter("etcd_debugging_lease_revoked_total", "The total number of revoked leases.", revoked);
        let help = "The number of renewed leases seen by the leader.";
        text.counter("etcd_debugging_lease_renewed_total", help, keeper.renewed_total());
    }
}

/// How long calls took, of the methods that were called: etcd shows this with `--metrics=extensive`.
fn add_handling(text: &mut Exposition, calls: &Calls) {
    let called: Vec<_> = calls.methods().iter().filter(|method| method.handling.count() > 0).collect();
    let labels = |method: &&Method| {
        let (service, name) = method.names();
        [("grpc_method", name), ("grpc_service", service), ("grpc_type", method.kind.name())]
    };
    let labels: Vec<_> = called.iter().map(labels).collect();
    let help = "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.";
    let handling = labels.iter().zip(&called).map(|(labels, method)| (&labels[..], &method.handling));
    text.histograms("grpc_server_handling_seconds", help, handling);
}

fn add_calls(text: &mut Exposition, calls: &Calls) {
    let help = "The total number of bytes received from grpc clients.";
    text.counter("etcd_network_client_grpc_received_bytes_total", help, calls.received_bytes());
    let help = "The total number of bytes sent to grpc clients.";
    text.counter("etcd_network_client_grpc_sent_bytes_total", help, calls.sent_bytes());
    let help = "The total number of client requests per client version.";
    let mut family = text.family(Kind::Counter, "etcd_server_client_requests_total", help);
    for (version, kinds) in calls.versions.counted() {
        for (kind, count) in kinds {
            family.sample(&[("client_api_version", &version), ("type", kind)], count);
        }
    }
    let families = [
        ("grpc_server_started_total", "Total number of RPCs started on the server."),
        ("grpc_server_msg_received_total", "Total number of RPC stream messages received on the server."),
        ("grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server."),
    ];
    for (at, (name, help)) in families.into_iter().enumerate() {
        let mut family = text.family(Kind::Counter, name, help);
        for method in calls.methods() {
            let counter = [&method.started, &method.received, &method.sent][at];
            let (service, name) = method.names();
            let labels = [("grpc_method", name), ("grpc_service", service), ("grpc_type", method.kind.name())];
            family.sample(&labels, counter.get());
        }
    }
    let help = "Total number of RPCs completed on the server, regardless of success or failure.";
    let mut family = text.family(Kind::Counter, "grpc_server_handled_total", help);
    for method in calls.methods() {
        let (service, name) = method.names();
        let kind = method.kind.name();
        for code in (0..CODES as i32).map(tonic::Code::from_i32) {
            let of_code = ("grpc_code", code_name(code));
            let labels = [of_code, ("grpc_method", name), ("grpc_service", service), ("grpc_type", kind)];
            family.sample(&labels, method.handled[code as usize].get());
        }
    }
}
