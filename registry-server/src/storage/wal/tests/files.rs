//! Segments come and go.

use super::*;
use crate::storage::{StdVfs, Syncs, Unsynced};
use crate::types::ThreadExecutor;

#[test]
fn a_new_segment_begins_with_vote_committed_and_purged() {
    let bench = Bench::new();
    bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
    bench.wal.save_committed(Bytes::from_static(b"committed"));
    bench.append_each(0..60);
    bench.wal.purge(58, Bytes::from_static(b"id 58"), bench.done());
    bench.append_each(60..100);
    bench.wal.purge(98, Bytes::from_static(b"id 98"), bench.done());
    bench.executor.run_all();
    assert!(!bench.segments().contains(&segment_name(1)), "the segment with the vote is gone");
    let state = bench.after_power_loss().wal.state();
    assert_eq!(state, bench.wal.state());
    assert_eq!(state.vote, Some(Bytes::from_static(b"vote")));
    assert_eq!(state.committed, Some(Bytes::from_static(b"committed")));
    assert_eq!(state.purged, Some((98, Bytes::from_static(b"id 98"))));
    assert_eq!((state.first_index, state.last_index), (99, Some(99)));
    assert_eq!(state.log_bytes, payload(99).len() as u64);
}

#[test]
fn a_purge_removes_whole_segments_only() {
    let bench = Bench::new();
    bench.append_each(0..100);
    let before = bench.segments().len();
    assert!(before > 4, "{before} segments");
    bench.wal.purge(50, Bytes::from_static(b"id"), bench.done());
    bench.executor.run_all();
    assert!(bench.segments().len() < before);
    assert_eq!(bench.indices(), (51..100).collect::<Vec<_>>());
    let again = bench.after_power_loss();
    assert_eq!(again.entries(), bench.entries());
    assert_eq!(again.segments(), bench.segments());
    again.executor.run_all();
    again.append_each(100..150);
    assert_eq!(again.after_power_loss().indices(), (51..150).collect::<Vec<_>>());
}

#[test]
fn a_purge_beyond_the_log_lets_it_go_on_behind_it() {
    let bench = Bench::new();
    bench.append_each(0..10);
    bench.wal.purge(1_000, Bytes::from_static(b"installed"), bench.done());
    assert_eq!(bench.wal.state().last_index, None);
    assert!(matches!(bench.append(10), Err(WalError::OutOfOrder { expected: 1_001, .. })));
    bench.append_each(1_001..1_050);
    let again = bench.after_power_loss();
    assert_eq!(again.indices(), (1_001..1_050).collect::<Vec<_>>());
    assert_eq!(again.wal.state().purged, Some((1_000, Bytes::from_static(b"installed"))));
}

#[test]
fn a_segment_removed_in_between_is_missed() {
    let bench = Bench::new();
    bench.append_each(0..100);
    bench.vfs.remove_file(&path(2)).unwrap();
    let missing = Bench::open(bench.vfs.clone()).err().unwrap();
    assert!(matches!(missing, WalError::Corrupt { segment, .. } if segment == path(3)));
    bench.vfs.remove_file(&path(1)).unwrap();
    let missing = Bench::open(bench.vfs).err().unwrap();
    assert!(matches!(missing, WalError::Corrupt { segment, .. } if segment == path(3)));
}

#[test]
fn a_lost_directory_entry_of_the_segment_ahead_does_no_harm() {
    let bench = Bench::new();
    bench.append_each(0..20);
    let number = bench.segments().len() as u32 + 1;
    // A segment that was made but whose directory was not synced before the power went.
    bench.vfs.open(&path(number), crate::storage::OpenMode::CreateNew).unwrap();
    for keep in [false, true] {
        let disk = bench.vfs.crash_with(|change| keep && matches!(change, Unsynced::Entry { .. }));
        let again = Bench::open(disk).unwrap();
        assert_eq!(again.entries(), bench.entries());
        again.executor.run_all();
        again.append_each(20..60);
        assert_eq!(again.after_power_loss().indices(), (0..60).collect::<Vec<_>>());
    }
}

