//! HPACK's Huffman code (RFC 7541, appendix B). It is canonical, so the lengths say all.

use std::sync::LazyLock;

/// The longest code, in bits.
const MAX_BITS: usize = 30;

/// How many bits each byte takes.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The bytes in the order of their codes, and how many have a code of each length.
struct Table {
    bytes: Vec<u8>,
    counts: [u32; MAX_BITS + 1],
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut bytes: Vec<u8> = (0..=u8::MAX).collect();
    bytes.sort_by_key(|byte| LENGTHS[usize::from(*byte)]);
    let mut counts = [0; MAX_BITS + 1];
    for length in LENGTHS {
        counts[usize::from(length)] += 1;
    }
    Table { bytes, counts }
});

/// Reads a text; none if it is not in this code.
pub(super) fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut bits = encoded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut text = Vec::new();
    loop {
        match next(&mut bits)? {
            Next::Byte(byte) => text.push(byte),
            Next::Padding => return Some(text),
        }
    }
}

enum Next {
    Byte(u8),
    /// What is left are less than eight bits, all of them set.
    Padding,
}

fn next(bits: &mut impl Iterator<Item = u8>) -> Option<Next> {
    let (mut code, mut first, mut at) = (0_u32, 0_u32, 0_u32);
    let mut is_ones = true;
    for length in 1..=MAX_BITS {
        let Some(bit) = bits.next() else { return (is_ones && length <= 8).then_some(Next::Padding) };
        is_ones &= bit == 1;
        code = code << 1 | u32::from(bit);
        first <<= 1;
        let count = TABLE.counts[length];
        if code - first < count {
            return TABLE.bytes.get((at + code - first) as usize).map(|byte| Next::Byte(*byte));
        }
        at += count;
        first += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let example = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decode(&example).unwrap(), b"www.example.com");
        assert_eq!(decode(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).unwrap(), b"no-cache");
        assert_eq!(decode(&[]).unwrap(), b"");
    }

    #[test]
    fn what_is_not_in_the_code_is_refused() {
        // Padding of a whole byte, padding that is not set, and the end's own code.
        for encoded in [&[0xff][..], &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf, 0xff], &[0x00], &[0xff; 5]] {
            assert_eq!(decode(encoded), None, "{encoded:?}");
        }
    }
}
