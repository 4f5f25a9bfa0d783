//! A log is looked through without opening it: whole, damaged, torn, and while it is written.

use super::*;
use crate::storage::{OpenMode, VfsFile as _};

/// What is found, without what is not asked for here.
fn found(vfs: &MemVfs) -> Vec<Found> {
    let mut found = Vec::new();
    survey::<_, WalError>(vfs, Path::new(DIR), |_, one| {
        found.push(one);
        Ok(())
    })
    .unwrap();
    found
}

fn indices(found: &[Found]) -> Vec<u64> {
    let index = |found: &Found| match found {
        Found::Record { record: Record::Entry { index, .. }, .. } => Some(*index),
        _ => None,
    };
    found.iter().filter_map(index).collect()
}

/// Where the entry of an index lies in the first segment.
fn offset_of(found: &[Found], wanted: u64) -> u64 {
    let offset = |found: &Found| match found {
        Found::Record { offset, record: Record::Entry { index, .. }, .. } if *index == wanted => Some(*offset),
        _ => None,
    };
    found.iter().find_map(offset).unwrap()
}

fn flip(vfs: &MemVfs, at: u64) {
    let file = vfs.open(&path(1), OpenMode::ReadWrite).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

#[test]
fn all_records_of_all_segments_are_told_while_the_log_is_open() {
    let bench = Bench::new();
    bench.append_each(0..60);
    bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
    bench.executor.run_all();
    let found = found(&bench.vfs);
    assert_eq!(indices(&found), (0..60).collect::<Vec<_>>());
    let segments = found.iter().filter(|found| matches!(found, Found::Segment { .. })).count();
    assert_eq!(segments, bench.segments().len());
    let vote = |found: &Found| matches!(found, Found::Record { record: Record::Vote(vote), .. } if vote == "vote");
    assert!(found.iter().any(vote));
    assert!(!found.iter().any(|found| matches!(found, Found::Damage { .. } | Found::Unfinished { .. })), "{found:?}");
}

#[test]
fn a_flipped_bit_is_told_with_its_place_and_what_follows_is_read() {
    let bench = Bench::new();
    bench.append_each(0..12);
    let place = offset_of(&found(&bench.vfs), 7);
    flip(&bench.vfs, place + RECORD_HEADER_BYTES as u64 + 3);
    let found = found(&bench.vfs);
    let damage = Found::Damage { offset: place, reason: "a record's checksum does not match".to_owned() };
    assert!(found.contains(&damage), "{found:?}");
    assert_eq!(indices(&found), [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]);
}

#[test]
fn a_damaged_header_of_a_batch_is_told_with_its_place_and_what_follows_is_read() {
    let bench = Bench::new();
    bench.append_each(0..12);
    let place = offset_of(&found(&bench.vfs), 7) - batch::BATCH_HEADER_BYTES as u64;
    flip(&bench.vfs, place + 1);
    let found = found(&bench.vfs);
    let is_damage = |found: &Found| matches!(found, Found::Damage { offset, .. } if *offset == place);
    assert!(found.iter().any(is_damage), "{found:?}");
    assert_eq!(indices(&found), [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]);
}

#[test]
fn what_nothing_follows_is_unfinished_and_no_damage() {
    let bench = Bench::new();
    bench.append_each(0..12);
    let place = offset_of(&found(&bench.vfs), 11);
    flip(&bench.vfs, place + RECORD_HEADER_BYTES as u64);
    let found = found(&bench.vfs);
    let begin = place - batch::BATCH_HEADER_BYTES as u64;
    assert!(found.contains(&Found::Unfinished { offset: begin }), "{found:?}");
    assert_eq!(indices(&found), (0..11).collect::<Vec<_>>());
}
