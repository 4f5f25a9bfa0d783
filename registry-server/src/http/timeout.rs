//! `grpc-timeout`, as gRPC clients and HTTP clients of the gateway send it.

use std::time::Duration;

use http::HeaderValue;

/// The header's name.
pub(crate) const HEADER: &str = "grpc-timeout";
/// As many digits as the protocol allows.
pub(crate) const MAX_DIGITS: usize = 8;

/// Reads digits and a unit.
pub(crate) fn read(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(amount * 3600)),
        b'M' => Some(Duration::from_secs(amount * 60)),
        b'S' => Some(Duration::from_secs(amount)),
        b'm' => Some(Duration::from_millis(amount)),
        b'u' => Some(Duration::from_micros(amount)),
        b'n' => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let read = |text: &str| read(&HeaderValue::from_str(text).unwrap());
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("0S"), Some(Duration::ZERO));
        assert_eq!(read("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for text in ["", "S", "1", "1s", "-1S", "+1S", "1 S", "123456789S", "1.5S"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
