//! One address at which an instance listens.
//!
//! An endpoint is only ever made by parsing, so one that exists can be dialled: it has a host that other
//! machines can reach in principle and a port that is not 0.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Scheme, host and port, and the name that the server's certificate must carry.
///
/// ```
/// use registry_client::Endpoint;
///
/// let endpoint = Endpoint::parse("https://[2001:db8::7]:9000")?.with_server_name("pay.internal");
/// assert_eq!(endpoint.authority(), "[2001:db8::7]:9000");
/// assert_eq!(endpoint.server_name(), "pay.internal");
/// assert!(Endpoint::parse("http://0.0.0.0:9000").is_err());
/// # Ok::<(), registry_client::EndpointError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    scheme: String,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    server_name: Option<String>,
}

/// Why a text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// It does not read `scheme://host:port`.
    #[error("{0:?} is not of the form scheme://host:port")]
    Syntax(String),
    /// Port 0 means "any port" to a listener and nothing to a client.
    #[error("{0:?} names port 0: advertise the port that the listener was given")]
    PortZero(String),
    /// `0.0.0.0` and `::` mean "every interface" to a listener and nothing to a client.
    #[error("{0:?} names the unspecified address: advertise one that clients can reach")]
    Unspecified(String),
}

impl From<Infallible> for EndpointError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Endpoint {
    /// Reads `scheme://host:port`; the port may be left out for `http` (80) and `https` (443).
    ///
    /// # Errors
    /// When the text has another form, a path, user information, port 0 or the unspecified address.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        // What stands before an @ may be a password.
        let syntax = || {
            EndpointError::Syntax(
                text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, rest)| format!("...@{rest}")),
            )
        };
        let uri: http::Uri = text.parse().map_err(|_| syntax())?;
        let scheme = uri.scheme_str().ok_or_else(syntax)?.to_ascii_lowercase();
        let authority = uri.authority().ok_or_else(syntax)?;
        if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(syntax());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let port = match (authority.port_u16(), scheme.as_str()) {
            (Some(port), _) => port,
            (None, _) if authority.as_str().len() > authority.host().len() => return Err(syntax()),
            (None, "http") => 80,
            (None, "https") => 443,
            (None, _) => return Err(syntax()),
        };
        if host.is_empty() {
            return Err(syntax());
        }
        if port == 0 {
            return Err(EndpointError::PortZero(text.to_owned()));
        }
        if host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
            return Err(EndpointError::Unspecified(text.to_owned()));
        }
        Ok(Self { scheme, host, port, server_name: None })
    }

    /// Names what the server's certificate must carry, where that is not the host.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// `http`, `https` or whatever the service speaks, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that the server's certificate must carry: the host unless another was given.
    pub fn server_name(&self) -> &str {
        self.server_name.as_deref().unwrap_or(&self.host)
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// `scheme://host:port`.
    pub fn uri(&self) -> String {
        format!("{}://{}", self.scheme, self.authority())
    }

    pub(super) fn explicit_server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.uri())
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: &str) -> Result<Self, EndpointError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        for text in ["http://0.0.0.0:80", "http://[::]:80"] {
            assert!(matches!(Endpoint::parse(text), Err(EndpointError::Unspecified(_))), "{text}");
        }
        assert!(matches!(Endpoint::parse("http://h:0"), Err(EndpointError::PortZero(_))));
        for text in ["", "h:80", "http://", "http://h:", "tcp://h", "http://h:70000", "http://u@h:1", "http://h:1/p"] {
            assert!(matches!(Endpoint::parse(text), Err(EndpointError::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn an_endpoint_reads_back_as_itself() {
        for text in ["http://10.0.0.7:9000", "https://[2001:db8::1]:1", "tcp://pay.internal:7000"] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.to_string(), text);
            assert_eq!(Endpoint::parse(&endpoint.uri()).unwrap(), endpoint);
        }
        assert_eq!(Endpoint::parse("https://Pay.Internal").unwrap().authority(), "pay.internal:443");
    }
}
