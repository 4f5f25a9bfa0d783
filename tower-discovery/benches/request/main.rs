//! What balancing costs a request: nanoseconds and allocations, beside other balancers over the same connections.
//!
//! `stacks` has the balancers, `memory` the connections, which answer at once. `cargo bench -p tower-discovery
//! --bench request` first counts allocations, then times. `direct` is the connection without a balancer: what the
//! request itself and its answer cost.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

mod memory;
mod stacks;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use http_body_util::BodyExt;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use crate::memory::{Memory, Question, question};

/// Numbers of endpoints.
const SIZES: [usize; 3] = [10, 100, 1_000];
/// Requests over which allocations are counted.
const COUNTED: u64 = 10_000;

/// One request, from making it to the end of its answer.
async fn ask<S, B>(service: &mut S)
where
    S: Service<Question, Response = http::Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body + Unpin,
{
    let response = service.ready().await.unwrap().call(question()).await.unwrap();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        drop(frame);
    }
}

/// The time of `requests` requests, one after the other.
async fn one_task<S, B>(mut service: S, requests: u64) -> Duration
where
    S: Service<Question, Response = http::Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body + Unpin,
{
    let since = Instant::now();
    for _ in 0..requests {
        ask(&mut service).await;
    }
    since.elapsed()
}

/// The time until eight tasks have sent `requests` requests together.
async fn eight_tasks<S, B>(service: S, requests: u64) -> Duration
where
    S: Service<Question, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::fmt::Debug,
    B: http_body::Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    let since = Instant::now();
    let share = |task| requests / 8 + u64::from(task < requests % 8);
    let tasks: Vec<_> = (0..8).map(|task| tokio::spawn(one_task(service.clone(), share(task)))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    since.elapsed()
}

/// Allocations and bytes of one request, in the runtime's only thread.
fn allocations<S, B>(runtime: &Runtime, service: S) -> (f64, f64)
where
    S: Service<Question, Response = http::Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body + Unpin,
{
    let mut service = service;
    runtime.block_on(one_task(&mut service, 1_000));
    let counted = allocation_counter::measure(|| {
        runtime.block_on(one_task(&mut service, COUNTED));
    });
    (counted.count_total as f64 / COUNTED as f64, counted.bytes_total as f64 / COUNTED as f64)
}

fn count_allocations() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (base, base_bytes) = allocations(&runtime, Memory);
    println!("allocations and bytes of a request, beyond the {base:.2} and {base_bytes:.0} of the request itself");
    for size in SIZES {
        let _entered = runtime.enter();
        let rows = [
            ("tower-discovery", allocations(&runtime, runtime.block_on(stacks::discovery(size)))),
            ("buffered balance", allocations(&runtime, stacks::buffered(size))),
            ("as balance_channel", allocations(&runtime, stacks::as_balance_channel(size))),
            ("raw balance", allocations(&runtime, stacks::raw(size))),
        ];
        for (name, (count, bytes)) in rows {
            println!("{name:>20} {size:>5} endpoints: {:>6.2} {:>6.0}", count - base, bytes - base_bytes);
        }
    }
}

fn time(criterion: &mut Criterion) {
    let one = Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("one task");
    group.bench_function("direct", |b| b.iter_custom(|n| one.block_on(one_task(Memory, n))));
    for size in SIZES {
        let _entered = one.enter();
        let service = one.block_on(stacks::discovery(size));
        let id = |name| BenchmarkId::new(name, size);
        group.bench_function(id("tower-discovery"), |b| b.iter_custom(|n| one.block_on(one_task(service.clone(), n))));
        let service = stacks::buffered(size);
        group.bench_function(id("buffered balance"), |b| b.iter_custom(|n| one.block_on(one_task(service.clone(), n))));
        let service = stacks::as_balance_channel(size);
        group.bench_function(id("as balance_channel"), |b| {
            b.iter_custom(|n| one.block_on(one_task(service.clone(), n)));
        });
        let mut service = stacks::raw(size);
        group.bench_function(id("raw balance"), |b| b.iter_custom(|n| one.block_on(one_task(&mut service, n))));
    }
    group.finish();

    let many = Builder::new_multi_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("eight tasks");
    for size in SIZES {
        let _entered = many.enter();
        let id = |name| BenchmarkId::new(name, size);
        let service = many.block_on(stacks::discovery(size));
        group.bench_function(id("tower-discovery"), |b| {
            b.iter_custom(|n| many.block_on(eight_tasks(service.clone(), n)));
        });
        let service = stacks::buffered(size);
        group.bench_function(id("buffered balance"), |b| {
            b.iter_custom(|n| many.block_on(eight_tasks(service.clone(), n)));
        });
        let service = stacks::as_balance_channel(size);
        group.bench_function(id("as balance_channel"), |b| {
            b.iter_custom(|n| many.block_on(eight_tasks(service.clone(), n)));
        });
    }
    group.finish();
}

fn main() {
    count_allocations();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    time(&mut criterion);
    criterion.final_summary();
}
