//! Which address others are told: a listener knows where it listens, and not how it is reached.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{UdpSocket, lookup_host};

use crate::client::Registry;
use crate::instance::{Endpoint, EndpointError};

/// Where Kubernetes' downward API is usually told to put the pod's address.
const POD_IP: &str = "POD_IP";

/// How the address that is registered is found, for a listener that is bound.
///
/// ```
/// use registry_client::Advertise;
///
/// let in_a_container = Advertise::env("POD_IP");
/// let behind_a_name = Advertise::host("pay-7.pay.prod.svc");
/// # let _ = (in_a_container, behind_a_name);
/// ```
#[derive(Debug, Clone)]
pub struct Advertise(Source);

#[derive(Debug, Clone)]
enum Source {
    Auto,
    Host(String),
    Env(String),
    Route,
    Endpoint(Endpoint),
}

impl Default for Advertise {
    fn default() -> Self {
        Self::auto()
    }
}

impl Advertise {
    /// The address that the listener is bound to, if it is one that others can dial. For a listener on every
    /// interface: what `POD_IP` says if it is set, or else as [`Advertise::route`].
    pub fn auto() -> Self {
        Self(Source::Auto)
    }

    /// A name or an address, with the listener's port.
    pub fn host(host: impl Into<String>) -> Self {
        Self(Source::Host(host.into()))
    }

    /// The name or address that an environment variable holds, with the listener's port.
    pub fn env(variable: impl Into<String>) -> Self {
        Self(Source::Env(variable.into()))
    }

    /// The address of the interface over which packets to the registry leave, with the listener's port. Nothing is
    /// sent to find it. A registry on the loopback gives a loopback address, which is right on one machine only.
    pub fn route() -> Self {
        Self(Source::Route)
    }

    /// Scheme, host and port as they are, whatever the listener says: for forwarded ports.
    pub fn endpoint(endpoint: Endpoint) -> Self {
        Self(Source::Endpoint(endpoint))
    }

    /// The endpoint to register for a listener that is bound there: what [`Registry::serve`] does by itself, for who registers what
    /// another process serves. The environment is this process's; `scheme` is the endpoint's.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    /// When no address is found, or the one that is found cannot be dialled.
    pub async fn endpoint_of(
        &self,
        registry: &Registry,
        bound: SocketAddr,
        scheme: &str,
    ) -> Result<Endpoint, AdvertiseError> {
        self.resolve(bound, scheme, registry.endpoints(), |name| std::env::var(name).ok()).await
    }

