//! Which keys are instances of which service.

use std::collections::BTreeMap;

/// Below a namespace, what the keys of all instances begin with.
pub(super) const SERVICES: &str = "/services/";

/// Counts a key for its service: `begin`, the service, a slash and the instance's id. Others are no instances.
pub(super) fn add(counts: &mut BTreeMap<String, usize>, begin: &str, key: &[u8]) {
    let Some(rest) = key.strip_prefix(begin.as_bytes()) else { return };
    let mut parts = rest.split(|byte| *byte == b'/');
    if let (Some(service), Some(id), None) = (parts.next(), parts.next(), parts.next())
        && !service.is_empty()
        && !id.is_empty()
    {
        *counts.entry(String::from_utf8_lossy(service).into_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_instances_count() {
        let mut counts = BTreeMap::new();
        for key in [
            "/services/pay/1",
            "/services/pay/2",
            "/services/mail/1",
            "/services/pay",
            "/services//1",
            "/services/a/b/c",
        ] {
            add(&mut counts, SERVICES, key.as_bytes());
        }
        assert_eq!(counts, BTreeMap::from([("mail".to_owned(), 1), ("pay".to_owned(), 2)]));
    }
}
