//! Leases. Nothing expires in the model: whoever uses it grants TTLs that outlive the run.

use registry_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};

use super::Model;
use super::refusal::{LEASE_EXISTS, LEASE_NOT_FOUND, Refusal, TTL_TOO_LARGE};

/// One and a half election timeouts of 1 s, in whole seconds.
const MIN_TTL_SECONDS: i64 = 2;
const MAX_TTL_SECONDS: i64 = 9_000_000_000;

impl Model {
    /// The ids of all leases, in their order.
    pub fn lease_ids(&self) -> impl Iterator<Item = i64> {
        self.leases.keys().copied()
    }

    pub(super) fn grant(&mut self, request: &LeaseGrantRequest) -> Result<LeaseGrantResponse, Refusal> {
        if request.ttl > MAX_TTL_SECONDS {
            return Err(TTL_TOO_LARGE);
        }
        if self.leases.contains_key(&request.id) {
            return Err(LEASE_EXISTS);
        }
        let ttl = request.ttl.max(MIN_TTL_SECONDS);
        self.leases.insert(request.id, ttl);
        Ok(LeaseGrantResponse { header: self.header(), id: request.id, ttl, error: String::new() })
    }

    pub(super) fn revoke(&mut self, request: &LeaseRevokeRequest) -> Result<LeaseRevokeResponse, Refusal> {
        self.leases.remove(&request.id).ok_or(LEASE_NOT_FOUND)?;
        for key in self.keys_of(request.id) {
            self.store.delete(&key);
        }
        self.store.end();
        Ok(LeaseRevokeResponse { header: self.header() })
    }

    pub(super) fn time_to_live(&self, request: &LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse {
        let id = request.id;
        let Some(ttl) = self.leases.get(&id).copied() else {
            return LeaseTimeToLiveResponse { header: self.header(), id, ttl: -1, ..Default::default() };
        };
        let keys = if request.keys { self.keys_of(id) } else { Vec::new() };
        LeaseTimeToLiveResponse { header: self.header(), id, ttl, granted_ttl: ttl, keys }
    }

    pub(super) fn list_leases(&self) -> LeaseLeasesResponse {
        let leases = self.leases.keys().map(|id| LeaseStatus { id: *id }).collect();
        LeaseLeasesResponse { header: self.header(), leases }
    }

    pub(super) fn keep_alive(&self, request: &LeaseKeepAliveRequest) -> LeaseKeepAliveResponse {
        let ttl = self.leases.get(&request.id).copied().unwrap_or(0);
        LeaseKeepAliveResponse { header: self.header(), id: request.id, ttl }
    }

    /// The keys whose newest state names the lease, in their order.
    #[must_use]
    pub fn keys_of(&self, lease: i64) -> Vec<bytes::Bytes> {
        self.store.live(b"\0", b"\0").filter(|kv| kv.lease == lease).map(|kv| kv.key.clone()).collect()
    }
}
