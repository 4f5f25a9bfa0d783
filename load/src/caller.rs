//! One call of a client: sent once, with a limit of its own, written down before and after.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use registry_checkers::history::Outcome;
use registry_checkers::model::{Answer, Operation};
use registry_proto::etcdserverpb::cluster_client::ClusterClient;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{HashKvRequest, MemberListRequest};
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use crate::keepalive::KeepAlive;
use crate::reach::{Member, Members};
use crate::recorder::Recorder;
use crate::settings::Settings;
use crate::sorting;

/// Answers may hold every key with every value.
const ANSWER_LIMIT_BYTES: usize = 64 << 20;

/// A client's hands: where it calls, and how long it waits.
pub(crate) struct Caller {
    pub(crate) client: u32,
    members: Arc<dyn Members>,
    pub(crate) recorder: Recorder,
    settings: Arc<Settings>,
    rng: Rng,
    /// The member that is asked as long as it answers.
    index: usize,
    keepalive: Option<KeepAlive>,
}

impl Caller {
    pub(crate) fn new(client: u32, members: Arc<dyn Members>, recorder: Recorder, settings: Arc<Settings>) -> Self {
        // Apart from what the client draws for itself, so that its operations do not depend on waiting.
        let mut rng = Rng::with_seed(settings.seed.rotate_left(32) ^ u64::from(client));
        let index = rng.usize(..members.count());
        Self { client, members, recorder, settings, rng, index, keepalive: None }
    }

    /// Who is asked next.
    pub(crate) fn member(&self) -> Member {
        self.members.reach(self.client, self.index % self.members.count())
    }

    /// Another member, perhaps.
    pub(crate) fn move_on(&mut self) {
        self.index = self.rng.usize(..self.members.count());
        self.keepalive = None;
    }

    /// Calls the member that is asked now, or now and then another.
    pub(crate) async fn call(&mut self, operation: Operation) -> Outcome {
        if self.rng.u32(..100) < 8 {
            self.move_on();
        }
        let member = self.member();
        let number = self.recorder.ask(self.client, member.id, operation.clone());
        let limit = self.draw_timeout();
        let outcome = match timeout(limit, self.send(member, operation)).await {
            Ok(Ok(answer)) => Outcome::Answered(answer),
            Ok(Err(status)) => sorting::outcome(status),
            Err(_) => Outcome::Unknown(format!("no answer within {limit:?}")),
        };
        self.recorder.answer(number, &outcome);
        if !matches!(outcome, Outcome::Answered(_)) {
            // A stream that was not waited for may answer later, when something else is asked.
            self.keepalive = None;
        }
        if matches!(outcome, Outcome::Unknown(_)) && self.rng.u32(..100) < 70 {
            self.move_on();
        }
        outcome
    }

    async fn send(&mut self, member: Member, operation: Operation) -> Result<Answer, Status> {
        let is_leader_wanted = self.rng.u32(..100) < 20;
        let mut kv = KvClient::new(member.clone()).max_decoding_message_size(ANSWER_LIMIT_BYTES);
        let mut lease = LeaseClient::new(member.clone());
        macro_rules! call {
            ($client:ident.$method:ident($request:ident) as $kind:ident) => {{
                let mut request = Request::new($request);
                if is_leader_wanted {
                    request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
                }
                $client.$method(request).await.map(Response::into_inner).map(Answer::$kind)
            }};
        }
        match operation {
            Operation::Range(request) => call!(kv.range(request) as Range),
            Operation::Put(request) => call!(kv.put(request) as Put),
            Operation::DeleteRange(request) => call!(kv.delete_range(request) as DeleteRange),
            Operation::Txn(request) => call!(kv.txn(request) as Txn),
            Operation::Compact(request) => call!(kv.compact(request) as Compact),
            Operation::LeaseGrant(request) => call!(lease.lease_grant(request) as LeaseGrant),
            Operation::LeaseRevoke(request) => call!(lease.lease_revoke(request) as LeaseRevoke),
            Operation::LeaseTimeToLive(request) => call!(lease.lease_time_to_live(request) as LeaseTimeToLive),
            Operation::LeaseLeases(request) => call!(lease.lease_leases(request) as LeaseLeases),
            Operation::LeaseKeepAlive(request) => {
                let mut stream = match self.keepalive.take() {
                    Some(stream) => stream,
                    None => KeepAlive::new(member),
                };
                let answer = stream.renew(request).await?;
                self.keepalive = Some(stream);
                Ok(Answer::LeaseKeepAlive(answer))
            }
        }
    }

    /// Asks for the members; there must be some.
    pub(crate) async fn list_members(&mut self) {
        let member = self.member();
        let mut client = ClusterClient::new(member.clone());
        let asked = client.member_list(MemberListRequest { linearizable: true });
        match timeout(self.draw_timeout(), asked).await {
            Ok(Ok(answer)) => {
                let count = answer.into_inner().members.len();
                self.recorder.trace(format_args!("client {} finds {count} members", self.client));
                if count == 0 {
                    self.recorder.complain(format!("member {:x} says that there are no members", member.id));
                }
            }
            Ok(Err(status)) => self.note(&status),
            Err(_) => self.recorder.trace(format_args!("no members in time")),
        }
    }

    /// Asks for the hash of all keys at a revision; equal states must have equal ones.
    pub(crate) async fn hash(&mut self, revision: i64) {
        let member = self.member();
        let mut client = MaintenanceClient::new(member.clone());
        match timeout(self.draw_timeout(), client.hash_kv(HashKvRequest { revision })).await {
            Ok(Ok(answer)) => {
                let answer = answer.into_inner();
                self.recorder.hash(member.id, answer.hash_revision, answer.compact_revision, answer.hash);
            }
            Ok(Err(status)) => self.note(&status),
            Err(_) => self.recorder.trace(format_args!("no hash in time")),
        }
    }

    /// A status that says nothing of interest; its metadata have no order.
    fn note(&self, status: &Status) {
        let (code, message) = (status.code(), status.message());
        self.recorder.trace(format_args!("client {}: {code:?} {message}", self.client));
    }

    fn draw_timeout(&mut self) -> Duration {
        Duration::from_millis(self.rng.u64(self.settings.timeout_ms.clone()))
    }
}
