//! Room: reserved before it is needed, missing on a full disk, found again.

use super::*;
use crate::storage::wal::room::MAX_RESERVED_BYTES;

/// Fills the current segment until the log refuses; answers the next index.
fn fill(bench: &Bench, from: u64) -> (u64, WalError) {
    for index in from.. {
        let result = bench.append_reserved(index);
        bench.executor.run_all();
        if let Err(error) = result {
            return (index, error);
        }
    }
    unreachable!("a disk has an end")
}

#[test]
fn no_space_is_told_before_anything_is_proposed_and_heals() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.vfs.set_capacity(Some(SEGMENT * 3));
    let (next, error) = fill(&bench, 0);
    assert!(matches!(error, WalError::NoSpace), "{error}");
    assert_eq!(bench.wal.state().last_index, Some(next - 1));
    assert!(bench.answers.lock().iter().all(Result::is_ok));
    assert!(matches!(bench.wal.reserve(1), Err(WalError::NoSpace)));
    // Votes still find their place.
    bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
    bench.executor.run_all();
    assert!(matches!(bench.answers.lock().last(), Some(Ok(()))));

    bench.vfs.set_capacity(None);
    assert!(bench.wal.waits_for_room());
    bench.wal.look_for_room();
    let woken = Answers::default();
    let told = woken.clone();
    bench.wal.when_changed(move || told.lock().push(Ok(())));
    bench.executor.run_all();
    assert_eq!(woken.lock().len(), 1);
    bench.append_each(next..next + 50);
    let again = bench.after_power_loss();
    assert_eq!(again.indices(), (0..next + 50).collect::<Vec<_>>());
    assert_eq!(again.wal.state().vote, Some(Bytes::from_static(b"vote")));
}

#[test]
fn a_purge_makes_room_on_a_full_disk() {
    let bench = Bench::new();
    bench.vfs.set_capacity(Some(SEGMENT * 3));
    let (next, _) = fill(&bench, 0);
    bench.wal.purge(next - 2, Bytes::from_static(b"id"), bench.done());
    bench.executor.run_all();
    bench.append_each(next..next + 5);
    assert_eq!(bench.after_power_loss().indices(), (next - 1..next + 5).collect::<Vec<_>>());
}

#[test]
fn a_log_that_starts_on_a_full_disk_serves_and_refuses() {
    let bench = Bench::new();
    bench.append_each(0..5);
    let disk = bench.vfs.crash();
    disk.remove_file(&path(2)).unwrap();
    disk.set_capacity(Some(SEGMENT));
    let again = Bench::open(disk).unwrap();
    again.executor.run_all();
    assert_eq!(again.indices(), [0, 1, 2, 3, 4]);
    assert!(matches!(again.wal.reserve(1), Err(WalError::NoSpace)));
    let empty = disk_without_room();
    assert!(matches!(Bench::open(empty).err(), Some(WalError::NoSpace)));
}

fn disk_without_room() -> MemVfs {
    let vfs = disk();
    vfs.set_capacity(Some(SEGMENT / 2));
    vfs
}

#[test]
fn votes_beyond_the_reserve_wait_for_room() {
    let bench = Bench::new();
    bench.vfs.set_capacity(Some(SEGMENT));
    bench.executor.run_all();
    for _ in 0..40 {
        bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
        bench.executor.run_all();
    }
    let answered = bench.answers.lock().len();
    assert_eq!(answered as u64, SEGMENT / 512 - 1, "one sector a vote");
    bench.vfs.set_capacity(None);
    bench.wal.reserve(1).unwrap_err();
    bench.executor.run_all();
    assert_eq!(bench.answers.lock().len(), 40);
    assert!(bench.answers.lock().iter().all(Result::is_ok));
}

#[test]
fn a_log_without_a_segment_ahead_is_full_not_broken() {
    let bench = Bench::new();
    let mut index = 0;
    let error = loop {
        match bench.append_reserved(index) {
            Ok(()) => index += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WalError::Full), "{error}");
    while bench.executor.run_one(WAL_LANE) {}
    assert_eq!(bench.answers.lock().len() as u64, index);
    assert!(bench.executor.run_one(SPACE_LANE));
    bench.append_reserved(index).unwrap();
}

