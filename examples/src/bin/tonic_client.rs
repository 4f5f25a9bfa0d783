//! A generated tonic client over all instances of a service.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use registry_client::Selector;
use registry_examples::greeter::GreetRequest;
use registry_examples::greeter::greeter_client::GreeterClient;
use registry_examples::{BoxError, RegistryArgs, exit_code};
use tower::ServiceBuilder;
use tower_discovery::retry::{RetryBudget, RetryLayer};
use tower_discovery::{DiscoveryLayer, GrpcConnect, NoEndpoint, ServedBy};

/// What a call may take, the wait for an instance included.
const DEADLINE: Duration = Duration::from_secs(2);

/// Calls `greeter`, each time the better of two instances.
#[derive(Parser)]
#[command(after_help = "Examples:\n  tonic_client\n  tonic_client --times 1000 --pause 10")]
struct Args {
    #[command(flatten)]
    registry: RegistryArgs,

    /// How many calls.
    #[arg(long, default_value_t = 5)]
    times: u32,

    /// The pause between two calls, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pause: u64,
}

fn main() -> ExitCode {
    exit_code(run(&Args::parse()))
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: &Args) -> Result<(), BoxError> {
    let view = args.registry.build()?.watch("greeter").start()?.select(Selector::endpoint("grpc"));
    let channel = ServiceBuilder::new()
        // Optional. A greeting may be said twice; a payment may not, and is then not named here.
        .layer(
            RetryLayer::new()
                .budget(RetryBudget::new(10, 0.2))
                .idempotent_when(|head| head.uri.path() == "/greeter.Greeter/Greet"),
        )
        .layer(DiscoveryLayer::new(view).served_by(true).on_no_endpoint(NoEndpoint::WaitUpTo(DEADLINE)))
        .service(GrpcConnect::new());
    let mut client = GreeterClient::new(channel);

    for _ in 0..args.times {
        let mut request = tonic::Request::new(GreetRequest { name: "you".to_owned() });
        request.set_timeout(DEADLINE);
        let response = client.greet(request).await?;
        let served = response.extensions().get::<ServedBy>().map(|served| served.target().to_string());
        println!("{}: {}", served.unwrap_or_default(), response.into_inner().greeting);
        tokio::time::sleep(Duration::from_millis(args.pause)).await;
    }
    Ok(())
}
