//! Keys of the `index` column family, and the order of results that they carry.
//!
//! Every key has 25 bytes and an empty value:
//!
//! | bytes    | field    | meaning                                                            |
//! |----------|----------|--------------------------------------------------------------------|
//! | `0..1`   | table    | [`Table`]: the question the key answers                            |
//! | `1..9`   | value    | what is asked for; see [`Table`]                                   |
//! | `9..17`  | inverted | bitwise complement of the record's timestamp, BE: newest first     |
//! | `17..19` | mark     | two bytes of the digest of the record's kind                       |
//! | `19..25` | seq      | place of the record in the log, BE                                 |
//!
//! [`Table::Time`] differs: its value is the inverted timestamp and `9..17` is the start of the
//! record's hash, so that one table answers for IDs, for timestamps and for everything.
//!
//! Digests are keyed with a secret of the database: nobody can look for records whose keys
//! collide. They are short because every hit is checked against the record itself.
//! The mark lets a scan pass over records of other kinds without reading them.

use crate::{
    base::Seq,
    wire::{Address, BlobHash, Kind, PublicKey, RecordId, RecordRef, Timestamp},
};

/// Bytes of an index key.
pub(super) const KEY_BYTES: usize = 25;

/// Bytes that name one table and one value: the prefix that filters are built for.
pub(super) const PREFIX_BYTES: usize = 9;

/// The largest place in the log that an index key holds: 281 trillion entries.
pub(super) const SEQ_MAX: u64 = (1 << SEQ_BITS) - 1;

/// A whole key of the index.
pub(super) type IndexKey = [u8; KEY_BYTES];

/// Table and value: the keys that share it are one run, newest first.
pub(super) type Prefix = [u8; PREFIX_BYTES];

/// The question an index key answers. The discriminants are on disk; never renumber them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Everything by time, and by ID. Value: inverted timestamp. The only table besides
    /// [`Held`](Self::Held) that held records are in.
    Time = 1,
    /// By author, and by author and kind. Value: 5 bytes of the author's digest, 3 of the kind's.
    Author = 2,
    /// By kind. Value: the kind.
    Kind = 3,
    /// By tag, one key for each different tag. Value: digest of the whole tag.
    Tag = 4,
    /// By signing key, where that is not the author's master key. Value: digest of the key.
    Signer = 5,
    /// By address. Value: digest of the address.
    Address = 6,
    /// Key schedules by the subkeys their tags name. Value: digest of the subkey. Apart from
    /// [`Tag`](Self::Tag), where anyone can bury them under the same tag on records of other kinds.
    Subkey = 7,
    /// Registered users. Value: digest of the user's key; the time is that of the registration.
    User = 8,
    /// Held records, newest place first. The value is 0, and the place stands for the time.
    Held = 9,
    /// Records that were removed for good. Value: digest of the ID; the place is that of the act.
    Removed = 10,
    /// Acts, newest place first. The value is 0, and the place stands for the time.
    Act = 11,
    /// BLOBs. Value: digest of the hash; the time is when it was received.
    Blob = 12,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 12] = [
        Self::Time,
        Self::Author,
        Self::Kind,
        Self::Tag,
        Self::Signer,
        Self::Address,
        Self::Subkey,
        Self::User,
        Self::Held,
        Self::Removed,
        Self::Act,
        Self::Blob,
    ];

    /// First byte of the table's keys.
    pub(super) const fn byte(self) -> u8 {
        self as u8
    }

    /// The table whose keys start with `byte`.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.byte() == byte)
    }
}

/// Place of an index entry in the order in which results leave: newest record first, and among
/// records of one timestamp an order that is the same in every run of one merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hit {
    /// Complement of the record's timestamp.
    pub(super) inverted: u64,
    /// Start of the record's hash in [`Table::Time`], 0 elsewhere.
    pub(super) tie: u64,
    /// Mark and sequence, as in the key.
    place: u64,
}

impl Hit {
    /// Before every entry.
    pub(super) const FIRST: Self = Self {
        inverted: 0,
        tie: 0,
        place: 0,
    };

