//! Which keys are meant: one, a range, a prefix, or all from one on.

use bytes::Bytes;
use clap::Args as ClapArgs;

use crate::error::CtlError;
use crate::output::data;

/// The arguments and flags that `get` and `del` have in common.
#[derive(Debug, ClapArgs)]
pub(crate) struct Span {
    /// The key; or the first of the keys.
    key: String,
    /// The key that ends the range, which is not in it.
    range_end: Option<String>,
    /// All keys that begin with KEY; an empty one is all keys.
    #[arg(long, conflicts_with = "from_key")]
    prefix: bool,
    /// All keys from KEY on.
    #[arg(long)]
    from_key: bool,
}

impl Span {
    /// Key and range end, as requests have them.
    pub(crate) fn keys(&self) -> Result<(Bytes, Bytes), CtlError> {
        keys_of(&self.key, self.range_end.as_deref(), self.prefix, self.from_key)
    }
}

/// Key and range end, as requests have them.
pub(super) fn keys_of(
    key: &str,
    range_end: Option<&str>,
    prefix: bool,
    from_key: bool,
) -> Result<(Bytes, Bytes), CtlError> {
    if (prefix || from_key) && range_end.is_some() {
        let text = "--prefix and --from-key say where the range ends: leave RANGE_END away".to_owned();
        return Err(CtlError::Arguments(text));
    }
    let everything = Bytes::from_static(b"\0");
    let end = match (range_end, prefix, from_key) {
        (Some(end), ..) => data(end),
        (None, true, _) if !key.is_empty() => prefix_end(key.as_bytes()),
        (None, true, _) | (None, false, true) => everything.clone(),
        (None, false, false) => Bytes::new(),
    };
    let key = if key.is_empty() && (prefix || from_key) { everything } else { data(key) };
    Ok((key, end))
}

/// The first key behind all that begin with the prefix; `\0`, which stands for the end of all keys, if there is none.
pub(super) fn prefix_end(prefix: &[u8]) -> Bytes {
    match prefix.iter().rposition(|&byte| byte < u8::MAX) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end.into()
        }
        None => Bytes::from_static(b"\0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(key: &str, range_end: Option<&str>, prefix: bool, from_key: bool) -> (Bytes, Bytes) {
        let (key, range_end) = (key.to_owned(), range_end.map(str::to_owned));
        Span { key, range_end, prefix, from_key }.keys().unwrap()
    }

    #[test]
    fn a_span_is_what_etcdctl_asks_for() {
        let pair = |key: &'static [u8], end: &'static [u8]| (Bytes::from_static(key), Bytes::from_static(end));
        assert_eq!(keys("a", None, false, false), pair(b"a", b""));
        assert_eq!(keys("a", Some("c"), false, false), pair(b"a", b"c"));
        assert_eq!(keys("ab", None, true, false), pair(b"ab", b"ac"));
        assert_eq!(keys("", None, true, false), pair(b"\0", b"\0"));
        assert_eq!(keys("b", None, false, true), pair(b"b", b"\0"));
        assert_eq!(keys("", None, false, true), pair(b"\0", b"\0"));
        assert_eq!((prefix_end(b"a\xff"), prefix_end(b"\xff")), (Bytes::from_static(b"b"), Bytes::from_static(b"\0")));
    }
}
