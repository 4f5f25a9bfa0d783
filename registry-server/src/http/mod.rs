//! The plain HTTP paths beside gRPC on the client port: version, health and metrics, for probes and people.
//!
//! They answer as etcd's do, to the byte, because scripts and orchestrators compare them. Only GET is
//! answered, no request body is read, and what the checks ask of the node goes through [`HealthSource`].
//! Below `/v3/` is the API in JSON: see [`gateway`].

mod access;
mod checks;
mod counts;
pub mod exposition;
pub mod gateway;
mod health;
mod reply;
pub(crate) mod timeout;

use std::pin::Pin;
use std::sync::Arc;

use http::{Method, Response, StatusCode, Uri};
use registry_proto::etcdserverpb::AlarmType;
use tonic::Status;
use tonic::body::Body;

pub use access::{Hosts, HttpSettings, Origins, Permit, Secured};

use crate::api::version::{CLUSTER_VERSION, ETCD_VERSION, STORAGE_VERSION};

/// The outcome of a trial read.
pub type ReadFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Status>> + Send + 'a>>;

/// What the health checks ask of the node.
pub trait HealthSource: Send + Sync + 'static {
    /// Tries a read: a linearizable one needs a quorum, a serializable one only this node. Must end within
    /// the request timeout.
    fn read(&self, serializable: bool) -> ReadFuture<'_>;

    /// The alarms that are raised, of any member.
    fn alarms(&self) -> Vec<AlarmType>;

    /// A leader is known.
    fn has_leader(&self) -> bool;

    /// This member does not vote.
    fn is_learner(&self) -> bool;

    /// What `/debug/vars` tells: names, and values in JSON.
    fn vars(&self) -> Vec<(&'static str, serde_json::Value)>;
}

/// Writes what `/metrics` answers. It is called on a thread that may block.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// Answers the HTTP paths.
#[derive(Clone)]
pub struct Paths {
    health: Arc<dyn HealthSource>,
    metrics: MetricsText,
    counts: Arc<counts::Counts>,
}

impl std::fmt::Debug for Paths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Paths")
    }
}

impl Paths {
    /// Paths whose checks ask `health` and whose figures are `metrics`.
    pub fn new(health: Arc<dyn HealthSource>, metrics: MetricsText) -> Self {
        Self { health, metrics, counts: Arc::default() }
    }

    /// The answer to a request; 404 for a path that is not here, 405 for anything but GET;
    /// only the metrics do not mind.
    pub async fn answer(&self, method: &Method, uri: &Uri) -> Response<Body> {
        let source = &*self.health;
        let path = uri.path();
        let query = Query::of(uri);
        let is_known = matches!(path, "/debug/vars" | "/health" | "/version") || checks::find(path).is_some();
        if is_known && method != Method::GET {
            return reply::method_not_allowed();
        }
        match path {
            "/debug/vars" => vars(source),
            "/health" => health::answer(source, &self.counts, &query).await,
            "/metrics" => metrics(self.metrics.clone(), self.counts.clone()).await,
            "/version" => version(),
            _ => match checks::find(path) {
                Some(group) => checks::answer(source, &self.counts, group, &query).await,
                None => reply::not_found(),
            },
        }
    }
}

/// What stands behind the question mark.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(uri: &Uri) -> Self {
        let text = uri.query().unwrap_or_default();
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// All values of a name, without empty ones.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
}

/// Writing them reads files of the system, and takes locks that answers to requests take.
async fn metrics(text: MetricsText, counts: Arc<counts::Counts>) -> Response<Body> {
    match tokio::task::spawn_blocking(move || text() + &counts.text()).await {
        Ok(text) => reply::metrics(text),
        Err(error) => {
            tracing::error!(%error, "/metrics cannot be answered");
            reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be read".to_owned())
        }
    }
}

/// In the form of Go's `expvar`. The command line is not told, as etcd tells it: flags can be secrets.
fn vars(source: &dyn HealthSource) -> Response<Body> {
    let vars: Vec<_> = source.vars().into_iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    reply::vars(format!("{{\n{}\n}}\n", vars.join(",\n")))
}

fn version() -> Response<Body> {
    reply::json(format!(
        r#"{{"etcdserver":"{ETCD_VERSION}","etcdcluster":"{CLUSTER_VERSION}","storage":"{STORAGE_VERSION}"}}"#
    ))
}

#[cfg(test)]
mod tests;
