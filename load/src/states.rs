//! What a member holds at the end, read from that member alone.

use bytes::Bytes;
use registry_checkers::history::MemberState;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{HashKvRequest, LeaseLeasesRequest, LeaseTimeToLiveRequest, RangeRequest};
use tonic::Status;

use crate::reach::Member;
use crate::recorder::Recorder;

/// The state of a member over its own API. As the whole replicated state stands the hash of all revisions, which
/// is the same on members that are at one revision and have compacted alike.
///
/// # Errors
/// The member's, or that the keys do not decode.
pub async fn read_state(member: &Member, recorder: &Recorder) -> Result<MemberState, Status> {
    let read = recorder.now();
    let hash = MaintenanceClient::new(member.clone()).hash_kv(HashKvRequest { revision: 0 }).await?.into_inner();
    let everything = RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        serializable: true,
        revision: hash.hash_revision,
        ..RangeRequest::default()
    };
    let mut kv = KvClient::new(member.clone()).max_decoding_message_size(usize::MAX);
    let answer = kv.range(everything).await?.into_inner();
    let mut lease = LeaseClient::new(member.clone());
    let mut leases = Vec::new();
    for status in lease.lease_leases(LeaseLeasesRequest {}).await?.into_inner().leases {
        let request = LeaseTimeToLiveRequest { id: status.id, keys: false };
        let ttl = lease.lease_time_to_live(request).await?.into_inner();
        // It may have expired meanwhile.
        if ttl.ttl >= 0 {
            leases.push((status.id, ttl.granted_ttl));
        }
    }
    leases.sort_unstable();
    let state = [u64::from(hash.hash), hash.compact_revision as u64].map(u64::to_be_bytes).concat().into();
    Ok(MemberState {
        member: member.id,
        read,
        revision: hash.hash_revision,
        compacted: hash.compact_revision,
        state,
        keys: answer.kvs.into_messages().map_err(|error| Status::internal(error.to_string()))?,
        leases,
    })
}
