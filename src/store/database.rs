//! The database of one store: opening it, its column families, and reading log entries.

use std::{fs, io, path::Path};

use rocksdb::{ColumnFamily, DB, DBPinnableSlice, DBRawIterator, Options, ReadOptions, WriteBatch};

use super::{
    counts::Counts,
    error::{Damage, StoreError},
    keys::Secret,
    options::{self, StoreOptions},
    upgrade,
};
use crate::base::Seq;

/// An open database.
pub(super) struct Database {
    db: DB,
    secret: Secret,
}

impl Database {
    /// Opens the database in `path`; makes it if the directory is empty or absent.
    pub(super) fn open(path: &Path, settings: &StoreOptions) -> Result<Self, StoreError> {
        let mut options = options::database(settings)?;
        if exists(path)? {
            refuse_newer(path, &options)?;
        } else {
            fs::create_dir_all(path).map_err(StoreError::Directory)?;
            options.create_if_missing(true);
        }
        let families = options::families(settings)?;
        let db = DB::open_cf_descriptors(&options, path, families)?;
        let (secret, found) = identify(&db)?;
        let database = Self { db, secret };
        if found < SCHEMA {
            upgrade::upgrade(&database)?;
        }
        Ok(database)
    }

    pub(super) const fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) const fn engine(&self) -> &DB {
        &self.db
    }

    pub(super) fn log(&self) -> Result<&ColumnFamily, StoreError> {
        self.family(options::LOG)
    }

    pub(super) fn index(&self) -> Result<&ColumnFamily, StoreError> {
        self.family(options::INDEX)
    }

    /// Chunks of BLOBs.
    pub(super) fn blobs(&self) -> Result<&ColumnFamily, StoreError> {
        self.family(options::BLOBS)
    }

    pub(super) fn state(&self) -> Result<&ColumnFamily, StoreError> {
        self.family(options::STATE)
    }

    pub(super) fn meta(&self) -> Result<&ColumnFamily, StoreError> {
        self.family(options::META)
    }

    /// The value at `seq`.
    pub(super) fn log_value(&self, seq: Seq) -> Result<DBPinnableSlice<'_>, StoreError> {
        let value = self.db.get_pinned_cf(self.log()?, seq.to_be_bytes())?;
        value.ok_or(StoreError::Damaged(Damage::Missing(seq)))
    }

    /// What was counted up to the last batch.
    pub(super) fn counts(&self) -> Result<Counts, StoreError> {
        counts_in(self.db.get_pinned_cf(self.meta()?, COUNTS_KEY)?)
    }

    /// Writes `batch` and returns once it is on disk.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        Ok(self.db.write_opt(batch, &options::synced())?)
    }

    /// A cursor over the log's keys that reads a snapshot of its own.
    pub(super) fn log_keys(&self, options: ReadOptions) -> Result<DBRawIterator<'_>, StoreError> {
        Ok(self.db.raw_iterator_cf_opt(self.log()?, options))
    }

    pub(super) fn family(&self, name: &'static str) -> Result<&ColumnFamily, StoreError> {
        let family = self.db.cf_handle(name);
        family.ok_or(StoreError::Damaged(Damage::Family(name)))
    }
}

/// The counters in a value of [`COUNTS_KEY`]; a new database has none yet.
pub(super) fn counts_in(value: Option<DBPinnableSlice<'_>>) -> Result<Counts, StoreError> {
    value.map_or(Ok(Counts::default()), |value| {
        Counts::decode(&value).ok_or(StoreError::Damaged(Damage::Meta(COUNTS_NAME)))
    })
}

/// Whether `path` holds a database. Remains without a `CURRENT` file are an error: the engine would
/// start a new database over them.
fn exists(path: &Path) -> Result<bool, StoreError> {
    if path.join("CURRENT").exists() {
        return Ok(true);
    }
    let listing = match fs::read_dir(path) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StoreError::Directory(error)),
    };
    for file in listing {
        let name = file.map_err(StoreError::Directory)?.file_name();
        let name = name.to_string_lossy();
        let is_numbered = |stem: &str| stem.bytes().all(|digit| digit.is_ascii_digit());
        let is_remains = match name.rsplit_once('.') {
            Some((stem, "sst" | "blob" | "log")) => is_numbered(stem),
            _ => name.starts_with("MANIFEST-"),
        };
        if is_remains {
            return Err(StoreError::Remains);
        }
    }
    Ok(false)
}

/// Reads the schema version without changing a file: opening a database for writing already moves
/// its write-ahead log into tables, in a layout that a later version may not have.
fn refuse_newer(path: &Path, options: &Options) -> Result<(), StoreError> {
    let db = DB::open_cf_for_read_only(options, path, [options::META], false)?;
    let meta = db
        .cf_handle(options::META)
        .ok_or(Damage::Family(options::META))?;
    let Some(found) = schema(&db, meta)? else {
        return Ok(());
    };
    if found > SCHEMA {
        return Err(StoreError::NewerSchema {
            found,
            known: SCHEMA,
        });
    }
    Ok(())
}

/// Reads the digest key and the schema version; gives a new database its identity.
fn identify(db: &DB) -> Result<(Secret, u32), StoreError> {
    let meta = db
        .cf_handle(options::META)
        .ok_or(Damage::Family(options::META))?;
    let log = db
        .cf_handle(options::LOG)
        .ok_or(Damage::Family(options::LOG))?;
    let found = schema(db, meta)?;
    if found.is_none() {
        let mut entries = db.raw_iterator_cf(log);
        entries.seek_to_first();
        entries.status()?;
        if entries.valid() {
            return Err(Damage::Meta(SCHEMA_NAME).into());
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(meta, SCHEMA_KEY, SCHEMA.to_be_bytes());
        batch.put_cf(meta, SECRET_KEY, rand::random::<[u8; 32]>());
        db.write_opt(batch, &options::synced())?;
    }
    let secret = db.get_pinned_cf(meta, SECRET_KEY)?;
    let secret = secret.and_then(|bytes| <[u8; 32]>::try_from(&*bytes).ok());
    let secret = Secret::new(secret.ok_or(Damage::Meta(SECRET_NAME))?);
    Ok((secret, found.unwrap_or(SCHEMA)))
}

/// The schema version of a database; a new one has none yet.
fn schema(db: &DB, meta: &ColumnFamily) -> Result<Option<u32>, StoreError> {
    let Some(bytes) = db.get_pinned_cf(meta, SCHEMA_KEY)? else {
        return Ok(None);
    };
    let bytes = <[u8; 4]>::try_from(&*bytes).map_err(|_| Damage::Meta(SCHEMA_NAME))?;
    Ok(Some(u32::from_be_bytes(bytes)))
}

/// Version of everything this module writes; see docs/STORAGE.md.
pub(super) const SCHEMA: u32 = 3;

const SCHEMA_NAME: &str = "schema";
const SECRET_NAME: &str = "digest-key";
const COUNTS_NAME: &str = "counts";
pub(super) const SCHEMA_KEY: &[u8] = SCHEMA_NAME.as_bytes();
pub(super) const SECRET_KEY: &[u8] = SECRET_NAME.as_bytes();
pub(super) const COUNTS_KEY: &[u8] = COUNTS_NAME.as_bytes();
