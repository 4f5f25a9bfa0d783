//! The plain HTTP paths beside gRPC on the client port: version and health, for probes and people.
//!
//! They answer as etcd's do, to the byte, because scripts and orchestrators compare them. Only GET is
//! answered, no request body is read, and what the checks ask of the node goes through [`HealthSource`].

mod checks;
mod health;
mod reply;

use std::pin::Pin;
use std::sync::Arc;

use http::{Method, Response, Uri};
use registry_proto::etcdserverpb::AlarmType;
use tonic::Status;
use tonic::body::Body;

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
}

/// Answers the HTTP paths.
#[derive(Clone)]
pub struct Paths(Arc<dyn HealthSource>);

impl std::fmt::Debug for Paths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Paths")
    }
}

impl Paths {
    /// Paths whose checks ask `source`.
    pub fn new(source: Arc<dyn HealthSource>) -> Self {
        Self(source)
    }

    /// The answer to a request; 404 for a path that is not here, 405 for anything but GET.
    pub async fn answer(&self, method: &Method, uri: &Uri) -> Response<Body> {
        let source = &*self.0;
        let path = uri.path();
        let query = Query::of(uri);
        let is_known = matches!(path, "/health" | "/version") || checks::find(path).is_some();
        if is_known && method != Method::GET {
            return reply::method_not_allowed();
        }
        match path {
            "/health" => health::answer(source, &query).await,
            "/version" => version(),
            _ => match checks::find(path) {
                Some(group) => checks::answer(source, group, &query).await,
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

fn version() -> Response<Body> {
    reply::json(format!(
        r#"{{"etcdserver":"{ETCD_VERSION}","etcdcluster":"{CLUSTER_VERSION}","storage":"{STORAGE_VERSION}"}}"#
    ))
}

#[cfg(test)]
mod tests;
