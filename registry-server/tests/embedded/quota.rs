//! The quota's whole story: writes until it is exceeded, what goes on then, and the way back.

use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::request_op::Request as Op;
use registry_proto::etcdserverpb::*;
use registry_server::server::{Config, Running};
use tonic::{Code, Status};

use crate::kit::{Channel, start};

const QUOTA_BYTES: u64 = 1024 * 1024;
const VALUE_BYTES: usize = 16 * 1024;

struct Client {
    channel: Channel,
    kv: KvClient<Channel>,
    lease: LeaseClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
}

impl Client {
    async fn of(node: &Running) -> Self {
        let channel = Channel::connect(node).await;
        Self {
            kv: KvClient::new(channel.clone()),
            lease: LeaseClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel.clone()),
            channel,
        }
    }

    async fn put(&mut self, key: &str) -> Result<(), Status> {
        self.kv.put(put(key)).await.map(drop)
    }

    async fn alarm(&mut self, action: AlarmAction, member_id: u64, alarm: AlarmType) -> Vec<AlarmMember> {
        let request = AlarmRequest { action: action.into(), member_id, alarm: alarm.into() };
        self.maintenance.alarm(request).await.unwrap().into_inner().alarms
    }

    /// Puts over and over until that is refused.
    async fn fill(&mut self) {
        for _ in 0..2 * QUOTA_BYTES as usize / VALUE_BYTES {
            if let Err(status) = self.put("filling").await {
                return assert_no_space(&status);
            }
        }
        panic!("twice the quota was written");
    }

    async fn status(&mut self) -> StatusResponse {
        self.maintenance.status(StatusRequest::default()).await.unwrap().into_inner()
    }
}

fn put(key: &str) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: vec![b'v'; VALUE_BYTES].into(), ..PutRequest::default() }
}

fn txn(op: Op) -> TxnRequest {
    TxnRequest { success: vec![RequestOp { request: Some(op) }], ..TxnRequest::default() }
}

fn assert_no_space(status: &Status) {
    let answer = (status.code(), status.message());
    assert_eq!(answer, (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"));
}

fn with_quota(config: &mut Config) {
    config.quota_bytes = Some(QUOTA_BYTES);
}

/// Everything that takes room is refused; everything else works.
async fn assert_capped(client: &mut Client) {
    assert_no_space(&client.put("a").await.unwrap_err());
    assert_no_space(&client.kv.txn(txn(Op::RequestPut(put("a")))).await.unwrap_err());
    let grant = LeaseGrantRequest { ttl: 60, id: 8 };
    assert_no_space(&client.lease.lease_grant(grant).await.unwrap_err());
    let range = RangeRequest { key: "filling".into(), ..RangeRequest::default() };
    assert_eq!(client.kv.range(range).await.unwrap().into_inner().count, 1);
    let delete = DeleteRangeRequest { key: "small".into(), ..DeleteRangeRequest::default() };
    client.kv.txn(txn(Op::RequestDeleteRange(delete))).await.unwrap();
    let alive = tokio_stream::iter([LeaseKeepAliveRequest { id: 7 }]);
    let answer = client.lease.lease_keep_alive(alive).await.unwrap().into_inner().message().await.unwrap();
    assert_eq!(answer.unwrap().ttl, 60);
}

#[tokio::test]
async fn a_full_store_refuses_what_adds_to_it_until_it_was_compacted_and_disarmed() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), with_quota).await;
    let mut client = Client::of(&node).await;
    client.lease.lease_grant(LeaseGrantRequest { ttl: 60, id: 7 }).await.unwrap();
    client.put("small").await.unwrap();
    assert_eq!(client.channel.get("/health").await.0, 200);

    client.fill().await;
    let member = client.status().await.header.unwrap().member_id;
    let raised = vec![AlarmMember { member_id: member, alarm: AlarmType::Nospace.into() }];
    assert_eq!(client.alarm(AlarmAction::Get, 0, AlarmType::None).await, raised);
    assert_eq!(client.status().await.errors, [format!("memberID:{member} alarm:NOSPACE")]);
    let sick = (503, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n".to_owned());
    assert_eq!(client.channel.get("/health").await, sick);
    assert_eq!(client.channel.get("/health?exclude=NOSPACE").await.0, 200);
    assert_capped(&mut client).await;

    // Disarmed without room, the next put raises it again.
    assert_eq!(client.alarm(AlarmAction::Deactivate, member, AlarmType::Nospace).await, raised);
    assert_no_space(&client.put("filling").await.unwrap_err());
    assert_eq!(client.alarm(AlarmAction::Get, 0, AlarmType::Nospace).await, raised);

    let revision = client.status().await.header.unwrap().revision;
    client.kv.compact(CompactionRequest { revision, physical: true }).await.unwrap();
    // There is room again, and the alarm holds until somebody clears it.
    assert!(client.status().await.db_size < QUOTA_BYTES as i64 / 2);
    assert_capped(&mut client).await;
    client.alarm(AlarmAction::Deactivate, member, AlarmType::Nospace).await;
    client.put("a").await.unwrap();
    assert!(client.status().await.errors.is_empty());
    assert_eq!(client.channel.get("/health").await.0, 200);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_alarm_outlives_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), with_quota).await;
    Client::of(&node).await.fill().await;
    node.shutdown().await.unwrap();
    let node = start(dir.path(), |config| config.quota_bytes = None).await;
    let mut client = Client::of(&node).await;
    // The quota is off, and the alarm still says no: it is state, not a setting.
    assert_no_space(&client.put("a").await.unwrap_err());
    assert_eq!(client.alarm(AlarmAction::Get, 0, AlarmType::Nospace).await.len(), 1);
    node.shutdown().await.unwrap();
}
