//! A CA, and certificates of any dates.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A CA that writes its certificates into a directory.
pub(crate) struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(dir: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "the tests' CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        put(&dir.join("ca.pem"), &certificate.pem());
        Self { dir: dir.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// The CA's own certificate.
    pub(crate) fn ca(&self) -> String {
        self.dir.join("ca.pem").to_str().unwrap().to_owned()
    }

    /// A certificate of loopback, and its key; it begins a year ago and ends so many days from now.
    pub(crate) fn issue(&self, name: &str, ends_in_days: i64) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_before = at(-365);
        params.not_after = at(ends_in_days);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (cert_file, key_file) = (self.dir.join(format!("{name}.pem")), self.dir.join(format!("{name}.key")));
        put(&cert_file, &certificate.pem());
        put(&key_file, &key.serialize_pem());
        (cert_file, key_file)
    }
}

/// So many days and an hour from now, in the form that certificates are made with.
fn at<T: From<SystemTime>>(days: i64) -> T {
    let distance = Duration::from_secs(days.unsigned_abs() * 86_400);
    let now = SystemTime::now() + Duration::from_secs(3_600);
    T::from(if days < 0 { now - distance } else { now + distance })
}

fn put(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}
