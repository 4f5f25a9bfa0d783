//! The URLs by which members and clients find each other.
//!
//! etcd allows a scheme, a host and a port here and nothing else, or the path of a socket, and shows them to clients as they
//! were written, without a trailing slash. A general URL type would add the slash and drop port 80.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;

/// How a URL's connections are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS.
    Https,
    /// A socket in the file system.
    Unix,
    /// TLS over such a socket.
    Unixs,
}

/// A `scheme://host:port`, or the path of a socket as `unix:///path`.
///
/// ```
/// use registry_server::server::MemberUrl;
///
/// let url: MemberUrl = "http://127.0.0.1:2379".parse()?;
/// assert_eq!(url.port(), Some(2379));
/// assert_eq!(url.to_string(), "http://127.0.0.1:2379");
/// # Ok::<(), registry_server::server::UrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberUrl {
    scheme: Scheme,
    place: Place,
}

/// Where connections go to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Port {
        host: url::Host,
        port: u16,
    },
    /// A path, behind the slashes with which the URL was written.
    Socket {
        slashes: &'static str,
        path: String,
    },
}

/// A text that is not such a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad URL {text:?}: {reason}; write it as http://host:port")]
pub struct UrlError {
    text: String,
    reason: &'static str,
}

impl Scheme {
    /// Whether connections are secured by TLS.
    #[must_use]
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Https | Self::Unixs)
    }
}

impl MemberUrl {
    /// A plain URL of an address, as a listener reports it.
    #[must_use]
    pub fn http(address: SocketAddr) -> Self {
        let host = match address.ip() {
            IpAddr::V4(ip) => url::Host::Ipv4(ip),
            IpAddr::V6(ip) => url::Host::Ipv6(ip),
        };
        Self { scheme: Scheme::Http, place: Place::Port { host, port: address.port() } }
    }

    /// The same URL with the name that etcd's defaults carry.
    pub(super) fn on_localhost(self) -> Self {
        let place = match self.place {
            Place::Port { port, .. } => Place::Port { host: url::Host::Domain("localhost".to_owned()), port },
            socket @ Place::Socket { .. } => socket,
        };
        Self { place, ..self }
    }

    /// How its connections are made.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, as a certificate names it; that of a socket is this machine, as gRPC has it.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.place {
            Place::Port { host: url::Host::Ipv4(ip), .. } => ip.to_string(),
            Place::Port { host: url::Host::Ipv6(ip), .. } => ip.to_string(),
            Place::Port { host: url::Host::Domain(name), .. } => name.clone(),
            Place::Socket { .. } => "localhost".to_owned(),
        }
    }

    /// The port; 0 lets the system choose, on listeners only. A socket has none.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self.place {
            Place::Port { port, .. } => Some(port),
            Place::Socket { .. } => None,
        }
    }

    /// The path of a socket; relative ones begin where the server was started.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        match &self.place {
            Place::Port { .. } => None,
            Place::Socket { path, .. } => Some(Path::new(path)),
        }
    }

    /// The address to listen on. `localhost` is 127.0.0.1; other names have none, as binding a name would
    /// depend on what it resolves to today.
    #[must_use]
    pub fn bind_address(&self) -> Option<SocketAddr> {
        let Place::Port { host, port } = &self.place else { return None };
        let ip = match host {
            url::Host::Ipv4(ip) => IpAddr::V4(*ip),
            url::Host::Ipv6(ip) => IpAddr::V6(*ip),
            url::Host::Domain(name) if name == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            url::Host::Domain(_) => return None,
        };
        Some(SocketAddr::new(ip, *port))
    }

    /// The host means "every address of this machine", so nobody can connect to the URL.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        match self.place {
            Place::Port { host: url::Host::Ipv4(ip), .. } => ip == Ipv4Addr::UNSPECIFIED,
            Place::Port { host: url::Host::Ipv6(ip), .. } => ip == Ipv6Addr::UNSPECIFIED,
            Place::Port { .. } | Place::Socket { .. } => false,
        }
    }

    /// The same URL with the port that was really bound.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        let place = match &self.place {
            Place::Port { host, .. } => Place::Port { host: host.clone(), port },
            socket @ Place::Socket { .. } => socket.clone(),
        };
        Self { place, ..self.clone() }
    }
}

impl FromStr for MemberUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let bad = |reason| UrlError { text: text.to_owned(), reason };
        let (scheme, rest) = text.trim().split_once(':').ok_or_else(|| bad("no scheme"))?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "unix" => Scheme::Unix,
            "unixs" => Scheme::Unixs,
            _ if !rest.starts_with("//") => return Err(bad("no scheme")),
            _ => return Err(bad("the scheme is none of http, https, unix and unixs")),
        };
        let place = match scheme {
            Scheme::Http | Scheme::Https => port(rest),
            Scheme::Unix | Scheme::Unixs => socket(rest),
        };
        Ok(Self { scheme, place: place.map_err(bad)? })
    }
}

fn port(rest: &str) -> Result<Place, &'static str> {
    let rest = rest.strip_prefix("//").ok_or("no scheme")?;
    if rest.contains(['/', '?', '#', '@']) {
        return Err("only a host and a port may follow the scheme");
    }
    let (host, port) = rest.rsplit_once(':').ok_or("no port")?;
    let host = url::Host::parse(host).map_err(|_| "the host is neither a name nor an address")?;
    let port = port.parse().map_err(|_| "the port is not a number from 0 to 65535")?;
    Ok(Place::Port { host, port })
}

/// As etcd has it, host and path together name the file: `unix://a:1/b` is `a:1/b`, and `unix:/a` and `unix:///a` are `/a`.
fn socket(rest: &str) -> Result<Place, &'static str> {
    let (slashes, path) = match rest.strip_prefix("//") {
        Some(path) => ("//", path),
        None if rest.starts_with('/') => ("", rest),
        None => return Err("a socket is written as unix:///path"),
    };
    if path.is_empty() || path.ends_with('/') || path.contains(['?', '#', '@', '%', '\0', ',']) {
        return Err("a socket is written as unix:///path, with a plain path");
    }
    Ok(Place::Socket { slashes, path: path.to_owned() })
}

impl fmt::Display for MemberUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Unix => "unix",
            Scheme::Unixs => "unixs",
        };
        match &self.place {
            Place::Port { host, port } => write!(f, "{scheme}://{host}:{port}"),
            Place::Socket { slashes, path } => write!(f, "{scheme}:{slashes}{path}"),
        }
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
    fn a_socket_is_where_etcd_has_it() {
        for (text, path) in [
            ("unix:///run/a.sock", "/run/a.sock"),
            ("unix:/run/a.sock", "/run/a.sock"),
            ("unixs://localhost:2379", "localhost:2379"),
            ("unix://dir/a.sock", "dir/a.sock"),
        ] {
            let url: MemberUrl = text.parse().unwrap();
            assert_eq!((url.socket(), url.to_string()), (Some(Path::new(path)), text.to_owned()));
            assert_eq!((url.port(), url.bind_address()), (None, None));
        }
        for text in ["unix:a.sock", "unix://", "unix:", "unix:///", "unix:///a?b"] {
            assert!(text.parse::<MemberUrl>().is_err(), "{text:?} was accepted");
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