    /// After every entry.
    pub(super) const LAST: Self = Self {
        inverted: u64::MAX,
        tie: u64::MAX,
        place: u64::MAX,
    };

    /// Before every record of `timestamp`.
    pub(super) const fn before(timestamp: Timestamp) -> Self {
        Self {
            inverted: !timestamp.nanos(),
            ..Self::FIRST
        }
    }

    /// After every record of `timestamp`.
    pub(super) const fn behind(timestamp: Timestamp) -> Self {
        Self {
            inverted: !timestamp.nanos(),
            ..Self::LAST
        }
    }

    /// The hits of `id` in [`Table::Time`] lie between these two, both included.
    pub(super) fn of_id(id: &RecordId) -> (Self, Self) {
        let inverted = !id.timestamp().nanos();
        let tie = id_tie(id);
        let hit = |place| Self {
            inverted,
            tie,
            place,
        };
        (hit(0), hit(u64::MAX))
    }

    /// The hit of the record at `seq`, as tables other than [`Table::Time`] order it.
    pub(super) const fn at(timestamp: Timestamp, seq: Seq) -> Self {
        Self {
            inverted: !timestamp.nanos(),
            tie: 0,
            place: seq.get(),
        }
    }

    /// Place of the record in the log.
    pub(super) const fn seq(self) -> Seq {
        Seq::new(self.place & SEQ_MAX)
    }

    /// Mark of the record's kind.
    pub(super) const fn mark(self) -> u16 {
        let [high, low, ..] = self.place.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// The earliest place behind this one.
    pub(super) const fn next(self) -> Self {
        Self {
            place: self.place.saturating_add(1),
            ..self
        }
    }
}

/// A stretch of the index that is in the order of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Run {
    /// The keys with one prefix.
    Of(Prefix),
    /// All of [`Table::Time`].
    Everything,
}

impl Run {
    /// The run of `value` in `table`.
    pub(super) const fn of(table: Table, value: [u8; 8]) -> Self {
        Self::Of(prefix(table, value))
    }

    /// The run of the records of one timestamp.
    pub(super) const fn at(timestamp: Timestamp) -> Self {
        Self::of(Table::Time, (!timestamp.nanos()).to_be_bytes())
    }

    /// Where to seek for the first key of the run at or behind `hit`; `None` where there is none.
    pub(super) fn seek_key(self, hit: Hit) -> Option<IndexKey> {
        match self {
            Self::Everything => Some(time_key(hit)),
            Self::Of(prefix) if prefix[0] == Table::Time.byte() => {
                let inverted = number(field::<1, 8, 9>(&prefix));
                let start = Hit {
                    inverted,
                    ..Hit::FIRST
                };
                (hit.inverted <= inverted).then(|| time_key(start.max(hit)))
            }
            Self::Of(prefix) => Some(join(prefix, hit.inverted, hit.place)),
        }
    }

    /// The hit that `key` stands for, or `None` where the key is not of this run.
    pub(super) fn hit(self, key: &[u8]) -> Option<Hit> {
        let key = <&IndexKey>::try_from(key).ok()?;
        let is_time = key[0] == Table::Time.byte();
        let is_here = match self {
            Self::Everything => is_time,
            Self::Of(prefix) => key.starts_with(&prefix),
        };
        is_here.then(|| {
            let (value, middle, place) = fields(key);
            let (inverted, tie) = if is_time {
                (value, middle)
            } else {
                (middle, 0)
            };
            Hit {
                inverted,
                tie,
                place,
            }
        })
    }
}

/// What a kind is called in index keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KindDigest {
    /// End of the value in [`Table::Author`].
    pub(super) part: [u8; 3],
    /// The mark.
    pub(super) mark: u16,
}

/// The key of this database's digests.
#[derive(Clone)]
pub(super) struct Secret([u8; 32]);

