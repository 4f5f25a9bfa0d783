//! A gRPC server that registers itself and leaves in order when it gets SIGTERM: the suites start it.
//!
//! Its arguments are the instance's id, the TTL in seconds, how long clients have to see that it drains in
//! milliseconds, and the members' URLs. It ends at once when its standard input ends, as nobody would be left to
//! end it, and says with its status whether it left in order.

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use registry_client::{Instance, Registry, Shutdown, Status, shutdown_signal};
use registry_tests::echo::echo_server::{Echo, EchoServer};
use registry_tests::echo::{Answer, Question};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response};

/// The service that it is an instance of.
const SERVICE: &str = "echo";
/// A registry that is away must not hold up the end: clients then learn of it by the connections' GOAWAY.
const TELLING_LIMIT: Duration = Duration::from_secs(10);
const REVOKE_LIMIT: Duration = Duration::from_secs(10);

struct Patient;

#[tonic::async_trait]
impl Echo for Patient {
    type TellStream = ReceiverStream<Result<Answer, tonic::Status>>;

    async fn ask(&self, request: Request<Question>) -> Result<Response<Answer>, tonic::Status> {
        sleep(pause(request.get_ref())).await;
        Ok(Response::new(Answer { number: 1 }))
    }

    async fn tell(&self, request: Request<Question>) -> Result<Response<Self::TellStream>, tonic::Status> {
        let question = request.into_inner();
        let (sender, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            for number in 1..=question.answers {
                sleep(pause(&question)).await;
                if sender.send(Ok(Answer { number })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

fn pause(question: &Question) -> Duration {
    Duration::from_millis(question.pause_ms.into())
}

#[expect(clippy::print_stderr, reason = "a failed test shows it")]
fn main() -> ExitCode {
    std::thread::spawn(end_with_the_parent);
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve() -> Result<(), Box<dyn Error>> {
    // From here on SIGTERM is a request, not an end.
    let told_to_end = tokio::spawn(shutdown_signal());
    let mut arguments = std::env::args().skip(1);
    let id = arguments.next().ok_or("no id")?;
    let ttl = arguments.next().ok_or("no TTL")?.parse().map(Duration::from_secs)?;
    let notice = arguments.next().ok_or("no notice")?.parse().map(Duration::from_millis)?;
    let registry = Registry::builder(arguments).build()?;
    let _guard = registry.guard();

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let stop = CancellationToken::new();
    let server = tonic::transport::Server::builder()
        .add_service(EchoServer::new(Patient))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
    let serving = tokio::spawn(server);

    let instance = Instance::builder(SERVICE).id(id).endpoint("grpc", endpoint).build()?;
    let registration = registry.register(instance).ttl(ttl).await?;
    told_to_end.await?;

    // Visible as draining → clients have had time → what is under way ends → the lease goes.
    if let Ok(told) = timeout(TELLING_LIMIT, registration.set_status(Status::Draining)).await {
        told?;
        sleep(notice).await;
    }
    stop.cancel();
    serving.await??;
    Ok(registration.shutdown(Shutdown::new().drain(Duration::ZERO).deadline(REVOKE_LIMIT)).await?)
}

/// The pipe to the parent closes when the parent ends, however it ends.
#[expect(clippy::exit, reason = "without a parent there is nobody to report to, and nothing may hold it up")]
fn end_with_the_parent() {
    let mut nothing = [0; 16];
    while !matches!(std::io::stdin().read(&mut nothing), Ok(0) | Err(_)) {}
    std::process::exit(1);
}
