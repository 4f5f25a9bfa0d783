//! The configuration of both sides, as the files have it now.
//!
//! Before each handshake the files are looked at, and read when one of them has changed.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::sync::Semaphore;

use super::error::TlsError;
use super::files::{Contents, Files, Stamps, system_roots};
use super::identity::{Usage, identity};
use super::settings::Settings;
use super::trust::{Anybody, Trust};
use crate::storage::Vfs;

/// What both sides shake hands with. Its files are looked at before each handshake, and read and made into configurations
/// when they have changed; what cannot be used leaves the last ones in place.
pub struct Credentials {
    settings: Settings,
    /// The protocols that are spoken over it, by preference.
    protocols: Vec<Vec<u8>>,
    files: Files,
    /// The system's CAs, where no others are named. They are read once.
    system: Option<(&'static Path, Vec<u8>)>,
    provider: Arc<CryptoProvider>,
    last: Mutex<Last>,
    /// One reads at a time, so that files that hang take one thread and not all.
    turn: Arc<Semaphore>,
}

struct Last {
    /// What the files looked like before they were read; none if that does not tell whether they have changed.
    stamps: Option<Stamps>,
    contents: Contents,
    configs: Configs,
    /// Why the files cannot be used that are there now, as it was told.
    told: Option<String>,
}

/// The configurations of both sides.
#[derive(Clone)]
pub(super) struct Configs {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

impl Credentials {
    /// Reads the files that the settings name, with at least a certificate among them. Blocks.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load<V: Vfs>(vfs: V, settings: Settings, protocols: &[&[u8]]) -> Result<Arc<Self>, TlsError> {
        let files = Files::new(vfs);
        // Where nobody presents a certificate and nobody is connected to, nobody is verified.
        let system = (!settings.auto && settings.trusted_ca_file.is_none() && settings.verifies())
            .then(|| system_roots(&files))
            .transpose()?;
        let provider = settings.algorithms.provider();
        let stamps = files.stamps(&settings);
        let contents = Contents::read(&files, &settings)?;
        let protocols: Vec<_> = protocols.iter().map(|name| name.to_vec()).collect();
        let configs = configure(&settings, &contents, system.as_ref(), &provider, &protocols)?;
        let last = Mutex::new(Last { stamps, contents, configs, told: None });
        let turn = Arc::new(Semaphore::new(1));
        Ok(Arc::new(Self { settings, protocols, files, system, provider, last, turn }))
    }

    /// What it was told to do.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The configurations of the files as they are now.
    pub(super) async fn current(self: &Arc<Self>) -> Configs {
        let Ok(turn) = self.turn.clone().acquire_owned().await else { return self.last.lock().configs.clone() };
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            this.read_again()
        });
        // Where nothing can be run any more, the runtime is about to end.
        read.await.unwrap_or_else(|_| self.last.lock().configs.clone())
    }

    /// Blocks.
    fn read_again(&self) -> Configs {
        // Not under the lock: a file system may take its time. And before the reading, so that what changes meanwhile
        // is read again.
        let stamps = self.files.stamps(&self.settings);
        {
            let last = self.last.lock();
            if stamps.is_some() && stamps == last.stamps {
                return last.configs.clone();
            }
        }
        let read = Contents::read(&self.files, &self.settings);
        let mut last = self.last.lock();
        let outcome = read.and_then(|contents| {
            if contents == last.contents {
                return Ok(None);
            }
            let configs = configure(&self.settings, &contents, self.system.as_ref(), &self.provider, &self.protocols)?;
            Ok(Some((contents, configs)))
        });
        let file = self.settings.cert_file.as_deref().unwrap_or(Path::new("")).display();
        match outcome {
            Ok(None) => (last.stamps, last.told) = (stamps, None),
            Ok(Some((contents, configs))) => {
                tracing::info!(certificate = %file, "the TLS files have changed and are used from now on");
                *last = Last { stamps, contents, configs, told: None };
            }
            // Once for each reason: this is tried with every connection, also while files are being replaced.
            Err(error) => {
                let text = error.to_string();
                if last.told.as_ref() != Some(&text) {
                    tracing::warn!(reason = text, "the TLS files cannot be used; those before stay in use");
                    last.told = Some(text);
                }
            }
        }
        last.configs.clone()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Makes the configurations of what the files hold.
fn configure(
    settings: &Settings,
    contents: &Contents,
    system: Option<&(&'static Path, Vec<u8>)>,
    provider: &Arc<CryptoProvider>,
    protocols: &[Vec<u8>],
) -> Result<Configs, TlsError> {
    let name = |file: &Option<std::path::PathBuf>| file.clone().unwrap_or_default();
    let (cert_file, key_file) = (name(&settings.cert_file), name(&settings.key_file));
    let usage = if settings.accepts_only { Usage::Accept } else { Usage::AcceptAndConnect };
    let own = identity(provider, usage, (&cert_file, &contents.cert), (&key_file, &contents.key))?;
    let presented = match &contents.client {
        None => own.clone(),
        Some((cert, key)) => {
            let (cert_file, key_file) = (name(&settings.client_cert_file), name(&settings.client_key_file));
            identity(provider, usage, (&cert_file, cert), (&key_file, key))?
        }
    };
    let ca_file = name(&settings.trusted_ca_file);
    let roots = match (&contents.trusted_ca, system) {
        (Some(pem), _) => Some((ca_file.as_path(), pem.as_slice())),
        (None, system) => system.map(|(file, pem)| (*file, pem.as_slice())),
    };
    // Without any, the certificate vouches for itself and nobody is verified.
    let trust = roots.map(|roots| Trust::new(settings, roots, contents.revoked.as_deref())).transpose()?;
    let server = server(settings, own, trust.as_ref(), provider, protocols)?;
    let client = client(settings, presented, trust.as_ref(), provider, protocols)?;
    Ok(Configs { server: Arc::new(server), client: Arc::new(client) })
}

fn server(
    settings: &Settings,
    own: Arc<CertifiedKey>,
    trust: Option<&Trust>,
    provider: &Arc<CryptoProvider>,
    protocols: &[Vec<u8>],
) -> Result<ServerConfig, TlsError> {
    let verifier = match trust {
        Some(trust) if settings.asks_for_certificates() => trust.of_clients(provider)?,
        _ => rustls::server::WebPkiClientVerifier::no_client_auth(),
    };
    let builder = settings.algorithms.versions(ServerConfig::builder_with_provider(provider.clone()))?;
    let mut config =
        builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.alpn_protocols = protocols.to_vec();
    // Each connection shows its certificate anew, so that what was revoked or replaced counts at once.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(
    settings: &Settings,
    presented: Arc<CertifiedKey>,
    trust: Option<&Trust>,
    provider: &Arc<CryptoProvider>,
    protocols: &[Vec<u8>],
) -> Result<ClientConfig, TlsError> {
    let verifier = match trust {
        Some(trust) => trust.of_servers(provider)?,
        None => Arc::new(Anybody(provider.clone())),
    };
    let builder = settings.algorithms.versions(ClientConfig::builder_with_provider(provider.clone()))?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(presented)));
    config.alpn_protocols = protocols.to_vec();
    config.resumption = Resumption::disabled();
    Ok(config)
}
