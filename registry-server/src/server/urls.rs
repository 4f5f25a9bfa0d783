//! The URLs by which members and clients find each other.
//!
//! etcd allows a scheme, a host and a port here and nothing else, and shows them to clients as they were
//! written, without a trailing slash. A general URL type would add the slash and drop port 80.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// How a URL's connections are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS.
    Https,
}

/// A `scheme://host:port`.
///
/// ```
/// use registry_server::server::MemberUrl;
///
/// let url: MemberUrl = "http://127.0.0.1:2379".parse()?;
/// assert_eq!(url.port(), 2379);
/// assert_eq!(url.to_string(), "http://127.0.0.1:2379");
/// # Ok::<(), registry_server::server::UrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberUrl {
    scheme: Scheme,
    host: url::Host,
    port: u16,
}

/// A text that is not such a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad URL {text:?}: {reason}; write it as http://host:port")]
pub struct UrlError {
    text: String,
    reason: &'static str,
}

impl MemberUrl {
    /// A plain URL of an address, as a listener reports it.
    #[must_use]
    pub fn http(address: SocketAddr) -> Self {
        let host = match address.ip() {
            IpAddr::V4(ip) => url::Host::Ipv4(ip),
            IpAddr::V6(ip) => url::Host::Ipv6(ip),
        };
        Self { scheme: Scheme::Http, host, port: address.port() }
    }

    /// The same URL with the name that etcd's defaults carry.
    pub(super) fn on_localhost(self) -> Self {
        Self { host: url::Host::Domain("localhost".to_owned()), ..self }
    }

    /// How its connections are made.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, as a certificate names it.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.host {
            url::Host::Ipv4(ip) => ip.to_string(),
            url::Host::Ipv6(ip) => ip.to_string(),
            url::Host::Domain(name) => name.clone(),
        }
    }

    /// The port; 0 lets the system choose, on listeners only.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address to listen on. `localhost` is 127.0.0.1; other names have none, as binding a name would
    /// depend on what it resolves to today.
    #[must_use]
    pub fn bind_address(&self) -> Option<SocketAddr> {
        let ip = match &self.host {
            url::Host::Ipv4(ip) => IpAddr::V4(*ip),
            url::Host::Ipv6(ip) => IpAddr::V6(*ip),
            url::Host::Domain(name) if name == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            url::Host::Domain(_) => return None,
        };
        Some(SocketAddr::new(ip, self.port))
    }

    /// The host means "every address of this machine", so nobody can connect to the URL.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        match self.host {
            url::Host::Ipv4(ip) => ip == Ipv4Addr::UNSPECIFIED,
            url::Host::Ipv6(ip) => ip == Ipv6Addr::UNSPECIFIED,
            url::Host::Domain(_) => false,
        }
    }

    /// The same URL with the port that was really bound.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self { port, ..self.clone() }
    }
}

impl FromStr for MemberUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let bad = |reason| UrlError { text: text.to_owned(), reason };
        let (scheme, rest) = text.trim().split_once("://").ok_or_else(|| bad("no scheme"))?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "unix" | "unixs" => return Err(bad("unix sockets are not supported")),
            _ => return Err(bad("the scheme is neither http nor https")),
        };
        if rest.contains(['/', '?', '#', '@']) {
            return Err(bad("only a host and a port may follow the scheme"));
        }
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| bad("no port"))?;
        let host = url::Host::parse(host).map_err(|_| bad("the host is neither a name nor an address"))?;
        let port = port.parse().map_err(|_| bad("the port is not a number from 0 to 65535"))?;
        Ok(Self { scheme, host, port })
    }
}

impl fmt::Display for MemberUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_as_it_was_written() {
        for text in ["http://localhost:2379", "http://10.0.0.1:80", "https://[::1]:2379", "http://a.example:1"] {
            assert_eq!(text.parse::<MemberUrl>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_but_scheme_host_and_port_is_refused() {
        for text in ["", "localhost:2379", "ftp://a:1", "http://a", "http://a:1/", "http://a:70000", "http://:1"] {
            assert!(text.parse::<MemberUrl>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn only_addresses_and_localhost_can_be_bound() {
        let bind = |text: &str| text.parse::<MemberUrl>().unwrap().bind_address();
        assert_eq!(bind("http://localhost:7").unwrap().to_string(), "127.0.0.1:7");
        assert_eq!(bind("http://[::]:7").unwrap().to_string(), "[::]:7");
        assert_eq!(bind("http://registry.example:7"), None);
    }
}
