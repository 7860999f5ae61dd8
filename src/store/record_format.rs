//! Values of the `log` column family.
//!
//! A value is a MessagePack integer that names the kind of entry, a MessagePack array with what was
//! decided about it, and for a record its bytes exactly as they were received, up to the end:
//!
//! | kind | entry | array                                                                  | then   |
//! |------|-------|------------------------------------------------------------------------|--------|
//! | 1    | record| received (ns), roles (bits), vouched (0 to 2), submitter (bin 32 or nil) | record |
//! | 2    | user  | received (ns), key (bin 32): registered as a user of this server         |        |
//! | 3    | gone  | received (ns), place of the entry that replaced the record here          |        |
//! | 6    | blob  | received (ns), hash (bin 32), length, upload, submitter and owner (bin 32 or nil) | |
//! | 7    | blob gone | received (ns), hash (bin 32), place of its entry, by (bin 32 or nil) |        |
//!
//! A later kind is a later schema version: a program never meets a kind it does not know.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteArray;

use super::blobs::{BLOB, BLOB_GONE, BlobGone, BlobHeader};
use super::entry::{Entry, Vouched};
use crate::{
    base::{RoleSet, Seq},
    wire::{PublicKey, Record, RecordRef, Timestamp},
};

/// A decoded log entry. Records borrow the value they were read from.
#[derive(Clone, Copy, Debug)]
pub(super) enum LogEntry<'a> {
    /// A stored record.
    Record(Header, RecordRef<'a>),
    /// A registered user.
    User {
        /// When the user was registered.
        received: Timestamp,
        /// The user's master key.
        user: PublicKey,
    },
    /// What is left of a record that another one replaced.
    Gone {
        /// When the replaced record was received.
        received: Timestamp,
        /// The entry that replaced it.
        by: Seq,
    },
    /// A BLOB, whose data lie beside the log.
    Blob(BlobHeader),
    /// A BLOB was removed.
    BlobGone(BlobGone),
}

/// What was decided about a stored record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) received: Timestamp,
    pub(super) roles: RoleSet,
    pub(super) vouched: Vouched,
    pub(super) submitter: Option<PublicKey>,
}

/// The value is not one that this version writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> LogEntry<'a> {
    /// Reads a value of the log; the record's structure is checked, its hash and signature are not.
    pub(super) fn decode(value: &'a [u8]) -> Result<Self, Malformed> {
        let (&kind, mut rest) = value.split_first().ok_or(Malformed)?;
        let entry = match kind {
            RECORD => {
                let header = read::<RecordFields>(&mut rest)?.check()?;
                let record = RecordRef::parse(rest).map_err(|_| Malformed)?;
                return Ok(Self::Record(header, record));
            }
            USER => {
                let (received, user) = read::<(u64, ByteArray<32>)>(&mut rest)?;
                Self::User {
                    received: time(received)?,
                    user: key(user)?,
                }
            }
            GONE => {
                let (received, by) = read::<(u64, u64)>(&mut rest)?;
                Self::Gone {
                    received: time(received)?,
                    by: Seq::new(by),
                }
            }
            BLOB => Self::Blob(BlobHeader::decode(&mut rest)?),
            BLOB_GONE => Self::BlobGone(BlobGone::decode(&mut rest)?),
            _ => return Err(Malformed),
        };
        if rest.is_empty() {
            Ok(entry)
        } else {
            Err(Malformed)
        }
    }

    /// When the entry was received; it never decreases along the log.
    pub(super) const fn received(&self) -> Timestamp {
        match self {
            Self::Record(Header { received, .. }, _)
            | Self::User { received, .. }
            | Self::Gone { received, .. }
            | Self::Blob(BlobHeader { received, .. })
            | Self::BlobGone(BlobGone { received, .. }) => *received,
        }
    }
}

/// The value of a record's entry.
pub(super) fn encode_record(entry: &Entry) -> Result<Vec<u8>, Malformed> {
    let fields = RecordFields(
        entry.received.nanos(),
        entry.roles.bits(),
        entry.vouched.byte(),
        entry.submitter.map(|key| ByteArray::new(*key.as_bytes())),
    );
    let record = entry.record.bytes();
    let mut value = write(RECORD, &fields, record.len())?;
    value.extend_from_slice(record);
    Ok(value)
}

/// The value of a registration.
pub(super) fn encode_user(received: Timestamp, user: &PublicKey) -> Result<Vec<u8>, Malformed> {
    write(
        USER,
        &(received.nanos(), ByteArray::new(*user.as_bytes())),
        0,
    )
}

/// The value that a record replaced by the entry `by` leaves.
pub(super) fn encode_gone(received: Timestamp, by: Seq) -> Result<Vec<u8>, Malformed> {
    write(GONE, &(received.nanos(), by.get()), 0)
}

/// The entry at `seq`, with a copy of the record's bytes of exactly their size.
pub(super) fn owned(seq: Seq, header: &Header, record: &RecordRef<'_>) -> Result<Entry, Malformed> {
    let bytes = bytes::Bytes::copy_from_slice(record.bytes());
    Ok(Entry {
        seq,
        received: header.received,
        roles: header.roles,
        vouched: header.vouched,
        submitter: header.submitter,
        record: Record::parse(bytes).map_err(|_| Malformed)?,
    })
}

