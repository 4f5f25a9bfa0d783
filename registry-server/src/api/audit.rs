//! Who did what to which keys: a line for each call that reads or watches keys or changes anything, for `--audit-log`. What only
//! lists leases, members, users or roles, or keeps leases alive, leaves none.
//!
//! A line has the user, if there is one, what was wanted, of which keys, leases, members, users or roles, and how it went.
//! Values, passwords and tokens are in none. Lines are events of the target [`TARGET`], so that whoever embeds a node sees
//! them in its own subscriber.

use std::fmt::Write as _;

use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{RequestOp, TxnRequest};
use tonic::{Code, Status};

use crate::command::{AuthAction, Command};
use crate::types::Author;

/// Of the events.
pub const TARGET: &str = "audit";
/// Of one transaction so many ranges are told, and how many more there are.
const MOST_RANGES: usize = 64;

/// Of a key or a name so many bytes are told.
const MOST_BYTES: usize = 512;

/// Whether lines are written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Audit {
    is_on: bool,
}

/// What a call wants, in words. It grows no longer than [`MOST_RANGES`] ranges.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    text: String,
    ranges: usize,
}

/// A key or a name, or its beginning.
pub(super) fn told(bytes: &[u8]) -> String {
    match bytes.get(..MOST_BYTES) {
        Some(start) if bytes.len() > MOST_BYTES => {
            format!("{}... ({} bytes)", start.escape_ascii(), bytes.len())
        }
        _ => bytes.escape_ascii().to_string(),
    }
}

/// A call under way that is told also when nobody waits for its end any more.
pub(super) struct Telling<'a> {
    audit: Audit,
    author: &'a Author,
    what: &'a str,
    wanted: String,
    is_told: bool,
}

impl Telling<'_> {
    /// Tells how it went.
    pub(super) fn end<T>(mut self, outcome: &Result<T, Status>) {
        self.is_told = true;
        self.audit.tell(self.author, self.what, &self.wanted, outcome);
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            let outcome = Err::<(), _>(Status::cancelled("its client has gone, and it may be done all the same"));
            self.audit.tell(self.author, self.what, &self.wanted, &outcome);
        }
    }
}

impl Audit {
    /// Begins a call; none if nobody reads of it.
    pub(super) fn begin<'a>(
        self,
        author: &'a Author,
        what: &'a str,
        wanted: impl FnOnce() -> String,
    ) -> Option<Telling<'a>> {
        self.is_on.then(|| Telling { audit: self, author, what, wanted: wanted(), is_told: false })
    }

    /// Writes lines, or none.
    #[must_use]
    pub fn new(is_on: bool) -> Self {
        Self { is_on }
    }

    /// Whether anybody reads them.
    pub(super) fn is_on(self) -> bool {
        self.is_on
    }

    /// Tells how a call went.
    pub(super) fn tell<T>(self, author: &Author, what: &str, wanted: &str, outcome: &Result<T, Status>) {
        if !self.is_on {
            return;
        }
        let user = match author {
            Author::User { name, .. } => Some(&**name),
            Author::Nobody => None,
            // What members do on their own is nobody's doing.
            Author::Member => return,
        };
        let code = outcome.as_ref().map_or_else(Status::code, |_| Code::Ok);
        let refusal = outcome.as_ref().err().map(Status::message);
        tracing::info!(target: TARGET, user, what, wanted, ?code, refusal);
    }
}

impl Wanted {
    /// What a command does.
    pub(super) fn of(command: &Command) -> String {
        let mut wanted = Self::default();
        match command {
            Command::Put(request) => wanted.put(&request.key, request.lease),
            Command::DeleteRange(request) => wanted.range("delete", &request.key, &request.range_end),
            Command::Txn(request) => wanted.txn(request),
            Command::Compact(request) => wanted.say(format_args!("revision {}", request.revision)),
            Command::LeaseGrant(request) => wanted.say(format_args!("lease {:x} for {} s", request.id, request.ttl)),
            Command::LeaseRevoke(request) => wanted.say(format_args!("lease {:x}", request.id)),
            Command::Alarm(request) => {
                let (action, alarm) = (request.action().as_str_name(), request.alarm().as_str_name());
                wanted.say(format_args!("{action} {alarm} of {:x}", request.member_id));
            }
            Command::Member(change) => {
                wanted.say(format_args!("{:?} {:x} {}", change.kind(), change.id, change.peer_urls.join(",")));
            }
            Command::Auth(change) => wanted.auth(change.action.as_ref()),
            // No client wants these.
            Command::Publish(_)
            | Command::LeaseCheckpoint(_)
            | Command::LeaseExpire(_)
            | Command::MemberVersion(_)
            | Command::Token(_) => {}
        }
        wanted.finish()
    }

    /// What a transaction does, in both branches.
    pub(super) fn of_txn(request: &TxnRequest) -> String {
        let mut wanted = Self::default();
        wanted.txn(request);
        wanted.finish()
    }

    /// What is read of a range.
    pub(super) fn of_range(key: &[u8], range_end: &[u8]) -> String {
        let mut wanted = Self::default();
        wanted.range("read", key, range_end);
        wanted.finish()
    }

    fn finish(mut self) -> String {
        if self.ranges > MOST_RANGES {
            let more = self.ranges - MOST_RANGES;
            self.say(format_args!("and {more} more"));
        }
        self.text
    }

