//! The names in a certificate, as far as the verifier does not look at them.

use std::net::IpAddr;

use rustls::pki_types::{CertificateDer, IpAddr as PkiIpAddr, ServerName};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};
use webpki::EndEntityCert;

/// DER's tags of what a subject is made of.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
/// The attribute `commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// UTF8String, PrintableString, TeletexString, IA5String: as bytes they are compared alike.
const STRINGS: [u8; 4] = [0x0c, 0x13, 0x14, 0x16];

/// The last common name of a certificate's subject, as Go takes it.
pub(super) fn common_name(cert: &CertificateDer<'_>) -> Option<String> {
    let cert = EndEntityCert::try_from(cert).ok()?;
    let mut sets = cert.subject();
    // Whether the sequence's own head is there depends on the parser.
    if let Some((SEQUENCE, inside, [])) = element(sets) {
        sets = inside;
    }
    let mut found = None;
    while let Some((SET, mut attributes, rest)) = element(sets) {
        sets = rest;
        while let Some((SEQUENCE, attribute, rest)) = element(attributes) {
            attributes = rest;
            if let Some((OBJECT_ID, COMMON_NAME, value)) = element(attribute)
                && let Some((tag, text, [])) = element(value)
                && STRINGS.contains(&tag)
            {
                found = String::from_utf8(text.to_vec()).ok();
            }
        }
    }
    found
}

/// The first element of some DER: its tag, what is in it, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        // No name is longer.
        _ => return None,
    };
    let (inside, rest) = rest.split_at_checked(length)?;
    Some((tag, inside, rest))
}

/// Whether a certificate is for a name or an address.
pub(super) fn is_for(cert: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    matches!(presented(cert, &name), Ok(None))
}

/// Whether a certificate that comes from an address may do so: it names no address and no host, or this address, or a host
/// that resolves to it. As in etcd; only names are not looked up backwards.
///
/// # Errors
/// The names that the certificate has instead.
pub(super) async fn may_come_from(cert: &CertificateDer<'_>, address: IpAddr) -> Result<(), String> {
    let address = address.to_canonical();
    let mut names = match presented(cert, &ServerName::IpAddress(PkiIpAddr::from(address))) {
        Ok(None) => return Ok(()),
        Ok(Some(names)) => names,
        Err(error) => return Err(error.to_string()),
    };
    names.retain(|name| name.starts_with("DnsName") || name.starts_with("IpAddress"));
    if names.is_empty() {
        return Ok(());
    }
    let hosts: Vec<String> = match EndEntityCert::try_from(cert) {
        Ok(parsed) => parsed.valid_dns_names().filter(|name| !name.starts_with("*.")).map(str::to_owned).collect(),
        Err(_) => Vec::new(),
    };
    for host in hosts {
        let Ok(mut found) = tokio::net::lookup_host((host.as_str(), 0)).await else { continue };
        if found.any(|found| found.ip().to_canonical() == address) {
            return Ok(());
        }
    }
    Err(names.join(", "))
}

/// The names that a certificate has instead of this one; none if it has this one.
fn presented(cert: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<Option<Vec<String>>, Error> {
    let verified = ParsedCertificate::try_from(cert).and_then(|cert| rustls::client::verify_server_name(&cert, name));
    match verified {
        Ok(()) => Ok(None),
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })) => {
            Ok(Some(presented))
        }
        Err(error) => Err(error),
    }
}
