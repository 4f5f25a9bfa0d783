//! Logs that come back, logs that were cut off, and logs that are damaged.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use super::frame::{Record, RecordKind, framed};
use super::*;
use crate::raft::{Entry, EntryKind, HardState};

/// The bytes of one file, record by record.
#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    crc: u32,
}

impl Log {
    /// A file that goes on from another.
    fn after(before: &Self) -> Self {
        let mut log = Self { bytes: Vec::new(), crc: before.crc };
        let crc = Record { kind: Some(RecordKind::Crc.into()), crc: Some(log.crc), data: None };
        log.bytes.extend(framed(&crc));
        log.add(RecordKind::Metadata, &metadata())
    }

    fn new() -> Self {
        Self::after(&Self::default())
    }

    fn add(mut self, kind: RecordKind, message: &impl Message) -> Self {
        let data = Bytes::from(message.encode_to_vec());
        self.crc = crc32c::crc32c_append(self.crc, &data);
        self.bytes.extend(framed(&Record { kind: Some(kind.into()), crc: Some(self.crc), data: Some(data) }));
        self
    }

    fn entry(self, term: u64, index: u64) -> Self {
        self.add(RecordKind::Entry, &entry(term, index))
    }

    fn commit(self, commit: u64) -> Self {
        self.add(RecordKind::State, &HardState { term: Some(1), vote: Some(7), commit: Some(commit) })
    }

    fn snapshot(self, index: u64) -> Self {
        self.add(RecordKind::Snapshot, &Snapshot { index: Some(index), term: Some(1), conf_state: None })
    }
}

fn metadata() -> Metadata {
    Metadata { node_id: Some(7), cluster_id: Some(8) }
}

fn entry(term: u64, index: u64) -> Entry {
    let data = Bytes::from(vec![index as u8; 100]);
    Entry { kind: Some(EntryKind::Normal.into()), term: Some(term), index: Some(index), data: Some(data) }
}

#[expect(clippy::disallowed_methods, reason = "a test's files")]
fn save(dir: &Path, logs: &[&Log]) {
    for (number, log) in logs.iter().enumerate() {
        std::fs::write(dir.join(file_name(number as u64, 1)), &log.bytes).unwrap();
    }
}

/// Term and index of all entries.
fn entries(contents: &Contents) -> Vec<(u64, u64)> {
    contents.entries().unwrap().map(|entry| entry.unwrap()).map(|entry| (entry.term(), entry.index())).collect()
}

fn read_all(logs: &[&Log]) -> Result<(Contents, Vec<(u64, u64)>), WalFileError> {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), logs);
    let contents = read(dir.path())?;
    let found = entries(&contents);
    Ok((contents, found))
}

#[test]
fn the_log_of_a_new_member_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = Snapshot { index: Some(2), term: Some(1), conf_state: Some(ConfState::of_voters(vec![7, 9])) };
    let hard_state = HardState { term: Some(1), vote: Some(7), commit: Some(2) };
    let beginning = Beginning {
        metadata: metadata(),
        entries: vec![entry(1, 1), entry(1, 2)],
        hard_state,
        snapshot: snapshot.clone(),
    };
    create(dir.path(), &beginning).unwrap();
    let contents = read(dir.path()).unwrap();
    assert_eq!((contents.metadata, contents.hard_state), (metadata(), hard_state));
    assert_eq!((contents.snapshots.len(), &contents.snapshots[1]), (2, &snapshot));
    let found: Result<Vec<_>, _> = contents.entries().unwrap().collect();
    assert_eq!(found.unwrap(), beginning.entries);
    assert_eq!(contents.torn_tail, None);
    assert!(create(dir.path(), &beginning).is_err(), "what is there is never overwritten");
}

#[test]
fn files_go_on_from_one_another_and_the_first_may_be_gone() {
    let first = Log::new().entry(1, 1).entry(1, 2);
    let second = Log::after(&first).entry(1, 3).commit(3);
    assert_eq!(read_all(&[&first, &second]).unwrap().1, [(1, 1), (1, 2), (1, 3)]);
    let (contents, found) = read_all(&[&second]).unwrap();
    assert_eq!((contents.indexes, found), (Some((3, 3)), vec![(1, 3)]));
    let stranger = Log::after(&Log { bytes: Vec::new(), crc: 99 }).entry(1, 3);
    let error = read_all(&[&first, &stranger]).unwrap_err();
    assert!(error.to_string().contains("does not go on from the file before"), "{error}");
}

