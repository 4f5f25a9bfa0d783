//! Users, roles and logins through a real client: who may do what, on a member alone and on a follower of three.

#![expect(clippy::disallowed_methods, reason = "these tests look at real files")]

mod audit;
mod certificates;
mod door;
mod force;
mod jwt;
mod leaks;
mod matrix;
mod permissions;
mod tokens;
mod tool;
mod users;

use door::Door;
use registry_proto::authpb::permission::Type;

const NODE: &str = env!("CARGO_BIN_EXE_node");
/// Cheap passwords: what bcrypt costs is no part of these tests.
const CHEAP: &str = "--bcrypt-cost=4";

/// Who there is in these tests, with the password: everybody has its own name for one.
const ROLES: [&str; 4] = ["root", "reader", "writer", "nobody"];

/// Makes the users, with a reader of `r/` and a writer of `w/`, and enables authentication. The tokens are in the order of
/// [`ROLES`].
async fn set_up(door: &Door) -> [String; 4] {
    for user in ROLES {
        door.add_user(user, user).await;
    }
    for (role, kind, key, end) in [("reader", Type::Read, "r/", "r0"), ("writer", Type::Readwrite, "w/", "w0")] {
        door.add_role(role, kind, key, end).await;
        door.grant_role(role, role).await;
    }
    door.grant_role("root", "root").await;
    door.enable().await;
    let mut tokens = ROLES.map(str::to_owned);
    for token in &mut tokens {
        *token = door.log_in(token, token).await.expect("the password is right");
    }
    tokens
}
