//! A log's file that is renamed when it has grown, and the old ones that are kept: etcd's `--log-rotation-config-json`.
//!
//! Old files stand beside the new one with the time in their names, as etcd names them. The file is bounded by its size in
//! the moment before a line is written, so it never grows above that but for a single line that is longer.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};

use crate::storage::{StdVfs, Vfs};

const MIB: u64 = 1 << 20;
/// What stands for no size.
const DEFAULT_MIB: u64 = 100;
const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

/// When a new file begins, and which old ones are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRotation {
    /// How large a file may grow, in bytes.
    pub max_bytes: u64,
    /// How old a file may become; zero for any age.
    pub max_age: Duration,
    /// How many old files are kept; zero for all.
    pub max_backups: usize,
}

impl LogRotation {
    /// Reads etcd's settings.
    ///
    /// # Errors
    /// What is wrong with them, or not done here.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let bad = |error: serde_json::Error| format!("it must be JSON like {{\"maxsize\": 100}}: {error}");
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).map_err(bad)?;
        let mut numbers = [0_u64; 3];
        for (key, value) in &fields {
            match key.as_str() {
                "maxsize" | "maxage" | "maxbackups" => {
                    let at = ["maxsize", "maxage", "maxbackups"].iter().position(|name| name == key).unwrap_or(0);
                    numbers[at] = value.as_u64().ok_or_else(|| format!("{key} must be a number from 0 on"))?;
                }
                "localtime" | "compress" if value.as_bool() == Some(false) => {}
                "localtime" => return Err("localtime is not supported: old files have UTC in their names".to_owned()),
                "compress" => {
                    return Err("compress is not supported: leave it out, and compress old files outside".to_owned());
                }
                _ => return Err(format!("{key:?} is no setting of it")),
            }
        }
        let [size, age, backups] = numbers;
        Ok(Self {
            max_bytes: if size == 0 { DEFAULT_MIB } else { size }.saturating_mul(MIB),
            max_age: Duration::from_secs(age.saturating_mul(SECONDS_OF_A_DAY)),
            max_backups: usize::try_from(backups).unwrap_or(usize::MAX),
        })
    }
}

/// A file that lines are appended to. All of it blocks.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    length: u64,
    rotation: Option<LogRotation>,
}

impl LogFile {
    /// Opens a file, which is made if it is missing.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn open(path: &Path, rotation: Option<LogRotation>) -> io::Result<Self> {
        let file = open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, length, rotation })
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let is_full = |rotation: &LogRotation| self.length > 0 && self.length + lines.len() as u64 > rotation.max_bytes;
        if let Some(rotation) = self.rotation.clone().filter(is_full) {
            self.rotate(&rotation)?;
        }
        self.file.write_all(lines)?;
        self.length += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, rotation: &LogRotation) -> io::Result<()> {
        let now = now();
        let old = Names::of(&self.path).free(now)?;
        StdVfs.rename(&self.path, &old)?;
        self.file = open(&self.path)?;
        self.length = 0;
        self.remove_old(rotation, now)
    }

    /// Removes the old files that are too many or too old.
    fn remove_old(&self, rotation: &LogRotation, now: u64) -> io::Result<()> {
        let names = Names::of(&self.path);
        let mut old: Vec<_> = StdVfs.list(&names.dir)?.into_iter().filter(|name| names.is_old(name)).collect();
        // Their times are in their names, so they sort by age: the newest first.
        old.sort_unstable_by(|a, b| b.cmp(a));
        let since = now.saturating_sub(rotation.max_age.as_secs());
        let oldest = names.file_name(&stamp(since, 0));
        for (at, name) in old.iter().enumerate() {
            let is_too_many = rotation.max_backups > 0 && at >= rotation.max_backups;
            let is_too_old = !rotation.max_age.is_zero() && *name < oldest;
            if is_too_many || is_too_old {
                StdVfs.remove_file(&names.dir.join(name))?;
            }
        }
        Ok(())
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the log is the process's, and no node decides anything by it")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Opens a file so that whatever is written goes to its end, whoever else writes to it.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?))
}

/// How old files of one are called: `name-2006-01-02T15-04-05.000.log`.
struct Names {
    dir: PathBuf,
    stem: String,
    extension: String,
}

impl Names {
    fn of(path: &Path) -> Self {
        let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let extension = text(path.extension()).map(|extension| format!(".{extension}")).unwrap_or_default();
        Self { dir: dir.to_owned(), stem: text(path.file_stem()).unwrap_or_default(), extension }
    }

    fn file_name(&self, stamp: &str) -> String {
        format!("{}-{stamp}{}", self.stem, self.extension)
    }

