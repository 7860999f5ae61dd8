//! BLOBs: data under their hash, stored in chunks beside the log.
//!
//! | file | owns |
//! |------|------|
//! | `keys.rs` | keys of chunks and of what is counted, the entry of a BLOB in the log |
//! | `upload.rs` | a BLOB that is being handed in: [`BlobWriter`], [`BlobUpload`] |
//! | `work.rs` | what the writer's thread does with it |
//! | `reading.rs` | [`BlobReader`], listings, what is used |
//! | `check.rs` | BLOBs in `store verify` |
//!
//! Chunks are written as they come, under a number that no upload had before. A BLOB is here from the
//! one batch on that holds its entry in the log; a reader finds it by that entry alone. So an upload that ends early, or with other data than its hash says, was never here.
//! Its chunks are deleted; those of uploads that a crash cut off are, at the next start.

mod check;
mod keys;
mod reading;
mod upload;
mod work;

use crate::{
    base::Seq,
    wire::{BlobHash, PublicKey, Timestamp},
};

pub use reading::{BlobReadError, BlobReader};
pub use upload::{BlobUpload, BlobWriter};

pub(super) use check::Tally;
pub(super) use keys::{BLOB, BLOB_GONE, BlobGone, BlobHeader};
pub(super) use upload::BlobQueue;
pub(super) use work::{BlobWork, Blobs, recover};

/// A BLOB that is handed in, as its head claims it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobClaim {
    /// The hash that its data must have.
    pub hash: BlobHash,
    /// How many data there are.
    pub length_bytes: u64,
    /// The key of the client that hands it in, if that one showed a key.
    pub submitter: Option<PublicKey>,
    /// The account it is charged to: a user's master key, or the one that all others share.
    pub owner: Option<PublicKey>,
    /// What the BLOBs of that account may come to, those that are being handed in included.
    pub owner_bytes_max: u64,
}

/// How the hand-in of a BLOB ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobOutcome {
    /// It is here; its entry in the log was synced to disk.
    Stored(Seq),
    /// It was here before.
    Duplicate,
    /// The data are not what was claimed: another hash, or another length.
    Mismatch,
    /// The account has no room for it.
    OverQuota,
    /// As many BLOBs are being handed in as may be at a time, by all together or by that account.
    Busy,
    /// The disk has less free space than the floor.
    NoSpace,
    /// The store does not write any more, or the writer was shut down.
    Halted,
}

/// An order to remove a BLOB. It can be handed in again: this deletes, and bans nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRemoval {
    /// Which.
    pub hash: BlobHash,
    /// Who orders it.
    pub by: Option<PublicKey>,
    /// What was called, as the audit trail names it.
    pub call: String,
    /// What the audit trail says about it.
    pub detail: String,
}

/// How the removal of a BLOB ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovedBlob {
    /// It is gone; the entry that says so is at this place of the log, behind the act that had it removed.
    Removed(Seq),
    /// There is none of that hash.
    Absent,
    /// The store does not write any more, or the writer was shut down.
    Halted,
}

/// A BLOB that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Place of its entry in the log.
    pub seq: Seq,
    /// When all of it was here.
    pub received: Timestamp,
    /// Its name.
    pub hash: BlobHash,
    /// Bytes of its data.
    pub length_bytes: u64,
    /// The key of the client that handed it in, if that one showed a key.
    pub submitter: Option<PublicKey>,
    /// The account it is charged to.
    pub owner: Option<PublicKey>,
    /// Under which number its chunks are stored.
    upload: u64,
}

/// How many BLOBs there are, of one account or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BlobTotal {
    /// How many.
    pub blobs: u64,
    /// Bytes of their data.
    pub bytes: u64,
}

impl BlobTotal {
    /// What counts against a quota: the data, and [`BLOB_OVERHEAD_BYTES`] for each BLOB.
    ///
    /// [`BLOB_OVERHEAD_BYTES`]: crate::base::limits::BLOB_OVERHEAD_BYTES
    #[must_use]
    pub const fn charged_bytes(&self) -> u64 {
        let overhead = self
            .blobs
            .saturating_mul(crate::base::limits::BLOB_OVERHEAD_BYTES);
        self.bytes.saturating_add(overhead)
    }

    const fn with(self, length_bytes: u64) -> Self {
        Self {
            blobs: self.blobs.saturating_add(1),
            bytes: self.bytes.saturating_add(length_bytes),
        }
    }

    const fn without(self, length_bytes: u64) -> Self {
        Self {
            blobs: self.blobs.saturating_sub(1),
            bytes: self.bytes.saturating_sub(length_bytes),
        }
    }
}
