//! `debug wal`: the records of the log.

use std::path::Path;

use registry_server::consensus::{Entry, LogId, Members, RestoreError, read_entry, read_log_id, read_vote};
use registry_server::storage::{FoundInWal, StdVfs, WalError, WalRecord, survey_wal};
use serde_json::{Map, Value, json};

use super::{command, damage, hex, line};
use crate::error::CtlError;

impl From<WalError> for CtlError {
    fn from(error: WalError) -> Self {
        let (what, source) = match error {
            WalError::Open { path, source } => (path.display().to_string(), source.to_string()),
            error => ("the log".to_owned(), error.to_string()),
        };
        let mend =
            format!("{source}: name a data directory of registry-server, or its member/wal, that this user may read");
        Self::io(what)(std::io::Error::other(mend))
    }
}

/// Prints it all; whether something is damaged.
pub(super) fn tell(dir: &Path, values: bool) -> Result<bool, CtlError> {
    let (mut is_damaged, mut files) = (false, 0);
    survey_wal(&StdVfs, dir, |file, found| {
        let name = file.display().to_string();
        match found {
            FoundInWal::Segment { number, bytes } => {
                files += 1;
                line(&json!({ "record": "segment", "file": name, "number": number, "bytes": bytes }))
            }
            FoundInWal::Record { offset, batch, record } => {
                let mut object = record_of(record, values).unwrap_or_else(|error| unreadable(&error));
                object.extend([("offset".to_owned(), offset.into()), ("batch".to_owned(), batch.into())]);
                is_damaged |= object.get("record").is_some_and(|record| record == "unreadable");
                line(&Value::from(object))
            }
            FoundInWal::Damage { offset, reason } => {
                is_damaged = true;
                line(&damage(file, offset, &reason))
            }
            FoundInWal::Unfinished { offset } => line(&json!({
                "record": "unfinished", "file": name, "offset": offset,
                "reason": "it is being written, or was torn before it was acknowledged: the next start cuts it",
            })),
        }
    })?;
    if files == 0 {
        let text =
            format!("{}: there is no log: name a data directory of registry-server, or its member/wal", dir.display());
        return Err(CtlError::Arguments(text));
    }
    Ok(is_damaged)
}

fn record_of(record: WalRecord, values: bool) -> Result<Map<String, Value>, RestoreError> {
    let object = match record {
        WalRecord::Entry { bytes, .. } => entry(read_entry(bytes)?, values),
        WalRecord::Vote(bytes) => {
            let vote = read_vote(bytes)?;
            json!({ "record": "vote", "term": vote.term, "member": hex(vote.member), "committed": vote.is_committed })
        }
        WalRecord::Committed(bytes) => with_id("committed", read_log_id(bytes)?),
        WalRecord::TruncateAfter(index) => json!({ "record": "truncate_after", "index": index }),
        WalRecord::Purged { id, .. } => with_id("purged", read_log_id(id)?),
    };
    Ok(match object {
        Value::Object(object) => object,
        _ => Map::new(),
    })
}

fn with_id(record: &str, id: LogId) -> Value {
    json!({ "record": record, "index": id.index, "term": id.term, "leader": hex(id.leader) })
}

fn entry(entry: Entry, values: bool) -> Value {
    let mut object = with_id("entry", entry.id);
    if let Some(of) = &entry.members {
        object["members"] = members(of);
    }
    let one = |command: Result<_, RestoreError>| match command {
        Ok(bytes) => command::command(bytes, values),
        Err(error) => Value::from(unreadable(&error)),
    };
    object["commands"] = entry.commands.into_iter().map(one).collect();
    object
}

/// Raft's members.
pub(super) fn members(members: &Members) -> Value {
    let ids = |ids: &Vec<u64>| ids.iter().map(|id| hex(*id)).collect::<Vec<_>>();
    let voters: Vec<_> = members.voters.iter().map(ids).collect();
    let nodes: Map<_, _> = members.nodes.iter().map(|(id, urls)| (hex(*id), urls.clone().into())).collect();
    json!({ "voters": voters, "peer_urls": nodes })
}

fn unreadable(error: &RestoreError) -> Map<String, Value> {
    Map::from_iter([("record".to_owned(), "unreadable".into()), ("reason".to_owned(), error.to_string().into())])
}
