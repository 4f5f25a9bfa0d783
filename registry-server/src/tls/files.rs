//! Reading what TLS is configured with. All of it blocks.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::UnixTime;

use crate::storage::{FileStamp, OpenMode, Vfs, VfsFile};

use super::error::TlsError;
use super::settings::Settings;

/// No file of certificates is larger; whatever is was named by mistake.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// Where systems keep the CAs that they trust; the first that is there counts.
const SYSTEM_ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A file that was changed less long ago may be changed again without looking different.
const SETTLED: Duration = Duration::from_secs(2);

/// Reads a whole file, of whichever file system.
type Read = dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync;
/// Looks at a file without reading it.
type Look = dyn Fn(&Path) -> io::Result<Option<FileStamp>> + Send + Sync;

/// What all files looked like at one moment, in the order of the settings.
pub(super) type Stamps = Vec<FileStamp>;

/// The files of whichever file system.
pub(super) struct Files {
    read: Box<Read>,
    look: Box<Look>,
}

/// What is in the files that the settings name.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) cert: Vec<u8>,
    pub(super) key: Vec<u8>,
    /// Another certificate and key for connecting.
    pub(super) client: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) trusted_ca: Option<Vec<u8>>,
    pub(super) revoked: Option<Vec<u8>>,
}

impl Files {
    /// Those of `vfs`.
    pub(super) fn new<V: Vfs>(vfs: V) -> Self {
        let looking = vfs.clone();
        let look = move |path: &Path| looking.stamp(path);
        let read = move |path: &Path| {
            let file = vfs.open(path, OpenMode::Read)?;
            let length = file.len()?;
            if length > MAX_FILE_BYTES {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "it is too large to be a file of certificates",
                ));
            }
            let mut bytes = vec![0; length as usize];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        };
        Self { read: Box::new(read), look: Box::new(look) }
    }

    /// What the files look like that the settings name; none if that would not show each change.
    pub(super) fn stamps(&self, settings: &Settings) -> Option<Stamps> {
        let now = Duration::from_secs(UnixTime::now().as_secs());
        let settled = |stamp: &FileStamp| stamp.changed_after_epoch.saturating_add(SETTLED) < now;
        let stamp = |path: &PathBuf| (self.look)(path).ok().flatten().filter(settled);
        settings.files().map(stamp).collect()
    }
}

impl Contents {
    /// Reads all files that the settings name; the certificate must be among them.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub(super) fn read(files: &Files, settings: &Settings) -> Result<Self, TlsError> {
        let optional = |path: &Option<_>| path.as_deref().map(|path| read_one(files, path)).transpose();
        let needed = |path: &Option<_>| optional(path).map(Option::unwrap_or_default);
        let client = optional(&settings.client_cert_file)?;
        Ok(Self {
            cert: needed(&settings.cert_file)?,
            key: needed(&settings.key_file)?,
            client: client.zip(optional(&settings.client_key_file)?),
            trusted_ca: optional(&settings.trusted_ca_file)?,
            revoked: optional(&settings.crl_file)?,
        })
    }
}

fn read_one(files: &Files, path: &Path) -> Result<Vec<u8>, TlsError> {
    (files.read)(path).map_err(|source| TlsError::Unreadable { file: path.to_owned(), source })
}

/// The CAs that the system trusts, in PEM.
///
/// # Errors
/// There is no such file.
pub(super) fn system_roots(files: &Files) -> Result<(&'static Path, Vec<u8>), TlsError> {
    let found = SYSTEM_ROOTS.iter().map(Path::new).find_map(|path| Some((path, (files.read)(path).ok()?)));
    found.ok_or(TlsError::NoSystemRoots)
}