#[derive(Serialize, Deserialize)]
struct RecordFields(u64, u8, u8, Option<ByteArray<32>>);

impl RecordFields {
    fn check(self) -> Result<Header, Malformed> {
        let Self(received, roles, vouched, submitter) = self;
        Ok(Header {
            received: time(received)?,
            roles: RoleSet::from_bits(roles).ok_or(Malformed)?,
            vouched: Vouched::from_byte(vouched).ok_or(Malformed)?,
            submitter: submitter.map(key).transpose()?,
        })
    }
}

pub(super) fn time(nanos: u64) -> Result<Timestamp, Malformed> {
    Timestamp::from_nanos(nanos).map_err(|_| Malformed)
}

pub(super) fn key(bytes: ByteArray<32>) -> Result<PublicKey, Malformed> {
    PublicKey::from_bytes(&bytes).map_err(|_| Malformed)
}

pub(super) fn read<T: DeserializeOwned>(rest: &mut &[u8]) -> Result<T, Malformed> {
    T::deserialize(&mut rmp_serde::Deserializer::new(rest)).map_err(|_| Malformed)
}

pub(super) fn write<T: Serialize>(
    kind: u8,
    fields: &T,
    more_bytes: usize,
) -> Result<Vec<u8>, Malformed> {
    let mut value = Vec::with_capacity(FIELDS_BYTES + more_bytes);
    value.push(kind);
    rmp_serde::encode::write(&mut value, fields).map_err(|_| Malformed)?;
    Ok(value)
}

/// Kinds below 128 are their own MessagePack encoding.
const RECORD: u8 = 1;
const USER: u8 = 2;
const GONE: u8 = 3;

/// At most this many bytes stand before a record.
const FIELDS_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Role,
        wire::{Kind, RecordBuilder, SecretKey},
    };

    fn entry(submitter: Option<PublicKey>) -> Entry {
        let key = SecretKey::from_seed([7; 32]);
        let record = RecordBuilder::new(Kind::MICROBLOG_ROOT, key.public())
            .timestamp(Timestamp::from_nanos(5).unwrap())
            .payload(b"hello".to_vec())
            .sign(&key)
            .unwrap();
        Entry {
            seq: Seq::new(9),
            received: Timestamp::MAX,
            roles: RoleSet::of(Role::Inbox).with(Role::Outbox),
            vouched: Vouched::Subkey,
            submitter,
            record,
        }
    }

    #[test]
    fn a_record_comes_back_with_every_decision() {
        for submitter in [None, Some(SecretKey::from_seed([9; 32]).public())] {
            let written = entry(submitter);
            let value = encode_record(&written).unwrap();
            assert!(value.len() <= FIELDS_BYTES + written.record.bytes().len());
            let Ok(LogEntry::Record(header, record)) = LogEntry::decode(&value) else {
                panic!("not a record");
            };
            let read = owned(written.seq, &header, &record).unwrap();
            assert_eq!(read.record.bytes(), written.record.bytes());
            assert_eq!(
                (
                    read.seq,
                    read.received,
                    read.roles,
                    read.vouched,
                    read.submitter
                ),
                (
                    written.seq,
                    written.received,
                    written.roles,
                    written.vouched,
                    submitter
                ),
            );
        }
    }

    #[test]
    fn users_and_gone_records_come_back() {
        let user = SecretKey::from_seed([3; 32]).public();
        let received = Timestamp::from_nanos(1 << 40).unwrap();
        let value = encode_user(received, &user).unwrap();
        assert!(matches!(
            LogEntry::decode(&value),
            Ok(LogEntry::User { received: r, user: u }) if r == received && u == user
        ));
        let value = encode_gone(received, Seq::new(12)).unwrap();
        assert!(matches!(
            LogEntry::decode(&value),
            Ok(LogEntry::Gone { received: r, by }) if r == received && by == Seq::new(12)
        ));
    }

    #[test]
    fn every_truncation_and_every_unknown_kind_is_refused() {
        let user = SecretKey::from_seed([3; 32]).public();
        for value in [
            encode_record(&entry(Some(user))).unwrap(),
            encode_user(Timestamp::MIN, &user).unwrap(),
            encode_gone(Timestamp::MIN, Seq::new(1)).unwrap(),
        ] {
            for end in 0..value.len() {
                assert!(LogEntry::decode(&value[..end]).is_err(), "{end}");
            }
            let mut longer = value.clone();
            longer.push(0);
            assert!(LogEntry::decode(&longer).is_err());
            for kind in [0, 4, 127, 255] {
                let mut other = value.clone();
                other[0] = kind;
                assert!(LogEntry::decode(&other).is_err(), "{kind}");
            }
        }
    }

    #[test]
    fn the_bytes_of_an_envelope_are_these() {
        let value = encode_gone(Timestamp::from_nanos(1).unwrap(), Seq::new(2)).unwrap();
        assert_eq!(value, [3, 0x92, 1, 2]);
        let value = encode_record(&entry(None)).unwrap();
        let head = [
            1, 0x94, 0xcf, 0x7f, 255, 255, 255, 255, 255, 255, 255, 3, 2, 0xc0,
        ];
        assert_eq!(value[..head.len()], head);
    }
}
