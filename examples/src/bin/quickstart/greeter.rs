//! The service: greets, is found, and leaves without failing a request.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use registry_client::{Instance, Registry, Shutdown, Status, shutdown_signal};
use registry_examples::BoxError;
use registry_examples::greeter::greeter_server::{Greeter, GreeterServer};
use registry_examples::greeter::{GreetRequest, GreetResponse};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response};

/// The service's name in the registry.
pub(crate) const SERVICE: &str = "greeter";
/// The name of the endpoint.
pub(crate) const ENDPOINT: &str = "grpc";
/// How long clients have to see that it is draining. One that sees it later loses nothing either: the
/// connection then says so itself, and what it did not take is sent elsewhere.
const NOTICE: Duration = Duration::from_millis(500);
/// What a greeting takes.
const WORK: Duration = Duration::from_millis(1);

/// What the parent tells a child.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    id: String,
    #[arg(long)]
    registry: String,
    #[arg(long)]
    ttl: u64,
}

struct Polite {
    address: SocketAddr,
}

#[tonic::async_trait]
impl Greeter for Polite {
    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<GreetResponse>, tonic::Status> {
        tokio::time::sleep(WORK).await;
        let greeting = format!("Hello {}, this is {}", request.into_inner().name, self.address);
        Ok(Response::new(GreetResponse { greeting }))
    }
}

/// Serves until SIGTERM. Whoever started it must hold its standard input open.
pub(crate) fn run(args: Args) -> Result<(), BoxError> {
    std::thread::spawn(end_with_the_parent);
    serve(args)
}

#[tokio::main(flavor = "current_thread")]
async fn serve(args: Args) -> Result<(), BoxError> {
    // From here on SIGTERM is a request, not an end.
    let told_to_end = tokio::spawn(shutdown_signal());
    let registry = Registry::builder([args.registry]).build()?;
    let _guard = registry.guard();

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let server = tonic::transport::Server::builder()
        .add_service(GreeterServer::new(Polite { address }))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
    let serving = tokio::spawn(server);

    let instance = Instance::builder(SERVICE).id(args.id).endpoint(ENDPOINT, format!("http://{address}")).build()?;
    let registration = registry.register(instance).ttl(Duration::from_secs(args.ttl)).await?;
    told_to_end.await?;

    // Visible as draining → clients have had time → what is under way ends → the lease goes.
    registration.set_status(Status::Draining).await?;
    tokio::time::sleep(NOTICE).await;
    stop.cancel();
    serving.await??;
    registration.shutdown(Shutdown::new().drain(Duration::ZERO)).await?;
    Ok(())
}

/// The pipe to the parent closes when the parent ends, however it ends.
#[expect(clippy::exit, reason = "without a parent there is nobody to report to, and nothing may hold it up")]
fn end_with_the_parent() {
    let mut nothing = [0; 16];
    while !matches!(std::io::stdin().read(&mut nothing), Ok(0) | Err(_)) {}
    std::process::exit(1);
}
