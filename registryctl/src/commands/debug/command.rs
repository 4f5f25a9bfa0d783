//! What an entry of the log asks for, in JSON. Of users the names are told, never a hash or a digest.

use registry_proto::authpb::Permission;
use registry_proto::etcdserverpb::compare::TargetUnion;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{Compare, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};
use registry_server::command::{AuthAction, Authored, Command, LeaseCheckpoints, MemberChange};
use registry_server::types::Author;
use serde_json::{Map, Value, json};

use super::bytes::{put, put_range, put_value};
use super::hex;

/// The command in these bytes; why it cannot be read, if so.
pub(super) fn command(bytes: ::bytes::Bytes, values: bool) -> Value {
    match Authored::decode(bytes) {
        Ok(Authored { author, command }) => {
            let mut object = told(&command, values);
            object.insert("command".to_owned(), command.kind().into());
            match author {
                Author::Nobody => {}
                Author::User { name, revision } => {
                    object.insert("author".to_owned(), json!({ "user": &*name, "auth_revision": revision }));
                }
                Author::Member => drop(object.insert("author".to_owned(), "member".into())),
            }
            Value::from(object)
        }
        Err(error) => json!({ "command": "unreadable", "reason": error.to_string() }),
    }
}

fn told(command: &Command, values: bool) -> Map<String, Value> {
    match command {
        Command::Put(put) => of_put(put, values),
        Command::DeleteRange(delete) => of_delete(delete),
        Command::Txn(txn) => of_txn(txn, values),
        Command::Compact(compact) => object(json!({ "revision": compact.revision, "physical": compact.physical })),
        Command::LeaseGrant(grant) => object(json!({ "lease": lease(grant.id), "ttl_seconds": grant.ttl })),
        Command::LeaseRevoke(revoke) => object(json!({ "lease": lease(revoke.id) })),
        Command::LeaseExpire(expiry) => {
            object(json!({ "lease": lease(expiry.id), "grant": expiry.grant, "of_term": expiry.term }))
        }
        Command::LeaseCheckpoint(checkpoints) => of_checkpoints(checkpoints),
        Command::Publish(member) => object(json!({
            "member": hex(member.id), "name": member.name, "client_urls": member.client_ur_ls,
        })),
        Command::Alarm(alarm) => object(json!({
            "member": hex(alarm.member_id),
            "alarm": alarm.alarm().as_str_name(),
            "action": alarm.action().as_str_name(),
        })),
        Command::Member(change) => of_member(change),
        Command::MemberVersion(told) => object(json!({ "member": hex(told.id), "version": told.version })),
        Command::Auth(change) => change.action.as_ref().map(of_auth).unwrap_or_default(),
        // Its digest is left out.
        Command::Token(token) => object(json!({ "user": token.user, "auth_revision": token.revision })),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn lease(id: i64) -> String {
    format!("{id:016x}")
}

fn of_put(request: &PutRequest, values: bool) -> Map<String, Value> {
    let mut object = Map::new();
    put(&mut object, "key", &request.key);
    put_value(&mut object, &request.value, values);
    if request.lease != 0 {
        object.insert("lease".to_owned(), lease(request.lease).into());
    }
    for (name, is_set) in [("ignore_value", request.ignore_value), ("ignore_lease", request.ignore_lease)] {
        if is_set {
            object.insert(name.to_owned(), true.into());
        }
    }
    object
}

fn of_delete(request: &DeleteRangeRequest) -> Map<String, Value> {
    let mut object = Map::new();
    put_range(&mut object, &request.key, &request.range_end);
    object
}

/// Nests no deeper than the server lets transactions be.
fn of_txn(txn: &TxnRequest, values: bool) -> Map<String, Value> {
    let operations =
        |operations: &[RequestOp]| -> Value { operations.iter().map(|one| of_operation(one, values)).collect() };
    let compares: Vec<_> = txn.compare.iter().map(|one| of_compare(one, values)).collect();
    object(json!({ "compare": compares, "success": operations(&txn.success), "failure": operations(&txn.failure) }))
}

fn of_operation(operation: &RequestOp, values: bool) -> Value {
    let (kind, mut object) = match &operation.request {
        Some(Request::RequestPut(request)) => ("put", of_put(request, values)),
        Some(Request::RequestDeleteRange(request)) => ("delete_range", of_delete(request)),
        Some(Request::RequestTxn(request)) => ("txn", of_txn(request, values)),
        Some(Request::RequestRange(request)) => {
            let mut object = Map::new();
            put_range(&mut object, &request.key, &request.range_end);
            ("range", object)
        }
        None => ("unknown", Map::new()),
    };
    object.insert("operation".to_owned(), kind.into());
    Value::from(object)
}

fn of_compare(compare: &Compare, values: bool) -> Value {
    let mut object = Map::new();
    put_range(&mut object, &compare.key, &compare.range_end);
    object.insert("target".to_owned(), compare.target().as_str_name().into());
    object.insert("result".to_owned(), compare.result().as_str_name().into());
    match &compare.target_union {
        Some(TargetUnion::Value(value)) => put_value(&mut object, value, values),
        Some(TargetUnion::Version(number) | TargetUnion::CreateRevision(number) | TargetUnion::ModRevision(number)) => {
            drop(object.insert("with".to_owned(), (*number).into()));
        }
        Some(TargetUnion::Lease(id)) => drop(object.insert("with".to_owned(), lease(*id).into())),
        None => {}
    }
    Value::from(object)
}

fn of_checkpoints(told: &LeaseCheckpoints) -> Map<String, Value> {
    let one = |one: &registry_server::command::LeaseCheckpoint| json!({ "lease": lease(one.id), "remaining_seconds": one.remaining_seconds, "grant": one.grant });
    let checkpoints: Vec<_> = told.checkpoints.iter().map(one).collect();
    object(json!({ "checkpoints": checkpoints, "of_term": told.term }))
}

fn of_member(change: &MemberChange) -> Map<String, Value> {
    let kind = format!("{:?}", change.kind()).to_lowercase();
    object(json!({
        "change": kind, "member": hex(change.id), "peer_urls": change.peer_urls, "is_learner": change.is_learner,
    }))
}

fn of_auth(action: &AuthAction) -> Map<String, Value> {
    use AuthAction as Action;
    object(match action {
        Action::Enable(_) => json!({ "action": "enable" }),
        Action::Disable(_) => json!({ "action": "disable" }),
        Action::UserAdd(request) => json!({ "action": "user_add", "user": request.name }),
        Action::UserDelete(request) => json!({ "action": "user_delete", "user": request.name }),
        Action::UserChangePassword(request) => json!({ "action": "user_change_password", "user": request.name }),
        Action::UserGrantRole(request) => {
            json!({ "action": "user_grant_role", "user": request.user, "role": request.role })
        }
        Action::UserRevokeRole(request) => {
            json!({ "action": "user_revoke_role", "user": request.name, "role": request.role })
        }
        Action::RoleAdd(request) => json!({ "action": "role_add", "role": request.name }),
        Action::RoleDelete(request) => json!({ "action": "role_delete", "role": request.role }),
        Action::RoleGrantPermission(request) => {
            let permission = request.perm.as_ref().map(permission);
            json!({ "action": "role_grant_permission", "role": request.name, "permission": permission })
        }
        Action::RoleRevokePermission(request) => {
            let mut range = Map::new();
            put_range(&mut range, &request.key, &request.range_end);
            json!({ "action": "role_revoke_permission", "role": request.role, "permission": range })
        }
    })
}

/// What a role permits.
pub(super) fn permission(permission: &Permission) -> Value {
    let mut object = Map::new();
    put_range(&mut object, &permission.key, &permission.range_end);
    object.insert("permits".to_owned(), permission.perm_type().as_str_name().to_lowercase().into());
    Value::from(object)
}

#[cfg(test)]
mod tests {
    use registry_proto::etcdserverpb::AuthUserAddRequest;
    use registry_server::command::{AuthChange, TokenGrant};

    use super::*;

    fn told(command: &Command) -> String {
        super::command(command.encode(), false).to_string()
    }

    #[test]
    fn neither_values_nor_hashes_nor_digests_are_told() {
        let put = PutRequest { key: "a".into(), value: "secret".into(), lease: 31, ..PutRequest::default() };
        let compare =
            Compare { key: "b".into(), target_union: Some(TargetUnion::Value("secret".into())), ..Compare::default() };
        let operation = RequestOp { request: Some(Request::RequestPut(put.clone())) };
        let txn = TxnRequest { compare: vec![compare], success: vec![operation], failure: Vec::new() };
        let user = AuthUserAddRequest {
            name: "anna".to_owned(),
            hashed_password: "secret".to_owned(),
            ..AuthUserAddRequest::default()
        };
        let token = TokenGrant { user: "anna".to_owned(), digest: "secret".into(), revision: 7 };
        let commands = [
            Command::Put(put),
            Command::Txn(txn),
            Command::Auth(AuthChange { action: Some(AuthAction::UserAdd(user)) }),
            Command::Token(token),
        ];
        let lines: Vec<_> = commands.iter().map(told).collect();
        assert_eq!(lines[0], r#"{"command":"put","key":"a","lease":"000000000000001f","value_bytes":6}"#);
        assert!(lines[1].contains(r#""operation":"put""#) && lines[1].contains(r#""target":"VERSION""#), "{lines:?}");
        assert_eq!(lines[2], r#"{"action":"user_add","command":"auth","user":"anna"}"#);
        assert!(!lines.concat().contains("secret"), "{lines:?}");
    }

    #[test]
    fn what_is_no_command_is_told_as_such() {
        let told = command(::bytes::Bytes::from_static(&[9, 9]), false).to_string();
        assert!(told.contains("unreadable") && told.contains("version 9"), "{told}");
    }
}
