//! Commands: the payload of log entries, and their bytes.
//!
//! A command is a version byte, a kind byte and the protobuf message of that kind: protobuf lets later
//! versions add fields that this one skips, and the version byte tells what can not be skipped.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use registry_proto::etcdserverpb::{
    AlarmRequest, CompactionRequest, DeleteRangeRequest, LeaseCheckpointRequest, LeaseGrantRequest, LeaseRevokeRequest,
    Member, PutRequest, TxnRequest,
};

const VERSION: u8 = 1;

/// What an entry asks the state machine to do. Whatever is not in here and not in the replicated state
/// cannot influence the outcome.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Put one key.
    Put(PutRequest),
    /// Delete a range of keys.
    DeleteRange(DeleteRangeRequest),
    /// Compare, then do one list of operations or the other.
    Txn(TxnRequest),
    /// Trim history.
    Compact(CompactionRequest),
    /// Make a lease. Id and TTL are final: whoever proposes it chose the id and raised the TTL.
    LeaseGrant(LeaseGrantRequest),
    /// End a lease and delete its keys; also proposed by the leader when a lease expires.
    LeaseRevoke(LeaseRevokeRequest),
    /// A member tells its name and URLs.
    Publish(Member),
    /// Raise or clear an alarm of a member.
    Alarm(AlarmRequest),
    /// Record what remains of leases; 0 for the whole TTL.
    LeaseCheckpoint(LeaseCheckpointRequest),
}

/// Bytes that should be a command are not.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Too short to be one.
    #[error("it is cut off")]
    CutOff,
    /// Written by a newer version.
    #[error("version {version}, kind {kind} is not known to this server")]
    Unknown {
        /// The format's version.
        version: u8,
        /// The command's kind.
        kind: u8,
    },
    /// The message inside is malformed.
    #[error(transparent)]
    Malformed(#[from] prost::DecodeError),
}

impl Command {
    /// The command's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Put(message) => encode(1, message),
            Self::DeleteRange(message) => encode(2, message),
            Self::Txn(message) => encode(3, message),
            Self::Compact(message) => encode(4, message),
            Self::LeaseGrant(message) => encode(5, message),
            Self::LeaseRevoke(message) => encode(6, message),
            Self::Publish(message) => encode(7, message),
            Self::Alarm(message) => encode(8, message),
            Self::LeaseCheckpoint(message) => encode(9, message),
        }
    }

    /// Reads a command, sharing its bytes.
    ///
    /// # Errors
    /// [`CommandError`] for bytes that no version up to this one writes.
    pub fn decode(mut bytes: Bytes) -> Result<Self, CommandError> {
        let version = bytes.try_get_u8().map_err(|_| CommandError::CutOff)?;
        let kind = bytes.try_get_u8().map_err(|_| CommandError::CutOff)?;
        if version != VERSION {
            return Err(CommandError::Unknown { version, kind });
        }
        Ok(match kind {
            1 => Self::Put(PutRequest::decode(bytes)?),
            2 => Self::DeleteRange(DeleteRangeRequest::decode(bytes)?),
            3 => Self::Txn(TxnRequest::decode(bytes)?),
            4 => Self::Compact(CompactionRequest::decode(bytes)?),
            5 => Self::LeaseGrant(LeaseGrantRequest::decode(bytes)?),
            6 => Self::LeaseRevoke(LeaseRevokeRequest::decode(bytes)?),
            7 => Self::Publish(Member::decode(bytes)?),
            8 => Self::Alarm(AlarmRequest::decode(bytes)?),
            9 => Self::LeaseCheckpoint(LeaseCheckpointRequest::decode(bytes)?),
            kind => return Err(CommandError::Unknown { version, kind }),
        })
    }
}

fn encode(kind: u8, message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(2 + message.encoded_len());
    bytes.put_u8(VERSION);
    bytes.put_u8(kind);
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_its_bytes() {
        let command =
            Command::Put(PutRequest { key: "k".into(), value: "v".into(), lease: 7, ..PutRequest::default() });
        assert_eq!(Command::decode(command.encode()).unwrap(), command);
    }

    #[test]
    fn a_newer_command_is_refused_not_guessed() {
        let unknown_kind = Bytes::from_static(&[VERSION, 200]);
        assert!(matches!(Command::decode(unknown_kind), Err(CommandError::Unknown { kind: 200, .. })));
        let newer = Bytes::from_static(&[VERSION + 1, 1]);
        assert!(matches!(Command::decode(newer), Err(CommandError::Unknown { .. })));
        assert!(matches!(Command::decode(Bytes::new()), Err(CommandError::CutOff)));
    }
}