    fn say(&mut self, words: std::fmt::Arguments<'_>) {
        let between = if self.text.is_empty() { "" } else { ", " };
        write!(self.text, "{between}{words}").expect("a text takes all");
    }

    fn put(&mut self, key: &[u8], lease: i64) {
        self.range("put", key, b"");
        if lease != 0 && self.ranges <= MOST_RANGES {
            write!(self.text, " under lease {lease:x}").expect("a text takes all");
        }
    }

    fn range(&mut self, verb: &str, key: &[u8], range_end: &[u8]) {
        self.ranges += 1;
        if self.ranges > MOST_RANGES {
            return;
        }
        let key = told(key);
        match range_end {
            [] => self.say(format_args!("{verb} {key}")),
            b"\0" => self.say(format_args!("{verb} from {key} on")),
            end => self.say(format_args!("{verb} from {key} to {}", told(end))),
        }
    }

    fn txn(&mut self, request: &TxnRequest) {
        for compare in &request.compare {
            self.range("compare", &compare.key, &compare.range_end);
        }
        request.success.iter().chain(&request.failure).for_each(|operation| self.operation(operation));
    }

    fn operation(&mut self, operation: &RequestOp) {
        match &operation.request {
            Some(Request::RequestRange(request)) => self.range("read", &request.key, &request.range_end),
            Some(Request::RequestPut(request)) => self.put(&request.key, request.lease),
            Some(Request::RequestDeleteRange(request)) => self.range("delete", &request.key, &request.range_end),
            Some(Request::RequestTxn(request)) => self.txn(request),
            None => {}
        }
    }

    fn auth(&mut self, action: Option<&AuthAction>) {
        match action {
            None => {}
            Some(AuthAction::Enable(_)) => self.say(format_args!("enable")),
            Some(AuthAction::Disable(_)) => self.say(format_args!("disable")),
            Some(AuthAction::UserAdd(it)) => self.say(format_args!("add user {}", told(it.name.as_bytes()))),
            Some(AuthAction::UserDelete(it)) => self.say(format_args!("delete user {}", told(it.name.as_bytes()))),
            Some(AuthAction::UserChangePassword(it)) => {
                self.say(format_args!("change password of user {}", told(it.name.as_bytes())));
            }
            Some(AuthAction::UserGrantRole(it)) => {
                self.say(format_args!("grant role {} to user {}", told(it.role.as_bytes()), told(it.user.as_bytes())));
            }
            Some(AuthAction::UserRevokeRole(it)) => {
                self.say(format_args!(
                    "revoke role {} from user {}",
                    told(it.role.as_bytes()),
                    told(it.name.as_bytes())
                ));
            }
            Some(AuthAction::RoleAdd(it)) => self.say(format_args!("add role {}", told(it.name.as_bytes()))),
            Some(AuthAction::RoleDelete(it)) => self.say(format_args!("delete role {}", told(it.role.as_bytes()))),
            Some(AuthAction::RoleGrantPermission(it)) => {
                let Some(perm) = &it.perm else { return };
                let verb = format!("permit role {} to {}", told(it.name.as_bytes()), perm.perm_type().as_str_name());
                self.range(&verb, &perm.key, &perm.range_end);
            }
            Some(AuthAction::RoleRevokePermission(it)) => {
                self.range(&format!("take from role {}", told(it.role.as_bytes())), &it.key, &it.range_end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::etcdserverpb::{AuthUserAddRequest, DeleteRangeRequest, PutRequest, RangeRequest};

    use super::*;
    use crate::command::AuthChange;

    fn op(request: Request) -> RequestOp {
        RequestOp { request: Some(request) }
    }

    #[test]
    fn keys_and_names_are_told_and_no_values() {
        let put = PutRequest { key: "a\n".into(), value: "secret".into(), lease: 26, ..PutRequest::default() };
        assert_eq!(Wanted::of(&Command::Put(put.clone())), r"put a\n under lease 1a");
        let delete = DeleteRangeRequest { key: "b/".into(), range_end: "b0".into(), ..DeleteRangeRequest::default() };
        let read = RangeRequest { key: "c".into(), range_end: "\0".into(), ..RangeRequest::default() };
        let nested = TxnRequest { failure: vec![op(Request::RequestRange(read))], ..TxnRequest::default() };
        let txn = TxnRequest {
            success: vec![op(Request::RequestPut(put)), op(Request::RequestTxn(nested))],
            failure: vec![op(Request::RequestDeleteRange(delete))],
            ..TxnRequest::default()
        };
        let expected = r"put a\n under lease 1a, read from c on, delete from b/ to b0";
        assert_eq!(Wanted::of(&Command::Txn(txn)), expected);
        let user = AuthUserAddRequest { name: "anna".into(), hashed_password: "h".into(), ..Default::default() };
        let add = AuthChange { action: Some(AuthAction::UserAdd(user)) };
        assert_eq!(Wanted::of(&Command::Auth(add)), "add user anna");
    }

    #[test]
    fn a_large_transaction_is_told_in_part() {
        let put = |n: usize| op(Request::RequestPut(PutRequest { key: n.to_string().into(), ..PutRequest::default() }));
        let txn = TxnRequest { success: (0..100).map(put).collect(), ..TxnRequest::default() };
        let text = Wanted::of_txn(&txn);
        assert!(text.ends_with("put 63, and 36 more"), "{text}");
    }
}
