//! What is written is read back, by a reader that knows only the format.

use proptest::prelude::*;

use super::testing::{Buckets, Image, read};
use super::{ImageWriter, Layout};

fn feed(image: &mut ImageWriter, buckets: &Buckets) {
    for (name, entries) in buckets {
        image.begin_bucket(name.as_bytes());
        entries.iter().for_each(|(key, value)| image.put(key, value));
    }
}

fn measured(buckets: &Buckets) -> Layout {
    let mut image = ImageWriter::measure();
    feed(&mut image, buckets);
    assert_eq!(image.ready_bytes(), 0, "nothing is kept of what is measured");
    image.finish().0
}

pub(super) fn written(buckets: &Buckets) -> Vec<u8> {
    let layout = measured(buckets);
    let mut image = ImageWriter::write(layout);
    feed(&mut image, buckets);
    let (came_out, bytes) = image.finish();
    assert_eq!((came_out, bytes.len() as u64), (layout, layout.bytes()));
    bytes.into()
}

fn bucket(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Buckets {
    Buckets::from([("only".to_owned(), entries.into_iter().collect())])
}

/// Keys as etcd's revisions are, each with a value of so many bytes.
fn numbered(keys: u64, value_bytes: impl Fn(u64) -> usize) -> Buckets {
    bucket((0..keys).map(|key| {
        let name = [&key.to_be_bytes()[..], b"_12345678"].concat();
        (name, vec![key as u8; value_bytes(key)])
    }))
}

#[test]
fn an_image_without_buckets_is_read() {
    assert!(read(&written(&Buckets::new())).buckets.is_empty());
}

#[test]
fn empty_buckets_and_those_with_entries_come_back() {
    let mut buckets = bucket([(b"key".to_vec(), b"value".to_vec()), (b"of nothing".to_vec(), Vec::new())]);
    buckets.insert("a".to_owned(), Vec::new());
    buckets.insert("z".to_owned(), Vec::new());
    assert_eq!(read(&written(&buckets)).buckets, buckets);
}

#[test]
fn many_thousands_of_entries_have_three_levels_of_branches() {
    // Two to a leaf and 119 or so to a branch.
    let buckets = numbered(60_000, |_| 1_500);
    let Image { buckets: found, branches } = read(&written(&buckets));
    assert_eq!(branches["only"], 3);
    assert!(found == buckets, "the entries are other ones");
}

#[test]
fn every_number_of_entries_around_the_end_of_a_page_is_read() {
    // 94 fill a leaf, and 123 leaves a branch.
    for keys in (0..300).chain(94 * 123 - 100..94 * 123 + 200).step_by(7) {
        let small = numbered(keys, |_| 10);
        assert!(read(&written(&small)).buckets == small, "{keys} small ones");
    }
    // One to a leaf.
    for leaves in (0..4).chain(120..130).chain(243..253) {
        let large = numbered(leaves, |_| 4_000);
        assert!(read(&written(&large)).buckets == large, "{leaves} large ones");
    }
}

#[test]
fn values_around_and_above_a_page_lie_in_overflow_pages() {
    let sizes = [0, 1, 4_030, 4_046, 4_047, 4_048, 4_063, 4_064, 8_159, 8_160, 100_000, 1_500_000];
    let buckets = numbered(sizes.len() as u64, |key| sizes[key as usize]);
    assert!(read(&written(&buckets)).buckets == buckets);
}

#[test]
fn keys_larger_than_a_page_have_branches_all_the_same() {
    let keys = (0..40_u8).map(|key| ([&[key], &[b'k'; 5_000][..]].concat(), Vec::new()));
    let buckets = bucket(keys);
    let Image { buckets: found, branches } = read(&written(&buckets));
    assert!(found == buckets && branches["only"] > 1);
}

#[test]
fn bytes_are_taken_in_whole_units_while_the_image_grows() {
    let buckets = numbered(2_000, |_| 500);
    let layout = measured(&buckets);
    let mut image = ImageWriter::write(layout);
    let mut taken = Vec::new();
    image.begin_bucket(b"only");
    for (key, value) in &buckets["only"] {
        image.put(key, value);
        if image.ready_bytes() >= 100_000 {
            let bytes = image.take(32 << 10);
            assert_eq!(bytes.len() % (32 << 10), 0);
            taken.extend_from_slice(&bytes);
            assert!(image.ready_bytes() < 32 << 10);
        }
    }
    taken.extend_from_slice(&image.finish().1);
    assert!(taken == written(&buckets));
}

#[test]
fn other_entries_than_were_measured_are_told() {
    let layout = measured(&numbered(100, |_| 100));
    let mut image = ImageWriter::write(layout);
    feed(&mut image, &numbered(1_000, |_| 100));
    assert_ne!(image.finish().0, layout);
}

proptest! {
    #[test]
    fn whatever_is_written_is_read(
        entries in proptest::collection::btree_map(
            proptest::collection::vec(any::<u8>(), 1..300),
            prop_oneof![9 => 0_usize..200, 1 => 0_usize..20_000],
            0..400,
        )
    ) {
        let buckets = bucket(entries.into_iter().map(|(key, bytes)| (key, vec![7; bytes])));
        prop_assert!(read(&written(&buckets)).buckets == buckets);
    }
}
