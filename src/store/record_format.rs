//! Values of the `log` column family.
//!
//! A value is a MessagePack integer that names the kind of entry, a MessagePack array with what was
//! decided about it, and for a record its bytes exactly as they were received, up to the end:
//!
//! | kind | entry | array                                                                  | then   |
//! |------|-------|------------------------------------------------------------------------|--------|
//! | 1    | record| received (ns), roles (bits), vouched (0 to 2), submitter (bin 32 or nil) | record |
//! | 2    | user  | received (ns), key (bin 32): registered as a user of this server         |        |
//! | 3    | gone  | received (ns), place of the entry that replaced or removed the record    |        |
//! | 4    | act   | received (ns), by (bin 32 or nil), call, detail, state, effects          |        |
//! | 6    | blob  | received (ns), hash (bin 32), length, upload, submitter and owner (bin 32 or nil) | |
//! | 7    | blob gone | received (ns), hash (bin 32), place of its entry, by (bin 32 or nil) |        |
//!
//! A record that is held, or that counts for users, has two more elements: held (bool) and charged,
//! an array of (user's key, account). All others are as they were in schema 1.
//!
//! A later kind is a later schema version: a program never meets a kind it does not know.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::{ByteArray, ByteBuf};
use std::sync::Arc;

use super::{
    act::{ActBody, Effect, Removal, StateSet, StateTable},
    blobs::{BLOB, BLOB_GONE, BlobGone, BlobHeader},
    entry::{Entry, Vouched},
    error::{Damage, StoreError},
    usage::{Account, Charged},
};
use crate::{
    base::{RoleSet, Seq},
    wire::{PublicKey, Record, RecordId, RecordRef, Timestamp},
};

/// A decoded log entry. Records borrow the value they were read from.
#[derive(Clone, Debug)]
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
    /// What is left of a record that another one replaced, or that an act removed.
    Gone {
        /// When the record that was here was received.
        received: Timestamp,
        /// The entry that replaced or removed it.
        by: Seq,
    },
    /// An act.
    Act {
        /// When it was done.
        received: Timestamp,
        /// What was done.
        body: ActBody,
    },
    /// A BLOB, whose data lie beside the log.
    Blob(BlobHeader),
    /// A BLOB was removed.
    BlobGone(BlobGone),
}

/// What was decided about a stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) received: Timestamp,
    pub(super) roles: RoleSet,
    pub(super) vouched: Vouched,
    pub(super) submitter: Option<PublicKey>,
    pub(super) held: bool,
    pub(super) charged: Arc<[Charged]>,
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
            ACT => {
                let (received, body) = read::<ActFields>(&mut rest)?.check()?;
                Self::Act { received, body }
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
            | Self::Act { received, .. }
            | Self::Blob(BlobHeader { received, .. })
            | Self::BlobGone(BlobGone { received, .. }) => *received,
        }
    }
}

/// The value of a record's entry.
pub(super) fn encode_record(entry: &Entry) -> Result<Vec<u8>, Malformed> {
    let received = entry.received.nanos();
    let (roles, vouched) = (entry.roles.bits(), entry.vouched.byte());
    let submitter = entry.submitter.as_ref().map(key_bytes);
    let record = entry.record.bytes();
    let is_plain = !entry.held && entry.charged.is_empty();
    let mut value = if is_plain {
        write(RECORD, &(received, roles, vouched, submitter), record.len())?
    } else {
        let charged = entry.charged.iter();
        let charged = charged.map(|it| (key_bytes(&it.user), it.account.byte()));
        let fields = RecordFields(
            received,
            roles,
            vouched,
            submitter,
            entry.held,
            charged.collect(),
        );
        write(RECORD, &fields, record.len())?
    };
    value.extend_from_slice(record);
    Ok(value)
}

/// The value of a registration.
pub(super) fn encode_user(received: Timestamp, user: &PublicKey) -> Result<Vec<u8>, Malformed> {
    write(USER, &(received.nanos(), key_bytes(user)), 0)
}

/// The value of an act.
pub(super) fn encode_act(received: Timestamp, body: &ActBody) -> Result<Vec<u8>, Malformed> {
    let state = body.state.iter().map(|set| {
        let value = set.value.clone().map(ByteBuf::from);
        (set.table.byte(), ByteBuf::from(set.key.clone()), value)
    });
    let effects = body.effects.iter().map(|effect| match *effect {
        Effect::Released { id, from, to } => (RELEASED, id_bytes(&id), from.get(), to.get()),
        Effect::Dropped { id, from } => (DROPPED, id_bytes(&id), from.get(), 0),
        Effect::Removed { id, from, why } => {
            (REMOVED, id_bytes(&id), from.get(), u64::from(why as u8))
        }
    });
    let fields = ActFields(
        received.nanos(),
        body.by.as_ref().map(key_bytes),
        body.call.clone(),
        body.detail.clone(),
        state.collect(),
        effects.collect(),
    );
    write(ACT, &fields, 0)
}

