//! `alarm`.

use clap::Subcommand;
use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{AlarmRequest, AlarmResponse, AlarmType};

use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Answer, Text, encoded, json, print};

const EXAMPLES: &str = "\
Examples:
  registryctl alarm list
  registryctl alarm disarm";

/// Tells alarms, and ends them.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Alarm {
    /// Tells the alarms that are raised.
    List,
    /// Ends all alarms.
    Disarm,
}

impl Alarm {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let action = match self {
            Self::List => AlarmAction::Get,
            Self::Disarm => AlarmAction::Deactivate,
        };
        let mut client = MaintenanceClient::new(connect::any(global).await?);
        let all = |action: AlarmAction| AlarmRequest { action: action.into(), ..AlarmRequest::default() };
        let raised = client.alarm(all(AlarmAction::Get)).await?.into_inner();
        if matches!(self, Self::List) {
            return print(global, &Alarms(raised));
        }
        let mut ended = raised.clone();
        ended.alarms.clear();
        for alarm in &raised.alarms {
            let request = AlarmRequest { action: action.into(), member_id: alarm.member_id, alarm: alarm.alarm };
            let answer = client.alarm(request).await?.into_inner();
            ended.header = answer.header;
            ended.alarms.extend(answer.alarms);
        }
        print(global, &Alarms(ended))
    }
}

struct Alarms(AlarmResponse);

impl Answer for Alarms {
    fn simple(&self, text: &mut Text) {
        for alarm in &self.0.alarms {
            text.line(format!("memberID:{} alarm:{} ", alarm.member_id, name(alarm.alarm)));
        }
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.0.header.as_ref());
        for alarm in &self.0.alarms {
            text.field("MemberID", alarm.member_id);
            text.field("AlarmType", alarm.alarm);
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        json(&self.0, "etcdserverpb.AlarmResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(&self.0)
    }
}

fn name(alarm: i32) -> String {
    AlarmType::try_from(alarm).map_or_else(|_| alarm.to_string(), |alarm| alarm.as_str_name().to_owned())
}
