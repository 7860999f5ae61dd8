//! What can go wrong with the store; always our side, never a peer's.

use std::{fmt, io};

use thiserror::Error;

use crate::base::Seq;

/// Why the store could not be opened, read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process, or another [`Store`](super::Store) of this one, has the database open.
    #[error("database is in use by another process")]
    Locked,
    /// The database was written by a later version of this program; nothing was changed.
    #[error("database has schema {found}, this program reads up to {known}")]
    NewerSchema {
        /// Schema version found in the database.
        found: u32,
        /// Newest schema version this program reads.
        known: u32,
    },
    /// The directory holds parts of a database, but not the file that says which of them count.
    /// Opening it would start an empty database over the remains, so it is left alone.
    #[error("directory holds the remains of a database without its CURRENT file")]
    Remains,
    /// Bytes on disk fail their checksum, or a synced file is missing or too short.
    #[error("database files are damaged")]
    Corrupt(#[source] EngineError),
    /// The files are sound, but what they hold contradicts itself.
    #[error("database contents are damaged")]
    Damaged(#[from] Damage),
    /// Any other failure of the database engine.
    #[error("database engine failed")]
    Engine(#[source] EngineError),
    /// The database directory cannot be made or listed.
    #[error("database directory cannot be used")]
    Directory(#[source] io::Error),
    /// The log has as many entries as index keys can tell apart: 281 trillion.
    #[error("log is full")]
    Full,
    /// A writer of this store runs already; there is never more than one.
    #[error("store has a writer already")]
    WriterRuns,
    /// The operating system gave no thread for the writer.
    #[error("writer thread cannot be started")]
    Thread(#[source] io::Error),
    /// The writer ended by a panic; what it had not acknowledged may or may not be stored.
    #[error("writer thread panicked")]
    WriterPanicked,
}

/// A contradiction in what the database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// A value that every database has is absent or has the wrong length.
    #[error("value {0:?} of column family meta is missing or malformed")]
    Meta(&'static str),
    /// A column family is absent.
    #[error("column family {0:?} is missing")]
    Family(&'static str),
    /// The log has no entry where one must be.
    #[error("log entry {0} is missing")]
    Missing(Seq),
    /// A log entry does not decode, or the record in it is none.
    #[error("log entry {0} is malformed")]
    Malformed(Seq),
    /// A user's account does not decode.
    #[error("a user's account is malformed")]
    Usage,
    /// A key of the log is no position.
    #[error("a key of the log is not 8 bytes long")]
    LogKey,
}

/// What the database engine said, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineError(String);

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EngineError {}

impl From<rocksdb::Error> for StoreError {
    fn from(error: rocksdb::Error) -> Self {
        let kind = error.kind();
        let message = error.into_string();
        // The engine names no code for this one; both of its texts name the file.
        if kind == rocksdb::ErrorKind::IOError
            && message.contains("lock")
            && message.contains("LOCK")
        {
            return Self::Locked;
        }
        match kind {
            rocksdb::ErrorKind::Corruption => Self::Corrupt(EngineError(message)),
            _ => Self::Engine(EngineError(message)),
        }
    }
}
