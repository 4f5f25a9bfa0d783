//! A snapshot on its way into a file. It has its name only when it is whole, checked and on the disk.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use registry_proto::etcdserverpb::SnapshotRequest;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use tokio::fs::{File, OpenOptions, remove_file, rename};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::time::Instant;

use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{progress, say, tell};

/// Gathered before it is written.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes the snapshot of the one endpoint into the file.
pub(super) async fn save(global: &Global, file: &Path) -> Result<(), CtlError> {
    let [endpoint] = global.endpoints.as_slice() else {
        let text = "a snapshot is of one member: give --endpoints one address".to_owned();
        return Err(CtlError::Arguments(text));
    };
    let mut part = file.to_owned().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let began = Instant::now();
    let written = written(global, endpoint, &part).await;
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(error) => {
            // What is there of it is of no use, and may not be there at all.
            remove_file(&part).await.ok();
            return Err(error);
        }
    };
    rename(&part, file).await.map_err(CtlError::io(file.display().to_string()))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = async { File::open(folder).await?.sync_all().await };
    synced.await.map_err(CtlError::io(folder.display().to_string()))?;
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        tell(&format!("{bytes} bytes in {:.1?}", began.elapsed()));
    }
    say(&format!("Snapshot saved at {}", file.display()))
}

/// The bytes of the file, with the digest at its end, as etcd's tools look for it.
async fn written(global: &Global, endpoint: &str, part: &Path) -> Result<u64, CtlError> {
    let failed = || CtlError::io(part.display().to_string());
    let mut client = MaintenanceClient::new(connect::to(global, endpoint).await?);
    let mut messages = client.snapshot(SnapshotRequest {}).await?.into_inner();
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(part).await.map_err(failed())?;
    let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
    let (mut bar, mut checked, mut bytes) = (None, Checked::default(), 0);
    while let Some(message) = messages.message().await? {
        let blob = &message.blob;
        bytes += blob.len() as u64;
        bar.get_or_insert_with(|| progress::bytes("saving", bytes + message.remaining_bytes)).set_position(bytes);
        checked.take(blob);
        file.write_all(blob).await.map_err(failed())?;
    }
    bar.inspect(ProgressBar::finish_and_clear);
    checked.check()?;
    file.flush().await.map_err(failed())?;
    file.get_ref().sync_all().await.map_err(failed())?;
    Ok(bytes)
}

/// The digest of all that has come but for the last bytes, which are to be the digest.
struct Checked {
    context: Context,
    last: Vec<u8>,
}

impl Default for Checked {
    fn default() -> Self {
        Self { context: Context::new(&SHA256), last: Vec::new() }
    }
}

impl Checked {
    fn take(&mut self, blob: &[u8]) {
        self.last.extend_from_slice(blob);
        let known = self.last.len().saturating_sub(SHA256_OUTPUT_LEN);
        self.context.update(&self.last[..known]);
        self.last.drain(..known);
    }

    fn check(self) -> Result<(), CtlError> {
        if self.last == self.context.finish().as_ref() {
            return Ok(());
        }
        let text = "the snapshot is not whole: its digest is not that of what came; take it anew".to_owned();
        Err(CtlError::Answer(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_counts_if_its_last_bytes_are_the_digest_of_the_others() {
        let data = vec![7; 100_000];
        let digest = ring::digest::digest(&SHA256, &data);
        let whole = [&data, digest.as_ref()].concat();
        for size in [1, 31, 33, 50_000, 200_000] {
            let mut checked = Checked::default();
            whole.chunks(size).for_each(|chunk| checked.take(chunk));
            assert!(checked.check().is_ok(), "chunks of {size}");
        }
        let mut torn = Checked::default();
        torn.take(&whole[..whole.len() - 1]);
        assert!(torn.check().is_err());
        assert!(Checked::default().check().is_err());
    }
}
