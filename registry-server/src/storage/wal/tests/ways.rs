//! What a log that works does.

use super::*;

#[test]
fn what_was_written_is_there_after_a_power_loss() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.wal.save_vote(Bytes::from_static(b"vote"), bench.done());
    bench.append(0).unwrap();
    bench.append(1).unwrap();
    bench.wal.save_committed(Bytes::from_static(b"committed"));
    bench.append(2).unwrap();
    bench.executor.run_all();
    assert_eq!(bench.answers.lock().len(), 4);
    let again = bench.after_power_loss();
    let expected: Vec<_> = (0..3).map(|index| (index, payload(index))).collect();
    assert_eq!(again.entries(), expected);
    let state = again.wal.state();
    assert_eq!(state, again.recovered.state);
    assert_eq!(state, bench.wal.state());
    assert_eq!(state.vote, Some(Bytes::from_static(b"vote")));
    assert_eq!(state.committed, Some(Bytes::from_static(b"committed")));
    assert_eq!((state.first_index, state.last_index), (0, Some(2)));
    assert_eq!(again.recovered.cut, None);
}

#[test]
fn entries_can_be_read_before_they_are_durable() {
    let bench = Bench::new();
    bench.append(0).unwrap();
    bench.append(1).unwrap();
    assert!(bench.answers.lock().is_empty());
    assert_eq!(bench.wal.read_cached(0..9, usize::MAX).unwrap().len(), 2);
    assert_eq!(bench.wal.state().last_index, Some(1));
    assert!(bench.after_power_loss().entries().is_empty());
}

#[test]
fn all_that_waits_goes_into_one_batch() {
    let bench = Bench::new();
    bench.executor.run_all();
    for index in 0..10 {
        bench.append(index).unwrap();
    }
    assert!(bench.answers.lock().is_empty());
    assert!(bench.executor.run_one(WAL_LANE));
    assert_eq!(bench.answers.lock().len(), 10);
    assert!(!bench.executor.run_one(WAL_LANE));
}

#[test]
fn a_committed_id_causes_no_write_of_its_own() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.wal.save_committed(Bytes::from_static(b"early"));
    bench.wal.save_committed(Bytes::from_static(b"late"));
    assert!(!bench.executor.run_one(WAL_LANE));
    assert_eq!(bench.after_power_loss().wal.state().committed, None);
    bench.append_each(0..1);
    assert_eq!(bench.after_power_loss().wal.state().committed, Some(Bytes::from_static(b"late")));
}

#[test]
fn reads_are_bounded_by_bytes_and_give_at_least_one_entry() {
    let bench = Bench::new();
    bench.append_each(0..20);
    assert_eq!(bench.wal.read(5..15, 0).unwrap(), [(5, payload(5))]);
    let two = payload(5).len() + payload(6).len();
    assert_eq!(bench.wal.read(5..15, two).unwrap().len(), 2);
    assert_eq!(bench.wal.read(5..15, usize::MAX).unwrap().len(), 10);
    assert!(bench.wal.read(20..25, usize::MAX).unwrap().is_empty());
    #[expect(clippy::reversed_empty_ranges, reason = "a caller's mistake must not panic")]
    let backwards = bench.wal.read(9..3, usize::MAX).unwrap();
    assert!(backwards.is_empty());
}

#[test]
fn the_cache_is_bounded_and_files_serve_the_rest() {
    let executor = ManualExecutor::default();
    let options = WalOptions { cache_bytes: 2_000, ..options() };
    let (wal, _) = Wal::open(disk(), Path::new(DIR), options, &executor).unwrap();
    for index in 0..40 {
        wal.append(vec![(index, payload(index))], drop).unwrap();
        executor.run_all();
    }
    assert_eq!(wal.read_cached(0..40, usize::MAX), None);
    assert!(wal.read_cached(39..40, usize::MAX).is_some());
    let expected: Vec<_> = (0..40).map(|index| (index, payload(index))).collect();
    assert_eq!(wal.read(0..40, usize::MAX).unwrap(), expected);
}

