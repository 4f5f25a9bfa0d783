//! gRPC reflection, as grpcurl asks: what there is, and what each call needs to be made.

use std::time::Duration;

use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
use registry_tests::{EmbeddedNode, within};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

macro_rules! client_of {
    ($version:ident) => {
        mod $version {
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version::{ServerReflectionRequest, ServerReflectionResponse};

            use super::*;

            /// A stream of questions and answers.
            pub(super) struct Asking {
                questions: mpsc::Sender<ServerReflectionRequest>,
                answers: tonic::Streaming<ServerReflectionResponse>,
            }

            impl Asking {
                pub(super) async fn open(channel: Channel) -> Self {
                    let (questions, receiver) = mpsc::channel(1);
                    let mut client = ServerReflectionClient::new(channel);
                    let answers = client.server_reflection_info(ReceiverStream::new(receiver)).await;
                    Self { questions, answers: answers.expect("it is served").into_inner() }
                }

                async fn ask(&mut self, question: MessageRequest) -> MessageResponse {
                    let request = ServerReflectionRequest { message_request: Some(question), ..Default::default() };
                    self.questions.send(request).await.expect("the stream is open");
                    let answer = within(self.answers.message()).await.expect("there is such a thing");
                    answer.and_then(|answer| answer.message_response).expect("each question is answered")
                }

                pub(super) async fn services(&mut self) -> Vec<String> {
                    match self.ask(MessageRequest::ListServices(String::new())).await {
                        MessageResponse::ListServicesResponse(list) => {
                            list.service.into_iter().map(|service| service.name).collect()
                        }
                        other => panic!("{other:?}"),
                    }
                }

                /// The file that has a symbol, and all that it needs.
                pub(super) async fn files(&mut self, symbol: &str) -> Vec<FileDescriptorProto> {
                    let mut question = Some(MessageRequest::FileContainingSymbol(symbol.to_owned()));
                    let mut files: Vec<FileDescriptorProto> = Vec::new();
                    while let Some(asked) = question.take() {
                        let MessageResponse::FileDescriptorResponse(found) = self.ask(asked).await else {
                            panic!("{symbol} has no file")
                        };
                        let decode = |file: &Vec<u8>| FileDescriptorProto::decode(file.as_slice());
                        files.extend(found.file_descriptor_proto.iter().map(|file| decode(file).expect("it is one")));
                        let is_missing = |name: &&String| files.iter().all(|file| file.name() != **name);
                        let missing = files.iter().flat_map(|file| &file.dependency).find(is_missing);
                        question = missing.map(|name| MessageRequest::FileByFilename(name.clone()));
                    }
                    files
                }

                /// Waits for the end of the answers.
                pub(super) async fn ended(&mut self) {
                    assert!(within(self.answers.message()).await.expect("the end is no error").is_none());
                }
            }
        }
    };
}

client_of!(v1);
client_of!(v1alpha);

async fn channel(node: &EmbeddedNode) -> Channel {
    Channel::from_shared(node.url().to_owned()).expect("it is a URL").connect().await.expect("the node serves")
}

#[tokio::test]
async fn what_is_served_is_told_with_all_that_a_call_needs() {
    let node = EmbeddedNode::start().await;
    let channel = channel(&node).await;
    let (mut v1, mut v1alpha) = (v1::Asking::open(channel.clone()).await, v1alpha::Asking::open(channel).await);
    let services = v1.services().await;
    assert_eq!(services, v1alpha.services().await);
    for service in
        ["etcdserverpb.KV", "etcdserverpb.Watch", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
    {
        assert!(services.iter().any(|name| name == service), "{service} is missing in {services:?}");
    }
    assert!(!services.iter().any(|name| name.contains("peer")), "{services:?}");
    for service in &services {
        let file = v1.files(service).await;
        assert_eq!(file, v1alpha.files(service).await);
        let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file }).unwrap();
        assert!(pool.get_service_by_name(service).unwrap().methods().len() > 0, "{service}");
    }
    let file = v1.files("etcdserverpb.RangeRequest.range_end").await;
    let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file }).unwrap();
    assert_eq!(
        pool.get_message_by_name("etcdserverpb.RangeRequest").unwrap().get_field(2).unwrap().name(),
        "range_end"
    );
}

#[tokio::test]
async fn a_stop_ends_the_stream() {
    let mut node = EmbeddedNode::start_with(|config| config.shutdown_grace = Duration::from_secs(3600)).await;
    let channel = channel(&node).await;
    let (mut v1, mut v1alpha) = (v1::Asking::open(channel.clone()).await, v1alpha::Asking::open(channel).await);
    assert_eq!(v1.services().await, v1alpha.services().await);
    let stopping = within(node.stop());
    tokio::join!(stopping, v1.ended(), v1alpha.ended());
}
