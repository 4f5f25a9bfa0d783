//! Files in memory and handshakes over loopback.

mod files;
mod handshakes;
mod reading;
mod self_made;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::{Credentials, Settings};
use crate::storage::{MemVfs, OpenMode, Vfs, VfsFile};

/// A CA.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key in PEM.
struct Made {
    cert: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, params: &CertificateParams) -> Made {
        let key = KeyPair::generate().unwrap();
        Made { cert: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    fn revoke(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2024, 2, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// What a certificate for these hosts is to hold.
fn params(hosts: &[&str], common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// Writes a file, in place of the one that is there.
fn put(vfs: &MemVfs, path: &str, text: &str) {
    vfs.create_dir_all(Path::new("")).unwrap();
    drop(vfs.remove_file(Path::new(path)));
    vfs.open(Path::new(path), OpenMode::CreateNew).unwrap().write_all_at(text.as_bytes(), 0).unwrap();
}

fn file(path: &str) -> Option<PathBuf> {
    Some(path.into())
}

/// A member's files: its own certificate in `name.pem`, with its key in `name.key`, and its CA in `name.ca`.
fn member(vfs: &MemVfs, name: &str, authority: &Authority, made: &Made) -> Settings {
    let [cert, key, ca] = ["pem", "key", "ca"].map(|end| format!("{name}.{end}"));
    put(vfs, &cert, &made.cert);
    put(vfs, &key, &made.key);
    put(vfs, &ca, &authority.pem);
    Settings { cert_file: file(&cert), key_file: file(&key), trusted_ca_file: file(&ca), ..Settings::default() }
}

fn load(vfs: &MemVfs, settings: Settings) -> Result<Arc<Credentials>, super::TlsError> {
    Credentials::load(vfs.clone(), settings, &[b"h2"])
}
