//! A BLOB that is being handed in, as whoever brings its data sees it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc,
    },
};

use bytes::{Buf, Bytes, BytesMut};

use super::{
    BlobClaim, BlobOutcome, BlobRemoval, RemovedBlob,
    keys::{Chunks, chunk_count},
    work::BlobWork,
};
use crate::{base::limits, wire::BlobHasher};

/// Takes work for the writer's thread.
pub(in crate::store) trait BlobQueue: Send + Sync {
    /// Queues `work` whatever waits there: what can wait is bounded by the number of uploads and
    /// by the room that callers hold for their chunks. False where the writer takes nothing more.
    fn push(&self, work: BlobWork) -> bool;
}

/// Handle to the writer of a store, for BLOBs. Clones are handles to the same one. Nothing here
/// blocks but [`remove`](Self::remove).
#[derive(Clone)]
pub struct BlobWriter {
    queue: Arc<dyn BlobQueue>,
}

/// A BLOB that is being handed in. Dropped before its end, nothing of it is kept.
///
/// What is written is bounded by what the caller admits: each chunk carries a guard, `room`, that
/// is dropped once the chunk is written.
pub struct BlobUpload {
    queue: Arc<dyn BlobQueue>,
    claim: BlobClaim,
    chunks: Chunks,
    hasher: BlobHasher,
    /// The chunk that is not whole yet.
    partial: BytesMut,
    taken_bytes: u64,
    written: u32,
    spoiled: Arc<Spoiled>,
    has_ended: bool,
}

/// Set by the writer's thread where a chunk of an upload was not written.
#[derive(Debug, Default)]
pub(in crate::store) struct Spoiled(AtomicU8);

/// Something that is dropped when a chunk is written.
pub(in crate::store) type Room = Box<dyn Send>;

impl Spoiled {
    pub(super) fn set(&self, outcome: BlobOutcome) {
        let byte = match outcome {
            BlobOutcome::NoSpace => 1,
            _ => 2,
        };
        self.0.store(byte, Ordering::Release);
    }

    pub(super) fn check(&self) -> Result<(), BlobOutcome> {
        match self.0.load(Ordering::Acquire) {
            0 => Ok(()),
            1 => Err(BlobOutcome::NoSpace),
            _ => Err(BlobOutcome::Halted),
        }
    }
}

impl BlobWriter {
    pub(in crate::store) fn new(queue: Arc<dyn BlobQueue>) -> Self {
        Self { queue }
    }

    /// Asks whether a BLOB is taken; `told` gets the upload, or how it ended before it began.
    /// `told` is called on the writer's thread and must not block; where the writer was shut down,
    /// it is called at once, or dropped.
    pub fn submit(
        &self,
        claim: BlobClaim,
        told: impl FnOnce(Result<BlobUpload, BlobOutcome>) + Send + 'static,
    ) {
        if chunk_count(claim.length_bytes).is_none() {
            return told(Err(BlobOutcome::OverQuota));
        }
        let queue = Arc::clone(&self.queue);
        let begun = move |begun: Result<Chunks, BlobOutcome>| {
            told(begun.map(|chunks| BlobUpload::new(queue, claim, chunks)));
        };
        self.queue.push(BlobWork::Begin {
            claim,
            told: Box::new(begun),
        });
    }

    /// Removes a BLOB and notes that in the audit trail, both or neither. Blocks until that is durable.
    #[must_use]
    pub fn remove(&self, removal: BlobRemoval) -> RemovedBlob {
        let (told, removed) = mpsc::sync_channel(1);
        let told = move |outcome| {
            // Whoever asked may be gone; the removal stands.
            told.try_send(outcome).ok();
        };
        self.queue.push(BlobWork::Remove {
            removal,
            told: Box::new(told),
        });
        removed.recv().unwrap_or(RemovedBlob::Halted)
    }
}

impl BlobUpload {
    fn new(queue: Arc<dyn BlobQueue>, claim: BlobClaim, chunks: Chunks) -> Self {
        Self {
            queue,
            claim,
            chunks,
            hasher: BlobHasher::default(),
            partial: BytesMut::new(),
            taken_bytes: 0,
            written: 0,
            spoiled: Arc::default(),
            has_ended: false,
        }
    }

    /// Takes data from the front of `data`, until they are used up or a chunk is whole, which is
    /// then to be given to [`write`](Self::write).
    ///
    /// # Errors
    /// [`BlobOutcome::Mismatch`]: more data than were claimed. [`BlobOutcome::NoSpace`],
    /// [`BlobOutcome::Halted`]: a chunk before could not be written.
    pub fn fill(&mut self, data: &mut Bytes) -> Result<Option<Bytes>, BlobOutcome> {
        self.spoiled.check()?;
        let room_bytes = limits::BLOB_CHUNK_BYTES.saturating_sub(self.partial.len());
        let piece = data.split_to(room_bytes.min(data.remaining()));
        let taken_bytes = self.taken_bytes.saturating_add(piece.len() as u64);
        if taken_bytes > self.claim.length_bytes {
            return Err(BlobOutcome::Mismatch);
        }
        self.taken_bytes = taken_bytes;
        self.hasher.update(&piece);
        self.partial.extend_from_slice(&piece);
        let is_whole = self.partial.len() >= limits::BLOB_CHUNK_BYTES;
        Ok(is_whole.then(|| std::mem::take(&mut self.partial).freeze()))
    }

    /// Hands a whole chunk on; `room` is dropped once it is written.
    pub fn write(&mut self, chunk: Bytes, room: impl Send + 'static) {
        let index = self.written;
        self.written = index.saturating_add(1);
        let work = BlobWork::Chunk {
            chunks: self.chunks,
            index,
            bytes: chunk,
            spoiled: Arc::clone(&self.spoiled),
            room: Box::new(room),
        };
        if !self.queue.push(work) {
            self.spoiled.set(BlobOutcome::Halted);
        }
    }

    /// There are no more data. `told` gets the outcome, on the writer's thread or here; it must not
    /// block. Where the writer was shut down, it may be dropped.
    pub fn finish(mut self, told: impl FnOnce(BlobOutcome) + Send + 'static) {
        let is_whole = self.taken_bytes == self.claim.length_bytes;
        if !is_whole || self.hasher.hash() != self.claim.hash {
            drop(self);
            return told(BlobOutcome::Mismatch);
        }
        self.has_ended = true;
        self.queue.push(BlobWork::Finish {
            claim: self.claim,
            chunks: self.chunks,
            written: self.written,
            last: std::mem::take(&mut self.partial).freeze(),
            spoiled: Arc::clone(&self.spoiled),
            told: Box::new(told),
        });
    }
}

impl Drop for BlobUpload {
    fn drop(&mut self) {
        if !self.has_ended {
            // Where the writer takes nothing more, the next start deletes the chunks.
            self.queue.push(BlobWork::Abandon {
                claim: self.claim,
                chunks: self.chunks,
                written: self.written,
            });
        }
    }
}

impl fmt::Debug for BlobWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobWriter").finish_non_exhaustive()
    }
}

impl fmt::Debug for BlobUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobUpload")
            .field("claim", &self.claim)
            .field("taken_bytes", &self.taken_bytes)
            .finish_non_exhaustive()
    }
}
