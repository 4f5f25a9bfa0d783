//! Finds where each JSON object of a body ends, in whatever pieces the body comes.
//!
//! Only braces and quotes are looked at; whether an object is well-formed the parser says.

use bytes::{Buf, Bytes, BytesMut};

/// A body, as far as it has come.
#[derive(Debug)]
pub(super) struct Objects {
    waiting: BytesMut,
    /// How far `waiting` was looked at.
    seen: usize,
    /// How many braces and brackets are open.
    depth: usize,
    in_text: bool,
    /// The next byte of a text stands behind a backslash.
    escaped: bool,
    limit: usize,
}

/// Why a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ObjectError {
    /// Something else.
    #[error("invalid character {0:?} looking for the beginning of a JSON object")]
    NotAnObject(char),
    /// The body ended before its object.
    #[error("unexpected EOF")]
    Cut,
    /// An object above the bound.
    #[error("grpc: received message larger than max (a JSON object of more than {0} bytes)")]
    TooLarge(usize),
}

impl Objects {
    /// Takes objects of up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { waiting: BytesMut::new(), seen: 0, depth: 0, in_text: false, escaped: false, limit }
    }

    /// More of the body.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next whole object; none before more comes.
    ///
    /// # Errors
    /// When something else comes, or an object is too large.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        if self.depth == 0 {
            let blank = self.waiting.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.waiting.advance(blank);
            self.seen = 0;
            match self.waiting.first() {
                None => return Ok(None),
                Some(b'{') => {}
                Some(other) => return Err(ObjectError::NotAnObject(char::from(*other))),
            }
        }
        while let Some(byte) = self.waiting.get(self.seen) {
            self.seen += 1;
            if self.ends_with(*byte) {
                let object = self.waiting.split_to(self.seen).freeze();
                self.seen = 0;
                return if object.len() > self.limit {
                    Err(ObjectError::TooLarge(self.limit))
                } else {
                    Ok(Some(object))
                };
            }
        }
        if self.waiting.len() > self.limit { Err(ObjectError::TooLarge(self.limit)) } else { Ok(None) }
    }

    /// The body has ended.
    ///
    /// # Errors
    /// When that is in the middle of an object.
    pub(super) fn end(&self) -> Result<(), ObjectError> {
        if self.depth == 0 { Ok(()) } else { Err(ObjectError::Cut) }
    }

    /// Whether the object ends with this byte.
    fn ends_with(&mut self, byte: u8) -> bool {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All objects of a body that comes in pieces of a size.
    fn objects(body: &str, piece: usize) -> Result<Vec<String>, ObjectError> {
        let mut objects = Objects::new(40);
        let mut found = Vec::new();
        for piece in body.as_bytes().chunks(piece) {
            objects.push(piece);
            while let Some(object) = objects.next()? {
                found.push(String::from_utf8(object.to_vec()).unwrap());
            }
        }
        objects.end().map(|()| found)
    }

    #[test]
    fn objects_are_found_however_the_body_is_cut() {
        let body = " {\"a\": \"}\\\"{\"}\n{}{\"b\":[{\"c\":[]}]}\t";
        for piece in 1..body.len() {
            let expected = [r#"{"a": "}\"{"}"#, "{}", r#"{"b":[{"c":[]}]}"#];
            assert_eq!(objects(body, piece).unwrap(), expected, "in pieces of {piece}");
        }
        assert!(objects("", 1).unwrap().is_empty() && objects(" \n", 1).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(objects("[]", 9), Err(ObjectError::NotAnObject('[')));
        assert_eq!(objects("{} null", 1), Err(ObjectError::NotAnObject('n')));
        assert_eq!(objects("{\"a\":1", 2), Err(ObjectError::Cut));
        assert_eq!(objects("{\"a", 2), Err(ObjectError::Cut));
    }

    #[test]
    fn an_object_above_the_bound_is_refused_before_it_is_whole() {
        for size in [1, 7, 1000] {
            assert_eq!(objects(&format!("{{\"a\":\"{}", "x".repeat(100)), size), Err(ObjectError::TooLarge(40)));
            assert_eq!(objects(&format!("{{\"a\":\"{}\"}}", "x".repeat(40)), size), Err(ObjectError::TooLarge(40)));
        }
        assert!(objects(&format!("{{\"a\":\"{}\"}}", "x".repeat(32)), 5).is_ok());
    }
}
