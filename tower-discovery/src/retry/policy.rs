//! Which requests may be sent again, and after which outcomes. Pure but for the caller's own rule.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};

use super::pushback::{self, Pushback};
use crate::backoff::Backoff;
use crate::error::Error;
use crate::grpc;

const KEEP_LIMIT_BYTES: usize = 64 * 1024;
const UNAVAILABLE: u8 = 14;
/// A server that asks for a longer pause is not waited for.
const LONGEST_PUSHBACK: Duration = Duration::from_secs(30);

/// Says in a request's extensions that it may be sent twice. A tonic client passes the extensions of its request
/// on.
///
/// ```
/// use tower_discovery::retry::Idempotent;
///
/// let mut request = http::Request::post("/pay.Pay/Balance").body(()).unwrap();
/// request.extensions_mut().insert(Idempotent);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotent;

/// The caller's rule for requests that may be sent twice.
#[derive(Clone)]
pub(super) struct Told(pub(super) Arc<dyn Fn(&Parts) -> bool + Send + Sync>);

impl fmt::Debug for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Told")
    }
}

#[derive(Debug, Clone)]
pub(super) struct Policy {
    /// In all, at least 1.
    pub(super) attempts: u32,
    pub(super) backoff: Backoff,
    pub(super) keep_limit_bytes: usize,
    pub(super) statuses: Vec<StatusCode>,
    pub(super) grpc_codes: Vec<u8>,
    pub(super) is_idempotent: Option<Told>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome<'a> {
    /// With the head of an answer. `error` is there where the balancer made the answer.
    Answered {
        status: StatusCode,
        headers: &'a HeaderMap,
        error: Option<&'a Error>,
    },
    Failed(&'a (dyn std::error::Error + 'static)),
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Backoff { first: Duration::from_millis(25), longest: Duration::from_secs(1) },
            keep_limit_bytes: KEEP_LIMIT_BYTES,
            statuses: vec![StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT],
            grpc_codes: vec![UNAVAILABLE],
            is_idempotent: None,
        }
    }
}

impl Policy {
    /// Whether the request may be sent twice.
    pub(super) fn may_repeat(&self, head: &Parts) -> bool {
        self.attempts > 1
            && (head.method.is_idempotent()
                || head.extensions.get::<Idempotent>().is_some()
                || self.is_idempotent.as_ref().is_some_and(|told| (told.0)(head)))
    }

    /// The pause after which the request is sent again; none if its outcome is the caller's. `attempt` is the number
    /// of the one that ended so, the first being 1.
    pub(super) fn judge(&self, outcome: Outcome<'_>, attempt: u32, random: f64) -> Option<Duration> {
        if attempt >= self.attempts || !self.is_failure(outcome) {
            return None;
        }
        let pushback = match outcome {
            Outcome::Answered { headers, .. } => pushback::of(headers),
            Outcome::Failed(_) => Pushback::None,
        };
        match pushback {
            Pushback::None => Some(self.backoff.pause(attempt, random)),
            Pushback::After(pause) if pause <= LONGEST_PUSHBACK => Some(pause),
            Pushback::After(_) | Pushback::Never => None,
        }
    }

    fn is_failure(&self, outcome: Outcome<'_>) -> bool {
        match outcome {
            Outcome::Answered { error: Some(error), headers, .. } => {
                is_worth_another_try(error) && self.has_listed_code(headers)
            }
            Outcome::Answered { status, headers, .. } => {
                self.statuses.contains(&status) || self.has_listed_code(headers)
            }
            Outcome::Failed(error) => error.downcast_ref::<Error>().is_none_or(is_worth_another_try),
        }
    }

    fn has_listed_code(&self, headers: &HeaderMap) -> bool {
        grpc::status(headers).is_some_and(|code| self.grpc_codes.contains(&code))
    }
}

/// A request that found no endpoint has waited as long as it was willing to, and one whose deadline has passed has
/// no time left.
fn is_worth_another_try(error: &Error) -> bool {
    matches!(error, Error::Endpoint { .. })
}

impl<'a> Outcome<'a> {
    pub(super) fn of<R, E>(result: &'a Result<Response<R>, E>) -> Self
    where
        E: std::error::Error + 'static,
    {
        match result {
            Ok(response) => {
                let error = response.extensions().get::<Arc<Error>>().map(AsRef::as_ref);
                Self::Answered { status: response.status(), headers: response.headers(), error }
            }
            Err(error) => Self::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request};

    use super::*;

    fn head(method: Method) -> Parts {
        Request::builder().method(method).uri("/pay.Pay/Charge").body(()).unwrap().into_parts().0
    }

    fn answered(status: u16, headers: &[(&'static str, &str)]) -> Response<()> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap()
    }

    fn judge(response: Response<()>, attempt: u32) -> Option<Duration> {
        let result: Result<_, Error> = Ok(response);
        Policy::default().judge(Outcome::of(&result), attempt, 1.0)
    }

    #[test]
    fn only_what_is_idempotent_may_be_sent_twice() {
        let mut policy = Policy::default();
        assert!(policy.may_repeat(&head(Method::GET)) && policy.may_repeat(&head(Method::PUT)));
        assert!(!policy.may_repeat(&head(Method::POST)) && !policy.may_repeat(&head(Method::PATCH)));
        let mut marked = head(Method::POST);
        marked.extensions.insert(Idempotent);
        assert!(policy.may_repeat(&marked));
        policy.is_idempotent = Some(Told(Arc::new(|head| head.uri.path().ends_with("/Charge"))));
        assert!(policy.may_repeat(&head(Method::POST)));
        policy.attempts = 1;
        assert!(!policy.may_repeat(&head(Method::GET)), "there is no second attempt");
    }

    #[test]
    fn failures_are_repeated_with_growing_pauses_until_the_last_attempt() {
        let unavailable = || answered(200, &[("grpc-status", "14")]);
        assert_eq!(judge(unavailable(), 1), Some(Duration::from_millis(25)));
        assert_eq!(judge(unavailable(), 2), Some(Duration::from_millis(50)));
        assert_eq!(judge(unavailable(), 3), None);
        assert_eq!(judge(answered(503, &[]), 1), Some(Duration::from_millis(25)));
    }

    #[test]
    fn other_outcomes_are_the_callers() {
        assert_eq!(judge(answered(200, &[]), 1), None);
        assert_eq!(judge(answered(500, &[]), 1), None);
        assert_eq!(judge(answered(200, &[("grpc-status", "5")]), 1), None);
        let limit = Duration::from_secs(1);
        let late: Result<Response<()>, _> = Err(Error::DeadlineExceeded { limit, target: None });
        assert_eq!(Policy::default().judge(Outcome::of(&late), 1, 1.0), None);
    }

    #[test]
    fn a_servers_wish_goes_before_the_backoff() {
        let pushed = |wish: &str| judge(answered(200, &[("grpc-status", "14"), ("grpc-retry-pushback-ms", wish)]), 1);
        assert_eq!(pushed("700"), Some(Duration::from_millis(700)));
        assert_eq!(pushed("-1"), None);
        assert_eq!(pushed("31000"), None);
        assert_eq!(judge(answered(503, &[("retry-after", "1")]), 1), Some(Duration::from_secs(1)));
    }
}
