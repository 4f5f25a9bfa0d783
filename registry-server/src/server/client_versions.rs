//! Which versions of the API clients say that they speak, as etcd counts them.
//!
//! Clients choose the words, so their number and length are bounded: what is beyond counts as `other`.

use std::collections::BTreeMap;

use http::HeaderMap;
use parking_lot::RwLock;
use tonic::Status;

use super::methods::MethodKind;
use crate::api::status::WireError;
use crate::types::Counter;

/// The metadata's name.
const CLIENT_API_VERSION: &str = "client-api-version";
/// What a client speaks that does not say so.
const UNKNOWN: &str = "unknown";
const OTHER: &str = "other";
/// So many versions are told apart, of so many bytes at most.
const MOST_VERSIONS: usize = 32;
const LONGEST_VERSION: usize = 32;

/// Requests by the version that their clients named.
#[derive(Debug, Default)]
pub(super) struct ClientVersions(RwLock<BTreeMap<String, ByKind>>);

#[derive(Debug, Default)]
struct ByKind {
    unary: Counter,
    stream: Counter,
}

impl ByKind {
    fn count(&self, kind: MethodKind) {
        match kind {
            MethodKind::Unary => self.unary.inc(),
            MethodKind::ServerStream | MethodKind::BidiStream => self.stream.inc(),
        }
    }
}

impl ClientVersions {
    /// Counts a request.
    ///
    /// # Errors
    /// etcd's, for a version that is no text.
    pub(super) fn note(&self, headers: &HeaderMap, kind: MethodKind) -> Result<(), Status> {
        let named = headers.get(CLIENT_API_VERSION).map_or(UNKNOWN.as_bytes(), http::HeaderValue::as_bytes);
        let version = std::str::from_utf8(named).map_err(|_| WireError::InvalidClientApiVersion.status())?;
        let version = if version.len() > LONGEST_VERSION { OTHER } else { version };
        if let Some(known) = self.0.read().get(version) {
            known.count(kind);
            return Ok(());
        }
        let mut versions = self.0.write();
        let version = if versions.len() < MOST_VERSIONS { version } else { OTHER };
        versions.entry(version.to_owned()).or_default().count(kind);
        Ok(())
    }

    /// Versions with their unary requests and their streams.
    pub(super) fn counted(&self) -> Vec<(String, [(&'static str, u64); 2])> {
        let versions = self.0.read();
        let counts = |kinds: &ByKind| [("unary", kinds.unary.get()), ("stream", kinds.stream.get())];
        versions.iter().map(|(version, kinds)| (version.clone(), counts(kinds))).collect()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn naming(version: &[u8]) -> HeaderMap {
        let value = HeaderValue::from_bytes(version).unwrap();
        [(http::HeaderName::from_static(CLIENT_API_VERSION), value)].into_iter().collect()
    }

    #[test]
    fn versions_are_counted_by_kind_and_what_is_no_text_is_refused() {
        let versions = ClientVersions::default();
        versions.note(&naming(b"3.7"), MethodKind::Unary).unwrap();
        versions.note(&naming(b"3.7"), MethodKind::BidiStream).unwrap();
        versions.note(&HeaderMap::new(), MethodKind::Unary).unwrap();
        let refused = versions.note(&naming(b"\xff"), MethodKind::Unary).unwrap_err();
        assert_eq!(refused.message(), "etcdserver: invalid client api version");
        let expected = [("3.7", 1, 1), ("unknown", 1, 0)];
        let counted = versions.counted();
        let seen: Vec<_> = counted.iter().map(|(version, kinds)| (&**version, kinds[0].1, kinds[1].1)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn invented_versions_do_not_fill_the_memory() {
        let versions = ClientVersions::default();
        for number in 0..1_000 {
            versions.note(&naming(format!("{number}").as_bytes()), MethodKind::Unary).unwrap();
        }
        versions.note(&naming(&[b'x'; 1_000]), MethodKind::Unary).unwrap();
        let counted = versions.counted();
        assert!(counted.len() <= MOST_VERSIONS + 1, "{}", counted.len());
        assert_eq!(counted.iter().map(|(_, kinds)| kinds[0].1).sum::<u64>(), 1_001);
    }
}
