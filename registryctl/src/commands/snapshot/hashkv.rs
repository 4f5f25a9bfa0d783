//! The hash of what a file has of the keys' history, in etcdutl's forms.

use std::path::Path;

use registry_etcd_files::bbolt::Image;
use registry_etcd_files::hash_kv::HashKv;

use super::progress::beside;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Answer, Text, print};

/// Hashes the file up to a revision and prints it.
pub(super) async fn hashkv(global: &Global, file: &Path, revision: i64) -> Result<(), CtlError> {
    let file = file.to_owned();
    let hash = beside(move |_| {
        let image = Image::open(&file).map_err(CtlError::files)?;
        HashKv::of(&image, revision).map_err(CtlError::files)
    });
    print(global, &Told(hash.await?))
}

struct Told(HashKv);

impl Told {
    fn cells(&self) -> Vec<String> {
        let HashKv { hash, revision, compacted } = self.0;
        vec![hash.to_string(), revision.to_string(), compacted.to_string()]
    }
}

impl Answer for Told {
    fn simple(&self, text: &mut Text) {
        text.line(self.cells().join(", "));
    }

    fn fields(&self, text: &mut Text) {
        let HashKv { hash, revision, compacted } = self.0;
        text.field("Hash", hash);
        text.field("Hash revision", revision);
        text.field("Compact revision", compacted);
    }

    fn json(&self) -> Result<String, CtlError> {
        let HashKv { hash, revision, compacted } = self.0;
        // In the order that etcdutl has.
        Ok(format!(r#"{{"hash":{hash},"hashRevision":{revision},"compactRevision":{compacted}}}"#))
    }

    fn rows(&self) -> Option<(Vec<&'static str>, Vec<Vec<String>>)> {
        Some((vec!["HASH", "HASH REVISION", "COMPACT REVISION"], vec![self.cells()]))
    }
}
