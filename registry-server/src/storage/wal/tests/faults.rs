//! Disks that fail and disks that are full.

use super::*;

#[test]
fn a_failed_sync_is_final() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.append_each(0..3);
    bench.vfs.fail_next_sync();
    bench.append(3).unwrap();
    bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
    bench.executor.run_all();
    let answers = bench.answers.lock().split_off(3);
    assert!(matches!(answers[..], [Err(WalError::Failed(_)), Err(WalError::Failed(_))]), "{answers:?}");
    // The disk would work again now; the log never tries.
    assert!(matches!(bench.append(4), Err(WalError::Failed(_))));
    bench.wal.truncate_after(None, bench.done());
    bench.executor.run_all();
    assert!(matches!(bench.answers.lock().last(), Some(Err(WalError::Failed(_)))));
    assert_eq!(bench.after_power_loss().indices(), [0, 1, 2]);
}

/// Fills the current segment until the log refuses; answers the next index.
fn fill(bench: &Bench, from: u64) -> (u64, WalError) {
    for index in from.. {
        let result = bench.append(index);
        bench.executor.run_all();
        if let Err(error) = result {
            return (index, error);
        }
    }
    unreachable!("a disk has an end")
}

#[test]
fn no_space_is_told_before_anything_is_taken_and_heals() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.vfs.set_capacity(Some(SEGMENT * 3));
    let (next, error) = fill(&bench, 0);
    assert!(matches!(error, WalError::NoSpace), "{error}");
    assert_eq!(bench.wal.state().last_index, Some(next - 1));
    assert!(bench.answers.lock().iter().all(Result::is_ok));
    assert!(matches!(bench.wal.check_room(1), Err(WalError::NoSpace)));
    // Votes still find their place.
    bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
    bench.executor.run_all();
    assert!(matches!(bench.answers.lock().last(), Some(Ok(()))));

    bench.vfs.set_capacity(None);
    assert!(matches!(bench.append(next), Err(WalError::NoSpace)), "room is looked for after this answer");
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
    assert!(matches!(again.append(5), Err(WalError::NoSpace)));
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
    assert_eq!(answered as u64, SEGMENT / 512, "one sector a vote");
    bench.vfs.set_capacity(None);
    bench.wal.check_room(1).unwrap_err();
    bench.executor.run_all();
    assert_eq!(bench.answers.lock().len(), 40);
    assert!(bench.answers.lock().iter().all(Result::is_ok));
}

#[test]
fn a_log_without_a_segment_ahead_is_full_not_broken() {
    let bench = Bench::new();
    let mut index = 0;
    let error = loop {
        match bench.append(index) {
            Ok(()) => index += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WalError::Full), "{error}");
    while bench.executor.run_one(WAL_LANE) {}
    assert_eq!(bench.answers.lock().len() as u64, index);
    assert!(bench.executor.run_one(SPACE_LANE));
    bench.append(index).unwrap();
}
