//! A tonic service that registers itself, and leaves without failing a call.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use registry_client::{Instance, Shutdown, Status, shutdown_signal};
use registry_examples::greeter::greeter_server::{Greeter, GreeterServer};
use registry_examples::greeter::{GreetRequest, GreetResponse};
use registry_examples::{BoxError, RegistryArgs, exit_code};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response};

/// A registry that is away must not hold up the end: clients then learn of it by the connection's own word.
const TELLING_LIMIT: Duration = Duration::from_secs(5);

/// A gRPC service that registers itself as `greeter`, and ends in order at Ctrl-C or SIGTERM.
#[derive(Parser)]
#[command(
    after_help = "Examples:\n  tonic_service &\n  tonic_service --listen 10.0.0.7:9000 --zone a &\n  tonic_client --times 10"
)]
struct Args {
    #[command(flatten)]
    registry: RegistryArgs,

    /// Where it listens, which is where clients find it. With port 0 the system chooses one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// The zone that it runs in.
    #[arg(long)]
    zone: Option<String>,

    /// How long clients have to see that it is draining, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    notice: u64,
}

struct Polite {
    address: SocketAddr,
}

#[tonic::async_trait]
impl Greeter for Polite {
    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<GreetResponse>, tonic::Status> {
        let greeting = format!("Hello {}, this is {}", request.into_inner().name, self.address);
        Ok(Response::new(GreetResponse { greeting }))
    }
}

fn main() -> ExitCode {
    exit_code(run(Args::parse()))
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: Args) -> Result<(), BoxError> {
    // From here on SIGTERM is a request, not an end.
    let told_to_end = tokio::spawn(shutdown_signal());
    let registry = args.registry.build()?;
    let _guard = registry.guard();

    let listener = TcpListener::bind(args.listen).await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let server = tonic::transport::Server::builder()
        .add_service(GreeterServer::new(Polite { address }))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
    let serving = tokio::spawn(server);

    let mut instance = Instance::builder("greeter").endpoint("grpc", format!("http://{address}"));
    if let Some(zone) = args.zone {
        instance = instance.zone(zone);
    }
    let registration = registry.register(instance.build()?).await?;
    println!("{address} is registered as greeter/{}", registration.instance().id());
    told_to_end.await?;

    // Visible as draining → clients have had time → what is under way ends → the lease goes.
    if let Ok(told) = timeout(TELLING_LIMIT, registration.set_status(Status::Draining)).await {
        told?;
        sleep(Duration::from_millis(args.notice)).await;
    }
    stop.cancel();
    serving.await??;
    registration.shutdown(Shutdown::new().drain(Duration::ZERO)).await?;
    println!("{address} has left");
    Ok(())
}
