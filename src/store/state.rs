//! The `state` column family: what acts set, and what is stored on behalf of users.
//!
//! | first byte | then                     | value                                                |
//! |------------|--------------------------|------------------------------------------------------|
//! | 1 to 4     | key in that [`StateTable`] | whatever its owner wrote                           |
//! | 128        | master key, 32 bytes     | MessagePack array: own and delivered, (records, bytes) each |
//!
//! Both follow from the log: the first from its acts, the second from its records.

use std::sync::Arc;

use super::{
    Store,
    act::{ActEntry, StateTable},
    entry::Entry,
    error::{Damage, StoreError},
    keys::{self, Table},
    record_format::{self, LogEntry},
    usage::Usage,
    view::Order,
};
use crate::{
    base::{Seq, limits},
    wire::PublicKey,
};

/// A key and a value of the state.
pub type StateItem = (Vec<u8>, Vec<u8>);

impl Store {
    /// What is stored on behalf of `user`; nothing, for a key that is no user's.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or what it holds is damaged.
    pub fn usage(&self, user: &PublicKey) -> Result<Usage, StoreError> {
        self.view().usage(user)
    }

    /// The held records in front of `before`, newest place first, up to `max`. A page of large
    /// records may be shorter; it is empty only at the end.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or what it holds is damaged.
    pub fn held(&self, before: Option<Seq>, max: usize) -> Result<Vec<Arc<Entry>>, StoreError> {
        let mut held = Vec::new();
        self.placed(Table::Held, before, max, |seq, entry| {
            let LogEntry::Record(header, record) = entry else {
                return Err(Damage::Malformed(seq));
            };
            let entry = record_format::owned(seq, &header, &record);
            held.push(Arc::new(entry.map_err(|_| Damage::Malformed(seq))?));
            Ok(())
        })?;
        Ok(held)
    }

    /// The acts in front of `before`, newest first, up to `max`: the audit trail.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or what it holds is damaged.
    pub fn acts(&self, before: Option<Seq>, max: usize) -> Result<Vec<ActEntry>, StoreError> {
        let mut acts = Vec::new();
        self.placed(Table::Act, before, max, |seq, entry| {
            let LogEntry::Act { received, body } = entry else {
                return Err(Damage::Malformed(seq));
            };
            acts.push(ActEntry {
                seq,
                received,
                by: body.by,
                call: body.call,
                detail: body.detail,
            });
            Ok(())
        })?;
        Ok(acts)
    }

    /// Keys and values of a table of the state behind the key `after`, in the order of keys, up to `max`.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn state(
        &self,
        table: StateTable,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<StateItem>, StoreError> {
        let view = self.view();
        let mut keys = view.state()?;
        keys.seek(&state_key(table, after.unwrap_or_default()));
        let mut found = Vec::new();
        while found.len() < max
            && let Some((key, value)) = keys.item()?
            && let Some((first, key)) = key.split_first()
            && *first == table.byte()
        {
            if after != Some(key) {
                found.push((key.to_vec(), value.to_vec()));
            }
            keys.step();
        }
        Ok(found)
    }

    /// The value under `key` in a table of the state.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn state_value(
        &self,
        table: StateTable,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.view().state_value(table, key)
    }

    /// Passes over the entries of a table that is in the order of the log.
    fn placed(
        &self,
        table: Table,
        before: Option<Seq>,
        max: usize,
        mut take: impl FnMut(Seq, LogEntry<'_>) -> Result<(), Damage>,
    ) -> Result<(), StoreError> {
        let view = self.view();
        let mut index = view.index(Order::Prefix)?;
        index.seek(&keys::placed_start(table, before));
        let (mut taken, mut bytes) = (0, 0);
        while taken < max && bytes < limits::PAGE_MAX_BYTES {
            let Some((found, seq)) = index.key()?.and_then(keys::parts) else {
                break;
            };
            if found != table {
                break;
            }
            let values = view.values(&[seq])?;
            let value = values.first().ok_or(Damage::Missing(seq))?;
            bytes += value.len();
            take(
                seq,
                LogEntry::decode(value).map_err(|_| Damage::Malformed(seq))?,
            )?;
            taken += 1;
            index.step();
        }
        Ok(())
    }
}

/// Where a value of a table stands.
pub(super) fn state_key(table: StateTable, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(1 + key.len());
    whole.push(table.byte());
    whole.extend_from_slice(key);
    whole
}

/// Where the account of a user stands.
pub(super) fn usage_key(user: &PublicKey) -> [u8; 33] {
    let mut key = [USAGE; 33];
    key[1..].copy_from_slice(user.as_bytes());
    key
}

/// The user whose account stands there.
pub(super) fn usage_user(key: &[u8]) -> Option<PublicKey> {
    let key = key.strip_prefix(&[USAGE])?;
    PublicKey::from_bytes(key.try_into().ok()?).ok()
}

/// First byte of accounts; those of the tables are below it.
pub(super) const USAGE: u8 = 128;
