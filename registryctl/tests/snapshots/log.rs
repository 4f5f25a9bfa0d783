//! What etcd's own log says, read as it was left.

use registry_etcd_files::raft::EntryKind;
use registry_etcd_files::wal;

use crate::contents::{NEWEST, write};
use crate::peers::{Etcd, Place, peers};

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_an_etcd_that_was_stopped_or_killed_is_read_to_its_end() {
    for peer in peers() {
        let dir = tempfile::tempdir().unwrap();
        for is_killed in [false, true] {
            let data_dir = dir.path().join(format!("killed-{is_killed}"));
            let etcd = Etcd::start(&peer.etcd, &data_dir, &Place::free()).ready().await;
            write(&etcd.url);
            if is_killed {
                drop(etcd);
            } else {
                etcd.stop().await;
            }
            let contents = wal::read(&data_dir.join("member/wal")).unwrap();
            let (first, last) = contents.indexes.unwrap();
            assert!(first == 1 && last > NEWEST as u64, "{contents:?}");
            assert!(contents.hard_state.commit() <= last && contents.metadata.node_id() != 0, "{contents:?}");
            let entries: Vec<_> = contents.entries().unwrap().map(Result::unwrap).collect();
            let indexes: Vec<_> = entries.iter().map(|entry| entry.index()).collect();
            assert_eq!(indexes, (first..=last).collect::<Vec<_>>());
            assert_eq!(entries[0].kind(), EntryKind::ConfChange);
            assert!(entries.iter().any(|entry| find(entry.data(), b"large")), "the requests are in it");
        }
    }
}

fn find(data: &[u8], word: &[u8]) -> bool {
    data.windows(word.len()).any(|window| window == word)
}