impl Secret {
    pub(super) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, bytes).as_bytes()
    }

    /// Value of `bytes` (a tag, a key, an address) in the tables that digest it whole.
    pub(super) fn value(&self, bytes: &[u8]) -> [u8; 8] {
        field::<0, 8, 32>(&self.digest(bytes))
    }

    /// Start of the value in [`Table::Author`].
    pub(super) fn author(&self, key: &[u8; 32]) -> [u8; 5] {
        field::<0, 5, 32>(&self.digest(key))
    }

    /// What `kind`, in its wire bytes, is called.
    pub(super) fn kind(&self, kind: &[u8; 8]) -> KindDigest {
        let digest = self.digest(kind);
        KindDigest {
            part: field::<0, 3, 32>(&digest),
            mark: u16::from_be_bytes(field::<3, 2, 32>(&digest)),
        }
    }

    /// The run of `address`.
    pub(super) fn address_run(&self, address: &Address) -> Run {
        Run::of(Table::Address, self.value(address.as_bytes()))
    }

    /// The key of a registered user.
    pub(super) fn user_key(&self, user: &PublicKey, received: Timestamp, seq: Seq) -> IndexKey {
        let run = prefix(Table::User, self.value(user.as_bytes()));
        join(run, !received.nanos(), place(0, seq))
    }

    /// The key of a BLOB.
    pub(super) fn blob_key(&self, hash: &BlobHash, received: Timestamp, seq: Seq) -> IndexKey {
        let run = prefix(Table::Blob, self.value(hash.as_bytes()));
        join(run, !received.nanos(), place(0, seq))
    }

    /// The run of the acts that removed the record with that ID: one, or none.
    pub(super) fn removed_run(&self, id: &RecordId) -> Run {
        Run::of(Table::Removed, self.value(id.as_bytes()))
    }

    /// Every key of the act at `seq` that removed those records.
    pub(super) fn act_keys<'a>(
        &self,
        removed: impl Iterator<Item = &'a RecordId>,
        seq: Seq,
    ) -> Vec<IndexKey> {
        let mut keys: Vec<_> = removed
            .map(|id| {
                let run = prefix(Table::Removed, self.value(id.as_bytes()));
                join(run, !seq.get(), place(0, seq))
            })
            .collect();
        keys.push(placed_key(Table::Act, seq));
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Every key of the record at `seq`, which may be held, sorted, each once.
    ///
    /// A held record is found by its ID and among those that are held. It is in no other table: any
    /// number of them can share an address or a tag, and whoever looks for what may be seen there would
    /// have to pass over all of them.
    pub(super) fn entry_keys(&self, record: &RecordRef<'_>, held: bool, seq: Seq) -> Vec<IndexKey> {
        if held {
            let mark = self.kind(&record.kind().to_bytes()).mark;
            vec![
                id_key(record, place(mark, seq)),
                placed_key(Table::Held, seq),
            ]
        } else {
            self.record_keys(record, seq)
        }
    }

    /// Every key of the record at `seq` that is not held, sorted, each once.
    pub(super) fn record_keys(&self, record: &RecordRef<'_>, seq: Seq) -> Vec<IndexKey> {
        let inverted = !record.timestamp().nanos();
        let kind = record.kind();
        let digest = self.kind(&kind.to_bytes());
        let place = place(digest.mark, seq);
        let author = record.author();
        let signer = record.signer();
        let mut keys = Vec::with_capacity(8);
        let mut add = |table, value| keys.push(join(prefix(table, value), inverted, place));
        add(
            Table::Author,
            author_value(self.author(author.as_bytes()), digest.part),
        );
        add(Table::Kind, kind.to_bytes());
        add(Table::Address, self.value(record.address().as_bytes()));
        if signer != author {
            add(Table::Signer, self.value(signer.as_bytes()));
        }
        for tag in record.tags() {
            add(Table::Tag, self.value(tag.bytes()));
            if let (Kind::KEY_SCHEDULE, Some(subkey)) = (kind, tag.subkey()) {
                add(Table::Subkey, self.value(subkey.as_bytes()));
            }
        }
        keys.push(id_key(record, place));
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// Value of [`Table::Author`] for an author and a kind.
pub(super) const fn author_value(author: [u8; 5], kind: [u8; 3]) -> [u8; 8] {
    let ([a, b, c, d, e], [f, g, h]) = (author, kind);
    [a, b, c, d, e, f, g, h]
}

/// Table and place in the log of any index key, or `None` where it is none.
pub(super) fn parts(key: &[u8]) -> Option<(Table, Seq)> {
    let key = <&IndexKey>::try_from(key).ok()?;
    let (_, _, place) = fields(key);
    Some((Table::from_byte(key[0])?, Seq::new(place & SEQ_MAX)))
}

/// Table and value as they stand at the start of a key.
pub(super) const fn prefix(table: Table, value: [u8; 8]) -> Prefix {
    let [a, b, c, d, e, f, g, h] = value;
    [table.byte(), a, b, c, d, e, f, g, h]
}

/// The key of an entry in a table that is in the order of the log.
fn placed_key(table: Table, seq: Seq) -> IndexKey {
    join(prefix(table, [0; 8]), !seq.get(), place(0, seq))
}

/// Where to seek for the entries of such a table in front of `before`, newest first.
pub(super) fn placed_start(table: Table, before: Option<Seq>) -> IndexKey {
    before.map_or_else(
        || join(prefix(table, [0; 8]), 0, 0),
        |before| placed_key(table, before.prev()),
    )
}

/// The key of a record in [`Table::Time`].
fn id_key(record: &RecordRef<'_>, place: u64) -> IndexKey {
    time_key(Hit {
        inverted: !record.timestamp().nanos(),
        tie: id_tie(&record.id()),
        place,
    })
}

fn time_key(hit: Hit) -> IndexKey {
    let run = prefix(Table::Time, hit.inverted.to_be_bytes());
    join(run, hit.tie, hit.place)
}

fn join(prefix: Prefix, middle: u64, place: u64) -> IndexKey {
    let mut key = [0; KEY_BYTES];
    key[..9].copy_from_slice(&prefix);
    key[9..17].copy_from_slice(&middle.to_be_bytes());
    key[17..].copy_from_slice(&place.to_be_bytes());
    key
}

/// Value, middle and place of a key.
fn fields(key: &IndexKey) -> (u64, u64, u64) {
    (
        number(field::<1, 8, KEY_BYTES>(key)),
        number(field::<9, 8, KEY_BYTES>(key)),
        number(field::<17, 8, KEY_BYTES>(key)),
    )
}

fn id_tie(id: &RecordId) -> u64 {
    number(field::<8, 8, 48>(id.as_bytes()))
}

fn place(mark: u16, seq: Seq) -> u64 {
    (u64::from(mark) << SEQ_BITS) | (seq.get() & SEQ_MAX)
}

const fn number(bytes: [u8; 8]) -> u64 {
    u64::from_be_bytes(bytes)
}

/// The `N` bytes of `bytes` that start at `AT`. A field outside them does not compile.
fn field<const AT: usize, const N: usize, const M: usize>(bytes: &[u8; M]) -> [u8; N] {
    const { assert!(AT + N <= M, "the field ends behind its bytes") };
    let mut field = [0; N];
    field.copy_from_slice(&bytes[AT..AT + N]);
    field
}

const SEQ_BITS: u32 = 48;

const _: () = assert!(PREFIX_BYTES + 16 == KEY_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{RecordBuilder, SecretKey, TagKind, TagsBuilder};

    fn secret() -> Secret {
        Secret::new([1; 32])
    }

    fn record(kind: Kind, nanos: u64, tags: TagsBuilder, signer: u8) -> crate::wire::Record {
        let author = SecretKey::from_seed([1; 32]).public();
        RecordBuilder::new(kind, author)
            .timestamp(Timestamp::from_nanos(nanos).unwrap())
            .tags(tags)
            .sign(&SecretKey::from_seed([signer; 32]))
            .unwrap()
    }

    fn tables(record: &crate::wire::Record) -> Vec<u8> {
        let keys = secret().record_keys(&record.view(), Seq::new(1));
        assert!(keys.is_sorted_by(|a, b| a < b), "sorted, each once");
        keys.iter().map(|key| key[0]).collect()
    }

    #[test]
    fn a_record_has_the_keys_that_its_fields_ask_for() {
        let none = TagsBuilder::new;
        assert_eq!(tables(&record(Kind::BLOG_POST, 5, none(), 1)), [1, 2, 3, 6]);
        assert_eq!(
            tables(&record(Kind::BLOG_POST, 5, none(), 2)),
            [1, 2, 3, 5, 6]
        );
        let twice = none()
            .raw(TagKind(9), b"a")
            .unwrap()
            .raw(TagKind(9), b"a")
            .unwrap();
        let three = twice.raw(TagKind(9), b"b").unwrap();
        assert_eq!(
            tables(&record(Kind::BLOG_POST, 5, three, 1)),
            [1, 2, 3, 4, 4, 6]
        );
        let subkey = || none().subkey(SecretKey::from_seed([3; 32]).public());
        assert_eq!(
            tables(&record(Kind::BLOG_POST, 5, subkey(), 1)),
            [1, 2, 3, 4, 6]
        );
        let schedule = record(Kind::KEY_SCHEDULE, 5, subkey(), 1);
        assert_eq!(tables(&schedule), [1, 2, 3, 4, 6, 7]);
    }

    #[test]
    fn the_bytes_of_a_key_are_these() {
        let record = record(Kind::BLOG_POST, 5, TagsBuilder::new(), 1);
        let keys = secret().record_keys(&record.view(), Seq::new(0x0102));
        let mark = secret()
            .kind(&Kind::BLOG_POST.to_bytes())
            .mark
            .to_be_bytes();
        let place = [mark[0], mark[1], 0, 0, 0, 0, 1, 2];
        let inverted = [255, 255, 255, 255, 255, 255, 255, 250];
        let time = [
            &[1][..],
            &inverted,
            &record.id().as_bytes()[8..16],
            &place[..],
        ]
        .concat();
        assert_eq!(keys[0].as_slice(), time);
        let kind = [&[3][..], &Kind::BLOG_POST.to_bytes(), &inverted, &place].concat();
        assert_eq!(keys[2].as_slice(), kind);
        assert_eq!(parts(&keys[2]), Some((Table::Kind, Seq::new(0x0102))));
    }

    #[test]
    fn every_run_reads_its_own_keys_from_newest_to_oldest() {
        let old = record(Kind::BLOG_POST, 5, TagsBuilder::new(), 1);
        let new = record(Kind::BLOG_POST, 6, TagsBuilder::new(), 1);
        let old_keys = secret().record_keys(&old.view(), Seq::new(7));
        let new_keys = secret().record_keys(&new.view(), Seq::new(8));
        let kinds = Run::of(Table::Kind, Kind::BLOG_POST.to_bytes());
        for (run, index) in [(kinds, 2), (Run::Everything, 0)] {
            let (old, new) = (old_keys[index], new_keys[index]);
            let (first, second) = (run.hit(&new).unwrap(), run.hit(&old).unwrap());
            assert!(first < second);
            assert_eq!((first.seq(), second.seq()), (Seq::new(8), Seq::new(7)));
            assert_eq!(run.seek_key(first), Some(new));
            let behind = run.seek_key(first.next()).unwrap();
            assert!(behind > new && behind < old);
        }
        let at_old = Run::at(old.view().timestamp());
        assert_eq!(at_old.hit(&new_keys[0]), None);
        let (first, last) = Hit::of_id(&old.id());
        let hit = at_old.hit(&old_keys[0]).unwrap();
        assert!(first <= hit && hit <= last);
        let start = at_old.seek_key(Hit::FIRST).unwrap();
        assert!(start <= old_keys[0] && start > new_keys[0]);
        assert_eq!(at_old.seek_key(Hit::behind(Timestamp::MIN)), None);
    }

    #[test]
    fn what_is_no_key_is_no_hit() {
        for key in [&[][..], &[1; 24], &[1; 26], &[0; 25], &[200; 25]] {
            assert_eq!(Run::Everything.hit(key), None);
            assert_eq!(parts(key), None);
        }
    }

    #[test]
    fn digests_depend_on_the_secret() {
        let other = Secret::new([2; 32]);
        assert_ne!(secret().value(b"tag"), other.value(b"tag"));
        assert_eq!(secret().value(b"tag"), secret().value(b"tag"));
    }
}
