//! The database of one store: opening it, its column families, and reading log entries.

use std::{fs, io, path::Path};

use rocksdb::{ColumnFamily, DB, DBPinnableSlice, DBRawIterator, ReadOptions, WriteBatch};

use super::{
    counts::Counts,
    error::{Damage, StoreError},
    keys::{self, Secret},
    options::{self, StoreOptions},
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
        let mut families = options::families(settings)?;
        if exists(path)? {
            // A later version may have more column families. They must be opened too, or the
            // engine refuses before the schema version can be read.
            for name in DB::list_cf(&options, path)? {
                if !families.iter().any(|family| family.name() == name) {
                    families.push(rocksdb::ColumnFamilyDescriptor::new(
                        name,
                        rocksdb::Options::default(),
                    ));
                }
            }
        } else {
            fs::create_dir_all(path).map_err(StoreError::Directory)?;
            options.create_if_missing(true);
        }
        let db = DB::open_cf_descriptors(&options, path, families)?;
        let secret = identify(&db)?;
        Ok(Self { db, secret })
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

    fn family(&self, name: &'static str) -> Result<&ColumnFamily, StoreError> {
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
        let is_remains = name.starts_with("MANIFEST-")
            || [".sst", ".blob", ".log"].iter().any(|end| name.ends_with(end));
        if is_remains {
            return Err(StoreError::Remains);
        }
    }
    Ok(false)
}

/// Checks the schema version and reads the digest key; writes both into a new database.
fn identify(db: &DB) -> Result<Secret, StoreError> {
    let damaged = |name| StoreError::Damaged(Damage::Meta(name));
    let family = |name| db.cf_handle(name).ok_or(StoreError::Damaged(Damage::Family(name)));
    let meta = family(options::META)?;
    let Some(schema) = db.get_pinned_cf(meta, SCHEMA_KEY)? else {
        let mut log = db.raw_iterator_cf(family(options::LOG)?);
        log.seek_to_first();
        log.status()?;
        if log.valid() {
            return Err(damaged(SCHEMA_NAME));
        }
        let secret: [u8; 32] = rand::random();
        let mut batch = WriteBatch::default();
        batch.put_cf(meta, SCHEMA_KEY, SCHEMA.to_be_bytes());
        batch.put_cf(meta, SECRET_KEY, secret);
        db.write_opt(batch, &options::synced())?;
        return Ok(Secret::new(secret));
    };
    let found = <[u8; 4]>::try_from(&*schema).map_err(|_| damaged(SCHEMA_NAME))?;
    let found = u32::from_be_bytes(found);
    if found > SCHEMA {
        return Err(StoreError::NewerSchema {
            found,
            known: SCHEMA,
        });
    }
    let secret = db.get_pinned_cf(meta, SECRET_KEY)?;
    let secret = secret.ok_or_else(|| damaged(SECRET_NAME))?;
    let secret = <[u8; 32]>::try_from(&*secret).map_err(|_| damaged(SECRET_NAME))?;
    Ok(Secret::new(secret))
}

/// Version of everything this module writes; see docs/STORAGE.md.
pub(super) const SCHEMA: u32 = 1;

const SCHEMA_NAME: &str = "schema";
const SECRET_NAME: &str = "digest-key";
const COUNTS_NAME: &str = "counts";
pub(super) const SCHEMA_KEY: &[u8] = SCHEMA_NAME.as_bytes();
pub(super) const SECRET_KEY: &[u8] = SECRET_NAME.as_bytes();
pub(super) const COUNTS_KEY: &[u8] = COUNTS_NAME.as_bytes();

const _: () = assert!(keys::PREFIX_BYTES == 9);
