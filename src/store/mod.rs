//! The record store: a log that is the truth, and indexes over it. docs/STORAGE.md describes the
//! bytes on disk.
//!
//! One thread, the [`Writer`], changes the store: it drains what waits into one batch, judges
//! each record in the order of the log, writes the batch with one sync, and only then publishes and
//! replies. Any number of threads read. Reading calls block and belong on a pool for that; they
//! come in pages with a budget, and hold nothing of the database between pages.
//!
//! What holds at any time:
//! - The log has an entry at every place from 1 to its tail, and *received* never decreases in it.
//! - A log entry and its index keys are written, and freed, in one atomic batch, and so is what it
//!   does to the state and to users' accounts.
//! - Nothing is published, acknowledged or counted before its batch was synced.
//! - Whatever is decided about a record is in its entry, and whatever an operator changes in the
//!   entry of an [`Act`]; nothing is decided anew later.

mod act;
mod acting;
mod blobs;
mod budget;
mod check;
mod commit;
mod counts;
mod cursor;
mod database;
mod entry;
mod error;
mod keys;
mod merge;
mod options;
mod planner;
mod queue;
mod reader;
mod record_format;
mod recount;
mod recover;
mod source;
mod space;
mod stage;
mod state;
mod stats;
mod tail;
#[cfg(test)]
mod tests;
mod upgrade;
mod usage;
mod view;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

pub use act::{Act, ActEntry, Acted, Expect, RecordChange, Removal, StateChange, StateTable};
pub use blobs::{
    BlobClaim, BlobInfo, BlobOutcome, BlobReadError, BlobReader, BlobRemoval, BlobTotal,
    BlobUpload, BlobWriter, RemovedBlob,
};
pub use budget::PageBudget;
pub use check::{Inspect, Pass, Problem, Progress, Report};
pub use counts::{Counts, RoleCount};
pub use cursor::Cursor;
pub use entry::{Entry, Judgement, Kept, Outcome, Vouched};
pub use error::{Damage, EngineError, StoreError};
pub use keys::Table;
pub use options::StoreOptions;
pub use reader::Page;
pub use space::{FileSystem, FreeSpace};
pub use state::StateItem;
pub use stats::{FileTotal, Files, Stats};
pub use tail::LogPage;
pub use usage::{Account, Amount, Charge, Charged, Quota, Usage};
pub use writer::{Judge, Registration, SubmitError, Writer};

use self::database::Database;
use self::space::Space;
use crate::{base::Seq, wire::Timestamp};

/// An open record store. Clones are handles to the same one; the last that is dropped closes it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    db: Database,
    path: PathBuf,
    tail: AtomicU64,
    /// *Received* of the entry at the tail, in nanoseconds.
    received: AtomicU64,
    halted: OnceLock<String>,
    has_writer: AtomicBool,
    floor_bytes: AtomicU64,
    settings: StoreOptions,
}

impl Store {
    /// Opens the store in the directory `path`; makes a new one where there is none.
    ///
    /// Reads what a crash left in the write-ahead log and checks that the log has no gap at its
    /// end. An incomplete batch at the very end of the write-ahead log was never acknowledged and
    /// is dropped.
    ///
    /// # Errors
    /// - [`StoreError::Locked`]: another process has it open.
    /// - [`StoreError::NewerSchema`]: it was written by a later version; nothing was changed.
    /// - [`StoreError::Corrupt`], [`StoreError::Damaged`]: it is not as it was written.
    /// - [`StoreError::Remains`]: a database without its `CURRENT` file is in the way.
    /// - [`StoreError::Directory`], [`StoreError::Engine`]: it cannot be read or made.
    pub fn open(path: &Path, settings: StoreOptions) -> Result<Self, StoreError> {
        let db = Database::open(path, &settings)?;
        let end = recover::end_of_log(&db)?;
        blobs::recover(&db)?;
        let shared = Shared {
            db,
            path: path.to_owned(),
            tail: AtomicU64::new(end.tail.get()),
            received: AtomicU64::new(end.received.nanos()),
            halted: OnceLock::new(),
            has_writer: AtomicBool::new(false),
            floor_bytes: AtomicU64::new(settings.free_space_floor_bytes),
            settings,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Place of the newest entry that is durable.
    #[must_use]
    pub fn tail(&self) -> Seq {
        Seq::new(self.shared.tail.load(Ordering::Acquire))
    }

    /// Why the store stopped writing, if it did. It reads on, and writes again after a restart.
    #[must_use]
    pub fn halted(&self) -> Option<&str> {
        self.shared.halted.get().map(String::as_str)
    }

    /// Changes the free space under which submissions are turned away, from the next batch on.
    pub fn set_free_space_floor(&self, floor_bytes: u64) {
        self.shared
            .floor_bytes
            .store(floor_bytes, Ordering::Relaxed);
    }

    /// Moves everything from memory into tables, so that the next start has nothing to catch up
    /// with. Call it after [`Writer::shutdown`]; the files are closed when the last clone is
    /// dropped. Leaving it out loses nothing.
    ///
    /// # Errors
    /// [`StoreError::Engine`] if the disk fails; what was acknowledged is safe even then.
    pub fn close(&self) -> Result<(), StoreError> {
        let db = &self.shared.db;
        let families = [db.log()?, db.index()?, db.state()?, db.blobs()?, db.meta()?];
        let options = rocksdb::FlushOptions::default();
        Ok(db.engine().flush_cfs_opt(&families, &options)?)
    }

    fn last_received(&self) -> Timestamp {
        let nanos = self.shared.received.load(Ordering::Acquire);
        Timestamp::from_nanos(nanos).unwrap_or(Timestamp::MAX)
    }

    /// Announces that everything up to `tail` is durable.
    fn advance(&self, tail: Seq, received: Timestamp) {
        self.shared
            .received
            .store(received.nanos(), Ordering::Release);
        self.shared.tail.store(tail.get(), Ordering::Release);
    }

    /// Stops writing for good; the first reason stays.
    fn halt(&self, reason: String) {
        if self.shared.halted.set(reason).is_ok() {
            tracing::error!(
                reason = self.halted(),
                "store halted: nothing is written any more"
            );
        }
    }

    /// Whether the disk has room for another batch.
    fn has_space(&self) -> bool {
        self.space() == Space::Free
    }

    /// How much room the disk has.
    fn space(&self) -> Space {
        let floor_bytes = self.shared.floor_bytes.load(Ordering::Relaxed);
        let asked = &self.shared.settings.free_space;
        match asked.available_bytes(&self.shared.path) {
            Ok(available_bytes) => Space::of(available_bytes, floor_bytes),
            Err(error) => {
                // The floor is a courtesy: where nobody can tell, the disk itself will.
                tracing::warn!(%error, "free space is unknown");
                Space::Free
            }
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.shared.path)
            .field("tail", &self.tail())
            .field("halted", &self.halted())
            .finish_non_exhaustive()
    }
}
