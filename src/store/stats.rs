//! How much is stored, and where.

use std::{fs, io};

use rocksdb::properties;

use super::{BlobTotal, Store, counts::Counts, error::StoreError, options};
use crate::{base::Seq, wire::Timestamp};

/// The size of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The newest entry.
    pub tail: Seq,
    /// When the newest entry was received; [`Timestamp::MIN`] in an empty store.
    pub last_received: Timestamp,
    /// What is stored.
    pub counts: Counts,
    /// What BLOBs there are.
    pub blobs: BlobTotal,
    /// What it takes on disk.
    pub files: Files,
    /// Memory of what is not in tables yet, in bytes.
    pub memtable_bytes: u64,
}

/// The files of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Tables: log entries and index keys.
    pub tables: FileTotal,
    /// Large records, and the data of BLOBs.
    pub blobs: FileTotal,
    /// Write-ahead log: what is not in tables yet.
    pub write_ahead: FileTotal,
    /// Everything else.
    pub other: FileTotal,
}

/// Some files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTotal {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Files {
    /// Bytes of all files.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.tables.bytes + self.blobs.bytes + self.write_ahead.bytes + self.other.bytes
    }
}

impl Store {
    /// How much is stored. Reads the counters and lists the directory; costs the same for any size.
    ///
    /// # Errors
    /// [`StoreError`] if the counters or the directory cannot be read.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        Ok(Stats {
            tail: self.tail(),
            last_received: self.last_received(),
            counts: self.shared.db.counts()?,
            blobs: self.blob_totals()?,
            files: self.files().map_err(StoreError::Directory)?,
            memtable_bytes: self.memtable_bytes()?,
        })
    }

    fn files(&self) -> io::Result<Files> {
        let mut files = Files::default();
        for file in fs::read_dir(&self.shared.path)? {
            let file = file?;
            let bytes = match file.metadata() {
                Ok(metadata) if metadata.is_file() => metadata.len(),
                Ok(_) => continue,
                // Compaction removes files at any time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let name = file.file_name();
            let total = match name.to_string_lossy().rsplit_once('.') {
                Some((_, "sst")) => &mut files.tables,
                Some((_, "blob")) => &mut files.blobs,
                Some((_, "log")) => &mut files.write_ahead,
                _ => &mut files.other,
            };
            total.files += 1;
            total.bytes += bytes;
        }
        Ok(files)
    }

    fn memtable_bytes(&self) -> Result<u64, StoreError> {
        let db = &self.shared.db;
        let mut bytes = 0;
        for family in [
            options::META,
            options::LOG,
            options::INDEX,
            options::STATE,
            options::BLOBS,
        ] {
            let family = db.family(family)?;
            let size = properties::CUR_SIZE_ALL_MEM_TABLES;
            bytes += db
                .engine()
                .property_int_value_cf(family, size)?
                .unwrap_or(0);
        }
        Ok(bytes)
    }
}
