//! Who a member and a cluster are: numbers that every founder of a cluster comes to by itself, as etcd does.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

/// A founder's id, from its peer URLs and the cluster's token.
#[must_use]
pub fn member_id<'a>(peer_urls: impl IntoIterator<Item = &'a str>, token: &str) -> u64 {
    let mut urls: Vec<_> = peer_urls.into_iter().collect();
    urls.sort_unstable();
    urls.push(token);
    hash(urls.into_iter().map(str::as_bytes))
}

/// A cluster's id, from the ids of its founders.
#[must_use]
pub fn cluster_id(members: impl IntoIterator<Item = u64>) -> u64 {
    let mut ids: Vec<_> = members.into_iter().collect();
    ids.sort_unstable();
    let ids: Vec<_> = ids.into_iter().map(u64::to_be_bytes).collect();
    hash(ids.iter().map(<[u8; 8]>::as_slice))
}

/// The first bytes of the SHA-1 of all parts. Nothing relies on its strength.
fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    parts.into_iter().for_each(|part| context.update(part));
    let digest = context.finish();
    let first = digest.as_ref().first_chunk().expect("a SHA-1 has 20 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_etcd_gives() {
        // The member that etcd founds where no flag is given, and its cluster.
        let alone = member_id(["http://localhost:2380"], "etcd-cluster");
        assert_eq!(alone, 0x8e9e_05c5_2164_694d);
        assert_eq!(cluster_id([alone]), 0xcdf8_1819_4e3a_8c32);
    }

    #[test]
    fn the_order_in_which_they_are_listed_is_no_matter() {
        assert_eq!(member_id(["http://b:1", "http://a:1"], "t"), member_id(["http://a:1", "http://b:1"], "t"));
        assert_eq!(cluster_id([2, 1]), cluster_id([1, 2]));
        assert_ne!(member_id(["http://a:1"], "t"), member_id(["http://a:1"], "u"));
    }
}
