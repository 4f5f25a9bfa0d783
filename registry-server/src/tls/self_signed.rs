//! A certificate that vouches for itself, for those who want encryption and have no CA.
//!
//! It is made once and kept, where etcd keeps its own. Nobody verifies it: whoever can reach the port can connect, and whoever
//! stands in between can read.

use std::io;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::UnixTime;

use super::error::TlsError;
use super::files::{Contents, Files};
use super::identity::{Usage, identity};
use super::settings::Settings;
use crate::storage::{OpenMode, Vfs, VfsFile};

/// What a year has, as etcd counts.
const DAYS_OF_A_YEAR: u64 = 365;
const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

/// Where a certificate is to be, and for what.
#[derive(Debug, Clone)]
pub struct SelfSigned {
    /// The directory of its files, `cert.pem` and `key.pem`.
    pub dir: PathBuf,
    /// The addresses and names that it is for.
    pub hosts: Vec<String>,
    /// How long it is valid, from 1 to 1,000 years.
    pub validity_years: u32,
}

impl SelfSigned {
    /// Makes the files, unless they are there and of use. Blocks.
    ///
    /// # Errors
    /// They cannot be written, or those that are there cannot be used.
    pub fn make<V: Vfs>(&self, vfs: &V) -> Result<Settings, TlsError> {
        let (cert, key) = (self.dir.join("cert.pem"), self.dir.join("key.pem"));
        let settings =
            Settings { cert_file: Some(cert.clone()), key_file: Some(key.clone()), auto: true, ..Settings::default() };
        vfs.create_dir_all(&self.dir).map_err(unwritable(&self.dir))?;
        match self.try_use(vfs, &settings) {
            Ok(()) => return Ok(settings),
            Err(TlsError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(TlsError::Expired { file, .. }) => {
                tracing::info!(certificate = %file.display(), "the certificate has expired, and another one is made");
            }
            Err(error) => return Err(error),
        }
        let (cert_pem, key_pem) = self.generate()?;
        // The certificate last: as long as it is not there, both are made anew.
        remove(vfs, &cert)?;
        write(vfs, &key, &key_pem)?;
        write(vfs, &cert, &cert_pem)?;
        let years = self.validity_years;
        tracing::warn!(certificate = %cert.display(), years, "made a certificate that vouches for itself: nobody verifies it");
        Ok(settings)
    }

    fn try_use<V: Vfs>(&self, vfs: &V, settings: &Settings) -> Result<(), TlsError> {
        let found = Contents::read(&Files::new(vfs.clone()), settings)?;
        let (cert, key) = (self.dir.join("cert.pem"), self.dir.join("key.pem"));
        identity(&default_provider(), Usage::AcceptAndConnect, (&cert, &found.cert), (&key, &found.key)).map(drop)
    }

    /// A certificate and its key in PEM.
    fn generate(&self) -> Result<(String, String), TlsError> {
        let failed =
            |error: rcgen::Error| TlsError::NotMade { hosts: self.hosts.join(", "), reason: error.to_string() };
        let mut params = CertificateParams::new(self.hosts.clone()).map_err(failed)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "registry-server");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let now = std::time::Duration::from_secs(UnixTime::now().as_secs());
        let days = u64::from(self.validity_years.clamp(1, 1_000)) * DAYS_OF_A_YEAR;
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + now;
        params.not_after = params.not_before + std::time::Duration::from_secs(days * SECONDS_OF_A_DAY);
        let key = KeyPair::generate().map_err(failed)?;
        let cert = params.self_signed(&key).map_err(failed)?;
        Ok((cert.pem(), key.serialize_pem()))
    }
}

/// Writes a file that is there whole or not at all, for this user only.
fn write<V: Vfs>(vfs: &V, path: &Path, text: &str) -> Result<(), TlsError> {
    let unfinished = path.with_extension("tmp");
    remove(vfs, &unfinished)?;
    let written = || {
        let file = vfs.open(&unfinished, OpenMode::CreateNew)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_all()?;
        vfs.rename(&unfinished, path)?;
        vfs.sync_dir(path.parent().unwrap_or(Path::new("")))
    };
    written().map_err(unwritable(path))
}

fn remove<V: Vfs>(vfs: &V, path: &Path) -> Result<(), TlsError> {
    match vfs.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(path)(error)),
        _ => Ok(()),
    }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    |source| TlsError::Unwritable { file: path.to_owned(), source }
}
