//! Stored BLOBs, as operators see them.

use crate::admin::{BlobLine, Blobs, Listing, Order, Refused};
use crate::server::ledger::Ledger;
use crate::store::{BlobRemoval, RemovedBlob, Store};
use crate::wire::{BlobHash, ResultCode};

/// Lists and deletes BLOBs.
pub(super) struct BlobDesk {
    pub(super) ledger: Ledger,
    pub(super) store: Store,
}

impl Blobs for BlobDesk {
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<BlobLine>, Refused> {
        let failed = |error| Refused::failed(&error);
        let after = match from.and_then(|from| <[u8; 32]>::try_from(from).ok()) {
            None => None,
            Some(hash) => {
                let last = self.store.blob(&BlobHash::from_bytes(hash));
                let last = last.map_err(failed)?.map(|blob| *blob.info());
                // Where the listing stood is only known by that BLOB.
                Some(last.ok_or_else(|| Refused {
                    result: ResultCode::TemporaryError,
                    why: "a BLOB was deleted in the middle of the listing; list again".to_owned(),
                })?)
            }
        };
        let blobs = self.store.blobs(after.as_ref(), max).map_err(failed)?;
        let next = blobs.last().map(|blob| blob.hash.as_bytes().to_vec());
        let lines = blobs.into_iter().map(|blob| BlobLine {
            hash: *blob.hash.as_bytes(),
            bytes: blob.length_bytes,
            received: blob.received,
            submitter: blob.submitter,
        });
        Ok(Listing {
            lines: lines.collect(),
            next,
        })
    }

    fn delete(&self, order: &Order, hash: &[u8; 32]) -> Result<(), Refused> {
        let hash = BlobHash::from_bytes(*hash);
        let removal = BlobRemoval {
            hash,
            by: Some(order.by),
            call: order.call.clone(),
            detail: order.detail.clone(),
        };
        match self.ledger.writer.blobs().remove(removal) {
            RemovedBlob::Removed(_) => {
                tracing::info!(by = %order.by, call = order.call, "an operator's call");
                Ok(())
            }
            RemovedBlob::Absent => Err(Refused::not_found("there is no BLOB with that hash")),
            RemovedBlob::Halted => Err(Refused {
                result: ResultCode::TemporaryError,
                why: "the record store does not write any more; the trace says why".to_owned(),
            }),
        }
    }
}
