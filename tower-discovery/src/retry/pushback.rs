//! What a server says about being asked again.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName};

/// gRPC's word for it, in milliseconds.
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// A server's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushback {
    /// It says nothing.
    None,
    /// Not before so much time has passed.
    After(Duration),
    /// Never.
    Never,
}

/// Reads it. A gRPC pushback that is no number of milliseconds means never, as gRPC has it; a `retry-after` that
/// is a date is taken for none.
pub(super) fn of(headers: &HeaderMap) -> Pushback {
    if let Some(pushback) = headers.get(GRPC_PUSHBACK) {
        let milliseconds = pushback.to_str().ok().and_then(|text| text.parse().ok());
        return milliseconds.map_or(Pushback::Never, |amount| Pushback::After(Duration::from_millis(amount)));
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    seconds.map_or(Pushback::None, |amount| Pushback::After(Duration::from_secs(amount)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushback_is_read() {
        let read = |name: &'static str, value: &str| {
            of(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]))
        };
        assert_eq!(read("grpc-retry-pushback-ms", "250"), Pushback::After(Duration::from_millis(250)));
        assert_eq!(read("grpc-retry-pushback-ms", "-1"), Pushback::Never);
        assert_eq!(read("grpc-retry-pushback-ms", "soon"), Pushback::Never);
        assert_eq!(read("retry-after", "2"), Pushback::After(Duration::from_secs(2)));
        assert_eq!(read("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Pushback::None);
        assert_eq!(read("date", "now"), Pushback::None);
    }
}
