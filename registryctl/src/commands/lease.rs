//! `lease`.

use clap::{Args as ClapArgs, Subcommand};
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
    ResponseHeader,
};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};
use tokio_stream::wrappers::ReceiverStream;

use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Answer, Text, encoded, json, print, say};

const EXAMPLES: &str = "\
Examples:
  registryctl lease grant 60
  registryctl lease timetolive --keys 32695410dcc0ca06
  registryctl lease keep-alive 32695410dcc0ca06
  registryctl lease list
  registryctl lease revoke 32695410dcc0ca06";

/// Makes, keeps and ends leases.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Lease {
    /// Makes a lease of so many seconds.
    Grant {
        /// Seconds.
        ttl: i64,
    },
    /// Ends a lease, and with it all keys that live under it.
    Revoke {
        /// The lease, in hexadecimal.
        #[arg(value_parser = lease_id)]
        id: i64,
    },
    /// Tells what is left of a lease.
    Timetolive {
        /// The lease, in hexadecimal.
        #[arg(value_parser = lease_id)]
        id: i64,
        /// And the keys that live under it.
        #[arg(long)]
        keys: bool,
    },
    /// Tells all leases.
    List,
    /// Keeps a lease alive until it ends, or until this program does.
    KeepAlive(KeepAlive),
}

/// Keeps a lease alive.
#[derive(Debug, ClapArgs)]
pub(crate) struct KeepAlive {
    /// The lease, in hexadecimal.
    #[arg(value_parser = lease_id)]
    id: i64,
    /// Only once.
    #[arg(long)]
    once: bool,
}

/// A lease's id, in hexadecimal.
pub(super) fn lease_id(text: &str) -> Result<i64, String> {
    let id =
        u64::from_str_radix(text, 16).map_err(|_| "a lease is named in hexadecimal, as `lease grant` prints it")?;
    Ok(id.cast_signed())
}

impl Lease {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let mut client = LeaseClient::new(connect::any(global).await?).max_decoding_message_size(usize::MAX);
        match *self {
            Self::Grant { ttl } => {
                let request = LeaseGrantRequest { ttl, id: 0 };
                let failed = CtlError::failed("failed to grant lease");
                print(global, &client.lease_grant(request).await.map_err(failed)?.into_inner())
            }
            Self::Revoke { id } => {
                let failed = CtlError::failed("failed to revoke lease");
                let answer = client.lease_revoke(LeaseRevokeRequest { id }).await.map_err(failed)?.into_inner();
                print(global, &Revoked { id, answer })
            }
            Self::Timetolive { id, keys } => {
                let request = LeaseTimeToLiveRequest { id, keys };
                let mut answer = client.lease_time_to_live(request).await?.into_inner();
                // Some servers tell them in another order each time.
                answer.keys.sort_unstable();
                print(global, &Left { keys, answer })
            }
            Self::List => print(global, &client.lease_leases(LeaseLeasesRequest {}).await?.into_inner()),
            Self::KeepAlive(KeepAlive { id, once }) => keep_alive(global, client, id, once).await,
        }
    }
}

/// Thrice in a TTL, over one stream.
async fn keep_alive(global: &Global, mut client: LeaseClient<Connection>, id: i64, once: bool) -> Result<(), CtlError> {
    let (requests, outgoing) = mpsc::channel(1);
    let ended = || CtlError::Answer("the server ended the keep-alive's stream".to_owned());
    let request = LeaseKeepAliveRequest { id };
    requests.send(request).await.map_err(|_| ended())?;
    let mut answers = client.lease_keep_alive(ReceiverStream::new(outgoing)).await?.into_inner();
    loop {
        let answer = answers.message().await?.ok_or_else(ended)?;
        if answer.ttl <= 0 && once {
            return Err(tonic::Status::not_found("etcdserver: requested lease not found").into());
        }
        if answer.ttl <= 0 {
            return say(&format!("lease {id:016x} expired or revoked."));
        }
        let third = Duration::from_secs(answer.ttl.unsigned_abs()) / 3;
        print(global, &answer)?;
        if once {
            return Ok(());
        }
        sleep(third).await;
        requests.send(request).await.map_err(|_| ended())?;
    }
}

/// The header's fields inside of the answer's, as etcd's client for Go has them, then these.
fn with_header(header: Option<&ResponseHeader>, fields: &[(&str, String)]) -> Result<String, CtlError> {
    let header = json(&header.copied().unwrap_or_default(), "etcdserverpb.ResponseHeader")?;
    let inside = header.trim_start_matches('{').trim_end_matches('}');
    let rest: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let parts: Vec<_> =
        [inside, &rest.join(",")].into_iter().filter(|part| !part.is_empty()).map(str::to_owned).collect();
    Ok(format!("{{{}}}", parts.join(",")))
}

