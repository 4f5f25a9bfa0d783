//! Who may use plain HTTP here, as far as browsers enforce it: CORS, and the names under which this host is reached.
//!
//! gRPC has neither, because browsers cannot speak it. As in etcd everybody may by default, and the names are not asked for
//! where TLS has checked them already.

use std::collections::HashSet;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, HOST, HeaderValue, ORIGIN,
    VARY,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tonic::body::Body;
use url::Url;

use super::reply;

const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static("accept, content-type, authorization");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// On a request that came through TLS.
#[derive(Debug, Clone, Copy)]
pub struct Secured;

/// The settings of plain HTTP on the client port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Whether the API is served in JSON. Default: yes.
    pub gateway: bool,
    /// The pages that may read answers in a browser. Default: all.
    pub cors: Origins,
    /// The names of this host that a request may name. Default: all.
    pub host_whitelist: Hosts,
}

/// Origins of pages; none in it stands for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(HashSet<String>);

/// Names of hosts; none in it stands for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(HashSet<String>);

/// What an answer tells the browser: the origin that may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit(Option<HeaderValue>);

impl Default for HttpSettings {
    fn default() -> Self {
        Self { gateway: true, cors: Origins::default(), host_whitelist: Hosts::default() }
    }
}

impl HttpSettings {
    /// Lets a request in, or answers it: with the refusal of a name, or to a browser that only asks what it may.
    ///
    /// # Errors
    /// The answer.
    pub fn admit<B>(&self, request: &Request<B>) -> Result<Permit, Box<Response<Body>>> {
        if request.extensions().get::<Secured>().is_none() {
            let host = host_of(request);
            if !self.host_whitelist.has(host) {
                tracing::warn!(host, "an HTTP request with an unknown host is refused, as it may be DNS rebinding");
                let response = reply::error(StatusCode::MISDIRECTED_REQUEST, unknown_host(host));
                return Err(Box::new(response));
            }
        }
        let permit = self.cors.permit(request.headers().get(ORIGIN));
        if request.method() == Method::OPTIONS {
            let mut response = Response::new(Body::empty());
            permit.write(response.headers_mut());
            return Err(Box::new(response));
        }
        Ok(permit)
    }
}

impl Origins {
    /// Reads origins such as `https://app.example` between commas; `*` and nothing stand for all.
    ///
    /// # Errors
    /// A line about the first that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::default());
        }
        let origin = |text: &str| {
            normal_origin(text).ok_or_else(|| {
                format!("{text:?} is not an origin; write it as https://app.example or http://10.0.0.1:8080")
            })
        };
        text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(origin).collect::<Result<_, _>>().map(Self)
    }

    fn permit(&self, origin: Option<&HeaderValue>) -> Permit {
        if self.0.is_empty() {
            return Permit(Some(ANY));
        }
        let allowed = origin.filter(|origin| {
            let normal = origin.to_str().ok().and_then(normal_origin);
            normal.is_some_and(|origin| self.0.contains(&origin))
        });
        Permit(allowed.cloned())
    }
}

/// As browsers write it: without a port that the scheme implies.
fn normal_origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let is_web = matches!(url.scheme(), "http" | "https");
    (is_bare && is_web && url.username().is_empty()).then(|| url.origin().ascii_serialization())
}

impl Hosts {
    /// Reads names between commas; `*` and nothing stand for all.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let names: HashSet<_> = text.split(',').map(|name| bare(name.trim())).filter(|name| !name.is_empty()).collect();
        Self(if names.contains("*") { HashSet::new() } else { names })
    }

    fn has(&self, host: &str) -> bool {
        self.0.is_empty() || self.0.contains(&bare(host))
    }
}

/// Names are the same in any case, and IPv6 addresses with and without brackets.
fn bare(name: &str) -> String {
    name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

impl Permit {
    /// Puts it into an answer's head.
    pub fn write(&self, headers: &mut HeaderMap) {
        let Some(origin) = &self.0 else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if *origin != ANY {
            // Caches between must not give one page's answer to another.
            headers.insert(VARY, HeaderValue::from_static("origin"));
        }
    }
}

/// The name by which the client called, without the port.
fn host_of<B>(request: &Request<B>) -> &str {
    let header = || request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = request.uri().authority().map_or_else(header, http::uri::Authority::as_str);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// etcd's text, which tells the way out.
fn unknown_host(host: &str) -> String {
    format!(
        "\netcd received your request, but the Host header was unrecognized.\n\n\
         To fix this, choose one of the following options:\n\
         - Enable TLS, then any HTTPS request will be allowed.\n\
         - Add the hostname you want to use to the whitelist in settings.\n  \
         - e.g. etcd --host-whitelist {host:?}\n\n\
         This requirement has been added to help prevent \"DNS Rebinding\" attacks (CVE-2018-5702).\n"
    )
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
