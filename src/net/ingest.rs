//! The way of a submission out of the network: how many may be under way, and how each is answered.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::base::limits::{VERIFY_QUEUE_MAX_BYTES, VERIFY_QUEUE_MAX_RECORDS};
use crate::session::{Settings, Submitter, Ticket};
use crate::wire::{Record, ResultCode};

/// Where submissions go: the pipeline that verifies, judges and stores them.
pub trait Ingest: Send + Sync {
    /// Takes a submission. Its [`Reply`] has to be used, or dropped, in the end.
    ///
    /// Called on an async worker, so it must not block. It is never called for more than
    /// [`VERIFY_QUEUE_MAX_RECORDS`] and [`VERIFY_QUEUE_MAX_BYTES`] whose replies are outstanding.
    fn submit(&self, job: SubmitJob);
}

/// One submission.
#[derive(Debug)]
pub struct SubmitJob {
    /// Number of the connection. Submissions of one connection are stored in the order in which
    /// they are handed over.
    pub lane: u64,
    /// The record; its structure is right, its hash and signature are not yet checked.
    pub record: Record,
    /// Who hands it in. Its master is what was last known here: whoever judges the record, in the
    /// order of the log, has to look again.
    pub submitter: Submitter,
    /// Where they are.
    pub from: IpAddr,
    /// The gate and the rules of the listener on which it came in. Whoever judges the record looks
    /// at the gate as it is at the moment of writing.
    pub settings: Arc<Settings>,
    /// How to answer.
    pub reply: Reply,
}

/// Where submissions go that nobody can store. A session hands none over where no role is
/// configured, which is so wherever there is no store.
pub(super) struct Nowhere;

impl Ingest for Nowhere {
    fn submit(&self, job: SubmitJob) {
        job.reply.send(ResultCode::TemporaryError);
    }
}

/// The one answer to a submission, and its share of what may be under way.
///
/// Dropped unused it answers `TEMPORARY_ERROR`: the record may or may not be stored, and
/// submitting it again does no harm.
pub struct Reply {
    ticket: Ticket,
    results: mpsc::UnboundedSender<(Ticket, ResultCode)>,
    answered: bool,
    #[expect(dead_code, reason = "held for its drop, which gives the room back")]
    room: Room,
}

impl Reply {
    /// `results` is unbounded, and bounded by the room that each reply holds.
    pub(super) fn new(
        ticket: Ticket,
        results: mpsc::UnboundedSender<(Ticket, ResultCode)>,
        room: Room,
    ) -> Self {
        Self {
            ticket,
            results,
            answered: false,
            room,
        }
    }

    /// Answers the submission. Never blocks; a peer that has gone does not matter.
    pub fn send(mut self, result: ResultCode) {
        self.answer(result);
    }

    fn answer(&mut self, result: ResultCode) {
        if !self.answered {
            self.answered = true;
            // The stream has ended where this fails, and nobody waits for the answer.
            self.results.send((self.ticket, result)).ok();
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.answer(ResultCode::TemporaryError);
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

/// How much may be under way between all streams and the log. Clones share the bound.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    records: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// One record's share of a [`Budget`], given back on drop.
#[derive(Debug)]
pub(super) struct Room {
    _record: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self::with(VERIFY_QUEUE_MAX_RECORDS, VERIFY_QUEUE_MAX_BYTES)
    }

    pub(super) fn with(records: usize, bytes: usize) -> Self {
        Self {
            records: Arc::new(Semaphore::new(records)),
            bytes: Arc::new(Semaphore::new(bytes)),
        }
    }

    /// Room for a record of `len_bytes`, if there is some now.
    pub(super) fn try_take(&self, len_bytes: usize) -> Option<Room> {
        let record = Arc::clone(&self.records).try_acquire_owned().ok()?;
        let bytes = Arc::clone(&self.bytes);
        let bytes = bytes.try_acquire_many_owned(permits(len_bytes)).ok()?;
        Some(Room {
            _record: record,
            _bytes: bytes,
        })
    }

    /// Waits for room for a record of `len_bytes`, first come, first served.
    ///
    /// # Cancel safety
    /// Dropping the future loses its place in the queue, and nothing else.
    pub(super) async fn take(&self, len_bytes: usize) -> Option<Room> {
        // Everybody takes the two in this order, so nobody holds what another one waits for.
        let record = Arc::clone(&self.records).acquire_owned().await.ok()?;
        let bytes = Arc::clone(&self.bytes);
        let bytes = bytes.acquire_many_owned(permits(len_bytes)).await.ok()?;
        Some(Room {
            _record: record,
            _bytes: bytes,
        })
    }
}

fn permits(len_bytes: usize) -> u32 {
    u32::try_from(len_bytes).unwrap_or(u32::MAX)
}

const _: () = assert!(VERIFY_QUEUE_MAX_BYTES >= crate::base::limits::RECORD_MAX_BYTES);
