//! `--check`: how it is found out whether the process is ready, and remains so.

use std::str::FromStr;

use registry_client::{Endpoint, EndpointError, HealthCheck, Instance};

use crate::error::CtlError;

/// A probe that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    kind: Kind,
    /// Where; the instance's first endpoint if it is not said.
    at: Option<Endpoint>,
    /// The path that is asked for, or the service's name in gRPC.
    what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
    Grpc,
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let kind = match kind {
            "tcp" => Kind::Tcp,
            "http" => Kind::Http,
            "grpc" => Kind::Grpc,
            _ => return Err(format!("{kind:?} is no check: give tcp, http or grpc, or an address that begins so")),
        };
        let (at, what) = match rest.strip_prefix("//") {
            None => (None, rest),
            Some(rest) => {
                let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
                let at = Endpoint::parse(&format!("http://{authority}")).map_err(|error| error.to_string())?;
                (Some(at), path)
            }
        };
        let what = match kind {
            Kind::Http if what.is_empty() => "/",
            Kind::Grpc => what.trim_start_matches('/'),
            Kind::Tcp if !what.is_empty() => {
                return Err(format!("{text:?}: a tcp check asks for nothing: leave {what} out"));
            }
            Kind::Http | Kind::Tcp => what,
        };
        Ok(Self { kind, at, what: what.to_owned() })
    }
}

impl Check {
    /// The probe for that instance.
    pub(super) fn probe(&self, instance: &Instance) -> Result<HealthCheck, CtlError> {
        let first = instance.endpoints().next().map(|(_, endpoint)| endpoint);
        let nowhere = || CtlError::Arguments("--check: the instance has no endpoint to look at".to_owned());
        let at = self.at.as_ref().or(first).ok_or_else(nowhere)?;
        // Other schemes are spoken to in the clear by these as well.
        let at = Endpoint::parse(&format!("http://{}", at.authority()));
        let probe = at.and_then(|at| match self.kind {
            Kind::Tcp => HealthCheck::tcp(at),
            Kind::Http => HealthCheck::http(at, &self.what),
            Kind::Grpc => HealthCheck::grpc(at, self.what.as_str()),
        });
        probe.map_err(|error: EndpointError| CtlError::Arguments(format!("--check: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_says_how_where_and_for_what() {
        let parsed = |text: &str| text.parse::<Check>();
        let check = |kind, at: Option<&str>, what: &str| {
            Ok(Check { kind, at: at.map(|at| Endpoint::parse(at).unwrap()), what: what.to_owned() })
        };
        assert_eq!(parsed("tcp"), check(Kind::Tcp, None, ""));
        assert_eq!(parsed("http"), check(Kind::Http, None, "/"));
        assert_eq!(parsed("http:/healthz"), check(Kind::Http, None, "/healthz"));
        assert_eq!(parsed("grpc:pay.Pay"), check(Kind::Grpc, None, "pay.Pay"));
        assert_eq!(parsed("http://[::1]:9/a/b"), check(Kind::Http, Some("http://[::1]:9"), "/a/b"));
        assert_eq!(parsed("grpc://h:9/pay"), check(Kind::Grpc, Some("http://h:9"), "pay"));
        for wrong in ["", "icmp", "tcp:/x", "http://h:0", "tcp://h:9/x", "http://"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
