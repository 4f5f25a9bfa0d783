//! Where Raft's log was cut off: the files `TERM-INDEX.snap` beside the database, a [`Snapshot`] with its checksum.
//!
//! The state itself is in the database. What these files have of it is the older store of etcd 3.5 and before, of which
//! [`members_store`] makes what those versions look for: the members. Later versions read the index and Raft's members alone.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use registry_proto::etcdserverpb::Member;
use serde_json::{Value, json};

use crate::raft::Snapshot;
use crate::schema::raft_attributes;

/// No such file is larger, in bytes: it holds members.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// A time that means "never".
const NEVER: &str = "0001-01-01T00:00:00Z";
/// The schema of the older store.
const STORE_VERSION: u32 = 2;

/// The bytes of a [`Snapshot`] with their checksum.
#[derive(Clone, PartialEq, Eq, Message)]
struct Checked {
    #[prost(uint32, optional, tag = "1")]
    crc: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    data: Option<Bytes>,
}

/// Why such a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RaftSnapshotError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// It is not as it was written.
    #[error("{} is no snapshot of Raft's: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
}

/// The name of the file of a snapshot.
#[must_use]
pub fn file_name(term: u64, index: u64) -> String {
    format!("{term:016x}-{index:016x}.snap")
}

/// Writes a new file into a directory, and waits until the disk has it. Blocking.
///
/// # Errors
/// The file system's; a file that is there already among them.
pub fn write(dir: &Path, snapshot: &Snapshot) -> Result<(), RaftSnapshotError> {
    let metadata = snapshot.metadata.clone().unwrap_or_default();
    let path = dir.join(file_name(metadata.term(), metadata.index()));
    let data = Bytes::from(snapshot.encode_to_vec());
    let bytes = Checked { crc: Some(crc32c::crc32c(&data)), data: Some(data) }.encode_to_vec();
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    written().map_err(|source| RaftSnapshotError::Io { path: path.clone(), source })
}

/// Reads a file. Blocking.
///
/// # Errors
/// See [`RaftSnapshotError`].
pub fn read(path: &Path) -> Result<Snapshot, RaftSnapshotError> {
    let damaged = |reason| RaftSnapshotError::Damaged { path: path.to_owned(), reason };
    let all = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        OpenOptions::new().read(true).open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = Bytes::from(all().map_err(|source| RaftSnapshotError::Io { path: path.to_owned(), source })?);
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(damaged("it is too large"));
    }
    let checked = Checked::decode(bytes).map_err(|_| damaged("it is no such message"))?;
    let data = checked.data.clone().unwrap_or_default();
    if data.is_empty() || checked.crc() == 0 {
        return Err(damaged("it is empty"));
    }
    if crc32c::crc32c(&data) != checked.crc() {
        return Err(damaged("its checksum is wrong"));
    }
    Snapshot::decode(data).map_err(|_| damaged("what is in it is no such message"))
}

/// The older store with these members and nothing else, as JSON: etcd 3.5 and before recover who they are from it.
#[must_use]
pub fn members_store(members: &[Member]) -> Bytes {
    let mut nodes = serde_json::Map::new();
    for (member, index) in members.iter().zip(1_u64..) {
        let path = format!("/0/members/{:x}", member.id);
        let attributes = leaf(&format!("{path}/raftAttributes"), index, &raft_attributes(member));
        nodes.insert(format!("{:x}", member.id), directory(&path, index, &json!({ "raftAttributes": attributes })));
    }
    let created = u64::from(!members.is_empty());
    let cluster = if members.is_empty() {
        json!({})
    } else {
        json!({ "members": directory("/0/members", created, &nodes.into()) })
    };
    let roots = json!({ "0": directory("/0", 0, &cluster), "1": directory("/1", 0, &json!({})) });
    let store =
        json!({ "Root": directory("/", 0, &roots), "CurrentIndex": members.len(), "CurrentVersion": STORE_VERSION });
    store.to_string().into()
}

fn directory(path: &str, index: u64, children: &Value) -> Value {
    node(path, index, "", children)
}

fn leaf(path: &str, index: u64, value: &str) -> Value {
    node(path, index, value, &Value::Null)
}

fn node(path: &str, index: u64, value: &str, children: &Value) -> Value {
    json!({
        "Path": path, "CreatedIndex": index, "ModifiedIndex": index, "ExpireTime": NEVER, "Value": value,
        "Children": children,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{ConfState, SnapshotMetadata};

    fn snapshot() -> Snapshot {
        let conf_state = Some(ConfState::of_voters(vec![7, 9]));
        let metadata = SnapshotMetadata { conf_state, index: Some(2), term: Some(1) };
        Snapshot { data: Some(Bytes::from_static(b"{}")), metadata: Some(metadata) }
    }

    fn bytes_of(mut file: std::fs::File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_snapshot_comes_back_from_its_file_and_a_changed_byte_is_told() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &snapshot()).unwrap();
        let path = dir.path().join("0000000000000001-0000000000000002.snap");
        assert_eq!(read(&path).unwrap(), snapshot());
        assert!(write(dir.path(), &snapshot()).is_err(), "what is there is never overwritten");
        let good = OpenOptions::new().read(true).open(&path).map(bytes_of).unwrap();
        let data = good.len() - snapshot().encoded_len();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            OpenOptions::new().write(true).truncate(true).open(&path).unwrap().write_all(&bad).unwrap();
            // Bits of a number above its 32 are none of it.
            assert!(read(&path).map_or(true, |same| at < data && same == snapshot()), "byte {at}");
        }
    }

    #[test]
    fn the_older_store_has_each_member_at_its_place() {
        let member = |id| Member { id, peer_ur_ls: vec![format!("http://{id}:1")], ..Member::default() };
        let store: Value = serde_json::from_slice(&members_store(&[member(0xab), member(0xcd)])).unwrap();
        let members = &store["Root"]["Children"]["0"]["Children"]["members"]["Children"];
        let attributes = &members["cd"]["Children"]["raftAttributes"];
        assert_eq!(attributes["Path"], "/0/members/cd/raftAttributes");
        assert_eq!(attributes["Value"], r#"{"peerURLs":["http://205:1"]}"#);
        assert_eq!(attributes["Children"], Value::Null);
        assert_eq!((&store["CurrentIndex"], &store["CurrentVersion"]), (&2.into(), &2.into()));
    }
}
