//! A lease that is kept alive while something is held, and given back when it is not: by the end of what is held, an
//! interrupt, or a request to end.

use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};
use tokio_stream::wrappers::ReceiverStream;

use crate::connect::Connection;
use crate::error::CtlError;
use crate::output::tell;

/// The lease.
pub(super) struct Session {
    client: LeaseClient<Connection>,
    pub(super) lease: i64,
}

impl Session {
    pub(super) async fn begin(connection: Connection, ttl: i64) -> Result<Self, CtlError> {
        let mut client = LeaseClient::new(connection);
        let lease = client.lease_grant(LeaseGrantRequest { ttl, id: 0 }).await?.into_inner().id;
        Ok(Self { client, lease })
    }

    /// Does the work with the lease alive, until it is done or somebody ends this program; then the lease is revoked, and
    /// with it go its keys; if that fails it is told, and they go with its TTL. None if somebody did.
    pub(super) async fn hold<T>(
        mut self,
        work: impl Future<Output = Result<T, CtlError>>,
    ) -> Result<Option<T>, CtlError> {
        let failed = CtlError::io("signals");
        let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
            return Err(failed(std::io::Error::other("they cannot be waited for")));
        };
        let result = tokio::select! {
            done = work => done.map(Some),
            lost = keep_alive(self.client.clone(), self.lease) => Err(lost),
            _ = interrupt.recv() => Ok(None),
            _ = terminate.recv() => Ok(None),
        };
        let revoked = self.client.lease_revoke(LeaseRevokeRequest { id: self.lease }).await;
        if let Err(status) = revoked
            && status.message() != "etcdserver: requested lease not found"
        {
            let lease = self.lease;
            tell(&format!(
                "lease {lease:016x} could not be revoked ({}): what it holds goes when its TTL ends",
                status.message()
            ));
        }
        result
    }
}

/// Until it fails; answers why.
async fn keep_alive(mut client: LeaseClient<Connection>, id: i64) -> CtlError {
    let (requests, outgoing) = mpsc::channel(1);
    let ended = || CtlError::Answer("the server ended the keep-alive's stream".to_owned());
    if requests.send(LeaseKeepAliveRequest { id }).await.is_err() {
        return ended();
    }
    let mut answers = match client.lease_keep_alive(ReceiverStream::new(outgoing)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return status.into(),
    };
    loop {
        let ttl = match answers.message().await {
            Ok(Some(answer)) if answer.ttl > 0 => answer.ttl,
            Ok(Some(_)) => return CtlError::Answer(format!("lease {id:016x} has ended, and with it what was held")),
            Ok(None) => return ended(),
            Err(status) => return status.into(),
        };
        sleep(Duration::from_secs(ttl.unsigned_abs()) / 3).await;
        if requests.send(LeaseKeepAliveRequest { id }).await.is_err() {
            return ended();
        }
    }
}