/// A segment without a durable name would take its entries with it.
#[test]
fn a_segment_whose_directory_cannot_be_synced_takes_no_entry() {
    let bench = Bench::new();
    bench.vfs.set_unsyncable(Some((Path::new(DIR), Syncs::Entries)));
    for index in 0..60 {
        bench.append(index).unwrap();
        bench.executor.run_all();
    }
    let acknowledged = bench.answers.lock().len() as u64;
    assert!((5..60).contains(&acknowledged), "{acknowledged}: the first segment only");
    for keep in [false, true] {
        let left = Bench::open(bench.vfs.crash_with(|_| keep)).unwrap();
        assert_eq!(left.indices(), (0..acknowledged).collect::<Vec<_>>());
    }
    bench.vfs.set_unsyncable(None);
    bench.wal.look_for_room();
    bench.executor.run_all();
    assert_eq!(bench.answers.lock().len(), 60);
    assert_eq!(bench.after_power_loss().indices(), (0..60).collect::<Vec<_>>());
}

/// The directory of a new log is synced before anything is acknowledged from it.
#[test]
fn a_first_segment_whose_directory_cannot_be_synced_is_refused() {
    let vfs = disk();
    vfs.set_unsyncable(Some((Path::new(DIR), Syncs::Entries)));
    assert!(Bench::open(vfs.clone()).is_err());
    for keep in [false, true] {
        assert!(Bench::open(vfs.crash_with(|_| keep)).unwrap().entries().is_empty());
    }
}

#[test]
fn a_real_disk_and_real_threads_keep_every_acknowledged_entry() {
    let temp = tempfile::tempdir().unwrap();
    let options = WalOptions { segment_bytes: 1 << 20, cache_bytes: 64 << 10, ..WalOptions::default() };
    let (wal, _) = Wal::open(StdVfs, temp.path(), options, &ThreadExecutor).unwrap();
    let (sender, receiver) = std::sync::mpsc::sync_channel(4_096);
    for index in 0..2_000 {
        let room = wait_for_room(&wal, payload(index).len());
        let sender = sender.clone();
        let done = move |result| {
            drop(room);
            sender.send((index, result)).unwrap();
        };
        wal.append(vec![(index, payload(index))], done).unwrap();
    }
    for index in 0..2_000 {
        let (answered, result) = receiver.recv().unwrap();
        assert_eq!(answered, index, "answers come in order");
        result.unwrap();
    }
    let expected: Vec<_> = (0..2_000).map(|index| (index, payload(index))).collect();
    assert_eq!(wal.read(0..2_000, usize::MAX).unwrap(), expected);
    drop(wal);
    let (wal, recovered) = Wal::open(StdVfs, temp.path(), options, &ThreadExecutor).unwrap();
    assert_eq!(recovered.state.last_index, Some(1_999));
    assert_eq!(wal.read(0..2_000, usize::MAX).unwrap(), expected);
}

fn wait_for_room(wal: &Wal<StdVfs>, bytes: usize) -> Reservation {
    loop {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        wal.when_changed(move || {
            // Nobody listens when there was room at once.
            let _unheard = sender.send(());
        });
        match wal.reserve(bytes) {
            Ok(room) => return room,
            Err(WalError::Full) => receiver.recv().unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// `cargo test -p registry-server --lib fdatasync -- --ignored --nocapture`; `WAL_BENCH_DIR` names the disk.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement takes the machine's time")]
fn fdatasync_latency_of_single_appends() {
    let root = std::env::var_os("WAL_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let temp = tempfile::tempdir_in(root).unwrap();
    let (wal, _) = Wal::open(StdVfs, temp.path(), WalOptions::default(), &ThreadExecutor).unwrap();
    let mut micros = Vec::new();
    for index in 0..3_000 {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let start = std::time::Instant::now();
        wal.append(vec![(index, Bytes::from(vec![7; 256]))], move |result| sender.send(result).unwrap()).unwrap();
        receiver.recv().unwrap().unwrap();
        micros.push(start.elapsed().as_micros());
    }
    micros.sort_unstable();
    println!("append of 256 B, p50 {} us, p99 {} us, max {} us", micros[1_500], micros[2_970], micros[2_999]);
}
