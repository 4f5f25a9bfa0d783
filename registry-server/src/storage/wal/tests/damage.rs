//! Torn ends are cut, anything else is refused.

use super::*;
use crate::storage::Unsynced;

/// Where each batch begins in the first segment: `(offset, bytes)`.
fn batches(vfs: &MemVfs) -> Vec<(u64, u64)> {
    use crate::storage::{OpenMode, VfsFile};
    let file = vfs.open(&path(1), OpenMode::Read).unwrap();
    let mut found = Vec::new();
    let mut offset = segment::FIRST_BATCH_OFFSET;
    let mut header = [0; batch::BATCH_HEADER_BYTES];
    while offset < SEGMENT {
        file.read_exact_at(&mut header, offset).unwrap();
        let Some(header) = batch::BatchHeader::decode(&header) else { break };
        let bytes = batch::padded_bytes(u64::from(header.payload_bytes));
        found.push((offset, bytes));
        offset += bytes;
    }
    found
}

#[test]
fn a_torn_last_batch_is_cut_whatever_sectors_it_left() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.append_each(0..3);
    bench.append(3).unwrap();
    bench.append(4).unwrap();
    bench.append(5).unwrap();
    bench.vfs.fail_next_sync();
    bench.executor.run_all();
    let (_, bytes) = *batches(&bench.vfs).last().unwrap();
    let sectors = bytes / 512;
    let subsets = 1_u32 << sectors;
    for subset in 0..subsets {
        let mut sector = 0;
        let disk = bench.vfs.crash_with(|change| {
            let kept = matches!(change, Unsynced::Sector { .. }) && subset & (1 << sector) != 0;
            sector += 1;
            kept
        });
        let again = Bench::open(disk).unwrap();
        let whole = subset == subsets - 1;
        assert_eq!(again.recovered.cut.is_some(), subset != 0 && !whole, "subset {subset:b}");
        let kept = if whole { 6 } else { 3 };
        assert_eq!(again.indices(), (0..kept).collect::<Vec<_>>());
        assert_eq!(again.after_power_loss().recovered.cut, None, "a cut tail leaves nothing");
        again.append_each(kept..kept + 3);
        let once_more = again.after_power_loss();
        assert_eq!(once_more.indices(), (0..kept + 3).collect::<Vec<_>>());
        assert_eq!(once_more.recovered.cut, None);
    }
}

#[test]
fn a_torn_first_batch_of_a_new_segment_is_cut() {
    let bench = Bench::new();
    bench.append_each(0..10);
    let mut next = 10;
    let before = loop {
        bench.executor.run_all();
        let before = bench.vfs.crash().list(Path::new(DIR)).unwrap().len();
        bench.append_each(next..next + 1);
        next += 1;
        if bench.segments().len() > before {
            break before as u32;
        }
    };
    // The batch that began this segment loses its first sector or its whole self.
    let vfs = bench.vfs.crash();
    vfs.flip(&path(before), 612, 1).unwrap();
    let again = Bench::open(vfs).unwrap();
    assert_eq!(again.recovered.cut, Some(CutTail { segment: path(before), offset: 512 }));
    assert_eq!(again.indices(), (0..next - 1).collect::<Vec<_>>());
    again.executor.run_all();
    again.append_each(next - 1..next + 20);
    assert_eq!(again.after_power_loss().indices(), (0..next + 20).collect::<Vec<_>>());
}