/// What broke: each of several entries on their way found room for itself alone, and an append that found
/// none was a fatal error of consensus.
#[test]
fn what_is_reserved_is_written_though_the_disk_is_full_by_then() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.vfs.set_capacity(Some(SEGMENT * 2));
    let bytes = options().max_entry_bytes();
    let mut reserved = Vec::new();
    let error = loop {
        match bench.wal.reserve(bytes) {
            Ok(room) => reserved.push(room),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WalError::Full), "{error}");
    assert!(reserved.len() > 3, "{} entries", reserved.len());
    for index in 0..reserved.len() as u64 {
        let stored = vec![7; bytes + 64];
        bench.wal.append(vec![(index, stored.into())], bench.done()).unwrap();
        bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
        bench.executor.run_all();
    }
    assert_eq!(bench.answers.lock().len(), reserved.len() * 2);
    assert!(bench.answers.lock().iter().all(Result::is_ok));
}

#[test]
fn a_reservation_given_back_makes_room_and_wakes() {
    let bench = Bench::new();
    bench.executor.run_all();
    let bytes = options().max_entry_bytes();
    let mut reserved: Vec<_> = std::iter::from_fn(|| bench.wal.reserve(bytes).ok()).collect();
    let woken = Answers::default();
    let told = woken.clone();
    bench.wal.when_changed(move || told.lock().push(Ok(())));
    assert!(woken.lock().is_empty());
    reserved.pop();
    assert_eq!(woken.lock().len(), 1);
    let _room = bench.wal.reserve(bytes).unwrap();
    bench.wal.reserve(bytes).unwrap_err();
}

#[test]
fn reservations_are_bounded_by_bytes() {
    let executor = ManualExecutor::default();
    let options = WalOptions { segment_bytes: 128 << 20, ..options() };
    let (wal, _) = Wal::open(disk(), Path::new(DIR), options, &executor).unwrap();
    let reserved: Vec<_> = std::iter::from_fn(|| wal.reserve(1 << 20).ok()).collect();
    assert_eq!(reserved.len() as u64, MAX_RESERVED_BYTES / (1 << 20) - 1, "less what surrounds each");
    assert!(matches!(wal.reserve(1 << 20), Err(WalError::Full)));
}

#[test]
fn what_can_be_reserved_can_be_appended_and_nothing_larger() {
    let bench = Bench::new();
    bench.executor.run_all();
    let largest = options().max_entry_bytes();
    assert_eq!(WalOptions::default().max_entry_bytes(), 8_388_527);
    assert!(matches!(bench.wal.reserve(largest + 1), Err(WalError::TooLarge { .. })));
    assert!(matches!(bench.wal.reserve(usize::MAX), Err(WalError::TooLarge { .. })));
    let _room = bench.wal.reserve(largest).unwrap();
    let stored = |bytes: usize| vec![(0, Bytes::from(vec![7; bytes]))];
    assert!(matches!(bench.wal.append(stored(largest + 65), drop), Err(WalError::TooLarge { .. })));
    bench.wal.append(stored(largest + 64), bench.done()).unwrap();
    bench.executor.run_all();
    assert!(matches!(bench.answers.lock()[..], [Ok(())]));
}

#[test]
fn appends_beyond_all_room_wait_and_heal_without_a_reservation() {
    let bench = Bench::new();
    bench.vfs.set_capacity(Some(SEGMENT));
    bench.executor.run_all();
    // One append alone may be larger than a segment.
    let many: Vec<_> = (0..30).map(|index| (index, payload(index))).collect();
    bench.wal.append(many, bench.done()).unwrap();
    for index in 30..60 {
        bench.append(index).unwrap();
    }
    bench.executor.run_all();
    assert!(bench.answers.lock().len() < 31, "no room for all");
    assert_eq!(bench.indices(), (0..60).collect::<Vec<_>>());
    assert!(bench.wal.waits_for_room());
    bench.vfs.set_capacity(None);
    bench.wal.look_for_room();
    bench.executor.run_all();
    assert!(!bench.wal.waits_for_room());
    assert_eq!(bench.answers.lock().len(), 31);
    assert!(bench.answers.lock().iter().all(Result::is_ok));
    assert_eq!(bench.after_power_loss().indices(), (0..60).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_is_asked_ever_more_rarely_by_refused_reservations() {
    let bench = Bench::new();
    bench.vfs.set_capacity(Some(SEGMENT));
    bench.executor.run_all();
    let mut attempts = 0;
    for _ in 0..4_000 {
        bench.wal.reserve(1).unwrap_err();
        assert!(!bench.executor.run_one(WAL_LANE), "nothing is to be written");
        attempts += u32::from(bench.executor.run_one(SPACE_LANE));
    }
    assert!((8..16).contains(&attempts), "{attempts} attempts");
    // Operations that wait do not ask at all.
    bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
    bench.append(0).unwrap();
    assert!(bench.executor.run_one(WAL_LANE));
    assert!(!bench.executor.run_one(SPACE_LANE));
}
