//! Writing a batch: log entries, index keys and counters in one atomic, synced write.

use std::sync::Arc;

use rocksdb::WriteBatch;

use super::{
    counts::{Counts, Item},
    database::{COUNTS_KEY, Database},
    entry::Entry,
    error::{Damage, StoreError},
    keys::IndexKey,
    record_format::{self, Malformed, encoded},
    stage::{Parts, Stage, Staged, StagedRecord, StateValues},
    state::usage_key,
    usage::{Accounts, Usage},
};

/// What was written.
pub(super) struct Written {
    /// The records that are not held, in the order of the log.
    pub(super) entries: Vec<Arc<Entry>>,
    /// The counters after it.
    pub(super) counts: Counts,
    /// The accounts after it.
    pub(super) accounts: Accounts,
}

/// Writes everything that was staged and returns once it is on disk.
pub(super) fn commit(
    db: &Database,
    stage: Stage<'_>,
    mut counts: Counts,
) -> Result<Written, StoreError> {
    let mut entries = Vec::new();
    let mut keys = Vec::new();
    let mut batch = WriteBatch::default();
    let log = db.log()?;
    let Parts {
        staged,
        replaced,
        state,
        mut accounts,
    } = stage.into_parts();
    for (seq, old) in &replaced {
        let value = encoded(*seq, record_format::encode_gone(old.entry.received, old.by))?;
        batch.put_cf(log, seq.to_be_bytes(), value);
        counts.remove(item(&old.entry, &old.keys));
        counts.gone += 1;
        keys.extend(old.keys.iter().map(|key| (*key, Change::Remove)));
    }
    for staged in &staged {
        let (seq, value) = match staged {
            Staged::Record(record) => {
                if !record.entry.held {
                    entries.push(Arc::clone(&record.entry));
                }
                keys.extend(record_changes(record, &mut counts));
                (record.entry.seq, record_value(record))
            }
            Staged::User {
                seq,
                received,
                user,
            } => {
                counts.users += 1;
                counts.index_keys += 1;
                keys.push((db.secret().user_key(user, *received, *seq), Change::Add));
                (*seq, record_format::encode_user(*received, user))
            }
            Staged::Act {
                seq,
                received,
                body,
            } => {
                let added = db.secret().act_keys(body.removed(), *seq);
                counts.acts += 1;
                counts.removed += body.removed().count() as u64;
                counts.index_keys += added.len() as u64;
                keys.extend(added.into_iter().map(|key| (key, Change::Add)));
                (*seq, record_format::encode_act(*received, body))
            }
        };
        batch.put_cf(log, seq.to_be_bytes(), encoded(seq, value)?);
    }
    set_keys(db, &mut batch, keys)?;
    set_state(db, &mut batch, &state, &accounts)?;
    let meta = counts.encode().ok_or(Damage::Meta("counts"))?;
    batch.put_cf(db.meta()?, COUNTS_KEY, meta);
    db.write(batch)?;
    accounts.settle();
    Ok(Written {
        entries,
        counts,
        accounts,
    })
}

/// Adds the changes of the index to the batch.
fn set_keys(
    db: &Database,
    batch: &mut WriteBatch,
    mut keys: Vec<(IndexKey, Change)>,
) -> Result<(), StoreError> {
    // Sorted keys go into the memtable from left to right, most of them beside the one before.
    keys.sort_unstable_by_key(|(key, _)| *key);
    let index = db.index()?;
    for (key, change) in &keys {
        match change {
            Change::Add => batch.put_cf(index, key, []),
            // Each key is written once in its life, which is what a single delete asks for; unlike
            // other deletions it vanishes as soon as it meets the key.
            Change::Remove => batch.single_delete_cf(index, key),
        }
    }
    Ok(())
}

/// Adds the changes of state and of accounts to the batch.
fn set_state(
    db: &Database,
    batch: &mut WriteBatch,
    values: &StateValues,
    accounts: &Accounts,
) -> Result<(), StoreError> {
    let state = db.state()?;
    for (key, value) in values {
        match value {
            Some(value) => batch.put_cf(state, key, value),
            None => batch.delete_cf(state, key),
        }
    }
    for (user, usage) in accounts.changed() {
        if *usage == Usage::default() {
            batch.delete_cf(state, usage_key(user));
        } else {
            let value = usage.encode().ok_or(Damage::Usage)?;
            batch.put_cf(state, usage_key(user), value);
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Change {
    Add,
    Remove,
}

/// What a staged record adds to the index.
fn record_changes<'a>(
    record: &'a StagedRecord,
    counts: &mut Counts,
) -> impl Iterator<Item = (IndexKey, Change)> + use<'a> {
    let is_live = record.gone_by.is_none();
    if is_live {
        counts.add(item(&record.entry, &record.keys));
    } else {
        counts.gone += 1;
    }
    let keys = record.keys.iter().filter(move |_| is_live);
    keys.map(|key| (*key, Change::Add))
}

fn record_value(record: &StagedRecord) -> Result<Vec<u8>, Malformed> {
    match record.gone_by {
        None => record_format::encode_record(&record.entry),
        Some(by) => record_format::encode_gone(record.entry.received, by),
    }
}

fn item(entry: &Entry, keys: &[IndexKey]) -> Item {
    Item {
        roles: entry.roles,
        bytes: entry.record.bytes().len(),
        keys: keys.len(),
        held: entry.held,
    }
}
