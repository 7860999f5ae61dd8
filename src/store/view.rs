//! A consistent view of the database for the length of one page.

use rocksdb::{DBPinnableSlice, DBRawIterator, ReadOptions, Snapshot};

use super::{
    act::StateTable,
    counts::Counts,
    database::{self, Database},
    error::{Damage, StoreError},
    keys::{IndexKey, Secret},
    state,
    usage::Usage,
};
use crate::{base::Seq, wire::PublicKey};

/// The database as it was at one moment.
///
/// Without it, a record could be replaced between reading its index key and reading its entry,
/// and a query would find neither the old record nor the new one.
pub(super) struct View<'a> {
    db: &'a Database,
    snapshot: Snapshot<'a>,
    tail: Seq,
    fill_cache: bool,
}

/// In which way keys of the index are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Only among keys with the prefix sought: filters spare the files that have none.
    Prefix,
    /// Among all keys.
    Total,
}

impl<'a> View<'a> {
    /// The database as it is now; `tail` is the newest entry that was published.
    pub(super) fn new(db: &'a Database, tail: Seq) -> Self {
        Self {
            db,
            snapshot: db.engine().snapshot(),
            tail,
            fill_cache: true,
        }
    }

    /// The same view, for a reader that passes over everything once.
    pub(super) fn passing(db: &'a Database, tail: Seq) -> Self {
        Self {
            fill_cache: false,
            ..Self::new(db, tail)
        }
    }

    pub(super) const fn tail(&self) -> Seq {
        self.tail
    }

    pub(super) const fn secret(&self) -> &Secret {
        self.db.secret()
    }

    /// A way along the keys of the index.
    pub(super) fn index(&self, order: Order) -> Result<Keys<'_>, StoreError> {
        let mut options = self.options();
        match order {
            Order::Prefix => options.set_prefix_same_as_start(true),
            Order::Total => options.set_total_order_seek(true),
        }
        let keys = self.snapshot.raw_iterator_cf_opt(self.db.index()?, options);
        Ok(Keys(keys))
    }

    /// A way along the log.
    pub(super) fn log(&self) -> Result<Keys<'_>, StoreError> {
        let options = self.options();
        let keys = self.snapshot.raw_iterator_cf_opt(self.db.log()?, options);
        Ok(Keys(keys))
    }

    /// The values at `seqs`, in their order.
    ///
    /// # Errors
    /// The first place that cannot be read, or has no entry.
    pub(super) fn values(&self, seqs: &[Seq]) -> Result<Vec<DBPinnableSlice<'_>>, StoreError> {
        let values = self.try_values(seqs)?.into_iter().zip(seqs);
        values
            .map(|(value, seq)| value?.ok_or(StoreError::Damaged(Damage::Missing(*seq))))
            .collect()
    }

    /// The values at `seqs` in their order, each with its own error.
    pub(super) fn try_values(&self, seqs: &[Seq]) -> Result<Vec<ValueResult<'_>>, StoreError> {
        let keys: Vec<_> = seqs.iter().map(|seq| seq.to_be_bytes()).collect();
        let mut options = self.options();
        options.set_snapshot(&self.snapshot);
        let log = self.db.log()?;
        let engine = self.db.engine();
        let values = engine.batched_multi_get_cf_opt(log, &keys, false, &options);
        Ok(values
            .into_iter()
            .map(|value| value.map_err(StoreError::from))
            .collect())
    }

    /// Whether each of `keys`, which are sorted, is in the index.
    pub(super) fn have_keys(&self, keys: &[IndexKey]) -> Result<Vec<bool>, StoreError> {
        // Even a reader that asks for every key once asks for them block by block in no order.
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        let index = self.db.index()?;
        let engine = self.db.engine();
        let values = engine.batched_multi_get_cf_opt(index, keys, true, &options);
        values
            .into_iter()
            .map(|value| Ok(value?.is_some()))
            .collect()
    }

    /// A chunk of a BLOB.
    pub(super) fn chunk(&self, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        let mut options = self.options();
        options.set_snapshot(&self.snapshot);
        let blobs = self.db.blobs()?;
        Ok(self.db.engine().get_pinned_cf_opt(blobs, key, &options)?)
    }

    /// A way along the keys of all chunks.
    pub(super) fn chunks(&self) -> Result<Keys<'_>, StoreError> {
        let options = self.options();
        let keys = self.snapshot.raw_iterator_cf_opt(self.db.blobs()?, options);
        Ok(Keys(keys))
    }

    /// A meta value.
    pub(super) fn meta_value(
        &self,
        name: &[u8],
    ) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        Ok(self.snapshot.get_pinned_cf(self.db.meta()?, name)?)
    }

    /// A way along the meta values.
    pub(super) fn meta(&self) -> Result<Keys<'_>, StoreError> {
        let options = self.options();
        let keys = self.snapshot.raw_iterator_cf_opt(self.db.meta()?, options);
        Ok(Keys(keys))
    }

    /// A value of the state.
    pub(super) fn state_value(
        &self,
        table: StateTable,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let key = state::state_key(table, key);
        let value = self.snapshot.get_pinned_cf(self.db.state()?, key)?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// What is stored on behalf of `user`.
    pub(super) fn usage(&self, user: &PublicKey) -> Result<Usage, StoreError> {
        let key = state::usage_key(user);
        let value = self.snapshot.get_pinned_cf(self.db.state()?, key)?;
        value.map_or(Ok(Usage::default()), |value| {
            Usage::decode(&value).ok_or(StoreError::Damaged(Damage::Usage))
        })
    }

    /// A way along the keys of the state.
    pub(super) fn state(&self) -> Result<Keys<'_>, StoreError> {
        let options = self.options();
        let keys = self.snapshot.raw_iterator_cf_opt(self.db.state()?, options);
        Ok(Keys(keys))
    }

    /// The counters.
    pub(super) fn counts(&self) -> Result<Counts, StoreError> {
        let meta = self.db.meta()?;
        database::counts_in(self.snapshot.get_pinned_cf(meta, database::COUNTS_KEY)?)
    }

    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.fill_cache(self.fill_cache);
        options
    }
}

/// A value of the log, or why it cannot be read.
pub(super) type ValueResult<'a> = Result<Option<DBPinnableSlice<'a>>, StoreError>;

/// A key and its value.
type KeyValue<'a> = (&'a [u8], &'a [u8]);

/// A position among the keys of a column family.
pub(super) struct Keys<'a>(DBRawIterator<'a>);

impl Keys<'_> {
    /// Goes to the first key at or behind `key`.
    pub(super) fn seek(&mut self, key: &[u8]) {
        self.0.seek(key);
    }

    /// Goes to the key behind this one. There must be a key here.
    pub(super) fn step(&mut self) {
        self.0.next();
    }

    /// The key here; `None` at the end.
    pub(super) fn key(&self) -> Result<Option<&[u8]>, StoreError> {
        if !self.0.valid() {
            self.0.status()?;
        }
        Ok(self.0.key())
    }

    /// Key and value here; `None` at the end.
    pub(super) fn item(&self) -> Result<Option<KeyValue<'_>>, StoreError> {
        if !self.0.valid() {
            self.0.status()?;
        }
        Ok(self.0.item())
    }
}
