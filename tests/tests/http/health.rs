//! gRPC's own health checks, as load balancers ask.

use registry_tests::{EmbeddedNode, refusal, within};
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

async fn client(node: &EmbeddedNode) -> HealthClient<Channel> {
    let endpoint = Channel::from_shared(node.url().to_owned()).expect("it is a URL");
    HealthClient::new(endpoint.connect().await.expect("the node serves"))
}

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn the_server_is_healthy_and_what_it_is_not_it_does_not_know() {
    let node = EmbeddedNode::start().await;
    let mut client = client(&node).await;
    let answer = client.check(about("")).await.expect("it answers").into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    assert_eq!(refusal(client.check(about("nothing")).await).0, Code::NotFound);
}

#[tokio::test]
async fn who_watches_is_told_how_it_is_until_the_server_stops() {
    let mut node = EmbeddedNode::start().await;
    let mut watch = client(&node).await.watch(about("")).await.expect("it answers").into_inner();
    let first = within(watch.message()).await.expect("it goes on").expect("it is told");
    assert_eq!(first.status(), ServingStatus::Serving);
    within(node.stop()).await;
    assert!(!matches!(within(watch.message()).await, Ok(Some(_))), "the stream ends");
}
