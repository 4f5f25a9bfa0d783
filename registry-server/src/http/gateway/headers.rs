//! What of an HTTP request's head becomes metadata of the call, and the other way round.

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;

use crate::http::timeout;

/// What metadata is marked with, in both directions.
const PREFIX: &str = "grpc-metadata-";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// Metadata that is gRPC's or HTTP's own: a client must not set it.
const RESERVED: [&str; 8] =
    ["content-type", "content-length", "transfer-encoding", "connection", "host", "te", "trailer", "upgrade"];

/// The head of the call: `Authorization`, `Grpc-Timeout` and what is marked as metadata.
///
/// # Errors
/// When the timeout is none.
pub(super) fn to_metadata(headers: &HeaderMap) -> Result<HeaderMap, Status> {
    let mut metadata = HeaderMap::new();
    metadata.insert(CONTENT_TYPE, GRPC);
    if let Some(value) = headers.get(timeout::HEADER) {
        if timeout::read(value).is_none() {
            let text = String::from_utf8_lossy(value.as_bytes());
            return Err(Status::invalid_argument(format!("invalid grpc-timeout: {text}")));
        }
        metadata.insert(timeout::HEADER, value.clone());
    }
    for (name, value) in headers {
        // Metadata is visible ASCII; anything else is passed over, as in etcd.
        if value.to_str().is_err() {
            continue;
        }
        if name == AUTHORIZATION {
            metadata.append(AUTHORIZATION, value.clone());
        } else if let Some(name) = name.as_str().strip_prefix(PREFIX).filter(|name| !is_reserved(name))
            && let Ok(name) = HeaderName::from_bytes(name.as_bytes())
        {
            metadata.append(name, value.clone());
        }
    }
    Ok(metadata)
}

/// The head of the answer: all metadata of the call's answer, marked.
pub(super) fn from_metadata(metadata: &HeaderMap) -> HeaderMap {
    let is_status = |name: &HeaderName| *name == Status::GRPC_STATUS || *name == Status::GRPC_MESSAGE;
    let marked = metadata.iter().filter(|(name, _)| !is_status(name)).filter_map(|(name, value)| {
        let name = HeaderName::try_from(format!("{PREFIX}{name}")).ok()?;
        Some((name, value.clone()))
    });
    marked.collect()
}

fn is_reserved(name: &str) -> bool {
    name.starts_with("grpc-") || RESERVED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&'static str, &str)]) -> Result<HeaderMap, Status> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap()));
        to_metadata(&headers.collect())
    }

    #[test]
    fn marked_headers_and_the_token_are_passed_on_and_nothing_else() {
        let passed = metadata(&[
            ("authorization", "a token"),
            ("grpc-metadata-hasleader", "true"),
            ("grpc-metadata-content-type", "text/html"),
            ("grpc-metadata-grpc-timeout", "1n"),
            ("grpc-metadata-te", "x"),
            ("grpc-metadata-odd", "ä"),
            ("grpc-metadata-", "nameless"),
            ("cookie", "c"),
            ("hasleader", "true"),
        ]);
        let mut passed: Vec<_> =
            passed.unwrap().iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        passed.sort();
        assert_eq!(passed, ["authorization=a token", "content-type=application/grpc", "hasleader=true"]);
    }

    #[test]
    fn a_timeout_is_passed_on_if_it_is_one() {
        assert_eq!(metadata(&[("grpc-timeout", "5S")]).unwrap()["grpc-timeout"], "5S");
        let status = metadata(&[("grpc-timeout", "soon")]).unwrap_err();
        assert_eq!((status.code(), status.message()), (tonic::Code::InvalidArgument, "invalid grpc-timeout: soon"));
    }
}
