//! How servers say that a token is no good: the one place where these texts are known.
//!
//! etcd has several errors for it, and sends some of them under other codes from version to version: what 3.4.23 calls
//! `InvalidArgument`, "revision of auth store is old", is `Unknown`, "revision in header is old", in 3.5.1. A watch is refused
//! with the same texts in its `cancel_reason`, but 3.5.1 says "permission denied" there for a bad token too: who lists
//! afterwards finds out which it was.

use http::HeaderMap;
use tonic::{Code, Status};

/// The errors of a token that has ended, was made before users or roles changed, or is missing. Parts of them, as etcd
/// puts `etcdserver: ` or `auth: ` before them.
const TEXTS: [&str; 4] =
    ["invalid auth token", "revision of auth store is old", "revision in header is old", "user name is empty"];
/// The answer to a user and password while authentication is off.
const NOT_ENABLED: &str = "authentication is not enabled";
/// A call without a user while authentication is on.
const NO_USER: &str = "user name is empty";

/// Another token may help; nothing was carried out.
pub(crate) fn refuses_token(text: &str) -> bool {
    TEXTS.iter().any(|known| text.contains(known))
}

/// The status in an answer's headers or trailers, if it refuses the token.
pub(super) fn token_refusal(headers: &HeaderMap) -> Option<String> {
    // Without the details, which tonic would decode.
    let only = ["grpc-status", "grpc-message"];
    let plain: HeaderMap =
        only.into_iter().filter_map(|name| Some((name.parse().ok()?, headers.get(name)?.clone()))).collect();
    let status = Status::from_header_map(&plain)?;
    (status.code() == Code::Unauthenticated || refuses_token(status.message())).then(|| status.message().to_owned())
}

/// The registry knows no users at present.
pub(super) fn is_not_enabled(status: &Status) -> bool {
    status.message().contains(NOT_ENABLED)
}

/// The registry wants a user, and none was given.
pub(super) fn wants_user(status: &Status) -> bool {
    status.message().contains(NO_USER)
}

/// The registry has looked at a user and a password and does not take them.
pub(super) fn refuses_password(status: &Status) -> bool {
    let codes = [Code::InvalidArgument, Code::Unauthenticated, Code::PermissionDenied, Code::FailedPrecondition];
    // etcd has no code for a password that is given for a user who has none.
    codes.contains(&status.code()) || status.message().contains("authentication failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(code: Code, message: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        Status::new(code, message).add_header(&mut headers).unwrap();
        headers
    }

    #[test]
    fn every_form_in_which_servers_refuse_a_token_is_known() {
        for (code, message) in [
            (Code::Unauthenticated, "etcdserver: invalid auth token"),
            (Code::Unauthenticated, "another server's words"),
            (Code::Unknown, "auth: invalid auth token"),
            (Code::InvalidArgument, "etcdserver: revision of auth store is old"),
            (Code::Unknown, "auth: revision in header is old"),
            (Code::InvalidArgument, "etcdserver: user name is empty"),
            (Code::Unknown, "auth: user name is empty"),
        ] {
            assert_eq!(token_refusal(&headers(code, message)).as_deref(), Some(message));
            let reason = format!("rpc error: code = {code:?} desc = {message}");
            assert!(code == Code::Unauthenticated || refuses_token(&reason), "{reason}");
        }
    }

    #[test]
    fn other_errors_are_not_the_tokens() {
        for (code, message) in [
            (Code::PermissionDenied, "etcdserver: permission denied"),
            (Code::NotFound, "etcdserver: requested lease not found"),
            (Code::InvalidArgument, "etcdserver: authentication failed, invalid user ID or password"),
            (Code::Ok, ""),
        ] {
            assert_eq!(token_refusal(&headers(code, message)), None, "{message}");
        }
        assert_eq!(token_refusal(&HeaderMap::new()), None);
    }

    #[test]
    fn details_that_are_no_base64_do_no_harm() {
        let mut headers = headers(Code::Unauthenticated, "x");
        headers.insert("grpc-status-details-bin", "%%%".parse().unwrap());
        assert_eq!(token_refusal(&headers).as_deref(), Some("x"));
    }
}
