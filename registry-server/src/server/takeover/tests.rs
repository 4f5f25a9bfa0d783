//! Claims about taking etcd's directory over, on real files that are made here; what etcd itself has made, the
//! integration tests take.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use prost::Message;
use registry_etcd_files::bbolt::ImageWriter;
use registry_etcd_files::raft::{ConfChange, ConfChangeKind, ConfState, Entry, EntryKind, HardState};
use registry_etcd_files::schema::{RevisionKey, bucket, key, member_value};
use registry_etcd_files::wal::{self, Beginning, Metadata, Snapshot};
use registry_proto::etcdserverpb::Member;
use registry_proto::mvccpb::KeyValue;
use tempfile::TempDir;

use super::*;
use crate::apply::State;
use crate::consensus::{NodeOptions, Survivor};
use crate::lease::Keeper;
use crate::server::identity::Identity;
use crate::server::settings::node_options;
use crate::storage::{OpenMode, StdFile, StdVfs, VfsFile};
use crate::types::ClusterId;
use crate::watch::Hub;

const OWN: u64 = 0x7;
const CLUSTER: u64 = 0x9;
/// Entries of etcd's log: two members are added.
const MEMBERS: [u64; 2] = [OWN, 0x8];
const APPLIED: u64 = 2;

fn write(path: &Path, bytes: &[u8]) {
    StdVfs.open(path, OpenMode::CreateNew).unwrap().write_all_at(bytes, 0).unwrap();
}

