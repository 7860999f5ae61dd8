//! What the writer's thread does for BLOBs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use rocksdb::WriteBatch;

use super::{
    BlobClaim, BlobInfo, BlobOutcome, BlobRemoval, BlobTotal, RemovedBlob,
    keys::{self, BlobGone, BlobHeader, Chunks, MARK_PREFIX, TOTALS_KEY, usage_key},
    reading,
    upload::{Room, Spoiled},
};
use crate::{
    base::{Seq, limits},
    store::{
        Store,
        act::ActBody,
        counts::Counts,
        database::{COUNTS_KEY, Database},
        error::{Damage, StoreError},
        keys::SEQ_MAX,
        record_format::{self, encoded},
        view::View,
    },
    wire::{BlobHash, PublicKey, Timestamp},
};

/// A piece of work.
pub(in crate::store) enum BlobWork {
    /// Is this BLOB taken?
    Begin {
        claim: BlobClaim,
        told: Box<dyn FnOnce(Result<Chunks, BlobOutcome>) + Send>,
    },
    /// Write a chunk.
    Chunk {
        chunks: Chunks,
        index: u32,
        bytes: Bytes,
        spoiled: Arc<Spoiled>,
        room: Room,
    },
    /// All data came, and they have the hash.
    Finish {
        claim: BlobClaim,
        chunks: Chunks,
        /// Chunks that were written before.
        written: u32,
        /// The last chunk; empty where the one before it was whole and the last.
        last: Bytes,
        spoiled: Arc<Spoiled>,
        told: Box<dyn FnOnce(BlobOutcome) + Send>,
    },
    /// Nothing more comes.
    Abandon {
        claim: BlobClaim,
        chunks: Chunks,
        written: u32,
    },
    /// Delete a BLOB.
    Remove {
        removal: BlobRemoval,
        told: Box<dyn FnOnce(RemovedBlob) + Send>,
    },
}

impl BlobWork {
    /// What it counts for in the queue.
    pub(in crate::store) fn weight_bytes(&self) -> usize {
        let data = match self {
            Self::Chunk { bytes, .. } => bytes.len(),
            Self::Finish { last, .. } => last.len(),
            Self::Begin { .. } | Self::Abandon { .. } | Self::Remove { .. } => 0,
        };
        data.saturating_add(WORK_BYTES)
    }

    /// Whether it is written in a batch of its own, or with others of its kind, in the order of the
    /// log.
    const fn is_logged(&self) -> bool {
        matches!(self, Self::Finish { .. } | Self::Remove { .. })
    }

    /// Answers that nothing is written any more.
    fn halted(self) {
        match self {
            Self::Begin { told, .. } => told(Err(BlobOutcome::Halted)),
            Self::Chunk { spoiled, .. } => spoiled.set(BlobOutcome::Halted),
            Self::Finish { told, .. } => told(BlobOutcome::Halted),
            Self::Abandon { .. } => {}
            Self::Remove { told, .. } => told(RemovedBlob::Halted),
        }
    }
}

/// What the writer's thread remembers of the uploads that are under way.
#[derive(Debug, Default)]
pub(in crate::store) struct Blobs {
    open: usize,
    /// What the open uploads of each account will come to.
    reserved: HashMap<Option<PublicKey>, BlobTotal>,
}

/// The BLOBs of one batch.
struct Batch<'a> {
    db: &'a Database,
    view: &'a View<'a>,
    writes: WriteBatch,
    next: Seq,
    received: Timestamp,
    counts: Counts,
    added: HashSet<BlobHash>,
    usage: HashMap<Option<PublicKey>, BlobTotal>,
    totals: BlobTotal,
}

impl Blobs {
    /// Does `works`, which were queued one after the other with nothing between them. A write that
    /// fails halts the store.
    pub(in crate::store) fn run(
        &mut self,
        store: &Store,
        counts: &mut Counts,
        works: impl Iterator<Item = BlobWork>,
    ) {
        let mut works = works.peekable();
        while let Some(work) = works.next() {
            if store.halted().is_some() {
                work.halted();
                continue;
            }
            let done = if work.is_logged() {
                let mut together = vec![work];
                while together.len() < limits::COMMIT_MAX_RECORDS
                    && let Some(next) = works.next_if(BlobWork::is_logged)
                {
                    together.push(next);
                }
                self.settle(store, counts, together)
            } else {
                let mut together = vec![work];
                while let Some(next) = works.next_if(|work| !work.is_logged()) {
                    together.push(next);
                }
                self.pass_on(store, together)
            };
            if let Err(error) = done {
                store.halt(crate::store::writer::reason(&error));
            }
        }
    }

