//! The records of a log, file after file, each with its checksum checked.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;

use super::error::WalFileError;
use super::frame::{LENGTH_BYTES, RECORD_BYTES_MAX, Record, RecordKind, has_blank_sector, parse_length};
use super::{Position, parse_file_name};

const BUFFER_BYTES: usize = 256 << 10;

/// The records of all files, in their order.
#[derive(Debug)]
pub(super) struct Records {
    files: Vec<PathBuf>,
    next_file: usize,
    open: Option<Open>,
    /// Of all data that was read. It is 0 before the first file that is there, whose beginning says what came before.
    crc: u32,
    /// Where the record begins that was read last.
    begin: u64,
    torn: Option<Position>,
}

#[derive(Debug)]
struct Open {
    file: BufReader<File>,
    length: u64,
    offset: u64,
}

/// What is found where a record may begin.
enum Found {
    Frame { bytes: Bytes, record_bytes: usize },
    EndOfFile,
    CutOff,
    TooLong,
}

impl Records {
    /// Finds the files of a log.
    pub(super) fn open(dir: &Path) -> Result<Self, WalFileError> {
        Ok(Self { files: files(dir)?, next_file: 0, open: None, crc: 0, begin: 0, torn: None })
    }

    /// The next record, and its data; none at the end of the log, and behind an error.
    pub(super) fn next(&mut self) -> Result<Option<(RecordKind, Bytes)>, WalFileError> {
        let next = self.step();
        if next.is_err() {
            (self.open, self.next_file) = (None, self.files.len());
        }
        next
    }

    fn step(&mut self) -> Result<Option<(RecordKind, Bytes)>, WalFileError> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(path) = self.files.get(self.next_file) else { return Ok(None) };
                self.open = Some(Open::file(path).map_err(failed(path))?);
                self.next_file += 1;
                continue;
            };
            let path = &self.files[self.next_file - 1];
            self.begin = open.offset;
            match open.frame().map_err(failed(path))? {
                Found::EndOfFile => self.open = None,
                Found::TooLong => return Err(self.damaged("a record is longer than any request")),
                Found::CutOff => return self.torn("it ends within a record"),
                Found::Frame { bytes, record_bytes } => {
                    let Some(record) = self.record(&bytes, record_bytes)? else { return Ok(None) };
                    return Ok(Some(record));
                }
            }
        }
    }

    /// Where the last record was cut off, if one was; known at the end of the log.
    pub(super) fn torn_tail(&self) -> Option<&Position> {
        self.torn.as_ref()
    }

    /// What is wrong with the record that was read last.
    pub(super) fn damaged(&self, reason: &'static str) -> WalFileError {
        let path = self.files[self.next_file.saturating_sub(1)].clone();
        WalFileError::Damaged { path, offset: self.begin, reason }
    }

    /// Checks a record and steps over it.
    fn record(&mut self, bytes: &Bytes, record_bytes: usize) -> Result<Option<(RecordKind, Bytes)>, WalFileError> {
        let Ok(record) = Record::decode(bytes.slice(..record_bytes)) else {
            return self.unreadable(bytes, "there is no record");
        };
        let data = record.data.clone().unwrap_or_default();
        if record.kind() == RecordKind::Crc {
            if self.crc != 0 && self.crc != record.crc() {
                return Err(self.damaged("it does not go on from the file before"));
            }
            self.crc = record.crc();
        } else {
            let crc = crc32c::crc32c_append(self.crc, &data);
            if crc != record.crc() {
                return self.unreadable(bytes, "the record's checksum is wrong");
            }
            self.crc = crc;
        }
        if record.kind() == RecordKind::Unknown {
            return Err(self.damaged("a record is of an unknown kind"));
        }
        if let Some(open) = &mut self.open {
            open.offset += (LENGTH_BYTES + bytes.len()) as u64;
        }
        Ok(Some((record.kind(), data)))
    }

    /// The disk was not done with the last record, or it is damaged.
    fn unreadable<T>(&mut self, bytes: &[u8], reason: &'static str) -> Result<Option<T>, WalFileError> {
        if has_blank_sector(bytes, self.begin + LENGTH_BYTES as u64) {
            self.torn(reason)
        } else {
            Err(self.damaged(reason))
        }
    }

    /// The end of the log, if this is its last file.
    fn torn<T>(&mut self, reason: &'static str) -> Result<Option<T>, WalFileError> {
        if self.next_file < self.files.len() {
            return Err(self.damaged(reason));
        }
        self.open = None;
        self.torn = self.files.last().map(|path| Position { path: path.clone(), offset: self.begin });
        Ok(None)
    }
}

impl Open {
    fn file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file: BufReader::with_capacity(BUFFER_BYTES, file), length, offset: 0 })
    }

    fn frame(&mut self) -> io::Result<Found> {
        let rest = self.length.saturating_sub(self.offset);
        if rest < LENGTH_BYTES as u64 {
            return Ok(if rest == 0 { Found::EndOfFile } else { Found::CutOff });
        }
        let mut field = [0; LENGTH_BYTES];
        self.file.read_exact(&mut field)?;
        let field = u64::from_le_bytes(field);
        if field == 0 {
            // What was claimed and not written yet.
            return Ok(Found::EndOfFile);
        }
        let (record_bytes, padding) = parse_length(field);
        let bytes = record_bytes + padding;
        if bytes > rest - LENGTH_BYTES as u64 {
            return Ok(Found::CutOff);
        }
        if bytes > RECORD_BYTES_MAX {
            return Ok(Found::TooLong);
        }
        let [bytes, record_bytes] = [bytes, record_bytes].map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let mut frame = vec![0; bytes];
        self.file.read_exact(&mut frame)?;
        Ok(Found::Frame { bytes: frame.into(), record_bytes })
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> WalFileError {
    let path = path.to_owned();
    move |source| WalFileError::Io { path: path.clone(), source }
}

/// The files of a log in their order, none missing between them. Others in the directory are no matter: etcd prepares its next
/// file beside them.
fn files(dir: &Path) -> Result<Vec<PathBuf>, WalFileError> {
    let mut sequences = std::collections::BTreeMap::new();
    let mut listed = || -> io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let name = entry?.file_name();
            if let Some((sequence, _)) = name.to_str().and_then(parse_file_name) {
                sequences.insert(sequence, dir.join(name));
            }
        }
        Ok(())
    };
    listed().map_err(failed(dir))?;
    let Some((first, _)) = sequences.first_key_value() else {
        return Err(WalFileError::Empty { dir: dir.to_owned() });
    };
    let missing = (*first..).zip(sequences.keys()).find(|(expected, found)| expected != *found);
    match missing {
        Some((sequence, _)) => Err(WalFileError::MissingFile { dir: dir.to_owned(), sequence }),
        None => Ok(sequences.into_values().collect()),
    }
}