fn read(path: &Path) -> Vec<u8> {
    let file = StdVfs.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn feed(mut image: ImageWriter) -> ImageWriter {
    image.begin_bucket(bucket::KEY.as_bytes());
    for main in 2..5 {
        let key = Bytes::from(format!("key-{main}"));
        let kv = KeyValue { key, create_revision: main, mod_revision: main, version: 1, ..KeyValue::default() };
        let at = RevisionKey { main, sub: 0, is_tombstone: false }.encode();
        image.put(at.as_ref(), &kv.encode_to_vec());
    }
    image.begin_bucket(bucket::MEMBERS.as_bytes());
    // One of a cluster of before.
    image.put(b"1", &member_value(&Member { id: 1, name: "old".to_owned(), ..Member::default() }));
    image.put(b"7", &member_value(&Member { id: OWN, name: "mine".to_owned(), ..Member::default() }));
    image.begin_bucket(bucket::META.as_bytes());
    image.put(key::CONSISTENT_INDEX.as_bytes(), &APPLIED.to_be_bytes());
    image
}

fn database() -> Vec<u8> {
    let (layout, _) = feed(ImageWriter::measure()).finish();
    let mut image = feed(ImageWriter::write(layout));
    let mut bytes = image.take(1).to_vec();
    bytes.extend_from_slice(&image.finish().1);
    bytes
}

fn added(index: u64, id: u64) -> Entry {
    let member = Member { id, peer_ur_ls: vec![format!("http://m{id}:1")], ..Member::default() };
    let change = ConfChange {
        kind: Some(ConfChangeKind::AddNode.into()),
        node_id: Some(id),
        context: Some(member_value(&member).into()),
        ..ConfChange::default()
    };
    let data = Some(change.encode_to_vec().into());
    Entry { kind: Some(EntryKind::ConfChange.into()), term: Some(1), index: Some(index), data }
}

fn normal(index: u64, data: &'static [u8]) -> Entry {
    let data = (!data.is_empty()).then_some(Bytes::from_static(data));
    Entry { kind: Some(EntryKind::Normal.into()), term: Some(3), index: Some(index), data }
}

/// etcd's directory, with more entries in the log than the database's.
fn etcd(more: &[Entry], commit: u64) -> (TempDir, Config) {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("data");
    let (log, snap) = (root.join("member/wal"), root.join("member/snap"));
    [&log, &snap].into_iter().for_each(|dir| StdVfs.create_dir_all(dir).unwrap());
    write(&snap.join("db"), &database());
    let founding = MEMBERS.into_iter().zip(1..).map(|(id, index)| added(index, id));
    let beginning = Beginning {
        metadata: Metadata { node_id: Some(OWN), cluster_id: Some(CLUSTER) },
        entries: founding.chain(more.iter().cloned()).collect(),
        hard_state: HardState { term: Some(4), vote: Some(OWN), commit: Some(commit) },
        snapshot: Snapshot {
            index: Some(APPLIED),
            term: Some(1),
            conf_state: Some(ConfState::of_voters(MEMBERS.to_vec())),
        },
    };
    wal::create(&log, &beginning).unwrap();
    let config = Config { data_dir: root, wal_segment_bytes: 1 << 20, max_request_bytes: 1 << 10, ..Config::default() };
    (dir, config)
}

/// What a start finds that was made.
struct Found {
    state: Arc<State>,
    members: usize,
    data_dir: DataDir<StdVfs>,
}

async fn found_in(config: &Config) -> Found {
    let data_dir = DataDir::open(&StdVfs, &config.data_dir, config.wal_dir.as_deref()).unwrap();
    let identity = Identity::load(&StdVfs, data_dir.root()).unwrap().unwrap();
    assert_eq!(identity, Identity { member: MemberId(OWN), cluster: ClusterId(CLUSTER) });
    let options: NodeOptions = node_options(config, identity, std::collections::BTreeMap::new(), &data_dir);
    let state = Arc::new(State::default());
    let keeper = Arc::new(Keeper::<Production>::default());
    let machine = Machine::new(state.clone(), keeper, Hub::new(state.clone()));
    let survivor = Survivor::<Machine, Production, _>::open(&options, StdVfs, &ThreadExecutor, machine).await;
    let mut survivor = survivor.unwrap().expect("there is a state");
    let members = survivor.membership().await.unwrap();
    assert_eq!(members.voters.len(), members.members.len());
    survivor.close().await;
    Found { state, members: members.members.len(), data_dir }
}

async fn refused(config: &Config) -> String {
    let before = StdVfs.list(&config.data_dir.join("member/snap")).unwrap();
    let error = take_over(&StdVfs, config).await.unwrap_err().to_string();
    assert_eq!(StdVfs.list(&config.data_dir.join("member/snap")).unwrap(), before, "nothing is changed");
    assert!(!config.data_dir.join("etcd-member").exists());
    error
}

/// A disk that fails for good after so many changes.
#[derive(Debug, Clone)]
struct Failing(Arc<AtomicI64>);

struct FailingFile(StdFile, Failing);

impl Failing {
    fn after(changes: i64) -> Self {
        Self(Arc::new(AtomicI64::new(changes)))
    }

    fn change(&self) -> io::Result<()> {
        if self.0.fetch_sub(1, Ordering::Relaxed) > 0 { Ok(()) } else { Err(io::Error::other("the disk is gone")) }
    }
}

impl Vfs for Failing {
    type File = FailingFile;
    type Lock = <StdVfs as Vfs>::Lock;

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.change().and_then(|()| StdVfs.create_dir_all(dir))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FailingFile> {
        if mode == OpenMode::CreateNew {
            self.change()?;
        }
        Ok(FailingFile(StdVfs.open(path, mode)?, self.clone()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change().and_then(|()| StdVfs.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change().and_then(|()| StdVfs.remove_file(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        StdVfs.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change().and_then(|()| StdVfs.sync_dir(dir))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Self::Lock> {
        StdVfs.try_lock(path)
    }

    fn dir_mode(&self, dir: &Path) -> io::Result<u32> {
        StdVfs.dir_mode(dir)
    }
}

impl VfsFile for FailingFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.1.change().and_then(|()| self.0.write_all_at(buf, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.1.change().and_then(|()| self.0.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.1.change().and_then(|()| self.0.sync_all())
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.1.change().and_then(|()| self.0.allocate(bytes))
    }
}

#[tokio::test]
async fn a_takeover_that_is_interrupted_anywhere_is_finished_by_the_next_start() {
    let expected = database();
    for wal_elsewhere in [false, true] {
        let mut changes = 0;
        loop {
            let (dir, mut config) = etcd(&[], APPLIED);
            if wal_elsewhere {
                let elsewhere = dir.path().join("log");
                StdVfs.rename(&config.data_dir.join("member/wal"), &elsewhere).unwrap();
                config.wal_dir = Some(elsewhere);
            }
            let interrupted = take_over(&Failing::after(changes), &config).await.is_err();
            if interrupted {
                take_over(&StdVfs, &config).await.unwrap();
            }
            let found = found_in(&config).await;
            assert_eq!((found.state.store.read().keys(), found.members), (3, 2), "after {changes} changes");
            assert_eq!(read(&config.data_dir.join("etcd-member/snap/db")), expected, "etcd's files are kept");
            let log = wal::read(&kept_log(&config)).unwrap();
            assert_eq!(log.metadata.node_id(), OWN);
            drop(found);
            // It is never done twice.
            take_over(&StdVfs, &config).await.unwrap();
            if !interrupted {
                break;
            }
            changes += 1;
        }
        assert!(changes > 20, "{changes} changes");
    }
}

fn kept_log(config: &Config) -> PathBuf {
    let elsewhere = config.wal_dir.as_ref().map(|dir| dir.join("etcd-wal"));
    elsewhere.unwrap_or_else(|| config.data_dir.join("etcd-member/wal"))
}

#[tokio::test]
async fn members_are_those_of_the_log_with_the_names_that_the_database_knows() {
    let (_dir, config) = etcd(&[normal(3, b""), added(4, 0xb)], 4);
    take_over(&StdVfs, &config).await.unwrap();
    let found = found_in(&config).await;
    assert_eq!(found.members, 3);
    let cluster = found.state.cluster.read().clone();
    let members: Vec<_> = cluster.members().map(|member| (member.id, member.name.as_str())).collect();
    assert_eq!(members, [(OWN, "mine"), (0x8, ""), (0xb, "")]);
    assert_eq!(cluster.get(MemberId(0xb)).unwrap().peer_ur_ls, ["http://m11:1"]);
    drop(found.data_dir);
}

#[tokio::test]
async fn a_log_with_more_than_the_database_is_refused_and_nothing_changed() {
    let (_dir, config) = etcd(&[normal(3, b"\x22\x03abc")], 3);
    let error = refused(&config).await;
    assert!(error.contains("entry 3, a put") && error.contains("snapshot save"), "{error}");
    let (_dir, config) = etcd(&[added(3, 0xb)], APPLIED);
    let error = refused(&config).await;
    assert!(error.contains("entry 3, a change of members"), "of which nobody knows whether it counts: {error}");
    // Which changes nothing; but the other member may have others in its place, committed.
    let (_dir, config) = etcd(&[normal(3, b"")], APPLIED);
    let error = refused(&config).await;
    assert!(error.contains("entry 3, of which it does not know whether a majority has it"), "{error}");
}

#[tokio::test]
async fn a_log_that_cannot_be_is_refused_and_nothing_changed() {
    let (_dir, config) = etcd(&[normal(3, b""), Entry { term: Some(u64::MAX), ..normal(4, b"") }], 4);
    let error = refused(&config).await;
    assert!(error.contains("no log reaches its index or its term"), "{error}");
    let (_dir, config) = etcd(&[added(3, 0)], 3);
    let error = refused(&config).await;
    assert!(error.contains("no member has the id 0"), "{error}");
}

#[tokio::test]
async fn a_database_that_somebody_has_open_is_refused() {
    let (_dir, config) = etcd(&[], APPLIED);
    let held = StdVfs.try_lock(&config.data_dir.join("member/snap/db")).unwrap();
    let error = refused(&config).await;
    assert!(error.contains("is in use: stop that etcd first"), "{error}");
    drop(held);
    take_over(&StdVfs, &config).await.unwrap();
}

#[tokio::test]
async fn two_databases_are_refused_and_a_directory_without_one_is_left_alone() {
    let (_dir, config) = etcd(&[], APPLIED);
    let second = config.data_dir.join("etcd-member/snap");
    StdVfs.create_dir_all(&second).unwrap();
    write(&second.join("db"), b"");
    let error = take_over(&StdVfs, &config).await.unwrap_err().to_string();
    assert!(error.contains("both `member` and `etcd-member`"), "{error}");
    let dir = TempDir::new().unwrap();
    for data_dir in [dir.path().to_owned(), dir.path().join("missing")] {
        take_over(&StdVfs, &Config { data_dir, ..Config::default() }).await.unwrap();
    }
    assert_eq!(StdVfs.list(dir.path()).unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_database_that_is_none_is_refused_with_its_name() {
    let (_dir, config) = etcd(&[], APPLIED);
    let database = config.data_dir.join("member/snap/db");
    StdVfs.remove_file(&database).unwrap();
    write(&database, &[7; 10_000]);
    let error = refused(&config).await;
    assert!(error.contains("member/snap/db is no database of etcd"), "{error}");
}