    /// Does what needs no place in the log, in one write. It is synced though nobody was promised
    /// anything: a long end of the write-ahead log that was not could be torn in its middle by a
    /// power cut, and then the next start would refuse all of it. Chunks gather meanwhile.
    fn pass_on(&mut self, store: &Store, works: Vec<BlobWork>) -> Result<(), StoreError> {
        let db = &store.shared.db;
        let has_space = store.has_space();
        let view = View::new(db, store.tail());
        let mut writes = WriteBatch::default();
        let (mut rooms, mut begun) = (Vec::new(), Vec::new());
        for work in works {
            match work {
                BlobWork::Begin { claim, told } => {
                    begun.push((told, self.begin(&view, &claim, has_space)?));
                }
                // Of an upload that lacks a chunk no other is written: the mark comes with the first.
                BlobWork::Chunk { spoiled, .. } if spoiled.check().is_err() => {}
                BlobWork::Chunk { spoiled, .. } if !has_space => spoiled.set(BlobOutcome::NoSpace),
                BlobWork::Chunk {
                    chunks,
                    index,
                    bytes,
                    room,
                    ..
                } => {
                    if index == 0 {
                        writes.put_cf(db.meta()?, chunks.mark(), []);
                    }
                    writes.put_cf(db.blobs()?, chunks.key(index), &bytes);
                    rooms.push(room);
                }
                BlobWork::Abandon {
                    claim,
                    chunks,
                    written,
                } => {
                    self.release(&claim);
                    clear(&mut writes, db, chunks, written)?;
                }
                BlobWork::Finish { .. } | BlobWork::Remove { .. } => work.halted(),
            }
        }
        if !writes.is_empty() {
            db.write(writes)?;
        }
        drop(rooms);
        begun.into_iter().for_each(|(told, begun)| told(begun));
        Ok(())
    }

    /// Whether a BLOB is taken, and where its chunks go.
    fn begin(
        &mut self,
        view: &View<'_>,
        claim: &BlobClaim,
        has_space: bool,
    ) -> Result<Result<Chunks, BlobOutcome>, StoreError> {
        if !has_space {
            return Ok(Err(BlobOutcome::NoSpace));
        }
        if let Some(known) = reading::find(view, &claim.hash)? {
            let is_it = known.length_bytes == claim.length_bytes;
            return Ok(Err(if is_it {
                BlobOutcome::Duplicate
            } else {
                BlobOutcome::Mismatch
            }));
        }
        let reserved = self.reserved.get(&claim.owner).copied().unwrap_or_default();
        let used = reading::usage(view, claim.owner.as_ref())?;
        let with_it = BlobTotal {
            blobs: used.blobs.saturating_add(reserved.blobs),
            bytes: used.bytes.saturating_add(reserved.bytes),
        }
        .with(claim.length_bytes);
        if with_it.charged_bytes() > claim.owner_bytes_max {
            return Ok(Err(BlobOutcome::OverQuota));
        }
        let is_full = self.open >= limits::BLOB_UPLOADS_MAX;
        if is_full || reserved.blobs >= limits::BLOB_OWNER_UPLOADS_MAX {
            return Ok(Err(BlobOutcome::Busy));
        }
        self.open += 1;
        let reserved = reserved.with(claim.length_bytes);
        self.reserved.insert(claim.owner, reserved);
        Ok(Ok(Chunks {
            hash: claim.hash,
            upload: rand::random(),
        }))
    }

    /// An upload is over.
    fn release(&mut self, claim: &BlobClaim) {
        self.open = self.open.saturating_sub(1);
        if let Some(reserved) = self.reserved.get_mut(&claim.owner) {
            *reserved = reserved.without(claim.length_bytes);
            if *reserved == BlobTotal::default() {
                self.reserved.remove(&claim.owner);
            }
        }
    }

    /// Writes entries of the log, all in one synced batch, and answers then.
    fn settle(
        &mut self,
        store: &Store,
        counts: &mut Counts,
        works: Vec<BlobWork>,
    ) -> Result<(), StoreError> {
        // A removal must find what is added before it, so it has a batch to itself.
        let mut finished = Vec::new();
        for work in works {
            match work {
                BlobWork::Remove { removal, told } => {
                    let before = std::mem::take(&mut finished);
                    let removed = self
                        .finish_all(store, counts, before)
                        .and_then(|()| remove(store, counts, removal));
                    told(*removed.as_ref().unwrap_or(&RemovedBlob::Halted));
                    removed?;
                }
                finish => finished.push(finish),
            }
        }
        self.finish_all(store, counts, finished)
    }