/// The value that a record leaves which the entry `by` replaced or removed.
pub(super) fn encode_gone(received: Timestamp, by: Seq) -> Result<Vec<u8>, Malformed> {
    write(GONE, &(received.nanos(), by.get()), 0)
}

/// A value for the place `seq`, or the error that says that it is none.
pub(super) fn encoded(seq: Seq, value: Result<Vec<u8>, Malformed>) -> Result<Vec<u8>, StoreError> {
    value.map_err(|_| StoreError::Damaged(Damage::Malformed(seq)))
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
        held: header.held,
        charged: Arc::clone(&header.charged),
        record: Record::parse(bytes).map_err(|_| Malformed)?,
    })
}

#[derive(Serialize, Deserialize)]
struct RecordFields(
    u64,
    u8,
    u8,
    Option<ByteArray<32>>,
    #[serde(default)] bool,
    #[serde(default)] Vec<(ByteArray<32>, u8)>,
);

impl RecordFields {
    fn check(self) -> Result<Header, Malformed> {
        let Self(received, roles, vouched, submitter, held, charged) = self;
        let charged = charged.into_iter().map(|(user, account)| {
            Ok(Charged {
                user: key(user)?,
                account: Account::from_byte(account).ok_or(Malformed)?,
            })
        });
        let charged: Vec<_> = charged.collect::<Result<_, Malformed>>()?;
        Ok(Header {
            received: time(received)?,
            roles: RoleSet::from_bits(roles).ok_or(Malformed)?,
            vouched: Vouched::from_byte(vouched).ok_or(Malformed)?,
            submitter: submitter.map(key).transpose()?,
            held,
            // Most count for nobody, and the empty slice takes no memory.
            charged: if charged.is_empty() {
                Arc::default()
            } else {
                charged.into()
            },
        })
    }
}

#[derive(Serialize, Deserialize)]
struct ActFields(
    u64,
    Option<ByteArray<32>>,
    String,
    String,
    Vec<(u8, ByteBuf, Option<ByteBuf>)>,
    Vec<(u8, ByteArray<48>, u64, u64)>,
);

impl ActFields {
    fn check(self) -> Result<(Timestamp, ActBody), Malformed> {
        let Self(received, by, call, detail, state, effects) = self;
        let state = state.into_iter().map(|(table, key, value)| {
            Ok(StateSet {
                table: StateTable::from_byte(table).ok_or(Malformed)?,
                key: key.into_vec(),
                value: value.map(ByteBuf::into_vec),
            })
        });
        let effects = effects.into_iter().map(|(which, id, from, more)| {
            let id = RecordId::from_bytes(&id).map_err(|_| Malformed)?;
            let from = Seq::new(from);
            match (which, more) {
                (RELEASED, to) => Ok(Effect::Released {
                    id,
                    from,
                    to: Seq::new(to),
                }),
                (DROPPED, 0) => Ok(Effect::Dropped { id, from }),
                (REMOVED, 1) => Ok(Effect::Removed {
                    id,
                    from,
                    why: Removal::Rejected,
                }),
                (REMOVED, 2) => Ok(Effect::Removed {
                    id,
                    from,
                    why: Removal::Deleted,
                }),
                _ => Err(Malformed),
            }
        });
        let body = ActBody {
            by: by.map(key).transpose()?,
            call,
            detail,
            state: state.collect::<Result<_, _>>()?,
            effects: effects.collect::<Result<_, _>>()?,
        };
        Ok((time(received)?, body))
    }
}

pub(super) fn key_bytes(key: &PublicKey) -> ByteArray<32> {
    ByteArray::new(*key.as_bytes())
}

