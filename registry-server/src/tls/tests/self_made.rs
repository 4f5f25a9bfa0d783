//! Certificates that vouch for themselves.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::storage::StdVfs;
use crate::tls::SelfSigned;

fn at(dir: &Path) -> SelfSigned {
    SelfSigned { dir: dir.to_owned(), hosts: vec!["127.0.0.1".to_owned(), "a.example".to_owned()], validity_years: 1 }
}

#[test]
fn a_certificate_is_made_once_for_this_user_only() {
    let dir = tempfile::tempdir().unwrap();
    let own = at(&dir.path().join("fixtures").join("peer"));
    let settings = own.make(&StdVfs).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (cert, key) = (own.dir.join("cert.pem"), own.dir.join("key.pem"));
    assert_eq!([mode(&own.dir), mode(&cert), mode(&key)], [0o700, 0o600, 0o600]);
    let first = std::fs::read_to_string(&cert).unwrap();
    own.make(&StdVfs).unwrap();
    assert_eq!(first, std::fs::read_to_string(&cert).unwrap(), "it was made again");
    Credentials::load(StdVfs, settings, &[b"h2"]).unwrap();
}

#[test]
fn one_that_has_expired_or_is_half_there_is_made_again_and_another_one_is_left_alone() {
    let vfs = MemVfs::new();
    let own = at(Path::new("peer"));
    own.make(&vfs).unwrap();
    let mut params = params(&["127.0.0.1"], "a");
    params.not_after = date_time_ymd(2020, 1, 1);
    let old = Authority::new("ca").sign(&params);
    put(&vfs, "peer/cert.pem", &old.cert);
    put(&vfs, "peer/key.pem", &old.key);
    load(&vfs, own.make(&vfs).unwrap()).unwrap();
    vfs.remove_file(Path::new("peer/cert.pem")).unwrap();
    load(&vfs, own.make(&vfs).unwrap()).unwrap();
    put(&vfs, "peer/key.pem", &old.key);
    let line = own.make(&vfs).unwrap_err().to_string();
    assert!(line.contains("peer/key.pem does not belong to"), "{line}");
}
