//! The connection: to the first endpoint that can be reached, with TLS and a login if they were asked for.
//!
//! [`mod@dial`] opens the wire and looks at the first thing that comes back over it, [`verifier`] is for those who want no check of
//! the server's certificate, [`reason`] turns what went wrong into words. An error of a connection always names the endpoint
//! and says what to do.

mod dial;
mod pages;
mod reason;
mod verifier;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use registry_proto::etcdserverpb::AuthenticateRequest;
use registry_proto::etcdserverpb::auth_client::AuthClient;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tower_service::Service;

use self::dial::{Dialler, Seen};
pub(crate) use self::pages::text;
use self::reason::{all_of, lost, unreachable};
use crate::error::CtlError;
use crate::global::Global;
use crate::output::tell;

/// What gRPC asks its clients to keep between two pings; servers end the connections of those who do not.
const LEAST_PING: Duration = Duration::from_secs(10);

/// What every client is made over: it adds the token to each request if there is one, and an error of the connection says
/// whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    channel: Channel,
    token: Option<HeaderValue>,
    seen: Seen,
    endpoint: Arc<str>,
    debug: bool,
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.channel.poll_ready(context).map_err(|error| lost(&self.endpoint, &error, &self.seen))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(token) = &self.token {
            request.headers_mut().insert("token", token.clone());
        }
        if self.debug {
            tell(&format!("debug: {}: {}", self.endpoint, request.uri().path()));
        }
        let (endpoint, seen) = (Arc::clone(&self.endpoint), self.seen.clone());
        let answer = self.channel.call(request);
        Box::pin(async move { answer.await.map_err(|error| lost(&endpoint, &error, &seen)) })
    }
}

/// Connects to the first of the endpoints that can be reached.
pub(crate) async fn any(global: &Global) -> Result<Connection, CtlError> {
    let mut reasons = Vec::new();
    for endpoint in &global.endpoints {
        match to(global, endpoint).await {
            Ok(connection) => return Ok(connection),
            Err(CtlError::Unreachable(reason)) => reasons.push(reason),
            Err(error) => return Err(error),
        }
    }
    Err(CtlError::Unreachable(reasons.join("; ")))
}

/// Connects to one endpoint, and logs in there.
pub(crate) async fn to(global: &Global, endpoint: &str) -> Result<Connection, CtlError> {
    let login = login(global).await?;
    let mut connection = dial(global, endpoint).await?;
    if let Some(token) = &global.auth_jwt_token {
        connection.token = Some(header(token)?);
    }
    let Some((name, password)) = login else { return Ok(connection) };
    let request = AuthenticateRequest { name, password };
    match AuthClient::new(connection.clone()).authenticate(request).await {
        Ok(answer) => connection.token = Some(header(&answer.into_inner().token)?),
        // Nobody needs to log in here, and the user may as well be given.
        Err(status) if status.message() == "etcdserver: authentication is not enabled" => {}
        Err(status) => return Err(status.into()),
    }
    Ok(connection)
}

fn header(token: &str) -> Result<HeaderValue, CtlError> {
    HeaderValue::from_str(token).map_err(|_| CtlError::Answer("the token is not text".to_owned()))
}

/// Name and password, if there is to be a user; the latter is asked for where somebody can be.
pub(crate) async fn login(global: &Global) -> Result<Option<(String, String)>, CtlError> {
    let Some(user) = &global.user else { return Ok(None) };
    let (name, inline) = user.split_once(':').map_or((user.as_str(), None), |(name, password)| (name, Some(password)));
    if let Some(password) = global.password.as_deref().or(inline) {
        return Ok(Some((name.to_owned(), password.to_owned())));
    }
    let text = format!("--user {name} needs a password: give --password, or --user {name}:PASSWORD");
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Err(CtlError::Arguments(text));
    }
    let name = name.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        rpassword::prompt_password(format!("Password of {name}: ")).map(|password| Some((name, password)))
    });
    asked.await.map_err(|error| CtlError::Answer(error.to_string()))?.map_err(CtlError::io("the password"))
}

/// The endpoint with its scheme.
pub(crate) fn url_of(global: &Global, endpoint: &str) -> String {
    let wants_tls = global.cacert.is_some() || global.cert.is_some() || !global.insecure_transport;
    match (endpoint.contains("://"), wants_tls) {
        (true, _) => endpoint.to_owned(),
        (false, true) => format!("https://{endpoint}"),
        (false, false) => format!("http://{endpoint}"),
    }
}

async fn dial(global: &Global, endpoint: &str) -> Result<Connection, CtlError> {
    let url = url_of(global, endpoint);
    let wrong =
        |error: tonic::transport::Error| CtlError::Arguments(format!("--endpoints {endpoint}: {}", all_of(&error)));
    let agent = concat!("registryctl/", env!("CARGO_PKG_VERSION"));
    let dialled = Endpoint::from_shared(url.clone()).and_then(|dialled| dialled.user_agent(agent)).map_err(wrong)?;
    // A request is bounded by its command: here the time of a stream would be as well.
    let mut dialled = dialled
        .connect_timeout(global.dial_timeout)
        .http2_keep_alive_interval(global.keepalive_time.max(LEAST_PING))
        .keep_alive_timeout(global.keepalive_timeout);
    if url.starts_with("https://") {
        dialled = match global.insecure_skip_tls_verify {
            true => dialled.tls_config_with_verifier(identified(global, ClientTlsConfig::new())?, verifier::nobody()),
            false => dialled.tls_config(tls(global)?),
        }
        .map_err(wrong)?;
    }
    if global.debug {
        tell(&format!("debug: {endpoint}: connecting to {url}"));
    }
    let seen = Seen::default();
    let channel = dialled.connect_with_connector(Dialler { seen: seen.clone() }).await.map_err(|error| {
        CtlError::Unreachable(format!("{endpoint}: {}", unreachable(&error, &url, global.dial_timeout, &seen)))
    })?;
    if global.debug {
        tell(&format!("debug: {endpoint}: connected"));
    }
    Ok(Connection { channel, token: None, seen, endpoint: endpoint.into(), debug: global.debug })
}

fn tls(global: &Global) -> Result<ClientTlsConfig, CtlError> {
    let tls = ClientTlsConfig::new();
    let tls = match &global.cacert {
        Some(file) => tls.ca_certificate(Certificate::from_pem(read(file)?)),
        None => tls.with_native_roots(),
    };
    identified(global, tls)
}

/// With the client's own certificate, if it has one.
fn identified(global: &Global, tls: ClientTlsConfig) -> Result<ClientTlsConfig, CtlError> {
    let (Some(cert), Some(key)) = (&global.cert, &global.tls_key) else { return Ok(tls) };
    Ok(tls.identity(Identity::from_pem(read(cert)?, read(key)?)))
}

/// A file that was named on the command line.
#[expect(clippy::disallowed_methods, reason = "a program's own arguments, read before anything runs")]
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, CtlError> {
    std::fs::read(file).map_err(CtlError::io(file.display().to_string()))
}
