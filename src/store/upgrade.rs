//! Bringing what an older program left to the present schema.

use std::mem;

use rocksdb::WriteBatch;

use super::{
    counts::Counts,
    database::{COUNTS_KEY, Database, SCHEMA, SCHEMA_KEY},
    error::{Damage, StoreError},
    keys::{self, IndexKey, Table},
    record_format::LogEntry,
    view::{Order, View},
};
use crate::base::{Seq, limits};

/// Makes a database of an older schema one of the present schema, in batches like those of the writer.
///
/// Schema 1 lacks column families, which opening has made. Up to schema 2 a held record was in every
/// table of the index. Everything else that they have means the same.
///
/// The last batch says that it is done. Until then a start begins again, and finds less to do.
pub(super) fn upgrade(db: &Database) -> Result<(), StoreError> {
    let view = View::passing(db, Seq::ZERO);
    let mut held = view.index(Order::Prefix)?;
    let mut counts = db.counts()?;
    let mut batch = WriteBatch::default();
    held.seek(&keys::placed_start(Table::Held, None));
    while let Some((Table::Held, seq)) = held.key()?.and_then(keys::parts) {
        let surplus = surplus(&view, seq)?;
        for key in &surplus {
            batch.single_delete_cf(db.index()?, key);
        }
        counts.index_keys = counts.index_keys.saturating_sub(surplus.len() as u64);
        if batch.len() >= limits::COMMIT_MAX_INDEX_KEYS {
            write(db, mem::take(&mut batch), &counts)?;
        }
        held.step();
    }
    batch.put_cf(db.meta()?, SCHEMA_KEY, SCHEMA.to_be_bytes());
    write(db, batch, &counts)
}

/// Keys in the index of the held record at `seq` that it does not have any more.
fn surplus(view: &View<'_>, seq: Seq) -> Result<Vec<IndexKey>, StoreError> {
    let values = view.values(&[seq])?;
    let value = values.first().ok_or(Damage::Missing(seq))?;
    let Ok(LogEntry::Record(_, record)) = LogEntry::decode(value) else {
        return Err(Damage::Malformed(seq).into());
    };
    let kept = view.secret().entry_keys(&record, true, seq);
    let mut had = view.secret().record_keys(&record, seq);
    had.retain(|key| !kept.contains(key));
    let are_there = view.have_keys(&had)?;
    let had = had.into_iter().zip(are_there);
    Ok(had
        .filter_map(|(key, is_there)| is_there.then_some(key))
        .collect())
}

fn write(db: &Database, mut batch: WriteBatch, counts: &Counts) -> Result<(), StoreError> {
    let counts = counts.encode().ok_or(Damage::Meta("counts"))?;
    batch.put_cf(db.meta()?, COUNTS_KEY, counts);
    db.write(batch)
}