fn id_bytes(id: &RecordId) -> ByteArray<48> {
    ByteArray::new(*id.as_bytes())
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
const ACT: u8 = 4;

/// What an act did to a record.
const RELEASED: u8 = 1;
const DROPPED: u8 = 2;
const REMOVED: u8 = 3;

/// At most this many bytes stand before a record that counts for nobody.
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
            .nonce([0x81; 8])
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
            held: false,
            charged: Arc::default(),
            record,
        }
    }

    fn charged(count: u8) -> Arc<[Charged]> {
        let of = |n| Charged {
            user: SecretKey::from_seed([n; 32]).public(),
            account: if n == 0 {
                Account::Own
            } else {
                Account::Delivered
            },
        };
        (0..count).map(of).collect()
    }

    fn act() -> ActBody {
        let id = entry(None).record.id();
        let set = |value: Option<&[u8]>| StateSet {
            table: StateTable::Ban,
            key: b"key".to_vec(),
            value: value.map(<[u8]>::to_vec),
        };
        let (from, to) = (Seq::new(3), Seq::new(9));
        let removed = |why| Effect::Removed { id, from, why };
        ActBody {
            by: Some(SecretKey::from_seed([4; 32]).public()),
            call: "ban".to_owned(),
            detail: "why not".to_owned(),
            state: vec![set(Some(b"value")), set(None)],
            effects: vec![
                Effect::Released { id, from, to },
                Effect::Dropped { id, from },
                removed(Removal::Rejected),
                removed(Removal::Deleted),
            ],
        }
    }

    #[test]
    fn whether_a_record_is_held_and_for_whom_it_counts_comes_back() {
        for (held, count) in [(true, 0), (false, 1), (true, 8)] {
            let written = Entry {
                held,
                charged: charged(count),
                ..entry(None)
            };
            let value = encode_record(&written).unwrap();
            let Ok(LogEntry::Record(header, record)) = LogEntry::decode(&value) else {
                panic!("not a record");
            };
            assert_eq!((header.held, &header.charged), (held, &written.charged));
            assert_eq!(record.bytes(), written.record.bytes());
        }
    }

    #[test]
    fn acts_come_back_with_every_change() {
        let value = encode_act(Timestamp::MAX, &act()).unwrap();
        let Ok(LogEntry::Act { received, body }) = LogEntry::decode(&value) else {
            panic!("not an act");
        };
        assert_eq!((received, body), (Timestamp::MAX, act()));
        let empty = ActBody {
            by: None,
            state: Vec::new(),
            effects: Vec::new(),
            ..act()
        };
        let value = encode_act(Timestamp::MIN, &empty).unwrap();
        assert!(
            matches!(LogEntry::decode(&value), Ok(LogEntry::Act { body, .. }) if body == empty)
        );
    }

    #[test]
    fn values_that_schema_1_wrote_are_read_and_a_plain_record_is_still_written_so() {
        let record = entry(None).record;
        let head = [1, 0x94, 0xcf, 0x17, 0, 0, 0, 0, 0, 0, 1, 3, 2, 0xc4, 0x20];
        let user = SecretKey::from_seed([9; 32]).public();
        let value = [&head[..], user.as_bytes(), record.bytes()].concat();
        let Ok(LogEntry::Record(header, _)) = LogEntry::decode(&value) else {
            panic!("not a record");
        };
        let expected = Header {
            received: Timestamp::from_nanos(0x1700_0000_0000_0001).unwrap(),
            roles: RoleSet::of(Role::Inbox).with(Role::Outbox),
            vouched: Vouched::Subkey,
            submitter: Some(user),
            held: false,
            charged: Arc::default(),
        };
        assert_eq!(header, expected);
        let again = Entry {
            received: header.received,
            ..entry(Some(user))
        };
        assert_eq!(encode_record(&again).unwrap(), value);
        let nobody = [&[1, 0x94, 5, 1, 0, 0xc0][..], record.bytes()].concat();
        assert!(matches!(
            LogEntry::decode(&nobody),
            Ok(LogEntry::Record(..))
        ));
        let registered = [&[2, 0x92, 5, 0xc4, 0x20][..], user.as_bytes()].concat();
        assert!(matches!(
            LogEntry::decode(&registered),
            Ok(LogEntry::User { .. })
        ));
        assert!(matches!(
            LogEntry::decode(&[3, 0x92, 1, 2]),
            Ok(LogEntry::Gone { .. })
        ));
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
            encode_act(Timestamp::MIN, &act()).unwrap(),
            encode_record(&Entry {
                held: true,
                charged: charged(2),
                ..entry(None)
            })
            .unwrap(),
        ] {
            for end in 0..value.len() {
                assert!(LogEntry::decode(&value[..end]).is_err(), "{end}");
            }
            let mut longer = value.clone();
            longer.push(0);
            assert!(LogEntry::decode(&longer).is_err());
            for kind in [0, 5, 127, 255] {
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
