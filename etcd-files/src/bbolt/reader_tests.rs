//! The reader against images that the writer made, and against such with any byte changed.

use std::io::Write as _;

use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::testing::Buckets;
use super::tests::written;
use super::{Image, ImageError};

fn file_of(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn read(bytes: &[u8]) -> Result<Buckets, ImageError> {
    let file = file_of(bytes);
    let image = Image::open(file.path())?;
    let mut buckets = Buckets::new();
    for name in image.buckets()? {
        let (mut entries, mut read) = (image.entries(&name)?, Vec::new());
        while let Some((key, value)) = entries.next()? {
            read.push((key.to_vec(), value.to_vec()));
        }
        buckets.insert(String::from_utf8_lossy(&name).into_owned(), read);
    }
    assert!(image.entries(b"no such bucket")?.next()?.is_none());
    Ok(buckets)
}

/// Leaves, branches, overflow, and a bucket of nothing.
fn sample() -> Buckets {
    let numbered = |keys: u32, bytes: usize| {
        (0..keys).map(|key| (key.to_be_bytes().to_vec(), vec![key as u8; bytes])).collect::<Vec<_>>()
    };
    Buckets::from([
        ("empty".to_owned(), Vec::new()),
        ("large".to_owned(), numbered(5, 9_000)),
        ("many".to_owned(), numbered(3_000, 40)),
    ])
}

#[test]
fn what_was_written_is_read() {
    let sample = sample();
    assert_eq!(read(&written(&sample)).unwrap(), sample);
    assert_eq!(read(&written(&Buckets::new())).unwrap(), Buckets::new());
}

#[test]
fn a_torn_meta_page_is_made_up_for_by_the_other() {
    let bytes = written(&sample());
    for torn in [16 + 20, 4096 + 16 + 20] {
        let mut bytes = bytes.clone();
        bytes[torn] ^= 0xff;
        assert_eq!(read(&bytes).unwrap(), sample(), "{torn}");
    }
    let mut bytes = bytes;
    bytes[36] ^= 0xff;
    bytes[4096 + 36] ^= 0xff;
    assert!(matches!(read(&bytes), Err(ImageError::Foreign { .. })));
}

#[test]
fn what_is_no_image_or_a_part_of_one_is_told() {
    for bytes in [&b""[..], b"SQLite format 3", &[0; 100_000]] {
        assert!(matches!(read(bytes), Err(ImageError::Foreign { .. })));
    }
    let bytes = written(&sample());
    let cut = read(&bytes[..bytes.len() - 4096]).unwrap_err().to_string();
    assert!(cut.contains("only a part of it is there"), "{cut}");
}

#[test]
fn a_branch_that_leads_to_itself_is_told() {
    let mut bytes = written(&sample());
    let pages = bytes.len() / 4096;
    let head = |page: usize| [(page as u64).to_le_bytes().as_slice(), &[1, 0]].concat();
    let is_branch = |page: &usize| bytes[page * 4096..].starts_with(&head(*page));
    let branch = (0..pages).find(is_branch).unwrap();
    let child = branch * 4096 + 16 + 8;
    bytes[child..child + 8].copy_from_slice(&(branch as u64).to_le_bytes());
    let told = read(&bytes).err().unwrap().to_string();
    assert!(told.contains("has no end"), "{told}");
}

proptest! {
    /// Values are not checked by anything, so only what is read may be another.
    #[test]
    fn no_changed_byte_is_a_panic_or_has_no_end(at in any::<prop::sample::Index>(), by in 1_u8..) {
        let mut bytes = written(&sample());
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        drop(read(&bytes));
    }

    #[test]
    fn a_node_of_any_bytes_is_no_panic(page in prop::collection::vec(any::<u8>(), 0..200), pick in any::<prop::sample::Index>()) {
        let mut bytes = written(&sample());
        let begin = 3 * 4096 + pick.index(bytes.len() / 4096 - 3) * 4096 + 8;
        bytes[begin..begin + page.len()].copy_from_slice(&page);
        drop(read(&bytes));
    }
}
