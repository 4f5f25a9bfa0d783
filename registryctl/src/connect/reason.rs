//! Why an endpoint cannot be used, in words: what happened, and what to do about it.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};
use tonic::Status;

use super::dial::{First, Seen, UnknownName};

/// No connection came about.
pub(super) fn unreachable(error: &(dyn Error + 'static), url: &str, limit: Duration, seen: &Seen) -> String {
    let host = url.split_once("://").map_or(url, |(_, host)| host);
    if let Some(error) = cause::<rustls::Error>(error) {
        return format!("{error}: {}", of_tls(error, host));
    }
    if let Some(error) = cause::<UnknownName>(error) {
        return format!("{error}: no address is known for this name: look at its spelling");
    }
    let Some(io) = cause::<io::Error>(error) else {
        // The limit's own error has no kind.
        let told = all_of(error);
        let is_late = told.contains("deadline has elapsed");
        return if is_late { late(limit) } else { told };
    };
    match io.kind() {
        ErrorKind::ConnectionRefused => {
            format!("{io}: nothing listens there: look at the address, and whether the server runs")
        }
        ErrorKind::TimedOut => late(limit),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset if seen.first() == First::End => {
            format!("the server has ended the connection without a word: if it does not speak TLS, give http://{host}")
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            format!("{io}: there is no way to it from this machine: look at the address and the network")
        }
        _ => all_of(error),
    }
}

fn late(limit: Duration) -> String {
    format!(
        "no answer within {limit:?}: look at the address and at firewalls, or give it more time with --dial-timeout"
    )
}

/// A connection broke under a request.
pub(super) fn lost(endpoint: &str, error: &(dyn Error + 'static), seen: &Seen) -> Status {
    let told = all_of(error);
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    let wants_certificate =
        ["CertificateRequired", "BadCertificate", "UnknownCA"].iter().any(|alert| told.contains(alert));
    let text = match seen.first() {
        First::Alert if !endpoint.starts_with("https://") => {
            format!(
                "the server speaks TLS: give --endpoints https://{host}, and --cacert with the CA of its certificate"
            )
        }
        First::End => format!(
            "the server has ended the connection without a word: if it speaks TLS, give --endpoints https://{host}, and --cacert with the CA of its certificate"
        ),
        _ if wants_certificate => format!("{told}: {SHOW_CERTIFICATE}"),
        _ => told,
    };
    Status::unavailable(format!("{endpoint}: {text}"))
}

const SHOW_CERTIFICATE: &str = "the server wants a client's certificate from a CA that it knows: give --cert and --key";

/// What to do about a handshake that failed.
fn of_tls(error: &rustls::Error, host: &str) -> String {
    match error {
        // Two authorities may have one name, and differ in their keys.
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its CA is not known: give that CA's certificate with --cacert".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the server's certificate has expired: renew it, and look at this machine's clock".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "the server's certificate is not valid yet: look at this machine's clock".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the server's certificate is for other names: use one of them in --endpoints".to_owned(),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate | AlertDescription::UnknownCA,
        ) => SHOW_CERTIFICATE.to_owned(),
        rustls::Error::InvalidMessage(_) => format!("the server does not speak TLS: give --endpoints http://{host}"),
        _ => "TLS was not agreed upon".to_owned(),
    }
}

/// The first of the causes that is of this kind. What `std::io::Error` wraps is not among its sources, but its source's.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// An error with its causes, each once.
pub(super) fn all_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
