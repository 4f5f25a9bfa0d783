//! Keys and values in JSON: as text where they are text, else in base64 under a name that says so.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

/// Puts bytes into an object.
pub(super) fn put(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), BASE64_STANDARD.encode(bytes).into()),
    };
}

/// A value: its length, and itself if that was asked for.
pub(super) fn put_value(object: &mut Map<String, Value>, value: &[u8], is_shown: bool) {
    object.insert("value_bytes".to_owned(), value.len().into());
    if is_shown {
        put(object, "value", value);
    }
}

/// A key, and where its range ends if it is one.
pub(super) fn put_range(object: &mut Map<String, Value>, key: &[u8], range_end: &[u8]) {
    put(object, "key", key);
    if !range_end.is_empty() {
        put(object, "range_end", range_end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_in_base64_and_a_value_is_shown_on_request_only() {
        let mut object = Map::new();
        put(&mut object, "key", b"\xff\0");
        put(&mut object, "other", "ключ".as_bytes());
        put_value(&mut object, b"secret", false);
        let told = Value::from(object).to_string();
        assert_eq!(told, r#"{"key_base64":"/wA=","other":"ключ","value_bytes":6}"#);
        let mut object = Map::new();
        put_value(&mut object, b"secret", true);
        assert_eq!(Value::from(object).to_string(), r#"{"value":"secret","value_bytes":6}"#);
    }
}
