//! The check of what the settings say of TLS, for clients and between members, and of the URLs that need it.

use super::config::{Config, ConfigError, MAX_VALIDITY_YEARS};
use super::urls::MemberUrl;
use crate::tls::{FlagNames, Settings};

/// What the flags of TLS between members begin with.
const PEER: &str = "peer-";

/// Checks that all URLs with TLS have a certificate, and that the settings go together.
///
/// # Errors
/// The first that does not.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    config.client_tls.validate(FlagNames::CLIENTS)?;
    config.peer_tls.validate(FlagNames::PEERS)?;
    let years = config.self_signed_cert_validity;
    if !(1..=MAX_VALIDITY_YEARS).contains(&years) {
        return Err(ConfigError::Validity { years });
    }
    if let Some((flag, url)) = peer_urls(config).find(|(_, url)| url.socket().is_some()) {
        return Err(ConfigError::PeerSocket { flag, url: url.clone() });
    }
    needs_certificate(&config.client_tls, "", client_urls(config))?;
    needs_certificate(&config.peer_tls, PEER, peer_urls(config))
}

fn client_urls(config: &Config) -> impl Iterator<Item = (&'static str, &MemberUrl)> {
    let clients = config.listen_client_urls.iter().map(|url| ("listen-client-urls", url));
    clients.chain(config.listen_metrics_urls.iter().map(|url| ("listen-metrics-urls", url)))
}

fn peer_urls(config: &Config) -> impl Iterator<Item = (&'static str, &MemberUrl)> {
    let listen = config.listen_peer_urls.iter().map(|url| ("listen-peer-urls", url));
    let advertised = config.initial_advertise_peer_urls.iter().map(|url| ("initial-advertise-peer-urls", url));
    let members = config.initial_cluster.iter().map(|member| ("initial-cluster", &member.peer_url));
    listen.chain(advertised).chain(members)
}

fn needs_certificate<'a>(
    tls: &Settings,
    prefix: &'static str,
    mut urls: impl Iterator<Item = (&'static str, &'a MemberUrl)>,
) -> Result<(), ConfigError> {
    match urls.find(|(_, url)| url.scheme().is_secure() && !tls.has_certificate()) {
        Some((flag, url)) => Err(ConfigError::NoCertificate { flag, url: url.clone(), prefix }),
        None => Ok(()),
    }
}

/// What of the settings of TLS has no effect, as etcd warns of it.
pub(super) fn doubts(config: &Config) -> Vec<String> {
    let mut doubts = Vec::new();
    for (tls, prefix, flag, urls) in [
        (&config.client_tls, "", "listen-client-urls", &config.listen_client_urls),
        (&config.peer_tls, PEER, "listen-peer-urls", &config.listen_peer_urls),
    ] {
        let who = if prefix == PEER { "peer" } else { "client" };
        for url in urls.iter().filter(|url| !url.scheme().is_secure()) {
            let scheme = if url.socket().is_some() { "unix" } else { "http" };
            if tls.has_certificate() {
                doubts.push(format!("--{flag} {url}: the scheme is {scheme}, so {who}s come in there without TLS"));
            }
            if tls.asks_for_certificates() {
                doubts
                    .push(format!("--{flag} {url}: the scheme is {scheme}, so no {who} has to present a certificate"));
            }
        }
        if tls.auto && tls.cert_file.is_some() {
            doubts.push(format!("--{prefix}auto-tls has no effect: --{prefix}cert-file is given"));
        }
    }
    let weak = config.peer_tls.algorithms.weak_suites();
    if !weak.is_empty() {
        doubts.push(format!("--cipher-suites: {} are too weak and not spoken here", weak.join(", ")));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::super::config::InitialMember;
    use super::*;

    fn urls(text: &str) -> Vec<MemberUrl> {
        text.split(',').map(|url| url.parse().unwrap()).collect()
    }

    fn member(name: &str, url: &str) -> InitialMember {
        InitialMember { name: name.to_owned(), peer_url: url.parse().unwrap() }
    }

    #[test]
    fn https_between_members_needs_a_certificate() {
        let tls = || urls("https://localhost:2380");
        let initial_cluster = || vec![member("default", "http://localhost:2380"), member("b", "https://b:2380")];
        let with = |peer_tls: &Settings| {
            let base = || Config { peer_tls: peer_tls.clone(), ..Config::default() };
            [
                Config { listen_peer_urls: tls(), ..base() },
                Config { initial_advertise_peer_urls: tls(), ..base() },
                Config { initial_cluster: initial_cluster(), ..base() },
            ]
        };
        for config in with(&Settings::default()) {
            let line = config.validate().unwrap_err().to_string();
            assert!(line.contains("https://") && line.contains("--peer-cert-file"), "{line}");
        }
        for config in with(&Settings { auto: true, ..Settings::default() }) {
            config.validate().unwrap();
        }
    }

    #[test]
    fn certificates_that_no_url_uses_are_doubted() {
        let file = |name: &str| Some(name.into());
        let peer_tls = Settings { cert_file: file("c"), key_file: file("k"), auto: true, ..Settings::default() };
        let plain = Config { peer_tls, ..Config::default() };
        plain.validate().unwrap();
        assert_eq!(plain.doubts().len(), 2, "{:?}", plain.doubts());
        let secured = Config { listen_peer_urls: urls("https://localhost:2380"), ..plain };
        assert_eq!(secured.doubts().len(), 1, "{:?}", secured.doubts());
    }

    #[test]
    fn tls_for_clients_needs_a_certificate() {
        let with = |client_tls: Settings, listen: &str, metrics: &str| {
            let (listen_client_urls, listen_metrics_urls) = (urls(listen), urls(metrics));
            Config { client_tls, listen_client_urls, listen_metrics_urls, ..Config::default() }.validate()
        };
        let (http, https) = ("http://localhost:1", "https://localhost:2,http://localhost:3");
        for (listen, metrics) in [(https, http), (http, https), ("unixs:///a", http), (http, "unixs:///a")] {
            let line = with(Settings::default(), listen, metrics).unwrap_err().to_string();
            assert!(line.contains("--cert-file and --key-file, or --auto-tls"), "{line}");
            with(Settings { auto: true, ..Settings::default() }, listen, metrics).unwrap();
        }
    }

    #[test]
    fn members_do_not_talk_over_sockets() {
        let config = Config { listen_peer_urls: urls("unix:///a"), ..Config::default() };
        let line = config.validate().unwrap_err().to_string();
        assert!(line.contains("--listen-peer-urls unix:///a") && line.contains("TCP"), "{line}");
    }
}
