//! What is spoken at an address: plain HTTP, TLS, something else, or nothing at all.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use super::{OpenError, Page, Session, Target};
use crate::global::Global;

/// What was found at an address.
#[derive(Debug)]
pub(crate) enum Door {
    /// It answers as it was asked to.
    Open(Opened),
    /// Nobody listens, or nothing leads there: why.
    Closed(String),
    /// Somebody listens, and neither TLS nor HTTP/1 is spoken there: what happened.
    Strange(String),
    /// The handshake failed, and nothing plain is spoken there either: why.
    Unshaken(String),
    /// TLS is spoken where plain HTTP was asked for, with this.
    Secure(Vec<CertificateDer<'static>>),
    /// Plain HTTP is spoken where TLS was asked for.
    Plain,
}

/// A door that answers.
#[derive(Debug)]
pub(crate) struct Opened {
    /// For more pages.
    pub(crate) session: Session,
    /// What `/version` answered.
    pub(crate) version: Page,
    /// When that was asked and answered, by this machine's clock.
    pub(crate) asked: (SystemTime, SystemTime),
}

/// This machine's clock.
#[expect(clippy::disallowed_methods, reason = "a program that compares clocks")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Knocks. `limit` is for each of the at most two ways it is tried.
pub(crate) async fn knock(global: &Global, target: &Target, limit: Duration) -> Door {
    let late = |_| Door::Strange(format!("no answer within {limit:?}"));
    let (failed, answered) = match timeout(limit, visit(global, target)).await.map_err(late) {
        Ok(Ok(opened)) if opened.version.status != 400 => return Door::Open(opened),
        // Servers in Go answer so to whoever speaks plainly where TLS is spoken.
        Ok(Ok(opened)) => (Door::Strange("HTTP status 400".to_owned()), Some(opened)),
        Ok(Err(Failure::Open(OpenError::Connect(error)))) => return Door::Closed(error.to_string()),
        Ok(Err(Failure::Open(OpenError::Handshake(error)))) => (Door::Unshaken(error.to_string()), None),
        Ok(Err(failure)) => (Door::Strange(failure.to_string()), None),
        Err(late) => (late, None),
    };
    let other = target.otherwise();
    let other_way = timeout(limit, visit(global, &other)).await;
    match (other_way, answered) {
        (Ok(Ok(opened)), _) if other.is_secure => Door::Secure(opened.session.presented.clone()),
        (Ok(Ok(_)), _) => Door::Plain,
        // A server that wants a certificate ends the connection behind the handshake.
        (Ok(Err(Failure::Page(_, presented))), _) if !presented.is_empty() => Door::Secure(presented),
        (_, Some(opened)) => Door::Open(opened),
        _ => failed,
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Open(OpenError),
    /// And what was presented before.
    #[error("{0}")]
    Page(String, Vec<CertificateDer<'static>>),
}

async fn visit(global: &Global, target: &Target) -> Result<Opened, Failure> {
    let mut session = Session::open(global, target).await.map_err(Failure::Open)?;
    let before = now();
    match session.get("/version").await {
        Ok(version) => Ok(Opened { session, version, asked: (before, now()) }),
        Err(error) => Err(Failure::Page(error.to_string(), session.presented.clone())),
    }
}
