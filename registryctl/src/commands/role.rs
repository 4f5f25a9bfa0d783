//! `role`.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use registry_proto::authpb::Permission;
use registry_proto::authpb::permission::Type;
use registry_proto::etcdserverpb::auth_client::AuthClient;
use registry_proto::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest, AuthRoleGetResponse, AuthRoleGrantPermissionRequest,
    AuthRoleListRequest, AuthRoleListResponse, AuthRoleRevokePermissionRequest,
};

use super::span::{keys_of, prefix_end};
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Acknowledged, Answer, Text, encoded, json, print};

const EXAMPLES: &str = "\
Examples:
  registryctl role add readers
  registryctl role grant-permission readers read --prefix /config/
  registryctl role get readers
  registryctl role list
  registryctl role revoke-permission readers --prefix /config/
  registryctl role delete readers";

/// Roles and what they permit.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Role {
    /// Makes a role.
    Add {
        /// The name.
        name: String,
    },
    /// Removes a role.
    Delete {
        /// The name.
        name: String,
    },
    /// Tells all roles.
    List,
    /// Tells what a role permits.
    Get {
        /// The name.
        name: String,
    },
    /// Lets a role read or write keys.
    GrantPermission {
        /// The role.
        name: String,
        /// What it may do.
        #[arg(value_enum)]
        kind: Kind,
        #[command(flatten)]
        keys: Keys,
    },
    /// Takes a permission from a role, as it was granted.
    RevokePermission {
        /// The role.
        name: String,
        #[command(flatten)]
        keys: Keys,
    },
}

/// Which keys.
#[derive(Debug, ClapArgs)]
pub(crate) struct Keys {
    /// The key; or the first of the keys.
    key: String,
    /// The key that ends the range, which is not in it.
    range_end: Option<String>,
    /// All keys that begin with KEY.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    prefix: bool,
    /// All keys from KEY on.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    from_key: bool,
}

/// What may be done.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    Read,
    Write,
    Readwrite,
}

impl Role {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let mut client = AuthClient::new(connect::any(global).await?);
        let done = match self {
            Self::List => return print(global, &client.role_list(AuthRoleListRequest {}).await?.into_inner()),
            Self::Get { name } => {
                let answer = client.role_get(AuthRoleGetRequest { role: name.clone() }).await?.into_inner();
                return print(global, &Found { name, answer });
            }
            Self::Add { name } => {
                let answer = client.role_add(AuthRoleAddRequest { name: name.clone() }).await?.into_inner();
                Acknowledged::new(format!("Role {name} created"), "AuthRoleAddResponse", answer.header, &answer)?
            }
            Self::Delete { name } => {
                let answer = client.role_delete(AuthRoleDeleteRequest { role: name.clone() }).await?.into_inner();
                Acknowledged::new(format!("Role {name} deleted"), "AuthRoleDeleteResponse", answer.header, &answer)?
            }
            Self::GrantPermission { name, kind, keys } => {
                let (key, range_end) = keys.span()?;
                let kind = match kind {
                    Kind::Read => Type::Read,
                    Kind::Write => Type::Write,
                    Kind::Readwrite => Type::Readwrite,
                };
                let perm = Some(Permission { perm_type: kind.into(), key, range_end });
                let request = AuthRoleGrantPermissionRequest { name: name.clone(), perm };
                let answer = client.role_grant_permission(request).await?.into_inner();
                let line = format!("Role {name} updated");
                Acknowledged::new(line, "AuthRoleGrantPermissionResponse", answer.header, &answer)?
            }
            Self::RevokePermission { name, keys } => {
                let (key, range_end) = keys.span()?;
                let told = match &keys.range_end {
                    Some(end) => format!("range [{}, {end})", keys.key),
                    None if keys.prefix => format!("prefix {}", keys.key),
                    None if keys.from_key => format!("range [{}, <open ended>", keys.key),
                    None => format!("key {}", keys.key),
                };
                let request = AuthRoleRevokePermissionRequest { role: name.clone(), key, range_end };
                let answer = client.role_revoke_permission(request).await?.into_inner();
                let line = format!("Permission of {told} is revoked from role {name}");
                Acknowledged::new(line, "AuthRoleRevokePermissionResponse", answer.header, &answer)?
            }
        };
        print(global, &done)
    }
}

impl Keys {
    fn span(&self) -> Result<(bytes::Bytes, bytes::Bytes), CtlError> {
        keys_of(&self.key, self.range_end.as_deref(), self.prefix, self.from_key)
    }
}

/// A role, and what it permits.
pub(super) struct Found<'a> {
    pub(super) name: &'a str,
    pub(super) answer: AuthRoleGetResponse,
}

impl Answer for Found<'_> {
    fn simple(&self, text: &mut Text) {
        text.line(format!("Role {}", self.name));
        for (title, others) in [("KV Read:", Type::Write), ("KV Write:", Type::Read)] {
            text.line(title);
            let permissions = self.answer.perm.iter().filter(|permission| permission.perm_type() != others);
            permissions.for_each(|permission| text.line(format!("\t{}", told(permission))));
        }
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.answer.header.as_ref());
        for permission in &self.answer.perm {
            text.quoted("PermType", permission.perm_type().as_str_name().as_bytes());
            text.quoted("Key", &permission.key);
            text.quoted("RangeEnd", &permission.range_end);
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        json(&self.answer, "etcdserverpb.AuthRoleGetResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(&self.answer)
    }
}

/// A key, a range or a prefix.
fn told(permission: &Permission) -> String {
    let key = String::from_utf8_lossy(&permission.key);
    match &permission.range_end[..] {
        b"" => key.into_owned(),
        b"\0" if permission.key.iter().all(|&byte| byte == 0) => "[, <open ended> (prefix )".to_owned(),
        b"\0" => format!("[{key}, <open ended>"),
        end => {
            let range = format!("[{key}, {})", String::from_utf8_lossy(end));
            if prefix_end(&permission.key) == end { format!("{range} (prefix {key})") } else { range }
        }
    }
}

impl Answer for AuthRoleListResponse {
    fn simple(&self, text: &mut Text) {
        self.roles.iter().for_each(|role| text.line(role));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.header.as_ref());
        self.roles.iter().for_each(|role| text.quoted("Role", role.as_bytes()));
    }

    fn json(&self) -> Result<String, CtlError> {
        json(self, "etcdserverpb.AuthRoleListResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(self)
    }
}
