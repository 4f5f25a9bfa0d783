//! What a restored directory holds, and what is left when nothing can be restored.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::fixtures::{Bucket, bytes_of};
use crate::schema::{RevisionKey, bucket, conf_state, key, member_key};

type Found = BTreeMap<String, Vec<(Vec<u8>, Vec<u8>)>>;

fn founders() -> Founders {
    let cluster = "a=http://127.0.0.1:1,b=http://127.0.0.1:2";
    Founders::new("b", cluster, "token", "http://127.0.0.1:2").unwrap()
}

fn revision(main: i64) -> Vec<u8> {
    RevisionKey { main, sub: 0, is_tombstone: false }.encode().as_ref().to_vec()
}

fn entry(key: &str, value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (key.into(), value.to_vec())
}

/// Of another cluster, with a bucket that nobody knows.
fn buckets() -> Vec<Bucket<'static>> {
    vec![
        (bucket::CLUSTER, vec![entry(key::CLUSTER_VERSION, b"3.5.0")]),
        ("future", vec![entry("x", b"y")]),
        (bucket::KEY, (2..3000).map(|main| (revision(main), vec![7; 500])).collect()),
        (bucket::MEMBERS, vec![entry("abc", b"{}")]),
        (bucket::MEMBERS_REMOVED, vec![entry("def", b"removed")]),
        (
            bucket::META,
            vec![
                entry("aaa", b"first"),
                entry(key::CONSISTENT_INDEX, &[9; 8]),
                entry(key::FINISHED_COMPACTION, b"f"),
                entry(key::STORAGE_VERSION, b"3.6.0"),
                entry("zzz", b"last"),
            ],
        ),
    ]
}

struct Case {
    dir: TempDir,
    options: Options,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options =
            Options { data_dir: dir.path().join("new/data"), wal_dir: None, skip_hash_check: false, bump: None };
        Self { dir, options }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's files")]
    fn restore(&self, bytes: &[u8]) -> Result<Restored, RestoreError> {
        let file = self.dir.path().join("snapshot.db");
        std::fs::write(&file, bytes).unwrap();
        restore(&file, &founders(), &self.options, &mut |_| ())
    }

    fn found(&self) -> Found {
        let image = Image::open(&self.options.data_dir.join("member/snap/db")).unwrap();
        let mut found = Found::new();
        for name in image.buckets().unwrap() {
            let (mut entries, mut all) = (image.entries(&name).unwrap(), Vec::new());
            while let Some((key, value)) = entries.next().unwrap() {
                all.push((key.to_vec(), value.to_vec()));
            }
            found.insert(String::from_utf8(name).unwrap(), all);
        }
        found
    }

    /// All that is in the directory of the test, but for the snapshot.
    fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| !path.ends_with("snapshot.db")).flat_map(|path| walk(&path)).collect()
    }
}

/// Files and empty directories.
fn walk(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.to_owned()] };
    entries.flat_map(|entry| walk(&entry.unwrap().path())).collect()
}

fn snapshot() -> Vec<u8> {
    let bytes = bytes_of(&buckets());
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    [&bytes, digest.as_ref()].concat()
}

#[test]
fn all_is_kept_but_for_the_members_and_where_raft_stands() {
    let case = Case::new();
    let restored = case.restore(&snapshot()).unwrap();
    let founders = founders();
    let expected = Restored { member: founders.own(), cluster: founders.cluster(), revision: 2999 };
    assert_eq!(restored, expected);
    let [mut before, mut found]: [Found; 2] =
        [buckets().into_iter().map(|(name, all)| (name.to_owned(), all)).collect(), case.found()];
    let ids: Vec<_> = founders.members().iter().map(|member| member.id).collect();
    let members: Vec<_> = found.remove(bucket::MEMBERS).unwrap().into_iter().map(|(key, _)| key).collect();
    let mut keys: Vec<_> = ids.iter().map(|id| member_key(*id)).collect();
    keys.sort_unstable();
    assert_eq!(members, keys);
    assert_eq!(found.remove(bucket::MEMBERS_REMOVED).unwrap(), []);
    let meta = [
        entry("aaa", b"first"),
        entry(key::CONF_STATE, &conf_state(&ids, &[])),
        entry(key::CONSISTENT_INDEX, &2_u64.to_be_bytes()),
        entry(key::FINISHED_COMPACTION, b"f"),
        entry(key::STORAGE_VERSION, b"3.6.0"),
        entry(key::TERM, &1_u64.to_be_bytes()),
        entry("zzz", b"last"),
    ];
    assert_eq!(found.remove(bucket::META).unwrap(), meta);
    for name in [bucket::MEMBERS, bucket::MEMBERS_REMOVED, bucket::META] {
        before.remove(name);
    }
    assert!(found == before, "other buckets differ");
}

