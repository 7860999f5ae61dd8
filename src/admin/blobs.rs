//! `blob.*`: stored BLOBs.

use super::answer::row;
use super::args::needed;
use super::{Answer, Asked, Listing, Order, Refused};
use crate::base::limits;
use crate::wire::{AdminRow, AdminValue, PublicKey, Timestamp};

/// Lists and deletes BLOBs. Changes are durable when a method returns, and in the audit trail.
pub trait Blobs: Send + Sync {
    /// The BLOBs behind `from`, in an order that stays.
    ///
    /// # Errors
    /// [`Refused`].
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<BlobLine>, Refused>;

    /// Takes a BLOB away.
    ///
    /// # Errors
    /// [`Refused`]: NOT_FOUND where there is none with that hash.
    fn delete(&self, order: &Order, hash: &[u8; 32]) -> Result<(), Refused>;
}

/// What there is to say about a BLOB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobLine {
    /// BLAKE3-256 of its data.
    pub hash: [u8; 32],
    /// Bytes of its data.
    pub bytes: u64,
    /// When it came.
    pub received: Timestamp,
    /// Who handed it in, where that one proved a key.
    pub submitter: Option<PublicKey>,
}

impl From<BlobLine> for AdminRow {
    fn from(line: BlobLine) -> Self {
        row([
            ("hash", AdminValue::Bytes(line.hash.to_vec())),
            ("bytes", line.bytes.into()),
            ("received", line.received.into()),
            ("submitter", line.submitter.into()),
        ])
    }
}

pub(super) fn call(blobs: &dyn Blobs, asked: Asked<'_>) -> Result<Answer, Refused> {
    match asked.verb {
        "list" => {
            asked.args.end()?;
            let listing = blobs.list(asked.from, limits::ADMIN_PAGE_MAX_ROWS)?;
            Ok(Answer::listed(listing))
        }
        "delete" => {
            let hash = needed(asked.args.hash("hash")?, "hash")?;
            asked.args.end()?;
            blobs.delete(asked.order, &hash)?;
            Ok(Answer::done())
        }
        _ => Err(asked.unknown("blob.list, blob.delete")),
    }
}
