//! The flags of traces, with etcd's names.

use clap::Args;

use super::go_values;
use crate::traces::TraceSettings;

#[derive(Debug, Args)]
#[command(next_help_heading = "Traces")]
pub(super) struct TraceFlags {
    /// Send a span of each sampled call to an OpenTelemetry collector.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", value_parser = go_values::boolean, action = clap::ArgAction::Set)]
    enable_distributed_tracing: bool,
    /// The collector's host and port; it speaks OTLP over gRPC without TLS.
    #[arg(long, value_name = "HOST:PORT", default_value_t = TraceSettings::default().address)]
    distributed_tracing_address: String,
    /// The service of which spans are said to be, the same for all members.
    #[arg(long, value_name = "NAME", default_value_t = TraceSettings::default().service_name)]
    distributed_tracing_service_name: String,
    /// The member of which they are said to be, another one for each [default: none].
    #[arg(long, value_name = "ID")]
    distributed_tracing_instance_id: Option<String>,
    /// How many of a million calls are sampled that are of no trace yet; those of a trace are if their callers are.
    #[arg(long, value_name = "COUNT", default_value_t = 0, allow_negative_numbers = true)]
    distributed_tracing_sampling_rate: i64,
}

impl TraceFlags {
    /// None when nothing is to be traced; the other flags mean nothing then, as to etcd.
    pub(super) fn into_settings(self) -> Option<TraceSettings> {
        self.enable_distributed_tracing.then_some(TraceSettings {
            address: self.distributed_tracing_address,
            service_name: self.distributed_tracing_service_name,
            instance_id: self.distributed_tracing_instance_id.filter(|id| !id.is_empty()),
            sampling_per_million: self.distributed_tracing_sampling_rate,
        })
    }
}
