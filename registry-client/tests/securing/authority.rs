//! A certificate authority of a test's own, in a folder of its own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// Its certificate is `ca.pem`; those that it signed are `server.pem`, `client.pem`, ..., and their keys beside them.
pub(super) struct Authority {
    folder: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().unwrap() };
        authority.replace();
        authority
    }

    /// Puts another authority and what it signs in the place of all that is there.
    pub(super) fn replace(&self) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority of tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        self.write("ca.pem", &params.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(params, key);
        self.issue(&issuer, "server", "127.0.0.1");
        self.issue(&issuer, "named", "registry.internal");
        self.issue(&issuer, "client", "client.internal");
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, issuer: &Issuer<'_, KeyPair>, name: &str, host: &str) {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        self.write(&format!("{name}.pem"), &params.signed_by(&key, issuer).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    #[expect(clippy::disallowed_methods, reason = "files for the server and the client under test")]
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }
}
