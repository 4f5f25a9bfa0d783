//! Hashes that are the same in every process, version and machine, so that clients agree.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// The hash of some bytes.
pub(crate) fn of(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Spreads the bits of a number over all of it; a permutation.
pub(crate) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Turns an evenly distributed lot into a rank: who has twice the weight has the highest rank twice as often.
/// A weight of 0 ranks 0, all others above.
pub(crate) fn weigh(lot: u64, weight: u64) -> f64 {
    // Within 0 and 1, both excluded.
    let even = ((lot >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    weight as f64 / -even.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_for_ever() {
        // Clients of different versions must send one user to one endpoint.
        assert_eq!(of(b"user-1"), of(b"user-1"));
        assert_eq!((of(b""), mix(1)), (0xd1fb_a762_150c_532c, 0x5692_161d_100b_05e5));
    }

    #[test]
    fn twice_the_weight_ranks_highest_twice_as_often() {
        let wins = (0..30_000_u64).filter(|&n| weigh(mix(n), 2) > weigh(mix(n ^ of(b"other")), 1)).count();
        assert!((19_500..20_500).contains(&wins), "{wins}");
    }
}
