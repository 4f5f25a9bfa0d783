//! `user`.

use std::io::IsTerminal as _;

use clap::{ArgAction, Args as ClapArgs, Subcommand};
use registry_proto::authpb::UserAddOptions;
use registry_proto::etcdserverpb::auth_client::AuthClient;
use registry_proto::etcdserverpb::{
    AuthRoleGetRequest, AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGetResponse, AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserListResponse,
    AuthUserRevokeRoleRequest,
};

use super::{role, within};
use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Acknowledged, Answer, Text, encoded, json, print, say};

const EXAMPLES: &str = "\
Examples:
  registryctl user add alice
  registryctl user add alice --interactive=false < password
  registryctl user grant-role alice readers
  registryctl user get alice --detail
  registryctl user list
  registryctl user passwd alice
  registryctl user revoke-role alice readers
  registryctl user delete alice";

/// Users and their roles.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum User {
    /// Makes a user.
    Add {
        /// The name, or name:password.
        name: String,
        #[command(flatten)]
        password: Entry,
        /// The password.
        #[arg(long, value_name = "PASSWORD")]
        new_user_password: Option<String>,
        /// The user has none, and is known by a certificate.
        #[arg(long)]
        no_password: bool,
    },
    /// Removes a user.
    Delete {
        /// The name.
        name: String,
    },
    /// Tells all users.
    List,
    /// Tells a user's roles.
    Get {
        /// The name.
        name: String,
        /// And what they permit.
        #[arg(long)]
        detail: bool,
    },
    /// Changes a user's password.
    Passwd {
        /// The name.
        name: String,
        #[command(flatten)]
        password: Entry,
    },
    /// Gives a user a role.
    GrantRole {
        /// The name.
        name: String,
        /// The role.
        role: String,
    },
    /// Takes a role from a user.
    RevokeRole {
        /// The name.
        name: String,
        /// The role.
        role: String,
    },
}

/// How a password is entered.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Entry {
    /// Ask for the password twice, without showing it; else it is the first line of standard input.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = ArgAction::Set)]
    interactive: bool,
}

impl Entry {
    async fn password(&self, name: &str) -> Result<String, CtlError> {
        let asks = self.interactive && std::io::stdin().is_terminal();
        let name = name.to_owned();
        let read = tokio::task::spawn_blocking(move || if asks { asked(&name) } else { first_line() }).await;
        read.map_err(|error| CtlError::Answer(error.to_string()))?
    }
}

fn asked(name: &str) -> Result<String, CtlError> {
    let ask = |text: String| rpassword::prompt_password(text).map_err(CtlError::io("the password"));
    let first = ask(format!("Password of {name}: "))?;
    if first == ask(format!("Type password of {name} again for confirmation: "))? {
        return Ok(first);
    }
    Err(CtlError::Arguments("the two passwords differ: enter the same twice".to_owned()))
}

fn first_line() -> Result<String, CtlError> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(CtlError::io("standard input"))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

impl User {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        // Before the connection: whoever types may take long.
        let password = match self {
            Self::Add { name, password, new_user_password: None, no_password: false } if !name.contains(':') => {
                password.password(name).await?
            }
            Self::Passwd { name, password } => password.password(name).await?,
            _ => String::new(),
        };
        within(global, self.ask(global, password)).await
    }

    async fn ask(&self, global: &Global, password: String) -> Result<(), CtlError> {
        let mut client = AuthClient::new(connect::any(global).await?);
        let done = match self {
            Self::List => return print(global, &client.user_list(AuthUserListRequest {}).await?.into_inner()),
            Self::Get { name, detail } => return get(global, client, name, *detail).await,
            Self::Add { name, new_user_password, no_password, .. } => {
                let (name, inline) = name.split_once(':').map_or((name.as_str(), None), |(name, p)| (name, Some(p)));
                let given = new_user_password.as_deref().or(inline);
                let request = AuthUserAddRequest {
                    name: name.to_owned(),
                    password: given.map_or(password, str::to_owned),
                    options: Some(UserAddOptions { no_password: *no_password }),
                    ..AuthUserAddRequest::default()
                };
                let answer = client.user_add(request).await?.into_inner();
                Acknowledged::new(format!("User {name} created"), "AuthUserAddResponse", answer.header, &answer)?
            }
            Self::Delete { name } => {
                let answer = client.user_delete(AuthUserDeleteRequest { name: name.clone() }).await?.into_inner();
                Acknowledged::new(format!("User {name} deleted"), "AuthUserDeleteResponse", answer.header, &answer)?
            }
            Self::Passwd { name, .. } => {
                let name = name.clone();
                let request =
                    AuthUserChangePasswordRequest { name, password, ..AuthUserChangePasswordRequest::default() };
                let answer = client.user_change_password(request).await?.into_inner();
                let line = "Password updated".to_owned();
                Acknowledged::new(line, "AuthUserChangePasswordResponse", answer.header, &answer)?
            }
            Self::GrantRole { name, role } => {
                let request = AuthUserGrantRoleRequest { user: name.clone(), role: role.clone() };
                let answer = client.user_grant_role(request).await?.into_inner();
                let line = format!("Role {role} is granted to user {name}");
                Acknowledged::new(line, "AuthUserGrantRoleResponse", answer.header, &answer)?
            }
            Self::RevokeRole { name, role } => {
                let request = AuthUserRevokeRoleRequest { name: name.clone(), role: role.clone() };
                let answer = client.user_revoke_role(request).await?.into_inner();
                let line = format!("Role {role} is revoked from user {name}");
                Acknowledged::new(line, "AuthUserRevokeRoleResponse", answer.header, &answer)?
            }
        };
        print(global, &done)
    }
}

async fn get(global: &Global, mut client: AuthClient<Connection>, name: &str, detail: bool) -> Result<(), CtlError> {
    let user = client.user_get(AuthUserGetRequest { name: name.to_owned() }).await?.into_inner();
    if !detail {
        return print(global, &Found { name, user });
    }
    say(&format!("User: {name}"))?;
    for role in user.roles {
        let answer = client.role_get(AuthRoleGetRequest { role: role.clone() }).await?.into_inner();
        say("")?;
        print(global, &role::Found { name: &role, answer })?;
    }
    Ok(())
}

struct Found<'a> {
    name: &'a str,
    user: AuthUserGetResponse,
}

impl Answer for Found<'_> {
    fn simple(&self, text: &mut Text) {
        text.line(format!("User: {}", self.name));
        text.line(format!("Roles: {}", self.user.roles.join(" ")));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.user.header.as_ref());
        self.user.roles.iter().for_each(|role| text.quoted("Role", role.as_bytes()));
    }

    fn json(&self) -> Result<String, CtlError> {
        json(&self.user, "etcdserverpb.AuthUserGetResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(&self.user)
    }
}

impl Answer for AuthUserListResponse {
    fn simple(&self, text: &mut Text) {
        self.users.iter().for_each(|user| text.line(user));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.header.as_ref());
        self.users.iter().for_each(|user| text.quoted("User", user.as_bytes()));
    }

    fn json(&self) -> Result<String, CtlError> {
        json(self, "etcdserverpb.AuthUserListResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(self)
    }
}
