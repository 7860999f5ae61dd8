//! Key schedules: which keys a master key speaks through, and which it has revoked.

mod entry;

use std::collections::HashSet;

use bytes::Bytes;
use thiserror::Error;

pub use entry::{
    Attestation, EncryptionAlgorithm, EncryptionKey, EntryFault, KeyEntry, KeyMarker, ListedKey,
    SigningAlgorithm,
};

use super::{
    key::PublicKey,
    kind::Kind,
    record::RecordRef,
    record_builder::{BuildError, RecordBuilder},
    reference::Address,
    tag::{TagKind, TagsBuilder},
    time::Timestamp,
};
use crate::base::limits;

/// Why a record is no valid key schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyScheduleError {
    /// The record is of another kind.
    #[error("record is not a key schedule")]
    Kind,
    /// Somebody else than the master key itself signed it.
    #[error("key schedule is not signed by its master key")]
    Signer,
    /// The payload is compressed. The entries are read as they stand, by every server alike.
    #[error("key schedule is compressed")]
    Compressed,
    /// More entries than [`limits::KEY_SCHEDULE_ENTRIES_MAX`].
    #[error("key schedule has too many entries")]
    TooManyEntries,
    /// One of the entries does not parse.
    #[error("entry {index} of the key schedule: {fault}")]
    Entry {
        /// Count of the entries before it.
        index: usize,
        /// What is wrong.
        fault: EntryFault,
    },
    /// A key is listed, and no subkey tag names it.
    #[error("entry {index} of the key schedule has no subkey tag")]
    Untagged {
        /// Count of the entries before it.
        index: usize,
    },
}

/// What a key schedule says of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKeyState {
    /// It signs for the master.
    Active,
    /// No record signed by it is valid.
    Revoked,
    /// Records signed by it are invalid if they were received later, or are dated later.
    RevokedFrom(Timestamp),
    /// It signs no longer; what it signed stays valid.
    OutOfUse,
}

/// A key schedule that parses. Its attestations are *not* checked here: `verify` does that.
///
/// The payload is a sequence of entries ([`KeyEntry`]); an empty one is a schedule that lists no
/// key, with which a user takes back every key listed before. A key may be listed more than once;
/// what is harshest on it holds.
///
/// # Source
/// `mosaic-wire.md` section 9, "Key schedule". That an entry's length counts its header too:
/// Mosaic specification, "Key Schedule", layout of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySchedule {
    master: PublicKey,
    entries: Vec<KeyEntry>,
}

impl KeySchedule {
    /// Reads the key schedule in `record`.
    ///
    /// # Errors
    /// [`KeyScheduleError`]: the record is not a valid key schedule, and so invalid as a record.
    pub fn parse(record: RecordRef<'_>) -> Result<Self, KeyScheduleError> {
        if record.kind() != Kind::KEY_SCHEDULE {
            return Err(KeyScheduleError::Kind);
        }
        if record.signer() != record.author() {
            return Err(KeyScheduleError::Signer);
        }
        if record.flags().zstd() {
            return Err(KeyScheduleError::Compressed);
        }
        let master = record.author();
        let entries = parse_entries(record.payload(), master)?;
        let tagged: HashSet<&[u8]> = record
            .tags()
            .filter(|tag| tag.kind() == TagKind::SUBKEY)
            // Written out: schedules are looked up by the whole tag, so one that is written in
            // another way would count while it is remembered, and not be found afterwards.
            .filter_map(|tag| tag.value().strip_prefix(&[0; SUBKEY_AT]))
            .collect();
        let untagged = |entry: &KeyEntry| !tagged.contains(entry.key().bytes().as_slice());
        match entries.iter().position(untagged) {
            Some(index) => Err(KeyScheduleError::Untagged { index }),
            None => Ok(Self { master, entries }),
        }
    }

    /// The master key whose schedule it is.
    #[must_use]
    pub const fn master(&self) -> PublicKey {
        self.master
    }

    /// The entries, in the order of the payload.
    #[must_use]
    pub fn entries(&self) -> &[KeyEntry] {
        &self.entries
    }

