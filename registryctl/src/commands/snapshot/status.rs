//! What a snapshot's file holds, in etcdutl's figures and forms.

use std::path::Path;

use registry_etcd_files::bbolt::Image;
use registry_etcd_files::digest::{self, Digest};
use registry_etcd_files::status::Status;
use serde_json::json;

use super::progress::{beside, tell};
use crate::commands::endpoint::human;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Answer, Text, print};

/// Checks the file and prints its figures.
pub(super) async fn status(global: &Global, file: &Path) -> Result<(), CtlError> {
    let file = file.to_owned();
    let status = beside(move |bar| {
        check(&file, &mut |done, total| tell(bar, "checking", done, total))?;
        let image = Image::open(&file).map_err(CtlError::files)?;
        let total = image.bytes();
        Status::of(&image, &mut |done| tell(bar, "reading", done, total)).map_err(CtlError::files)
    });
    print(global, &Told(status.await?))
}

/// A snapshot's file ends with a digest of the rest; a database that was copied from a member's directory has none.
fn check(file: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<(), CtlError> {
    match digest::check(file, tell).map_err(CtlError::io(file.display().to_string()))? {
        Digest::Right | Digest::Absent => Ok(()),
        Digest::Wrong { stored, computed } => Err(CtlError::File(format!(
            "{} is damaged: expected sha256 {stored}, got {computed}; take the snapshot anew",
            file.display()
        ))),
    }
}

/// Columns that all versions of etcdutl have.
const COLUMNS: usize = 4;

struct Told(Status);

impl Told {
    /// Versions that do not say theirs have four columns in etcdutl.
    fn cells(&self) -> Vec<String> {
        let Status { hash, revision, entries, bytes, version } = &self.0;
        let size = human(i64::try_from(*bytes).unwrap_or(i64::MAX));
        let cells = [format!("{hash:x}"), revision.to_string(), entries.to_string(), size];
        cells.into_iter().chain(version.clone()).collect()
    }
}

impl Answer for Told {
    fn simple(&self, text: &mut Text) {
        // As before etcd 3.6: scripts split these.
        text.line(self.cells()[..COLUMNS].join(", "));
    }

    fn fields(&self, text: &mut Text) {
        let Status { hash, revision, entries, bytes, version } = &self.0;
        text.field("Hash", hash);
        text.field("Revision", revision);
        text.field("Keys", entries);
        text.field("Size", bytes);
        if let Some(version) = version {
            text.field("Version", version);
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        let Status { hash, revision, entries, bytes, version } = &self.0;
        let version = version.as_deref().unwrap_or_default();
        // In the order that etcdutl has.
        Ok(format!(
            r#"{{"hash":{hash},"revision":{revision},"totalKey":{entries},"totalSize":{bytes},"version":{}}}"#,
            json!(version)
        ))
    }

    fn rows(&self) -> Option<(Vec<&'static str>, Vec<Vec<String>>)> {
        let mut head = vec!["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"];
        head.extend(self.0.version.as_ref().map(|_| "VERSION"));
        Some((head, vec![self.cells()]))
    }
}
