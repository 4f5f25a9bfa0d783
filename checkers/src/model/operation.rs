//! What is asked and what is answered: the wire's own messages, in one type each.

use registry_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest, LeaseLeasesResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse,
};

macro_rules! operations {
    ($($(#[$doc:meta])* $kind:ident($request:ty) -> $response:ty,)+) => {
        /// A request.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Operation {
            $($(#[$doc])* $kind($request),)+
        }

        /// The answer to an [`Operation`] of the same name.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Answer {
            $($(#[$doc])* $kind($response),)+
        }

        impl Operation {
            /// What kind of operation it is, for people.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)+
                }
            }
        }

        impl Answer {
            /// The header of the whole answer.
            #[must_use]
            pub fn header(&self) -> Option<&ResponseHeader> {
                match self {
                    $(Self::$kind(answer) => answer.header.as_ref(),)+
                }
            }

            /// The header of the whole answer.
            pub fn header_mut(&mut self) -> &mut Option<ResponseHeader> {
                match self {
                    $(Self::$kind(answer) => &mut answer.header,)+
                }
            }
        }
    };
}

operations! {
    /// Read a range.
    Range(RangeRequest) -> RangeResponse,
    /// Put a key.
    Put(PutRequest) -> PutResponse,
    /// Delete a range.
    DeleteRange(DeleteRangeRequest) -> DeleteRangeResponse,
    /// Compare, then do one list of operations or the other.
    Txn(TxnRequest) -> TxnResponse,
    /// Trim history.
    Compact(CompactionRequest) -> CompactionResponse,
    /// Make a lease.
    LeaseGrant(LeaseGrantRequest) -> LeaseGrantResponse,
    /// End a lease and delete its keys.
    LeaseRevoke(LeaseRevokeRequest) -> LeaseRevokeResponse,
    /// What is left of a lease.
    LeaseTimeToLive(LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse,
    /// Which leases there are.
    LeaseLeases(LeaseLeasesRequest) -> LeaseLeasesResponse,
    /// Renew a lease.
    LeaseKeepAlive(LeaseKeepAliveRequest) -> LeaseKeepAliveResponse,
}
