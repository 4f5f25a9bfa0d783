//! Building a client.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::workplace::Workplace;
use super::{Registry, Shared};
#[cfg(feature = "etcd-client")]
use crate::channel::HandedOver;
#[cfg(feature = "tls")]
use crate::channel::TlsConfig;
use crate::channel::{Channel, Credentials, Http2};
use crate::error::Error;
use crate::instance::{Endpoint, is_readable};
use crate::meters;
use crate::registration::outstanding::Outstanding;

/// Gathers what a [`Registry`] needs; see [`Registry::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct RegistryBuilder {
    endpoints: Vec<String>,
    namespace: String,
    cache_dir: Option<PathBuf>,
    credentials: Option<Credentials>,
    follow_members: bool,
    #[cfg(feature = "tls")]
    tls: Option<TlsConfig>,
    /// What is called instead of endpoints.
    #[cfg(feature = "etcd-client")]
    etcd_client: Option<HandedOver>,
}

impl RegistryBuilder {
    pub(super) fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            namespace: String::new(),
            cache_dir: None,
            credentials: None,
            follow_members: false,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "etcd-client")]
            etcd_client: None,
        }
    }

    #[cfg(feature = "etcd-client")]
    pub(super) fn handed_over(client: etcd_client::Client) -> Self {
        Self { etcd_client: Some(HandedOver::new(client)), ..Self::new(Vec::new()) }
    }

    /// What every key begins with, as in `/prod`; nothing unless given. A `/` at its end is left out.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// A folder of this program's own, in which the last known instances of each watched service are kept
    /// for a start while the registry is down; none unless given.
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// Who the client is to the registry, which nobody asks unless given. The user has to be allowed to read and write
    /// below `<namespace>/services/` (to watch: to read) and to read below `<namespace>/tombstones/`. Neither logs nor `Debug` ever show the password.
    ///
    /// The token that the registry gives for it is got when there is something to say, on the SDK's thread, and got anew
    /// whenever the registry says that it is no good, in which of its forms ever; calls that were refused for it are sent
    /// again, and no lease is lost over it. While the registry knows no users, calls carry none, so that authentication
    /// can be enabled and disabled under running clients. A user whom the registry refuses is a permanent error in
    /// [`Registry::connect`], in [`crate::Register`] and in the state of registrations that stand; the registry is asked again
    /// all the same, for as long as there is something to say.
    pub fn auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some(Credentials::password(user.into(), password.into()));
        self
    }

    /// As [`RegistryBuilder::auth`], with tokens that are made elsewhere, as JWTs are: `source` is called for the first
    /// one and for another whenever the registry says that the last is no good.
    ///
    /// It is polled on the SDK's thread, where it must not block, for 10 s at most. What it fails with, or that it
    /// panics, shows in the errors of calls, and it is called again with growing pauses.
    ///
    /// ```
    /// # fn main() -> Result<(), registry_client::Error> {
    /// let registry = registry_client::Registry::builder(["http://127.0.0.1:2379"])
    ///     .auth_with(|| async { std::env::var("REGISTRY_JWT") })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn auth_with<F, R, E>(mut self, source: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.credentials = Some(Credentials::source(source));
        self
    }

    /// Looks up the registry's members, and calls those that join later as well: after each connection, and every five minutes.
    ///
    /// The configured endpoints are always kept, so give some that last. Members are called where they say that clients
    /// find them, if that is spoken to as the configured endpoints are (`http` or `https`) and is not their own loopback;
    /// learners are left out.
    pub fn follow_members(mut self) -> Self {
        self.follow_members = true;
        self
    }

    /// Secures all connections; the endpoints are `https://` then, all of them.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The client. It connects when there is something to say, so that this works while the registry is
    /// down.
    ///
    /// # Errors
    /// When there is no endpoint or one that is not `http://host:port` (`https://host:port` with TLS), when the namespace holds white space or
    /// control characters, or no thread can be started. Over a client that was handed over: when a setting is given that
    /// is the client's own.
    pub fn build(self) -> Result<Registry, Error> {
        let channel = self.channel()?;
        let outstanding = Arc::new(Outstanding::default());
        let workplace = Workplace::on_thread(channel, Arc::clone(&outstanding))?;
        Ok(self.on(workplace, outstanding))
    }

    /// The client in a simulation, by the clock of the runtime that this is called on. It has no thread: all
    /// that it ever runs goes through `spawn`, and dropping those tasks is the process's death, after which it
    /// sends nothing and its handles only say that they are closed. Guards wait for nothing.
    ///
    /// # Errors
    /// As [`RegistryBuilder::build`], and when a folder for a cache is given: files would go around the simulation.
    #[cfg(feature = "simulation")]
    #[doc(hidden)]
    pub fn build_simulated(
        self,
        connector: Arc<dyn crate::simulation::Connector>,
        spawn: crate::simulation::Spawn,
    ) -> Result<Registry, Error> {
        if self.cache_dir.is_some() {
            return Err(Error::Setting("a simulated client has no cache on disk".to_owned()));
        }
        let channel = Channel::over(connector, self.checked()?, self.credentials.clone(), self.follow_members);
        let outstanding = Arc::new(Outstanding::default());
        // Waiting would block the one thread that everything runs on.
        outstanding.abandon();
        Ok(self.on(Workplace::given(channel, spawn), outstanding))
    }

    /// The way to the registry.
    fn channel(&self) -> Result<Channel, Error> {
        #[cfg(feature = "etcd-client")]
        if let Some(client) = &self.etcd_client {
            self.check_handed_over()?;
            return Ok(Channel::handed_over(client.clone()));
        }
        let endpoints = self.checked()?;
        let network = Http2 {
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        };
        Ok(Channel::over(Arc::new(network), endpoints, self.credentials.clone(), self.follow_members))
    }

    /// Nothing is set that a client which was handed over decides.
    #[cfg(feature = "etcd-client")]
    fn check_handed_over(&self) -> Result<(), Error> {
        let set = |text: &str| Err(Error::Setting(format!("the etcd client that was handed over {text}")));
        if self.credentials.is_some() {
            return set(
                "logs in by itself: give it the user, with ConnectOptions::with_user, and not RegistryBuilder::auth",
            );
        }
        if self.follow_members {
            return set("has endpoints of its own: leave RegistryBuilder::follow_members out");
        }
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return set("has TLS of its own: give it ConnectOptions::with_tls, and not RegistryBuilder::tls");
        }
        self.check_namespace()
    }

    /// The endpoints, if all settings make sense.
    fn checked(&self) -> Result<Vec<Endpoint>, Error> {
        let endpoints: Vec<_> = self.endpoints.iter().map(|text| Endpoint::parse(text)).collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(Error::Setting("no endpoint: give at least one, as in http://10.0.0.1:2379".to_owned()));
        }
        self.check_schemes(&endpoints)?;
        self.check_namespace()?;
        Ok(endpoints)
    }

    fn check_namespace(&self) -> Result<(), Error> {
        if is_readable(&self.namespace) {
            return Ok(());
        }
        let text = format!("the namespace {:?} must be without white space and control characters", self.namespace);
        Err(Error::Setting(text))
    }

    /// Nobody speaks in the clear by a slip of the pen, nor is refused without being told why.
    #[cfg(feature = "tls")]
    fn check_schemes(&self, endpoints: &[Endpoint]) -> Result<(), Error> {
        let (scheme, mend) = match &self.tls {
            Some(tls) => {
                tls.check()?;
                ("https", "RegistryBuilder::tls secures all endpoints: give an https:// address")
            }
            None => ("http", "give an http:// address, or for https:// a RegistryBuilder::tls"),
        };
        let other = endpoints.iter().find(|endpoint| endpoint.scheme() != scheme);
        other.map_or(Ok(()), |endpoint| Err(Error::Setting(format!("{endpoint}: {mend}"))))
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_self, reason = "with the feature it has settings of TLS")]
    fn check_schemes(&self, endpoints: &[Endpoint]) -> Result<(), Error> {
        let other = endpoints.iter().find(|endpoint| endpoint.scheme() != "http");
        let mend =
            "give an http:// address; https:// needs the feature `tls` of registry-client and RegistryBuilder::tls";
        other.map_or(Ok(()), |endpoint| Err(Error::Setting(format!("{endpoint}: {mend}"))))
    }

    fn on(self, workplace: Workplace, outstanding: Arc<Outstanding>) -> Registry {
        meters::describe();
        let namespace = self.namespace.trim_end_matches('/').to_owned();
        let watches = Mutex::new(BTreeMap::new());
        let shared = Shared { namespace, cache_dir: self.cache_dir, workplace, outstanding, watches };
        Registry { shared: Arc::new(shared) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(builder: RegistryBuilder) -> String {
        builder.build().map(drop).unwrap_err().to_string()
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn an_https_endpoint_is_refused_with_the_name_of_the_feature() {
        let text = refusal(Registry::builder(["https://10.0.0.1:2379"]));
        assert!(text.contains("https://10.0.0.1:2379") && text.contains("feature `tls`"), "{text}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn an_endpoint_and_the_settings_of_tls_go_together_or_are_refused() {
        let text = refusal(Registry::builder(["https://10.0.0.1:2379"]));
        assert!(text.contains("RegistryBuilder::tls"), "{text}");
        let tls = TlsConfig::new().ca_file("/etc/registry/ca.pem");
        let mixed = Registry::builder(["https://10.0.0.1:2379", "http://10.0.0.2:2379"]);
        let text = refusal(mixed.tls(tls.clone()));
        assert!(text.contains("http://10.0.0.2:2379") && text.contains("https://"), "{text}");
        let https = || Registry::builder(["https://10.0.0.1:2379"]);
        assert!(refusal(https().tls(TlsConfig::new())).contains("TlsConfig::ca_file"));
        assert!(refusal(https().tls(tls.server_name("no name"))).contains("\"no name\""));
    }

    #[test]
    fn a_scheme_that_nobody_speaks_is_refused() {
        assert!(refusal(Registry::builder(["tcp://10.0.0.1:2379"])).contains("tcp://10.0.0.1:2379"));
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let builder = Registry::builder(["http://10.0.0.1:2379"]).auth("pay", "hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
        let inside = refusal(Registry::builder(["http://pay:hunter2@10.0.0.1:2379"]));
        assert!(!inside.contains("hunter2"), "{inside}");
    }
}