    fn finish_all(
        &mut self,
        store: &Store,
        counts: &mut Counts,
        works: Vec<BlobWork>,
    ) -> Result<(), StoreError> {
        if works.is_empty() {
            return Ok(());
        }
        let db = &store.shared.db;
        let view = View::new(db, store.tail());
        let has_space = store.has_space();
        let mut batch = Batch::new(store, &view, *counts)?;
        let mut answers = Vec::new();
        for work in works {
            let BlobWork::Finish {
                claim,
                chunks,
                written,
                last,
                spoiled,
                told,
            } = work
            else {
                continue;
            };
            self.release(&claim);
            let outcome = match spoiled.check() {
                Err(spoiled) => Err(spoiled),
                Ok(()) if !has_space => Err(BlobOutcome::NoSpace),
                Ok(()) if batch.has(&claim.hash)? => Err(BlobOutcome::Duplicate),
                Ok(()) => Ok(()),
            };
            let outcome = match outcome {
                Ok(()) => BlobOutcome::Stored(batch.add(&claim, chunks, written, &last)?),
                Err(outcome) => {
                    clear(&mut batch.writes, db, chunks, written)?;
                    outcome
                }
            };
            answers.push((told, outcome));
        }
        let written = batch.write(store, counts);
        for (told, outcome) in answers {
            told(if written.is_ok() {
                outcome
            } else {
                BlobOutcome::Halted
            });
        }
        written
    }
}

impl<'a> Batch<'a> {
    fn new(store: &'a Store, view: &'a View<'a>, counts: Counts) -> Result<Self, StoreError> {
        Ok(Self {
            db: &store.shared.db,
            view,
            writes: WriteBatch::default(),
            next: store.tail().next(),
            received: store.last_received().max(Timestamp::now()),
            counts,
            added: HashSet::new(),
            usage: HashMap::new(),
            totals: reading::totals(view)?,
        })
    }

    fn has(&self, hash: &BlobHash) -> Result<bool, StoreError> {
        Ok(self.added.contains(hash) || reading::find(self.view, hash)?.is_some())
    }

    fn claim_place(&mut self) -> Result<Seq, StoreError> {
        let seq = self.next;
        if seq.get() > SEQ_MAX {
            return Err(StoreError::Full);
        }
        self.next = seq.next();
        Ok(seq)
    }

    fn used(&self, owner: Option<PublicKey>) -> Result<BlobTotal, StoreError> {
        match self.usage.get(&owner) {
            Some(used) => Ok(*used),
            None => reading::usage(self.view, owner.as_ref()),
        }
    }

    fn add(
        &mut self,
        claim: &BlobClaim,
        chunks: Chunks,
        written: u32,
        last: &Bytes,
    ) -> Result<Seq, StoreError> {
        let seq = self.claim_place()?;
        let header = BlobHeader {
            received: self.received,
            hash: claim.hash,
            length_bytes: claim.length_bytes,
            upload: chunks.upload,
            submitter: claim.submitter,
            owner: claim.owner,
        };
        let db = self.db;
        if !last.is_empty() {
            self.writes.put_cf(db.blobs()?, chunks.key(written), last);
        }
        if written > 0 {
            self.writes.delete_cf(db.meta()?, chunks.mark());
        }
        let value = encoded(seq, header.encode())?;
        self.writes.put_cf(db.log()?, seq.to_be_bytes(), value);
        let key = db.secret().blob_key(&claim.hash, self.received, seq);
        self.writes.put_cf(db.index()?, key, []);
        self.counts.index_keys += 1;
        let used = self.used(claim.owner)?.with(claim.length_bytes);
        self.usage.insert(claim.owner, used);
        self.totals = self.totals.with(claim.length_bytes);
        self.added.insert(claim.hash);
        Ok(seq)
    }

    /// Writes the line of the audit trail.
    fn note(&mut self, removal: BlobRemoval) -> Result<(), StoreError> {
        let seq = self.claim_place()?;
        let body = ActBody {
            by: removal.by,
            call: removal.call,
            detail: removal.detail,
            state: Vec::new(),
            effects: Vec::new(),
        };
        let db = self.db;
        let value = encoded(seq, record_format::encode_act(self.received, &body))?;
        self.writes.put_cf(db.log()?, seq.to_be_bytes(), value);
        for key in db.secret().act_keys(body.removed(), seq) {
            self.writes.put_cf(db.index()?, key, []);
            self.counts.index_keys += 1;
        }
        self.counts.acts += 1;
        Ok(())
    }

