//! From when until when a certificate is valid.
//!
//! webpki tells neither date, but checks them before anything else: asked about the end of all time it answers when the
//! certificate has expired, and about the beginning when it will be valid. So no other reader of certificates is needed.

use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

/// As late as a certificate's dates can be told.
const END_OF_TIME: Duration = Duration::from_secs(u64::MAX / 2);

/// The first and the last second of a certificate, since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) begins: u64,
    pub(crate) ends: u64,
}

/// None for what cannot be read as a certificate of a server.
pub(crate) fn lifetime(certificate: &CertificateDer<'_>) -> Option<Lifetime> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let ends = match verdict(&certificate, END_OF_TIME)? {
        Error::CertExpired { not_after, .. } => not_after.as_secs(),
        _ => return None,
    };
    let begins = match verdict(&certificate, Duration::ZERO) {
        Some(Error::CertNotValidYet { not_before, .. }) => not_before.as_secs(),
        _ => 0,
    };
    Some(Lifetime { begins, ends })
}

fn verdict(certificate: &EndEntityCert<'_>, at: Duration) -> Option<Error> {
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    let at = UnixTime::since_unix_epoch(at);
    certificate.verify_for_usage(algorithms, &[], &[], at, KeyUsage::server_auth(), None, None).err()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn both_dates_are_told_whoever_signed() {
        let mut params = CertificateParams::new(vec!["registry.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2001, 9, 9);
        params.not_after = date_time_ymd(2033, 5, 18);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let found = lifetime(certificate.der()).unwrap();
        assert_eq!(found, Lifetime { begins: 999_993_600, ends: 1_999_987_200 });
    }

    #[test]
    fn what_is_no_certificate_has_no_dates() {
        assert_eq!(lifetime(&CertificateDer::from(b"not one".to_vec())), None);
    }
}
