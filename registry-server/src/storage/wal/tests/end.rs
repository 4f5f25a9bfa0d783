//! Closing: what runs ends, what waits is told, and then the directory is another's.

use std::sync::mpsc::{Receiver, sync_channel};

use super::*;
use crate::types::ThreadExecutor;

/// Closes the log; the receiver hears when it is closed.
fn close(wal: &Wal<MemVfs>) -> Receiver<()> {
    let (sender, receiver) = sync_channel(1);
    wal.close(move || sender.send(()).unwrap());
    receiver
}

#[test]
fn an_idle_log_is_closed_at_once_and_as_often_as_one_likes() {
    let bench = Bench::new();
    bench.append_each(0..3);
    close(&bench.wal).try_recv().unwrap();
    close(&bench.wal).try_recv().unwrap();
    assert_eq!(bench.after_power_loss().indices(), [0, 1, 2]);
}

#[test]
fn a_closed_log_begins_no_write_and_answers_what_waited() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.append_each(0..3);
    bench.append(3).unwrap();
    bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
    let woken = Answers::default();
    let told = woken.clone();
    bench.wal.when_changed(move || told.lock().push(Ok(())));
    let closed = close(&bench.wal);
    assert!(closed.try_recv().is_err(), "a batch is on its way to the lane");
    assert_eq!(woken.lock().len(), 1);
    // The machine would note any change of the disk.
    bench.vfs.stop_after(0);
    bench.executor.run_all();
    closed.try_recv().unwrap();
    let answers = bench.answers.lock().split_off(3);
    assert!(matches!(answers[..], [Err(WalError::Closed), Err(WalError::Closed)]), "{answers:?}");
    assert_eq!(bench.after_power_loss().indices(), [0, 1, 2]);
}

#[test]
fn all_calls_to_a_closed_log_answer_closed() {
    let bench = Bench::new();
    bench.append_each(0..3);
    close(&bench.wal).try_recv().unwrap();
    assert!(matches!(bench.append(3), Err(WalError::Closed)));
    assert!(matches!(bench.wal.reserve(1), Err(WalError::Closed)));
    assert!(bench.wal.read(0..3, 9).is_err());
    bench.answers.lock().clear();
    bench.wal.save_committed(Bytes::from_static(b"committed"));
    bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
    bench.wal.truncate_after(None, bench.done());
    bench.wal.purge(2, Bytes::from_static(b"id"), bench.done());
    bench.wal.look_for_room();
    bench.wal.when_changed(|| ());
    assert!(!bench.wal.waits_for_room());
    let answers = bench.answers.lock().split_off(0);
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| matches!(answer, Err(WalError::Closed))), "{answers:?}");
    assert!(!bench.executor.run_one(WAL_LANE) && !bench.executor.run_one(SPACE_LANE), "no job was submitted");
}

#[test]
fn closing_waits_for_the_zero_fill_and_the_removal_on_their_way() {
    let bench = Bench::new();
    let files = bench.segments();
    let closed = close(&bench.wal);
    assert!(closed.try_recv().is_err());
    assert!(bench.executor.run_one(SPACE_LANE));
    closed.try_recv().unwrap();
    assert_eq!(bench.segments(), files, "it had not begun, so it did nothing");

    let bench = Bench::new();
    bench.append_each(0..60);
    bench.wal.purge(50, Bytes::from_static(b"id"), bench.done());
    while bench.executor.run_one(WAL_LANE) {}
    let files = bench.segments();
    let closed = close(&bench.wal);
    assert!(closed.try_recv().is_err());
    bench.executor.run_all();
    closed.try_recv().unwrap();
    assert_eq!(bench.segments(), files);
}

#[test]
fn closing_waits_for_the_batch_under_way() {
    let (wal, _) = Wal::open(disk(), Path::new(DIR), options(), &ThreadExecutor).unwrap();
    let (started, has_started) = sync_channel(1);
    let (go_on, may_go_on) = sync_channel::<()>(1);
    let done = move |result: Result<(), WalError>| {
        started.send(result).unwrap();
        may_go_on.recv().unwrap();
    };
    wal.append(vec![(0, payload(0))], done).unwrap();
    has_started.recv().unwrap().unwrap();
    // The segment ahead may be under way too; only the batch is held here.
    let closed = close(&wal);
    assert!(closed.try_recv().is_err());
    go_on.send(()).unwrap();
    closed.recv().unwrap();
}

#[test]
fn a_failed_log_can_be_closed() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.vfs.fail_next_sync();
    bench.append(0).unwrap();
    bench.executor.run_all();
    close(&bench.wal).try_recv().unwrap();
    assert!(matches!(bench.append(0), Err(WalError::Closed)));
}