impl Answer for LeaseGrantResponse {
    fn simple(&self, text: &mut Text) {
        text.line(format!("lease {:016x} granted with TTL({}s)", self.id, self.ttl));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.header.as_ref());
        text.field("ID", self.id);
        text.field("TTL", self.ttl);
    }

    fn json(&self) -> Result<String, CtlError> {
        let fields = [("ID", self.id.to_string()), ("TTL", self.ttl.to_string()), ("Error", "\"\"".to_owned())];
        with_header(self.header.as_ref(), &fields)
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(self)
    }
}

struct Revoked {
    id: i64,
    answer: LeaseRevokeResponse,
}

impl Answer for Revoked {
    fn simple(&self, text: &mut Text) {
        text.line(format!("lease {:016x} revoked", self.id));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.answer.header.as_ref());
    }

    fn json(&self) -> Result<String, CtlError> {
        json(&self.answer, "etcdserverpb.LeaseRevokeResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(&self.answer)
    }
}

struct Left {
    answer: LeaseTimeToLiveResponse,
    /// They were asked for.
    keys: bool,
}

impl Answer for Left {
    fn simple(&self, text: &mut Text) {
        let Self { answer, keys } = self;
        if answer.ttl < 0 {
            return text.line(format!("lease {:016x} already expired", answer.id));
        }
        let told = answer.keys.iter().map(|key| String::from_utf8_lossy(key)).collect::<Vec<_>>().join(" ");
        let told = if *keys { format!(", attached keys([{told}])") } else { String::new() };
        let (id, granted, ttl) = (answer.id, answer.granted_ttl, answer.ttl);
        text.line(format!("lease {id:016x} granted with TTL({granted}s), remaining({ttl}s){told}"));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.answer.header.as_ref());
        text.field("ID", self.answer.id);
        text.field("TTL", self.answer.ttl);
        text.field("GrantedTTL", self.answer.granted_ttl);
        self.answer.keys.iter().for_each(|key| text.quoted("Key", key));
    }

    fn json(&self) -> Result<String, CtlError> {
        use base64::Engine as _;
        let answer = &self.answer;
        let quoted = |key| format!("\"{}\"", base64::prelude::BASE64_STANDARD.encode(key));
        let keys: Vec<_> = answer.keys.iter().map(quoted).collect();
        // As etcd's client for Go has it where no keys were asked for, or are there.
        let keys = if keys.is_empty() { "null".to_owned() } else { format!("[{}]", keys.join(",")) };
        let fields = [
            ("id", answer.id.to_string()),
            ("ttl", answer.ttl.to_string()),
            ("granted-ttl", answer.granted_ttl.to_string()),
            ("keys", keys),
        ];
        with_header(answer.header.as_ref(), &fields)
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(&self.answer)
    }
}

impl Answer for LeaseLeasesResponse {
    fn simple(&self, text: &mut Text) {
        text.line(format!("found {} leases", self.leases.len()));
        self.leases.iter().for_each(|lease| text.line(format!("{:016x}", lease.id)));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.header.as_ref());
        self.leases.iter().for_each(|lease| text.field("ID", lease.id));
    }

    fn json(&self) -> Result<String, CtlError> {
        let leases: Vec<_> = self.leases.iter().map(|lease| format!("{{\"id\":{}}}", lease.id)).collect();
        with_header(self.header.as_ref(), &[("leases", format!("[{}]", leases.join(",")))])
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(self)
    }
}

impl Answer for LeaseKeepAliveResponse {
    fn simple(&self, text: &mut Text) {
        text.line(format!("lease {:016x} keepalived with TTL({})", self.id, self.ttl));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.header.as_ref());
        text.field("ID", self.id);
        text.field("TTL", self.ttl);
    }

    fn json(&self) -> Result<String, CtlError> {
        with_header(self.header.as_ref(), &[("ID", self.id.to_string()), ("TTL", self.ttl.to_string())])
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_named_in_hexadecimal() {
        assert_eq!(lease_id("1f"), Ok(31));
        assert_eq!(lease_id("ffffffffffffffff"), Ok(-1));
        assert!(lease_id("xyz").unwrap_err().contains("hexadecimal"));
    }

    #[test]
    fn a_header_without_anything_leaves_no_comma() {
        assert_eq!(with_header(None, &[("ttl", "1".to_owned())]).unwrap(), r#"{"ttl":1}"#);
    }
}
