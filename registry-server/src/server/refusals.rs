//! Lines about handshakes that failed, few enough: one peer with a wrong certificate tries for days, and whoever scans ports
//! fails a thousand times a second.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::slow::Throttle;

/// The same is told of an address again after this long.
const AGAIN: Duration = Duration::from_secs(10);
/// Addresses that are remembered, at most.
const ADDRESSES: usize = 256;

/// Tells of each address and reason every ten seconds, and never more than ten lines a second.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    told: Mutex<BTreeMap<Option<IpAddr>, Told>>,
    throttle: Throttle,
}

#[derive(Debug)]
struct Told {
    reason: String,
    at: Instant,
    held_back: u64,
}

impl Refusals {
    pub(super) fn tell(&self, remote: Option<SocketAddr>, reason: &str) {
        if let Some(held_back) = self.pass(remote.map(|remote| remote.ip()), reason, Instant::now()) {
            let remote = remote.map_or_else(|| "a socket".to_owned(), |remote| remote.to_string());
            tracing::warn!(remote, reason, held_back, "a TLS handshake failed");
        }
    }

    /// Whether a line may go through, and then how many of this address were held back since its last one.
    fn pass(&self, address: Option<IpAddr>, reason: &str, now: Instant) -> Option<u64> {
        let mut told = self.told.lock();
        let held_back = match told.get_mut(&address) {
            Some(last) if last.reason == reason && now.saturating_duration_since(last.at) < AGAIN => {
                last.held_back += 1;
                return None;
            }
            Some(last) => last.held_back,
            None => 0,
        };
        self.throttle.pass(now)?;
        if told.len() >= ADDRESSES {
            told.clear();
        }
        drop(told.insert(address, Told { reason: reason.to_owned(), at: now, held_back: 0 }));
        Some(held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_again_for_another_reason_or_after_a_while() {
        let (refusals, begin) = (Refusals::default(), Instant::now());
        let pass = |last: u8, reason, ms| {
            refusals.pass(Some(IpAddr::from([127, 0, 0, last])), reason, begin + Duration::from_millis(ms))
        };
        assert_eq!((pass(1, "a", 0), pass(1, "a", 1), pass(1, "a", 9_999)), (Some(0), None, None));
        assert_eq!((pass(2, "a", 9_999), pass(1, "b", 9_999)), (Some(0), Some(2)));
        assert_eq!((pass(1, "b", 19_998), pass(1, "b", 19_999)), (None, Some(1)));
    }

    #[test]
    fn many_addresses_are_a_few_lines_and_a_bounded_memory() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let lines =
            (0..10_000_u32).filter_map(|address| refusals.pass(Some(IpAddr::V4(address.into())), "a", now)).count();
        assert!(lines <= 10, "{lines} lines");
        assert!(refusals.told.lock().len() <= ADDRESSES);
    }
}
