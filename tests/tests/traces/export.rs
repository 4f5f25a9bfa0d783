//! What is sent, of which calls, and what becomes of calls when nobody takes it.

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use registry_proto::etcdserverpb::{PutRequest, RangeRequest};
use registry_server::traces::TraceSettings;
use registry_tests::budget::ANSWER;
use registry_tests::{Client, EmbeddedNode, Watching, requests, within};
use tonic::{Code, Request};

use crate::collector::Collector;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A node that samples so many of a million calls and sends their spans to `address`.
async fn node(address: String, sampling_per_million: i64) -> EmbeddedNode {
    let traces =
        TraceSettings { address, sampling_per_million, instance_id: Some("a".to_owned()), ..Default::default() };
    EmbeddedNode::start_with(|config| config.traces = Some(traces)).await
}

/// A put in the name of a span that is sampled, or not.
fn traced_put(is_sampled: bool) -> Request<PutRequest> {
    let mut request = Request::new(requests::put("key", "secret"));
    let parent = format!("00-{TRACE}-{CALLER}-{:02x}", u8::from(is_sampled));
    request.metadata_mut().insert("traceparent", parent.parse().expect("it is text"));
    request
}

fn attribute(span: &Span, name: &str) -> Option<Value> {
    let found = span.attributes.iter().find(|attribute| attribute.key == name)?;
    found.value.clone()?.value
}

fn told(span: &Span, name: &str) -> String {
    match attribute(span, name) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{name} is {other:?}"),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn put(client: &mut Client) {
    within(client.kv.put(requests::put("key", "secret"))).await.expect("it is done");
}

#[tokio::test]
async fn a_calls_span_is_in_its_callers_trace_and_its_step_below_it() {
    let collector = Collector::start().await;
    // Nothing is sampled but what its caller samples.
    let mut node = node(collector.address(), 0).await;
    let mut client = node.client().await;
    within(client.kv.put(traced_put(true))).await.expect("it is done");
    within(client.kv.put(traced_put(false))).await.expect("it is done");
    put(&mut client).await;
    // A stop sends what is left.
    within(node.stop()).await;

    let spans = collector.spans();
    let [step, call] = &spans[..] else { panic!("one call and its step were to be seen: {spans:?}") };
    assert_eq!((call.name.as_str(), call.kind()), ("etcdserverpb.KV/Put", SpanKind::Server));
    assert_eq!((hex(&call.trace_id), hex(&call.parent_span_id)), (TRACE.to_owned(), CALLER.to_owned()));
    let names = ["rpc.system.name", "rpc.method", "rpc.response.status_code"];
    assert_eq!(names.map(|name| told(call, name)), ["grpc", "etcdserverpb.KV/Put", "OK"]);
    assert!(call.end_time_unix_nano > call.start_time_unix_nano);

    assert_eq!((step.name.as_str(), told(step, "key")), ("put", "key".to_owned()));
    assert_eq!((&step.trace_id, &step.parent_span_id), (&call.trace_id, &call.span_id));
    assert!(!format!("{spans:?}").contains("secret"), "a value was told");
    assert_eq!(collector.resource("service.name"), "etcd");
    assert_eq!(collector.resource("service.instance.id"), "a");
}

#[tokio::test]
async fn with_a_full_rate_each_call_begins_a_trace_and_failures_say_why() {
    let collector = Collector::start().await;
    let mut node = node(collector.address(), 1_000_000).await;
    let mut client = node.client().await;
    put(&mut client).await;
    let refused = within(client.kv.put(PutRequest::default())).await.expect_err("it has no key");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let sorted = RangeRequest { sort_order: 2, ..requests::everything() };
    let refused = within(client.kv.range_stream(sorted)).await.expect_err("it has no such order");
    assert_eq!(refused.code(), Code::Unimplemented);
    drop(Watching::of(&client, requests::watch("key")).await);
    within(node.stop()).await;

    let spans = collector.spans();
    let calls: Vec<_> = spans.iter().filter(|span| span.kind() == SpanKind::Server).collect();
    let codes: Vec<_> = calls.iter().map(|span| told(span, "rpc.response.status_code")).collect();
    assert_eq!(codes[..3], ["OK", "INVALID_ARGUMENT", "UNIMPLEMENTED"]);
    assert!(calls.iter().any(|span| span.name == "etcdserverpb.Watch/Watch"), "{calls:?}");
    let status = |span: &Span| span.status.clone().map_or_else(String::new, |status| status.message);
    assert_eq!([status(calls[1]), status(calls[2])], ["", "RangeStream does not support custom sort orders"]);
    assert!(calls.iter().all(|span| span.parent_span_id.is_empty()));
}

#[tokio::test]
async fn without_a_rate_nothing_is_sent_that_nobody_traces() {
    let collector = Collector::start().await;
    let mut node = node(collector.address(), 0).await;
    let mut client = node.client().await;
    for _ in 0..20 {
        put(&mut client).await;
    }
    within(node.stop()).await;
    assert_eq!(collector.spans(), []);
}

/// Nobody listens there, or nobody answers.
#[tokio::test]
async fn a_collector_that_is_away_or_silent_delays_no_call_and_no_stop() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let (silent_at, closed_at) = (silent.local_addr().expect("it is bound"), closed.local_addr().expect("it is bound"));
    drop(closed);
    for address in [silent_at, closed_at] {
        let mut node = node(address.to_string(), 1_000_000).await;
        let client = node.client().await;
        // More than may wait.
        for _ in 0..25 {
            let puts = (0..100).map(|_| {
                let mut client = client.clone();
                tokio::spawn(async move { put(&mut client).await })
            });
            for put in puts.collect::<Vec<_>>() {
                put.await.expect("it is done");
            }
        }
        let stopped = tokio::time::timeout(ANSWER + Duration::from_secs(3), node.stop()).await;
        stopped.expect("a stop does not wait for a collector");
    }
}
