//! What the examples share: the greeter's stubs, the arguments that lead to a registry, and a small service to balance over.
//!
//! Each program under `src/bin` shows one thing, against a registry on `http://127.0.0.1:2379` or
//! wherever `--registry` points; `quickstart` brings its own.

use std::process::ExitCode;

use axum::Router;
use axum::routing::get;
use registry_client::{Error, InstanceBuilder, Registration, Registry};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The greeter service, compiled from `proto/greeter.proto`.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; the .proto file says what there is"
)]
pub mod greeter {
    tonic::include_proto!("greeter");
}

/// What a `main` of the examples fails with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where the registry is.
#[derive(Debug, Clone, clap::Args)]
pub struct RegistryArgs {
    /// Endpoints of the registry, separated by commas.
    #[arg(long, env = "REGISTRY", value_delimiter = ',', default_value = "http://127.0.0.1:2379")]
    registry: Vec<String>,

    /// What every key begins with.
    #[arg(long, env = "REGISTRY_NAMESPACE", default_value = "")]
    namespace: String,
}

impl RegistryArgs {
    /// The endpoints, for programs that speak to the registry without the SDK.
    pub fn endpoints(&self) -> &[String] {
        &self.registry
    }

    /// A client of it; nothing is asked yet.
    ///
    /// # Errors
    /// When an endpoint cannot be one.
    pub fn build(&self) -> Result<Registry, Error> {
        Registry::builder(self.registry.clone()).namespace(self.namespace.clone()).build()
    }
}

/// Serves `answer` at `/` on a free port, as one of `servers`, and registers the instance with that port as its endpoint `http`.
///
/// # Errors
/// When no port is free, the instance is none, or it cannot be registered.
pub async fn serve_registered(
    registry: &Registry,
    instance: InstanceBuilder,
    answer: &'static str,
    servers: &mut JoinSet<std::io::Result<()>>,
) -> Result<Registration, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/", get(move || async move { answer }));
    servers.spawn(axum::serve(listener, router).into_future());
    Ok(registry.register(instance.endpoint("http", endpoint).build()?).await?)
}

/// Says on standard error why a program failed, with all causes, and how the process ends.
#[expect(clippy::print_stderr, reason = "this is where the examples report their failure")]
pub fn exit_code(result: Result<(), BoxError>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {error}");
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        eprintln!("  caused by: {cause}");
    }
    ExitCode::FAILURE
}

/// The README's examples, so that they are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
