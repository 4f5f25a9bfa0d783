//! The connection: to the first endpoint that can be reached, with TLS and a login if they were asked for.

use std::error::Error;
use std::path::Path;

use registry_proto::etcdserverpb::AuthenticateRequest;
use registry_proto::etcdserverpb::auth_client::AuthClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::error::CtlError;
use crate::global::Global;

/// What every client is made over.
pub(crate) type Connection = InterceptedService<Channel, Token>;

/// Adds the token to each request, if there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Token(Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("token", token.clone());
        }
        Ok(request)
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
    let login = login(global)?;
    let channel = dial(global, endpoint).await?;
    let Some((name, password)) = login else { return Ok(Connection::new(channel, Token::default())) };
    let request = Request::new(AuthenticateRequest { name, password });
    let answer = AuthClient::new(channel.clone()).authenticate(request).await?.into_inner();
    let token =
        MetadataValue::try_from(answer.token).map_err(|_| CtlError::Answer("the token is not text".to_owned()))?;
    Ok(Connection::new(channel, Token(Some(token))))
}

/// Name and password, if there is to be a user.
pub(crate) fn login(global: &Global) -> Result<Option<(String, String)>, CtlError> {
    let Some(user) = &global.user else { return Ok(None) };
    let (name, inline) = user.split_once(':').map_or((user.as_str(), None), |(name, password)| (name, Some(password)));
    let password = global.password.as_deref().or(inline);
    let text = format!("--user {name} needs a password: give --password, or --user {name}:PASSWORD");
    let password = password.ok_or(CtlError::Arguments(text))?;
    Ok(Some((name.to_owned(), password.to_owned())))
}

/// The endpoint with its scheme.
pub(crate) fn url_of(global: &Global, endpoint: &str) -> String {
    let wants_tls = global.cacert.is_some() || global.cert.is_some();
    match (endpoint.contains("://"), wants_tls) {
        (true, _) => endpoint.to_owned(),
        (false, true) => format!("https://{endpoint}"),
        (false, false) => format!("http://{endpoint}"),
    }
}

async fn dial(global: &Global, endpoint: &str) -> Result<Channel, CtlError> {
    let url = url_of(global, endpoint);
    let wrong =
        |error: tonic::transport::Error| CtlError::Arguments(format!("--endpoints {endpoint}: {}", all_of(&error)));
    let agent = concat!("registryctl/", env!("CARGO_PKG_VERSION"));
    let dialled = Endpoint::from_shared(url.clone()).and_then(|dialled| dialled.user_agent(agent)).map_err(wrong)?;
    // A request is bounded by its command: here the time of a stream would be as well.
    let mut dialled = dialled.connect_timeout(global.dial_timeout);
    if url.starts_with("https://") {
        dialled = dialled.tls_config(tls(global)?).map_err(wrong)?;
    }
    dialled.connect().await.map_err(|error| CtlError::Unreachable(format!("{endpoint}: {}", all_of(&error))))
}

fn tls(global: &Global) -> Result<ClientTlsConfig, CtlError> {
    let mut tls = ClientTlsConfig::new();
    tls = match &global.cacert {
        Some(file) => tls.ca_certificate(Certificate::from_pem(read(file)?)),
        None => tls.with_native_roots(),
    };
    if let (Some(cert), Some(key)) = (&global.cert, &global.tls_key) {
        tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    Ok(tls)
}

/// A file that was named on the command line.
#[expect(clippy::disallowed_methods, reason = "a program's own arguments, read before anything runs")]
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, CtlError> {
    std::fs::read(file).map_err(CtlError::io(file.display().to_string()))
}

/// An error with its causes, each once.
fn all_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