#[test]
fn the_log_says_who_founds_the_cluster_and_its_cut_is_where_the_database_is() {
    let case = Case::new();
    case.restore(&snapshot()).unwrap();
    let member = case.options.data_dir.join("member");
    let contents = wal::read(&member.join("wal")).unwrap();
    let founders = founders();
    assert_eq!((contents.metadata.node_id(), contents.metadata.cluster_id()), (founders.own(), founders.cluster()));
    assert_eq!((contents.hard_state.commit(), contents.indexes), (2, Some((1, 2))));
    let cut = raft_snapshot::read(&member.join("snap").join(raft_snapshot::file_name(1, 2))).unwrap();
    assert_eq!(cut.metadata.unwrap().conf_state, contents.snapshots[1].conf_state);
    for (path, mode) in [("", 0o700), ("snap", 0o700), ("wal", 0o700), ("snap/db", 0o600)] {
        let permissions = member.join(path).metadata().unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{path:?}");
    }
}

#[test]
fn a_bumped_revision_is_the_newest_and_compacted() {
    let mut case = Case::new();
    case.options.bump = NonZeroU64::new(1_000_000);
    assert_eq!(case.restore(&snapshot()).unwrap().revision, 1_002_999);
    let found = case.found();
    assert_eq!(found[bucket::KEY].last(), Some(&(revision(1_002_999), Vec::new())));
    assert!(found[bucket::META].contains(&(key::SCHEDULED_COMPACTION.into(), revision(1_002_999))));
    let mut case = Case::new();
    case.options.bump = NonZeroU64::new(u64::MAX);
    assert!(matches!(case.restore(&snapshot()), Err(RestoreError::TooFar { newest: 2999, .. })));
    assert!(case.left().is_empty() || case.left() == [case.dir.path().join("new")], "{:?}", case.left());
}

#[test]
fn nothing_is_left_of_a_snapshot_that_cannot_be_restored() {
    let good = snapshot();
    let mut damaged = good.clone();
    damaged[9000] ^= 1;
    let case = Case::new();
    assert!(matches!(case.restore(&damaged), Err(RestoreError::WrongDigest { .. })));
    let error = case.restore(&good[..good.len() - 32]).unwrap_err().to_string();
    assert!(error.contains("snapshot missing hash") && error.contains("--skip-hash-check"), "{error}");
    assert!(case.left().is_empty(), "{:?}", case.left());
    let mut case = Case::new();
    case.options.skip_hash_check = true;
    case.options.wal_dir = Some(case.dir.path().join("wal"));
    // A leaf of the keys is another page now.
    let mut damaged = good[..good.len() - 32].to_vec();
    damaged[4096 * 9] ^= 1;
    assert!(matches!(case.restore(&damaged), Err(RestoreError::Database(_))));
    assert!(case.left().is_empty() || case.left() == [case.dir.path().join("new")], "{:?}", case.left());
    assert_eq!(case.restore(&good[..good.len() - 32]).unwrap().revision, 2999);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's files")]
fn what_is_there_is_kept() {
    let mut case = Case::new();
    case.options.wal_dir = Some(case.dir.path().join("wal"));
    case.restore(&snapshot()).unwrap();
    assert!(wal::read(&case.dir.path().join("wal")).is_ok());
    let before = case.left();
    assert!(matches!(case.restore(&snapshot()), Err(RestoreError::DataDirNotEmpty { .. })));
    case.options.data_dir = case.dir.path().join("other");
    assert!(matches!(case.restore(&snapshot()), Err(RestoreError::WalDirExists { .. })));
    assert_eq!(case.left(), before);
    // An empty directory, as a mounted disk is one, serves.
    case.options.wal_dir = None;
    std::fs::create_dir(&case.options.data_dir).unwrap();
    case.restore(&snapshot()).unwrap();
    std::fs::rename(case.options.data_dir.join("member"), case.options.data_dir.join("member.part")).unwrap();
    assert!(matches!(case.restore(&snapshot()), Err(RestoreError::Unfinished { .. })));
}
