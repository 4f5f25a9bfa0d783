//! `move-leader`.

use clap::Args as ClapArgs;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{MoveLeaderRequest, StatusRequest};

use super::member::member_id;
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::say;

/// Has the leader hand over to another member. One of the endpoints must be the leader's.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  registryctl --endpoints 10.0.0.1:2379,10.0.0.2:2379 move-leader c89feb932daef420")]
pub(crate) struct MoveLeader {
    /// The member that is to lead, in hexadecimal.
    #[arg(value_parser = member_id)]
    member: u64,
}

impl MoveLeader {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let mut unreachable = None;
        for endpoint in &global.endpoints {
            let connection = match connect::to(global, endpoint).await {
                Ok(connection) => connection,
                Err(error) => {
                    unreachable = Some(error);
                    continue;
                }
            };
            let mut client = MaintenanceClient::new(connection);
            let status = client.status(StatusRequest {}).await?.into_inner();
            let member = status.header.map_or(0, |header| header.member_id);
            if member == status.leader {
                client.move_leader(MoveLeaderRequest { target_id: self.member }).await?;
                return say(&format!("Leadership transferred from {member:x} to {:x}", self.member));
            }
        }
        let text = format!("no leader endpoint given at {}: give the leader's, or all", global.endpoints.join(","));
        Err(unreachable.unwrap_or(CtlError::Arguments(text)))
    }
}