#[test]
fn what_a_later_leader_overwrote_is_left_out() {
    let log = Log::new().entry(1, 1).entry(1, 2).entry(1, 3).entry(1, 4).entry(2, 3).entry(2, 4).entry(3, 4);
    let (contents, found) = read_all(&[&log.commit(4)]).unwrap();
    assert_eq!(found, [(1, 1), (1, 2), (2, 3), (3, 4)]);
    assert_eq!(contents.indexes, Some((1, 4)));
}

#[test]
fn entries_go_on_behind_a_snapshot_that_came_from_a_leader_and_nowhere_else() {
    let begin = || Log::new().entry(1, 1).entry(1, 2);
    let (contents, found) = read_all(&[&begin().snapshot(50).commit(50).entry(1, 51)]).unwrap();
    assert_eq!((contents.indexes, found), (Some((51, 51)), vec![(1, 51)]));
    let error = read_all(&[&begin().snapshot(50).commit(50).entry(1, 52)]).unwrap_err();
    assert!(error.to_string().contains("entries are missing"), "{error}");
}

#[test]
fn snapshots_that_are_not_committed_do_not_count() {
    let (contents, _) = read_all(&[&Log::new().snapshot(0).entry(1, 1).commit(1).snapshot(1).snapshot(9)]).unwrap();
    let indexes: Vec<_> = contents.snapshots.iter().map(Snapshot::index).collect();
    assert_eq!(indexes, [0, 1]);
}

#[test]
fn wherever_the_last_record_is_cut_off_the_others_are_there() {
    let whole = Log::new().entry(1, 1).commit(1);
    let end = whole.bytes.len();
    let log = whole.entry(1, 2);
    for bytes in end..log.bytes.len() {
        let cut = Log { bytes: log.bytes[..bytes].to_vec(), crc: 0 };
        let (contents, found) = read_all(&[&cut]).unwrap();
        let torn = contents.torn_tail.map(|position| position.offset);
        assert_eq!((torn, found), ((bytes > end).then_some(end as u64), vec![(1, 1)]), "{bytes} bytes");
        // Only the last file may end so; and the next one knows what is missing.
        let next = Log::after(&log).entry(1, 3);
        assert!(read_all(&[&cut, &next]).is_err(), "{bytes} bytes");
    }
}

#[test]
fn a_sector_that_was_never_written_ends_the_log_and_a_changed_byte_does_not() {
    let big = |log: Log| {
        let data = Some(Bytes::from(vec![1; 3000]));
        log.add(RecordKind::Entry, &Entry { index: Some(2), term: Some(1), data, ..Entry::default() })
    };
    let log = big(Log::new().entry(1, 1).commit(1));
    let mut torn = Log { bytes: log.bytes.clone(), crc: 0 };
    torn.bytes[1536..2048].fill(0);
    let (contents, found) = read_all(&[&torn]).unwrap();
    assert!(contents.torn_tail.is_some() && found == [(1, 1)], "{contents:?}");
    let mut damaged = log;
    damaged.bytes[1600] ^= 1;
    let error = read_all(&[&damaged]).unwrap_err().to_string();
    let at = Log::new().entry(1, 1).commit(1).bytes.len();
    assert!(error.contains(&format!("damaged at byte {at}: the record's checksum is wrong")), "{error}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's files")]
fn a_directory_that_is_no_log_is_told() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(read(dir.path()), Err(WalFileError::Empty { .. })));
    assert!(matches!(read(&dir.path().join("nowhere")), Err(WalFileError::Io { .. })));
    let log = Log::new();
    save(dir.path(), &[&log, &log, &log]);
    std::fs::rename(dir.path().join(file_name(1, 1)), dir.path().join("0.tmp")).unwrap();
    assert!(matches!(read(dir.path()), Err(WalFileError::MissingFile { sequence: 1, .. })));
}

proptest! {
    #[test]
    fn whatever_bytes_are_changed_nothing_panics(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut log = (1..20).fold(Log::new(), |log, index| log.entry(1, index)).commit(19).snapshot(3);
        for (at, byte) in changes {
            let at = at.index(log.bytes.len());
            log.bytes[at] = byte;
        }
        log.bytes.truncate(cut.index(log.bytes.len()));
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &[&log]);
        if let Ok(contents) = read(dir.path()) {
            contents.entries().unwrap().for_each(drop);
        }
    }
}
