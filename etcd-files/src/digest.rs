//! The SHA-256 with which a snapshot's file ends. A database that was copied out of a member's directory has none.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::Path;

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// Pages are multiples of it, so what is more than that is the digest.
const SECTOR_BYTES: u64 = 512;
const BUFFER_BYTES: usize = 1 << 20;

/// What the end of a file says of the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Digest {
    /// There is none.
    Absent,
    /// The rest is as it was written.
    Right,
    /// The rest is other than it was.
    Wrong {
        /// The digest that is there, in hexadecimal.
        stored: String,
        /// That of the rest.
        computed: String,
    },
}

/// Whether a file of so many bytes ends with a digest.
#[must_use]
pub const fn is_there(file_bytes: u64) -> bool {
    file_bytes % SECTOR_BYTES == SHA256_OUTPUT_LEN as u64
}

/// Reads a file and compares; `tell` hears how many bytes are read, of how many. Blocking.
///
/// # Errors
/// The file system's.
pub fn check(path: &Path, tell: &mut dyn FnMut(u64, u64)) -> io::Result<Digest> {
    let mut file = OpenOptions::new().read(true).open(path)?;
    let length = file.metadata()?.len();
    if !is_there(length) {
        return Ok(Digest::Absent);
    }
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; BUFFER_BYTES]);
    let covered = length - SHA256_OUTPUT_LEN as u64;
    let mut left = covered;
    while left > 0 {
        let bytes = usize::try_from(left).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        file.read_exact(&mut buffer[..bytes])?;
        context.update(&buffer[..bytes]);
        left -= bytes as u64;
        tell(covered - left, covered);
    }
    let mut stored = [0; SHA256_OUTPUT_LEN];
    file.read_exact(&mut stored)?;
    let computed = context.finish();
    if stored == computed.as_ref() {
        return Ok(Digest::Right);
    }
    Ok(Digest::Wrong { stored: hexadecimal(&stored), computed: hexadecimal(computed.as_ref()) })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's files")]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_right_until_a_byte_changes_and_absent_where_no_room_is_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let checked = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            check(&path, &mut |_, _| ()).unwrap()
        };
        let data = vec![7; 3 << 20];
        let whole = [&data, ring::digest::digest(&SHA256, &data).as_ref()].concat();
        assert_eq!(checked(&whole), Digest::Right);
        assert_eq!(checked(&data), Digest::Absent);
        for at in [0, 2 << 20, data.len() - 1, data.len(), whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(matches!(checked(&changed), Digest::Wrong { .. }), "byte {at}");
        }
    }
}