    fn remove(&mut self, known: &BlobInfo, by: Option<PublicKey>) -> Result<Seq, StoreError> {
        let seq = self.claim_place()?;
        let (db, received) = (self.db, self.received);
        let gone = BlobGone {
            received,
            hash: known.hash,
            of: known.seq,
            by,
        };
        let log = db.log()?;
        let value = encoded(seq, gone.encode())?;
        self.writes.put_cf(log, seq.to_be_bytes(), value);
        let left = record_format::encode_gone(known.received, seq);
        let left = encoded(known.seq, left)?;
        self.writes.put_cf(log, known.seq.to_be_bytes(), left);
        let key = db.secret().blob_key(&known.hash, known.received, known.seq);
        self.writes.single_delete_cf(db.index()?, key);
        self.counts.index_keys = self.counts.index_keys.saturating_sub(1);
        self.counts.gone += 1;
        let chunks = Chunks {
            hash: known.hash,
            upload: known.upload,
        };
        self.writes
            .delete_range_cf(db.blobs()?, chunks.key(0).as_slice(), &chunks.end());
        let used = self.used(known.owner)?.without(known.length_bytes);
        self.usage.insert(known.owner, used);
        self.totals = self.totals.without(known.length_bytes);
        Ok(seq)
    }

    /// Writes everything, and announces it once it is on disk.
    fn write(mut self, store: &Store, counts: &mut Counts) -> Result<(), StoreError> {
        let meta = self.db.meta()?;
        let malformed = |_| Damage::Meta("blob-totals");
        for (owner, used) in &self.usage {
            let key = usage_key(owner.as_ref());
            if *used == BlobTotal::default() {
                self.writes.delete_cf(meta, key);
            } else {
                let value = keys::encode_total(used).map_err(malformed)?;
                self.writes.put_cf(meta, key, value);
            }
        }
        let totals = keys::encode_total(&self.totals).map_err(malformed)?;
        self.writes.put_cf(meta, TOTALS_KEY, totals);
        let encoded = self.counts.encode().ok_or(Damage::Meta("counts"))?;
        self.writes.put_cf(meta, COUNTS_KEY, encoded);
        self.db.write(self.writes)?;
        *counts = self.counts;
        let tail = self.next.prev();
        if tail > store.tail() {
            store.advance(tail, self.received);
        }
        Ok(())
    }
}

fn remove(
    store: &Store,
    counts: &mut Counts,
    removal: BlobRemoval,
) -> Result<RemovedBlob, StoreError> {
    let view = View::new(&store.shared.db, store.tail());
    let Some(known) = reading::find(&view, &removal.hash)? else {
        return Ok(RemovedBlob::Absent);
    };
    let mut batch = Batch::new(store, &view, *counts)?;
    let by = removal.by;
    batch.note(removal)?;
    let seq = batch.remove(&known, by)?;
    batch.write(store, counts)?;
    Ok(RemovedBlob::Removed(seq))
}

/// Deletes the chunks of an upload that comes to nothing.
fn clear(
    writes: &mut WriteBatch,
    db: &Database,
    chunks: Chunks,
    written: u32,
) -> Result<(), StoreError> {
    if written > 0 {
        writes.delete_range_cf(db.blobs()?, chunks.key(0).as_slice(), &chunks.end());
        writes.delete_cf(db.meta()?, chunks.mark());
    }
    Ok(())
}

/// Deletes what uploads left that had not come to their end when the process did.
pub(in crate::store) fn recover(db: &Database) -> Result<(), StoreError> {
    let mut marks = db.engine().raw_iterator_cf(db.meta()?);
    let mut writes = WriteBatch::default();
    marks.seek(MARK_PREFIX);
    while let Some(name) = marks.key().filter(|name| name.starts_with(MARK_PREFIX)) {
        let chunks = Chunks::of_mark(name).ok_or(Damage::Meta("blob-upload"))?;
        clear(&mut writes, db, chunks, 1)?;
        marks.next();
    }
    marks.status()?;
    if !writes.is_empty() {
        tracing::info!(
            uploads = writes.len() / 2,
            "BLOBs that were cut off are deleted"
        );
        db.write(writes)?;
    }
    Ok(())
}

/// What work without data counts for in the queue.
const WORK_BYTES: usize = 256;
