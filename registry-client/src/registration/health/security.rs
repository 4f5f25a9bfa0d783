//! TLS to what is probed: addresses that begin with `https` have settings of it, and no others do.

#[cfg(feature = "health")]
use tokio::io::{AsyncRead, AsyncWrite};

#[cfg(feature = "health")]
use super::{BoxError, network};
#[cfg(feature = "tls")]
use crate::channel::TlsConfig;
use crate::error::Error;
use crate::instance::Endpoint;

/// How probes are secured; nothing without the feature `tls`.
#[derive(Debug, Clone, Default)]
pub(super) struct Security {
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsConfig>,
}

/// An open connection, with TLS or without.
#[cfg(feature = "health")]
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

#[cfg(feature = "health")]
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Security {
    /// Refuses an address without settings and settings without an address. There is none where the probe knows no TLS.
    #[cfg(feature = "tls")]
    pub(super) fn check(&self, endpoint: Option<&Endpoint>) -> Result<(), Error> {
        match (&self.tls, endpoint.filter(|endpoint| is_https(endpoint))) {
            (Some(tls), Some(_)) => tls.check(),
            (None, Some(endpoint)) => Err(Error::Setting(format!(
                "a health check of {endpoint} does not know whom to trust: say so with HealthCheck::tls, or give an http:// address"
            ))),
            (Some(_), None) => Err(Error::Setting(
                "HealthCheck::tls is for HTTP and gRPC at an https:// address: give one, or leave the settings out"
                    .to_owned(),
            )),
            (None, None) => Ok(()),
        }
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_self, reason = "with the feature it has settings of TLS")]
    pub(super) fn check(&self, endpoint: Option<&Endpoint>) -> Result<(), Error> {
        endpoint.filter(|endpoint| is_https(endpoint)).map_or(Ok(()), |endpoint| {
            Err(Error::Setting(format!(
                "a health check of {endpoint} needs the feature `tls` of registry-client and HealthCheck::tls: turn it on, or give an \
                 http:// address"
            )))
        })
    }

    /// Connects to the endpoint, for a protocol by its name in TLS (ALPN).
    #[cfg(feature = "health")]
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "with the feature it names what is spoken"))]
    pub(super) async fn open(&self, endpoint: &Endpoint, protocol: &str) -> Result<Box<dyn Stream>, BoxError> {
        let stream = network::connect(endpoint).await?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return Ok(Box::new(tls.secure(endpoint, stream, protocol).await?));
        }
        Ok(Box::new(stream))
    }
}

fn is_https(endpoint: &Endpoint) -> bool {
    endpoint.scheme() == "https"
}

#[cfg(all(test, feature = "health"))]
#[path = "security_tests.rs"]
mod tests;