#[test]
fn damage_before_the_last_batch_is_refused_with_the_mend() {
    let bench = Bench::new();
    bench.append_each(0..12);
    let batches = batches(&bench.vfs);
    for (offset, bytes) in &batches[..batches.len() - 1] {
        // Every byte of the header, and some of the records; padding carries nothing.
        for at in (*offset..offset + 60).chain(std::iter::once(offset + bytes / 2)) {
            let vfs = bench.vfs.crash();
            vfs.flip(&path(1), at, 0x10).unwrap();
            match Bench::open(vfs).err() {
                Some(error @ WalError::Corrupt { .. }) => {
                    let text = error.to_string();
                    assert!(text.contains("/wal/wal-0000000000000001.log"), "{text}");
                    assert!(text.contains("restore this member from a snapshot"), "{text}");
                }
                other => assert!(at > offset + 60, "byte {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn damage_at_the_end_of_a_segment_is_seen_from_the_next() {
    let bench = Bench::new();
    bench.append_each(0..100);
    let (offset, _) = *batches(&bench.vfs).last().unwrap();
    let vfs = bench.vfs.crash();
    vfs.flip(&path(1), offset + 40, 1).unwrap();
    let error = Bench::open(vfs).err().unwrap();
    assert!(matches!(error, WalError::Corrupt { segment, offset: at, .. } if segment == path(1) && at == offset));
}

#[test]
fn a_damaged_entry_is_an_error_when_it_is_read() {
    let bench = Bench::new();
    bench.append_each(0..5);
    let (offset, _) = batches(&bench.vfs)[2];
    bench.vfs.flip(&path(1), offset + 60, 1).unwrap();
    let error = bench.wal.read(0..5, usize::MAX).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("wal-0000000000000001.log"), "{error}");
}

#[test]
fn files_of_garbage_never_panic() {
    use crate::storage::{OpenMode, VfsFile};
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let vfs = disk();
        for number in 1..=random.u32(1..4) {
            let file = vfs.open(&path(number), OpenMode::CreateNew).unwrap();
            let mut bytes = vec![0; random.usize(0..3_000)];
            random.fill(&mut bytes);
            if random.bool() {
                let record = Record::Entry { index: random.u64(..), bytes: Bytes::from_static(b"x") };
                let sequence = if random.bool() { u64::MAX } else { 1 };
                bytes.splice(0..0, batch::encode(number, 0, sequence, [record].iter()));
            }
            file.write_all_at(&bytes, 0).unwrap();
        }
        if let Ok(bench) = Bench::open(vfs) {
            bench.executor.run_all();
            let _state = bench.wal.state();
            let _answer = bench.append(bench.wal.state().last_index.map_or(0, |last| last.wrapping_add(1)));
            bench.executor.run_all();
        }
    }
}

/// What broke: a value that holds bytes of a batch header made a torn last write look like lost ones.
#[test]
fn a_forged_header_in_a_value_is_no_proof_of_damage() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.append_each(0..3);
    let forged = batch::encode(1, 0, 1_000, [Record::Vote(Bytes::new())].iter());
    // The batch and the entry's record begin with headers of their own; the forged ones fill whole sectors.
    let mut value = vec![0; 512 - batch::BATCH_HEADER_BYTES - RECORD_HEADER_BYTES];
    value.extend_from_slice(&forged);
    value.extend_from_slice(&forged);
    bench.wal.append(vec![(3, value.into())], bench.done()).unwrap();
    bench.vfs.fail_next_sync();
    bench.executor.run_all();
    let mut sector = 0;
    let disk = bench.vfs.crash_with(|change| {
        let kept = matches!(change, Unsynced::Sector { .. }) && sector > 0;
        sector += 1;
        kept
    });
    let again = Bench::open(disk).unwrap();
    assert!(again.recovered.cut.is_some());
    assert_eq!(again.indices(), [0, 1, 2]);
}

#[test]
fn a_damaged_segment_header_is_refused() {
    let bench = Bench::new();
    bench.append_each(0..60);
    let used = bench.segments().len() as u32 - 1;
    for number in 1..=used {
        for at in 0..24 {
            let vfs = bench.vfs.crash();
            vfs.flip(&path(number), at, 4).unwrap();
            let error = Bench::open(vfs).err().unwrap();
            assert!(matches!(&error, WalError::Corrupt { segment, .. } if *segment == path(number)), "{error}");
        }
    }
    // Nothing is lost with the header of the segment ahead, so it is made anew.
    let vfs = bench.vfs.crash();
    vfs.flip(&path(used + 1), 0, 4).unwrap();
    let again = Bench::open(vfs).unwrap();
    assert_eq!(again.segments().len() as u32, used);
    again.append_each(60..100);
    assert_eq!(again.after_power_loss().indices(), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_segment_keeps_its_salt_when_the_next_start_draws_another() {
    let bench = Bench::new();
    bench.append_each(0..30);
    let executor = ManualExecutor::default();
    let options = WalOptions { salt: 99, ..options() };
    let vfs = bench.vfs.crash();
    let (wal, _) = Wal::open(vfs.clone(), Path::new(DIR), options, &executor).unwrap();
    for index in 30..90 {
        wal.append(vec![(index, payload(index))], drop).unwrap();
        executor.run_all();
    }
    assert_eq!(Bench::open(vfs.crash()).unwrap().indices(), (0..90).collect::<Vec<_>>());
}
