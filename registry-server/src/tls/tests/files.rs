//! What is wrong with a file is told with its name, and does not replace what was right.

use rcgen::date_time_ymd;

use super::*;

/// The refusal of a member's files, of which one was changed.
fn refusal(change: impl FnOnce(&MemVfs, &mut Settings)) -> String {
    let (vfs, authority) = (MemVfs::new(), Authority::new("ca"));
    let mut settings = member(&vfs, "a", &authority, &authority.sign(&params(&["127.0.0.1"], "a")));
    change(&vfs, &mut settings);
    let line = load(&vfs, settings).unwrap_err().to_string();
    assert!(!line.contains('\n') && !line.contains("PRIVATE KEY"), "{line}");
    line
}

#[test]
fn each_file_that_cannot_be_used_is_named_with_what_is_wrong() {
    let says = |line: String, words: &[&str]| {
        assert!(words.iter().all(|word| line.contains(word)), "{line} does not say {words:?}");
    };
    says(refusal(|vfs, _| vfs.remove_file(Path::new("a.pem")).unwrap()), &["cannot read a.pem"]);
    says(refusal(|vfs, _| put(vfs, "a.pem", "")), &["a.pem holds no certificate"]);
    says(refusal(|vfs, _| put(vfs, "a.ca", "")), &["a.ca holds no certificate"]);
    says(refusal(|vfs, _| put(vfs, "a.key", "")), &["a.key holds no private key"]);
    let other = Authority::new("b").sign(&params(&["127.0.0.1"], "a"));
    says(refusal(|vfs, _| put(vfs, "a.key", &other.key)), &["a.key does not belong to", "a.pem"]);
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    says(refusal(|vfs, _| put(vfs, "a.pem", bad)), &["a.pem has a certificate that cannot be read"]);
    says(refusal(|vfs, _| put(vfs, "a.ca", bad)), &["a.ca has a certificate that cannot be read"]);
    let crl = |vfs: &MemVfs, settings: &mut Settings| {
        put(vfs, "a.crl", "nothing");
        settings.crl_file = file("a.crl");
    };
    says(refusal(crl), &["a.crl holds no revocation list"]);
    let client = |vfs: &MemVfs, settings: &mut Settings| {
        put(vfs, "c.pem", &other.cert);
        (settings.client_cert_file, settings.client_key_file) = (file("c.pem"), file("c.key"));
    };
    says(refusal(client), &["cannot read c.key"]);
}

#[test]
fn a_certificate_that_nobody_would_accept_is_refused_at_once() {
    let authority = Authority::new("ca");
    let with = |change: fn(&mut CertificateParams)| {
        let mut params = params(&["127.0.0.1"], "a");
        change(&mut params);
        let made = authority.sign(&params);
        refusal(move |vfs, _| {
            put(vfs, "a.pem", &made.cert);
            put(vfs, "a.key", &made.key);
        })
    };
    let expired = with(|params| params.not_after = date_time_ymd(2020, 1, 1));
    assert!(expired.contains("a.pem has expired"), "{expired}");
    let early = with(|params| params.not_before = date_time_ymd(4000, 1, 1));
    assert!(early.contains("a.pem is valid in") && early.contains("clock"), "{early}");
    let own = with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert!(own.contains("a.pem is a CA's own"), "{own}");
}

#[tokio::test]
async fn what_cannot_be_used_leaves_what_was_there_in_use_until_it_is_mended() {
    let (vfs, authority) = (MemVfs::new(), Authority::new("ca"));
    let [first, second] = ["one", "two"].map(|name| authority.sign(&params(&["127.0.0.1"], name)));
    let credentials = load(&vfs, member(&vfs, "a", &authority, &first)).unwrap();
    let before = credentials.current().await.server;
    assert!(Arc::ptr_eq(&before, &credentials.current().await.server), "nothing has changed");
    // One file after the other, as it happens.
    put(&vfs, "a.pem", &second.cert);
    assert!(Arc::ptr_eq(&before, &credentials.current().await.server), "the key is not of the certificate");
    put(&vfs, "a.key", &second.key);
    assert!(!Arc::ptr_eq(&before, &credentials.current().await.server), "both are new");
}

#[test]
fn a_common_name_is_found_in_whatever_subject() {
    let authority = Authority::new("ca");
    for name in ["a", "", &"x".repeat(300), "ä"] {
        let mut params = params(&[], name);
        params.distinguished_name.push(DnType::OrganizationName, "somebody");
        let made = authority.sign(&params);
        let cert = super::super::identity::certificates(Path::new(""), made.cert.as_bytes()).unwrap().remove(0);
        assert_eq!(super::super::names::common_name(&cert).as_deref(), Some(name));
    }
}
