//! Disks that fail, bugs that panic.

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

/// What broke: the next start read what a failed sync had left in the kernel's cache, took it for durable and wrote on
/// behind it; after a power loss the log had a hole and was refused.
#[test]
fn what_a_failed_sync_left_is_durable_once_it_was_read_back() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.append_each(0..3);
    bench.vfs.fail_next_sync();
    bench.append(3).unwrap();
    bench.executor.run_all();
    let next = Bench::open(bench.vfs.let_go()).unwrap();
    next.executor.run_all();
    assert_eq!(next.indices(), [0, 1, 2, 3]);
    assert_eq!(next.after_power_loss().indices(), [0, 1, 2, 3]);
    next.append_each(4..6);
    assert_eq!(next.after_power_loss().indices(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_failed_write_is_final() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.append_each(0..3);
    bench.vfs.fail_next_write();
    bench.append(3).unwrap();
    bench.executor.run_all();
    assert!(matches!(bench.answers.lock().last(), Some(Err(WalError::Failed(_)))));
    // The disk would work again now; the log never tries.
    bench.vfs.stop_after(0);
    assert!(matches!(bench.append(3), Err(WalError::Failed(_))));
    bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
    bench.executor.run_all();
    assert!(matches!(bench.answers.lock().last(), Some(Err(WalError::Failed(_)))));
    assert_eq!(bench.after_power_loss().indices(), [0, 1, 2]);
}

/// What broke: every error of the segment ahead closed the log, although nothing depended on it.
#[test]
fn an_error_of_the_segment_ahead_is_not_final() {
    let bench = Bench::new();
    bench.vfs.set_create_error(Some(io::ErrorKind::PermissionDenied));
    bench.executor.run_all();
    assert!(bench.wal.waits_for_room());
    // The current segment is there to be used up.
    let mut next = 0;
    let error = loop {
        match bench.append_reserved(next) {
            Ok(()) => next += 1,
            Err(error) => break error,
        }
        bench.executor.run_all();
    };
    assert!(matches!(error, WalError::NoSegment(_)), "{error}");
    assert!(next > 5, "{next} entries");
    bench.vfs.set_create_error(None);
    bench.wal.look_for_room();
    bench.executor.run_all();
    assert!(!bench.wal.waits_for_room());
    bench.append_each(next..next + 30);
    assert_eq!(bench.after_power_loss().indices(), (0..next + 30).collect::<Vec<_>>());
}

#[test]
fn a_failed_sync_of_the_segment_ahead_is_not_final() {
    let bench = Bench::new();
    bench.vfs.fail_next_sync();
    assert!(bench.executor.run_one(SPACE_LANE));
    assert!(bench.wal.waits_for_room());
    bench.wal.look_for_room();
    bench.append_each(0..50);
    assert!(bench.answers.lock().iter().all(Result::is_ok));
    assert_eq!(bench.after_power_loss().indices(), (0..50).collect::<Vec<_>>());
}

#[test]
fn a_panic_while_a_batch_is_written_closes_the_log_and_answers_everyone() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.append(0).unwrap();
    bench.append(1).unwrap();
    bench.vfs.panic_at_next_sync();
    bench.executor.run_all();
    let answers = bench.answers.lock().split_off(0);
    assert!(matches!(answers[..], [Err(WalError::Failed(_)), Err(WalError::Failed(_))]), "{answers:?}");
    assert!(matches!(bench.append(2), Err(WalError::Failed(_))));
}

#[test]
fn a_panic_while_the_segment_ahead_is_made_closes_the_log_and_answers_everyone() {
    let bench = Bench::new();
    bench.append(0).unwrap();
    bench.vfs.panic_at_next_sync();
    assert!(bench.executor.run_one(SPACE_LANE));
    assert!(matches!(bench.answers.lock()[..], [Err(WalError::Failed(_))]));
    assert!(matches!(bench.wal.reserve(1), Err(WalError::Failed(_))));
}

#[test]
fn a_caller_that_panics_leaves_no_other_without_an_answer() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.wal.append(vec![(0, payload(0))], |_| panic!("a caller's bug")).unwrap();
    bench.append(1).unwrap();
    bench.executor.run_all();
    assert!(matches!(bench.answers.lock()[..], [Err(WalError::Failed(_))]));
}

#[test]
fn a_lane_that_drops_its_jobs_closes_the_log_and_answers_everyone() {
    let bench = Bench::new();
    bench.append(0).unwrap();
    bench.executor.drop_all();
    assert!(matches!(bench.answers.lock()[..], [Err(WalError::Failed(_))]));
}
