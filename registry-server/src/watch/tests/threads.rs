//! A publisher and readers at the same time: what only shows when they meet.

use std::thread;

use registry_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};

use super::kit::{Bench, Client, decoded, range, revision};
use crate::watch::Limits;

const LAST: i64 = 4_000;

/// Checks the answer against the next revision that is wanted, and moves on.
fn advance(next: &mut i64, answer: &WatchResponse) {
    if answer.watch_id == -1 {
        assert!(revision(answer) < *next, "progress {} before event {next}", revision(answer));
        return;
    }
    for event in decoded(answer) {
        assert_eq!(event.kv.unwrap().mod_revision, *next);
        *next += 1;
    }
}

/// Reads every revision, asking for progress all the time.
fn read_all(mut client: Client) {
    let mut next = 2;
    client.create(WatchCreateRequest { start_revision: 2, ..range("a", "z") });
    while next <= LAST {
        let wakes = client.wakes();
        client.ask_progress();
        while let Some(answer) = client.poll() {
            if !answer.created {
                advance(&mut next, &answer);
            }
        }
        if next <= LAST {
            client.wait_for_more_wakes(wakes);
        }
    }
}

#[test]
fn readers_that_fall_behind_and_come_back_see_each_revision_once() {
    let bench = Bench::new();
    let limits = Limits { queue_items: 3, slice_bytes: 2_000, ..Limits::default() };
    thread::scope(|scope| {
        for _ in 0..2 {
            let client = bench.client_with(limits.clone());
            scope.spawn(move || read_all(client));
        }
        scope.spawn(|| {
            for _ in 2..=LAST {
                bench.put("a");
                thread::yield_now();
            }
        });
    });
    assert!(bench.hub.is_idle());
}

#[test]
fn a_revision_published_while_history_is_read_is_neither_missed_nor_repeated() {
    let bench = Bench::new();
    for _ in 0..5 {
        bench.put("a");
    }
    let mut client = bench.client();
    client.created(WatchCreateRequest { start_revision: 2, ..range("a", "z") });
    bench.put_at_next_read("a");
    let mut next = 2;
    for answer in client.answers() {
        advance(&mut next, &answer);
    }
    bench.put("a");
    for answer in client.answers() {
        advance(&mut next, &answer);
    }
    assert_eq!(next, 9);
}