    /// A name for a file of this second that sorts behind those that are there.
    fn free(&self, seconds: u64) -> io::Result<PathBuf> {
        let first = self.file_name(&stamp(seconds, 0));
        let until = first.len() - self.extension.len() - 3;
        let number = |name: &String| name[until..until + 3].parse::<u32>().ok();
        let of_second = |name: &&String| self.is_old(name) && name[..until] == first[..until];
        let last = StdVfs.list(&self.dir)?.iter().filter(of_second).filter_map(number).max();
        let again = last.map_or(0, |last| (last + 1).min(999));
        Ok(self.dir.join(self.file_name(&stamp(seconds, again))))
    }

    fn is_old(&self, name: &str) -> bool {
        let stamp = name.strip_prefix(&self.stem).and_then(|rest| rest.strip_prefix('-'));
        let stamp = stamp.and_then(|rest| rest.strip_suffix(&self.extension));
        let shape = |(at, byte): (usize, u8)| match at {
            4 | 7 | 13 | 16 => byte == b'-',
            10 => byte == b'T',
            19 => byte == b'.',
            _ => byte.is_ascii_digit(),
        };
        stamp.is_some_and(|stamp| stamp.len() == 23 && stamp.bytes().enumerate().all(shape))
    }
}

/// A moment in UTC, as it stands in a name. Two of one second differ in what etcd has as milliseconds.
fn stamp(seconds: u64, again: u32) -> String {
    let (days, second) = (seconds / SECONDS_OF_A_DAY, seconds % SECONDS_OF_A_DAY);
    // Days are counted from a March, so that the leap day is the last of its year; eras have 400 years.
    let from_era = days + 719_468;
    let (era, of_era) = (from_era / 146_097, from_era % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.{again:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(max_bytes: u64, max_backups: usize) -> LogRotation {
        LogRotation { max_bytes, max_age: Duration::ZERO, max_backups }
    }

    fn files(dir: &Path) -> Vec<String> {
        StdVfs.list(dir).unwrap()
    }

    #[test]
    fn moments_are_written_as_etcd_names_files() {
        assert_eq!(stamp(0, 0), "1970-01-01T00-00-00.000");
        assert_eq!(stamp(951_782_399, 7), "2000-02-28T23-59-59.007");
        assert_eq!(stamp(951_782_400, 0), "2000-02-29T00-00-00.000");
        assert_eq!(stamp(1_795_430_645, 0), "2026-11-23T10-44-05.000");
    }

    #[test]
    fn a_file_that_has_grown_is_renamed_and_only_so_many_are_kept() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("a.log");
        let mut file = LogFile::open(&path, Some(rotation(10, 2))).unwrap();
        for line in 0..6_u8 {
            file.append(&[b'0' + line; 6]).unwrap();
        }
        let names = files(dir.path());
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "555555");
        assert_eq!(std::fs::read_to_string(dir.path().join(&names[1])).unwrap(), "444444");
        assert!(names[0].starts_with("a-2") && names[0].ends_with(".log"), "{names:?}");
    }

    #[test]
    fn what_is_too_old_goes_and_what_is_no_log_stays() {
        let dir = tempfile::TempDir::new().unwrap();
        let put = |name: &str| drop(open(&dir.path().join(name)).unwrap());
        ["a-2001-01-01T00-00-00.000.log", "a-notes.log", "b-2001-01-01T00-00-00.000.log"].into_iter().for_each(put);
        let path = dir.path().join("a.log");
        let old = LogRotation { max_age: Duration::from_secs(SECONDS_OF_A_DAY), ..rotation(10, 0) };
        let mut file = LogFile::open(&path, Some(old)).unwrap();
        file.append(&[b'a'; 10]).unwrap();
        file.append(&[b'b'; 10]).unwrap();
        let names = files(dir.path());
        assert!(!names.contains(&"a-2001-01-01T00-00-00.000.log".to_owned()), "{names:?}");
        assert_eq!(names.len(), 4, "{names:?}");
    }

    #[test]
    fn a_file_is_appended_to_and_not_rotated_unless_asked() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("a.log");
        for _ in 0..3 {
            LogFile::open(&path, None).unwrap().append(b"line\n").unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "line\nline\nline\n");
    }

    #[test]
    fn etcds_settings_are_read_and_what_is_not_done_is_refused() {
        let read =
            LogRotation::from_json(r#"{"maxsize": 7, "maxage": 2, "maxbackups": 3, "localtime": false}"#).unwrap();
        let age = Duration::from_secs(2 * SECONDS_OF_A_DAY);
        assert_eq!(read, LogRotation { max_bytes: 7 * MIB, max_age: age, max_backups: 3 });
        assert_eq!(LogRotation::from_json("{}").unwrap().max_bytes, 100 * MIB);
        for (text, words) in [
            ("{", "must be JSON"),
            (r#"{"maxsize": -1}"#, "maxsize must be a number"),
            (r#"{"compress": true}"#, "compress is not supported"),
            (r#"{"localtime": true}"#, "localtime is not supported"),
            (r#"{"size": 1}"#, "\"size\" is no setting"),
        ] {
            let line = LogRotation::from_json(text).unwrap_err();
            assert!(line.contains(words), "{text}: {line}");
        }
    }
}
