//! Databases for tests.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::bbolt::{Image, ImageWriter};

/// A bucket and its entries, sorted.
pub(crate) type Bucket<'a> = (&'a str, Vec<(Vec<u8>, Vec<u8>)>);

/// A file with these buckets, which are sorted, open for reading; it goes with the directory.
pub(crate) fn image_of(buckets: &[Bucket<'_>]) -> (TempDir, Image) {
    let dir = tempfile::tempdir().unwrap();
    let path = save(dir.path(), buckets);
    (dir, Image::open(&path).unwrap())
}

/// Such a file in a directory, without a digest.
#[expect(clippy::disallowed_methods, reason = "a test's files")]
pub(crate) fn save(dir: &Path, buckets: &[Bucket<'_>]) -> PathBuf {
    let path = dir.join("db");
    std::fs::write(&path, bytes_of(buckets)).unwrap();
    path
}

/// The bytes of such a file.
pub(crate) fn bytes_of(buckets: &[Bucket<'_>]) -> Vec<u8> {
    let feed = |mut writer: ImageWriter| {
        for (name, entries) in buckets {
            writer.begin_bucket(name.as_bytes());
            entries.iter().for_each(|(key, value)| writer.put(key, value));
        }
        writer.finish()
    };
    let (layout, _) = feed(ImageWriter::measure());
    feed(ImageWriter::write(layout)).1.into()
}