    /// The attestations whose signatures can and must be checked: those of ed25519 subkeys.
    ///
    /// A secp256k1 subkey's cannot be checked here, and such a key is never a
    /// [`signing_key`](Self::signing_key).
    pub fn attestations(&self) -> impl Iterator<Item = &Attestation> {
        self.entries
            .iter()
            .filter_map(|entry| match entry.key() {
                ListedKey::Signing(attestation) => Some(attestation),
                ListedKey::Encryption(_) => None,
            })
            .filter(|attestation| attestation.algorithm() == SigningAlgorithm::Ed25519)
    }

    /// What the schedule says of an ed25519 signing key; `None` where it does not list it.
    #[must_use]
    pub fn signing_key(&self, key: &PublicKey) -> Option<SigningKeyState> {
        self.entries
            .iter()
            .filter(|entry| entry.signing_key() == Some(*key))
            .filter_map(|entry| entry.marker().signing_state())
            .min_by_key(|state| leniency(*state))
    }

    /// The keys that sign for the master now.
    pub fn active_signing_keys(&self) -> impl Iterator<Item = PublicKey> {
        self.entries
            .iter()
            .filter_map(KeyEntry::signing_key)
            .filter(|key| self.signing_key(key) == Some(SigningKeyState::Active))
    }
}

/// Order from the harshest state to the mildest.
const fn leniency(state: SigningKeyState) -> (u8, Timestamp) {
    match state {
        SigningKeyState::Revoked => (0, Timestamp::MIN),
        SigningKeyState::RevokedFrom(from) => (1, from),
        SigningKeyState::OutOfUse => (2, Timestamp::MIN),
        SigningKeyState::Active => (3, Timestamp::MIN),
    }
}

fn parse_entries(payload: &[u8], master: PublicKey) -> Result<Vec<KeyEntry>, KeyScheduleError> {
    let mut entries = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let index = entries.len();
        if index == limits::KEY_SCHEDULE_ENTRIES_MAX {
            return Err(KeyScheduleError::TooManyEntries);
        }
        let (entry, behind) = KeyEntry::parse(rest, master)
            .map_err(|fault| KeyScheduleError::Entry { index, fault })?;
        entries.push(entry);
        rest = behind;
    }
    Ok(entries)
}

/// Makes a key schedule.
#[derive(Clone, Debug)]
pub struct KeyScheduleBuilder {
    master: PublicKey,
    entries: Vec<KeyEntry>,
}

impl KeyScheduleBuilder {
    /// A schedule of that master key, which lists nothing yet.
    #[must_use]
    pub const fn new(master: PublicKey) -> Self {
        Self {
            master,
            entries: Vec::new(),
        }
    }

    /// Lists one more key.
    ///
    /// # Errors
    /// - [`EntryFault::Mismatch`]: the marker is not for that kind of key.
    /// - [`EntryFault::Master`]: the attestation is for another master.
    pub fn list(mut self, marker: KeyMarker, key: ListedKey) -> Result<Self, EntryFault> {
        self.entries.push(KeyEntry::new(marker, key, self.master)?);
        Ok(self)
    }

    /// The record, still to be dated and signed by the master key.
    ///
    /// All schedules of one master made here share one address, so that each replaces the one
    /// before; its nonce is derived from [`KEY_SCHEDULE_NAME`].
    ///
    /// # Errors
    /// [`BuildError::TagsTooLong`]: more keys than tags can name.
    pub fn into_record(self) -> Result<RecordBuilder, BuildError> {
        let mut tags = TagsBuilder::new();
        let mut payload = Vec::new();
        let mut tagged = HashSet::new();
        for entry in &self.entries {
            entry.write(&mut payload);
            if tagged.insert(*entry.key().bytes()) {
                let value = [&[0; SUBKEY_AT], entry.key().bytes().as_slice()].concat();
                tags = tags
                    .raw(TagKind::SUBKEY, &value)
                    .map_err(|_| BuildError::TagsTooLong {
                        len_bytes: value.len(),
                    })?;
            }
        }
        let address = Address::derived(KEY_SCHEDULE_NAME, Kind::KEY_SCHEDULE, self.master);
        Ok(RecordBuilder::new(Kind::KEY_SCHEDULE, self.master)
            .nonce(address.nonce())
            .tags(tags)
            .payload(Bytes::from(payload)))
    }
}

/// What the nonce of the address of our key schedules is derived from. The specification names
/// none.
pub const KEY_SCHEDULE_NAME: &[u8] = b"key schedule";

/// Where the key starts in the value of a subkey tag.
const SUBKEY_AT: usize = 4;

#[cfg(test)]
mod tests;
