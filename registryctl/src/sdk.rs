//! The registry as the SDK speaks to it, by the same flags as [`connect`]: endpoints, user and TLS.

use std::error::Error as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use registry_client::{Error, Registry, TlsConfig};

use crate::connect;
use crate::error::CtlError;
use crate::global::Global;

/// The client. It connects when there is something to say, and again whenever it has to.
pub(crate) async fn registry(global: &Global, namespace: &str) -> Result<Registry, CtlError> {
    if global.auth_jwt_token.is_some() {
        return Err(CtlError::Arguments(
            "--auth-jwt-token: this command logs in: give --user and --password".to_owned(),
        ));
    }
    if global.insecure_skip_tls_verify {
        let text = "--insecure-skip-tls-verify: this command checks the server's certificate always: give --cacert";
        return Err(CtlError::Arguments(text.to_owned()));
    }
    let urls: Vec<_> = global.endpoints.iter().map(|endpoint| connect::url_of(global, endpoint)).collect();
    let secured = urls.iter().filter(|url| url.starts_with("https://")).count();
    if secured > 0 && secured < urls.len() {
        let text = "--endpoints: give all with https://, or all with http://, as this command speaks to all in one way";
        return Err(CtlError::Arguments(text.to_owned()));
    }
    let mut builder = Registry::builder(urls).namespace(namespace);
    if let Some((user, password)) = connect::login(global).await? {
        builder = builder.auth(user, password);
    }
    if secured > 0 {
        builder = builder.tls(tls(global)?);
    }
    builder.build().map_err(failed)
}

fn tls(global: &Global) -> Result<TlsConfig, CtlError> {
    let mut tls = match &global.cacert {
        Some(file) => TlsConfig::new().ca_file(file),
        None => TlsConfig::new().ca_pem(system_authorities()?),
    };
    if let (Some(cert), Some(key)) = (&global.cert, &global.tls_key) {
        tls = tls.identity_files(cert, key);
    }
    Ok(tls)
}

/// The certificates that this machine trusts, as PEM.
fn system_authorities() -> Result<String, CtlError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let text = "this machine trusts no certificate of its own: name the registry's CA with --cacert";
        return Err(CtlError::Arguments(text.to_owned()));
    }
    let pem = |der: &[u8]| {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64_STANDARD.encode(der))
    };
    Ok(found.certs.iter().map(|certificate| pem(certificate)).collect())
}

/// The SDK's error in this program's words, each cause once.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub(crate) fn failed(error: Error) -> CtlError {
    match &error {
        Error::Unavailable { message } => CtlError::Unreachable(message.clone()),
        Error::Refused { message, .. } => CtlError::Registry(message.clone()),
        Error::Endpoint(_) | Error::Instance(_) | Error::Setting(_) => CtlError::Arguments(told(&error)),
        _ => CtlError::Registry(told(&error)),
    }
}

/// The error and what it comes from, in one line.
pub(crate) fn told(error: &Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