    /// The same; `registry` is whom a route leads to.
    pub(super) async fn resolve(
        &self,
        bound: SocketAddr,
        scheme: &str,
        registry: &[Endpoint],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Endpoint, AdvertiseError> {
        let named = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let host = match &self.0 {
            Source::Endpoint(endpoint) => return Ok(endpoint.clone()),
            Source::Host(host) => host.clone(),
            Source::Env(name) => named(name).ok_or_else(|| AdvertiseError::Variable(name.clone()))?,
            Source::Auto if !bound.ip().is_unspecified() => bound.ip().to_string(),
            Source::Auto => match named(POD_IP) {
                Some(host) => host,
                None => route(bound.ip(), registry).await?.to_string(),
            },
            Source::Route => route(bound.ip(), registry).await?.to_string(),
        };
        let host = host.trim();
        let host = host.parse::<Ipv6Addr>().map_or_else(|_| host.to_owned(), |address| format!("[{address}]"));
        Ok(Endpoint::parse(&format!("{scheme}://{host}:{}", bound.port()))?)
    }
}

/// Why there is no address to register.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdvertiseError {
    /// The listener cannot say where it is bound.
    #[error("the listener does not say where it is bound")]
    Listener(#[source] io::Error),
    /// The environment variable is not set, or empty.
    #[error("{0} is not set: set it to the address at which others reach this process, or name the address otherwise")]
    Variable(String),
    /// There is no way to the registry from which to read off an address.
    #[error("no interface leads to the registry ({0}): name the address to advertise")]
    Route(String),
    /// The address could not be dialled.
    #[error("the address to advertise")]
    Endpoint(#[from] EndpointError),
}

/// The address of the interface over which the first of the registry's endpoints would be reached.
async fn route(bound: IpAddr, registry: &[Endpoint]) -> Result<IpAddr, AdvertiseError> {
    let mut last = "it has no endpoint".to_owned();
    for endpoint in registry {
        match route_to(bound, endpoint).await {
            Ok(address) if address.is_loopback() => {
                tracing::warn!(%address, %endpoint, "the address to advertise is of use on this machine only");
                return Ok(address);
            }
            Ok(address) => return Ok(address),
            Err(error) => last = format!("{endpoint}: {error}"),
        }
    }
    Err(AdvertiseError::Route(last))
}

async fn route_to(bound: IpAddr, endpoint: &Endpoint) -> io::Result<IpAddr> {
    // Who listens on every IPv4 interface is not reached by IPv6; the other way it is, on Linux.
    let reaches = |address: &SocketAddr| bound.is_ipv6() || address.is_ipv4();
    let address = lookup_host((endpoint.host(), endpoint.port())).await?.find(reaches);
    let address = address.ok_or_else(|| io::Error::other("no address of the listener's family"))?;
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Connecting a datagram socket only chooses the way.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(advertise: Advertise, bound: &str, pod_ip: Option<&str>) -> Result<String, AdvertiseError> {
        let registry = [Endpoint::parse("http://127.0.0.1:2379").unwrap()];
        let variable = |name: &str| pod_ip.filter(|_| name == POD_IP).map(str::to_owned);
        let endpoint = advertise.resolve(bound.parse().unwrap(), "http", &registry, variable).await;
        endpoint.map(|endpoint| endpoint.to_string())
    }

    #[tokio::test]
    async fn a_bound_address_is_advertised_and_an_unspecified_one_never() {
        let auto = || Advertise::auto();
        assert_eq!(resolve(auto(), "10.1.2.3:80", Some("10.9.9.9")).await.unwrap(), "http://10.1.2.3:80");
        assert_eq!(resolve(auto(), "0.0.0.0:81", Some("10.9.9.9")).await.unwrap(), "http://10.9.9.9:81");
        assert_eq!(resolve(auto(), "[::]:81", Some("fd00::7\n")).await.unwrap(), "http://[fd00::7]:81");
        assert_eq!(resolve(auto(), "0.0.0.0:81", Some("")).await.unwrap(), "http://127.0.0.1:81", "by the route");
        assert_eq!(resolve(Advertise::route(), "0.0.0.0:81", None).await.unwrap(), "http://127.0.0.1:81");
        assert_eq!(resolve(Advertise::host("pay.svc"), "0.0.0.0:81", None).await.unwrap(), "http://pay.svc:81");
        let endpoint = Endpoint::parse("https://pay.example:443").unwrap();
        assert_eq!(
            resolve(Advertise::endpoint(endpoint), "0.0.0.0:81", None).await.unwrap(),
            "https://pay.example:443"
        );
    }

    #[tokio::test]
    async fn what_cannot_be_advertised_is_told_with_the_mend() {
        let error = resolve(Advertise::env("POD_IP"), "0.0.0.0:80", None).await.unwrap_err();
        assert!(matches!(&error, AdvertiseError::Variable(name) if name == "POD_IP"), "{error:?}");
        for host in ["0.0.0.0", "::"] {
            let error = resolve(Advertise::host(host), "10.0.0.1:80", None).await.unwrap_err();
            assert!(matches!(error, AdvertiseError::Endpoint(EndpointError::Unspecified(_))), "{error:?}");
        }
        let error = resolve(Advertise::auto(), "10.0.0.1:0", None).await.unwrap_err();
        assert!(matches!(error, AdvertiseError::Endpoint(EndpointError::PortZero(_))), "{error:?}");
    }

    #[tokio::test]
    async fn a_listener_on_ipv4_is_not_advertised_by_ipv6() {
        let registry = [Endpoint::parse("http://[::1]:2379").unwrap()];
        let error = route(Ipv4Addr::UNSPECIFIED.into(), &registry).await.unwrap_err();
        assert!(matches!(error, AdvertiseError::Route(_)), "{error:?}");
    }
}
