//! The fields of a header block, as far as it takes to find the authority among them.

use std::ops::Range;

use http::uri::Authority;

use super::huffman;

/// `:authority` in HPACK's static table.
const AUTHORITY: u64 = 1;
/// What stands in for an authority, as often as it takes.
const STAND_IN: u8 = b'x';

/// What is in a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing that the HTTP library would mind, as far as can be seen.
    Fine,
    /// An authority that it would: where its length and text stand, and what to put there.
    Malformed(Range<usize>, Vec<u8>),
}

/// Looks for an authority that is written out. One by its number in the table of earlier ones was seen before.
pub(super) fn look(block: &[u8]) -> Found {
    let mut reader = Reader { block, at: 0 };
    while let Some(field) = reader.field() {
        let Field::Authority(place) = field else { continue };
        let Some(text) = text_at(&block[place.clone()]) else { return Found::Fine };
        if text.is_empty() || Authority::try_from(&text[..]).is_ok() {
            return Found::Fine;
        }
        return Found::Malformed(place, stand_in(text.len()));
    }
    Found::Fine
}

enum Field {
    /// Where the length and the text of the value stand.
    Authority(Range<usize>),
    Other,
}

struct Reader<'a> {
    block: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next field; none at the end, and where the block makes no sense, which is the library's business.
    fn field(&mut self) -> Option<Field> {
        let first = *self.block.get(self.at)?;
        let name = match first {
            // By its number, name and value both.
            0x80.. => return self.number(7).map(|_| Field::Other),
            0x40.. => self.number(6)?,
            // A new size for the table.
            0x20.. => return self.number(5).map(|_| Field::Other),
            _ => self.number(4)?,
        };
        if name == 0 {
            self.text()?;
        }
        let value = self.text()?;
        Some(if name == AUTHORITY { Field::Authority(value) } else { Field::Other })
    }

    /// Passes over a length and a text.
    fn text(&mut self) -> Option<Range<usize>> {
        let begin = self.at;
        let len = usize::try_from(self.number(7)?).ok()?;
        self.at = self.at.checked_add(len).filter(|end| *end <= self.block.len())?;
        Some(begin..self.at)
    }

    fn number(&mut self, prefix_bits: u32) -> Option<u64> {
        let most = (1_u64 << prefix_bits) - 1;
        let mut number = u64::from(*self.block.get(self.at)?) & most;
        self.at += 1;
        if number < most {
            return Some(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = *self.block.get(self.at)?;
            self.at += 1;
            number += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

/// The text behind its length.
fn text_at(place: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader { block: place, at: 0 };
    reader.number(7)?;
    let text = &place[reader.at..];
    if place[0] & 0x80 == 0 { Some(text.to_vec()) } else { huffman::decode(text) }
}

/// A length, and an authority that long: both sides' tables of fields stay as large as each other takes them to be.
fn stand_in(len: usize) -> Vec<u8> {
    let mut written = Vec::with_capacity(len + 4);
    if len < 0x7f {
        written.push(len as u8);
    } else {
        written.push(0x7f);
        let mut rest = len - 0x7f;
        while rest >= 0x80 {
            written.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        written.push(rest as u8);
    }
    written.extend(std::iter::repeat_n(STAND_IN, len));
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `:method: POST`, a size, `te: trailers` with its name, then an authority, then `:path: /`.
    fn block(authority: &[u8]) -> Vec<u8> {
        [b"\x83\x3f\xe1\x1f\x00\x02te\x08trailers".as_slice(), authority, b"\x84"].concat()
    }

    #[test]
    fn an_authority_that_is_one_is_left_alone() {
        for text in ["localhost", "127.0.0.1:2379", "[::1]:2379", "a.example"] {
            let written = [&[0x41, text.len() as u8], text.as_bytes()].concat();
            assert_eq!(look(&block(&written)), Found::Fine, "{text}");
        }
        // In Huffman's code, by its number, and none.
        let example = b"\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(look(&block(example)), Found::Fine);
        assert_eq!(look(&block(b"\xbe")), Found::Fine);
        assert_eq!(look(&block(b"")), Found::Fine);
    }

    #[test]
    fn any_other_is_replaced_by_one_of_its_length() {
        for text in
            ["http://127.0.0.1:2379".to_owned(), "#initially=[http://a:1;http://b:2]".to_owned(), "/".repeat(500)]
        {
            for kind in [0x41, 0x01, 0x11] {
                let mut written = vec![kind];
                written.extend(stand_in(text.len()));
                let begin = written.len() - text.len();
                written[begin..].copy_from_slice(text.as_bytes());
                let block = block(&written);
                let Found::Malformed(place, replacement) = look(&block) else { panic!("{text} was let through") };
                assert_eq!(replacement.len(), place.len());
                let mut replaced = block.clone();
                replaced.splice(place, replacement);
                assert_eq!(look(&replaced), Found::Fine);
            }
        }
    }

    #[test]
    fn noise_is_the_librarys_business() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..100_000 {
            let len = rng.usize(0..40);
            let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
            if let Found::Malformed(place, _) = look(&noise) {
                assert!(place.end <= noise.len());
            }
        }
    }
}