#[test]
fn a_truncated_tail_is_replaced() {
    let bench = Bench::new();
    bench.append_each(0..10);
    bench.wal.truncate_after(Some(4), bench.done());
    assert_eq!(bench.wal.state().last_index, Some(4));
    let replaced = Bytes::from_static(b"replaced");
    bench.wal.append(vec![(5, replaced.clone()), (6, replaced.clone())], bench.done()).unwrap();
    for again in [&bench, &{
        bench.executor.run_all();
        bench.after_power_loss()
    }] {
        assert_eq!(again.indices(), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(again.wal.read(5..6, 1).unwrap(), [(5, replaced.clone())]);
        assert_eq!(again.wal.read(4..5, 1).unwrap(), [(4, payload(4))]);
    }
    bench.wal.truncate_after(None, bench.done());
    bench.executor.run_all();
    assert!(bench.after_power_loss().entries().is_empty());
}

#[test]
fn entries_that_do_not_continue_the_log_are_refused() {
    let bench = Bench::new();
    bench.append_each(0..3);
    assert!(matches!(bench.append(4), Err(WalError::OutOfOrder { index: 4, expected: 3 })));
    assert!(matches!(bench.append(2), Err(WalError::OutOfOrder { index: 2, expected: 3 })));
    let gap = vec![(3, payload(3)), (5, payload(5))];
    assert!(matches!(bench.wal.append(gap, drop), Err(WalError::OutOfOrder { index: 5, expected: 4 })));
    let large = vec![(3, Bytes::from(vec![0; SEGMENT as usize / 8]))];
    assert!(matches!(bench.wal.append(large, drop), Err(WalError::TooLarge { .. })));
    assert_eq!(bench.indices(), [0, 1, 2]);
}

#[test]
fn an_append_of_nothing_is_answered_in_its_turn() {
    let bench = Bench::new();
    bench.append(0).unwrap();
    bench.wal.append(Vec::new(), bench.done()).unwrap();
    bench.executor.run_all();
    assert_eq!(bench.answers.lock().len(), 2);
    assert_eq!(bench.after_power_loss().indices(), [0]);
}

#[test]
fn a_vote_is_answered_once_a_power_loss_cannot_take_it() {
    let bench = Bench::new();
    bench.executor.run_all();
    bench.wal.save_vote(Bytes::from_static(b"first"), bench.done());
    bench.executor.run_all();
    bench.wal.save_vote(Bytes::from_static(b"second"), bench.done());
    assert_eq!((bench.answers.lock().len(), bench.after_power_loss().wal.state().vote), (1, Some("first".into())));
    assert!(bench.executor.run_one(WAL_LANE));
    assert_eq!((bench.answers.lock().len(), bench.after_power_loss().wal.state().vote), (2, Some("second".into())));
}

/// Calls of all kinds wait together and go through several batches; a power loss after any of these leaves what
/// the first so many calls made.
#[test]
fn votes_appends_truncations_and_purges_become_durable_in_the_order_of_the_calls() {
    let bench = Bench::new();
    bench.executor.run_all();
    let state = |bench: &Bench| (bench.wal.state().vote, bench.wal.state().purged, bench.indices());
    let mut states = vec![state(&bench)];
    let mut next = 0;
    for round in 0..20_u64 {
        for call in 0..4 {
            match call {
                0 => bench.wal.save_vote(Bytes::copy_from_slice(&round.to_le_bytes()), bench.done()),
                1 => {
                    bench
                        .wal
                        .append((next..next + 7).map(|index| (index, payload(index))).collect(), bench.done())
                        .unwrap();
                    next += 7;
                }
                2 => {
                    next -= 2;
                    bench.wal.truncate_after(Some(next - 1), bench.done());
                }
                _ => bench.wal.purge(next - 3, Bytes::from_static(b"id"), bench.done()),
            }
            states.push(state(&bench));
        }
    }
    let mut batches = 0;
    while bench.executor.run_one(WAL_LANE) || bench.executor.run_one(SPACE_LANE) {
        let answered = bench.answers.lock().len();
        let left = state(&bench.after_power_loss());
        // A batch may end in the middle of an append: then its first entries are there.
        let is_between = answered + 1 < states.len() && {
            let (before, after) = (&states[answered], &states[answered + 1]);
            (&left.0, &left.1) == (&after.0, &after.1) && left.2.starts_with(&before.2) && after.2.starts_with(&left.2)
        };
        assert!(left == states[answered] || is_between, "{answered} calls were answered, left is {left:?}");
        batches += 1;
    }
    assert_eq!((bench.answers.lock().len(), state(&bench.after_power_loss())), (80, states.pop().unwrap()));
    assert!(batches > 5, "{batches}");
}
