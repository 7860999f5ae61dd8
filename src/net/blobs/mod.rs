//! The BLOBs of one stream: a task for the one that comes in, and one for the one that goes out.
//!
//! ```text
//! stream ── feed, 4 pieces ── upload ── room, chunks ── writer's thread
//! stream ── told, 2 pages ─── download ── readers ───── store
//! ```
//!
//! Each arrow is a bounded queue, so a slow disk stops the reading of the stream, and a slow peer
//! stops the reading of the store.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet, spawn_blocking};

use super::newcomers::Newcomers;
use super::readers::Lane;
use super::readers::ReaderPanicked;
use super::room::{PageSize, StreamRoom, Underway};
use super::sight::Sight;
use crate::base::limits::{
    BLOB_CHUNK_BYTES, BLOB_FEED_MAX, BLOB_PAGE_BYTES, BLOB_QUEUE_MAX_BYTES, RATE_BLOB_ROW_BYTES,
    RECORD_COST_KEYS, REGISTRATIONS_AT_ONCE_MAX, STREAM_PAGES_MAX,
};
use crate::identity::{Peer, PeerKey};
use crate::session::{BlobNews, BlobOrder, Event, Ticket};
use crate::store::{
    BlobClaim, BlobOutcome, BlobReadError, BlobReader, BlobUpload, BlobWriter, Store, StoreError,
};
use crate::wire::{BlobHash, ResultCode};

/// Where the BLOBs of all streams are kept.
pub(super) struct Depot {
    store: Store,
    writer: BlobWriter,
    /// Who registers users.
    newcomers: Arc<dyn Newcomers>,
    /// Few at a time: most of them find that there is nothing to do.
    registering: Arc<Semaphore>,
    /// Bytes that may be on their way to the writer.
    queue: Arc<Semaphore>,
}

impl Depot {
    pub(super) fn new(store: Store, writer: BlobWriter, newcomers: Arc<dyn Newcomers>) -> Self {
        Self {
            store,
            writer,
            newcomers,
            registering: Arc::new(Semaphore::new(REGISTRATIONS_AT_ONCE_MAX)),
            queue: Arc::new(Semaphore::new(BLOB_QUEUE_MAX_BYTES)),
        }
    }

    /// Registers the peer where registration is open: it may hand in a BLOB before anything else.
    async fn register(&self, peer: Peer, from: IpAddr) {
        let newcomers = Arc::clone(&self.newcomers);
        let Some(peer) = known(peer).filter(|peer| newcomers.may_register(*peer)) else {
            return;
        };
        let Ok(turn) = Arc::clone(&self.registering).acquire_owned().await else {
            return;
        };
        let work = spawn_blocking(move || {
            // Here, not in the future, so that a dropped stream does not lend the turn twice.
            let _turn = turn;
            newcomers.register(peer, from);
        });
        if let Err(error) = work.await {
            tracing::error!(%error, "a registration panicked");
        }
    }
}

impl fmt::Debug for Depot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Depot").finish_non_exhaustive()
    }
}

/// The BLOBs of one stream. Dropping it ends them: what comes in is not kept.
#[derive(Debug)]
pub(super) struct Blobs {
    /// `None` where there is no store.
    depot: Option<Arc<Depot>>,
    sight: Arc<Sight>,
    room: StreamRoom,
    tasks: JoinSet<()>,
    tickets: HashMap<Id, Ticket>,
    upload: Option<Upload>,
    download: Option<(Ticket, AbortHandle)>,
    sender: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
}

/// The BLOB that comes in. Where `feed` is dropped without [`Piece::End`], nothing of it is kept.
#[derive(Debug)]
struct Upload {
    ticket: Ticket,
    feed: mpsc::Sender<Piece>,
}

#[derive(Debug)]
enum Piece {
    Data(Bytes),
    End,
}

/// What there is to tell the stream.
#[derive(Debug)]
pub(super) struct Told {
    ticket: Ticket,
    news: BlobNews,
    /// The room that a page has.
    page: Option<Underway>,
}

/// Why a BLOB is not taken in.
#[derive(Debug, Error)]
enum NotTaken {
    /// The stream gave it up.
    #[error("the stream gave the BLOB up")]
    GivenUp,
    /// The peer is told so.
    #[error("refused: {0}")]
    Refused(ResultCode),
}

/// Why a BLOB is not handed out.
#[derive(Debug, Error)]
enum NotSent {
    /// The stream is gone.
    #[error("the stream is gone")]
    Gone,
    /// The peer is told so.
    #[error("refused: {0}")]
    Refused(ResultCode),
    /// It ended too early.
    #[error(transparent)]
    Read(#[from] BlobReadError),
    /// A reader panicked, which was traced.
    #[error(transparent)]
    Panicked(#[from] ReaderPanicked),
}

/// One task's side of it.
struct Job {
    ticket: Ticket,
    depot: Option<Arc<Depot>>,
    sight: Arc<Sight>,
    room: StreamRoom,
    sender: mpsc::Sender<Told>,
}

impl Blobs {
    /// `sight` is that of a stream which is bound to nothing: BLOBs belong to no role.
    pub(super) fn new(depot: Option<Arc<Depot>>, sight: Sight, room: &StreamRoom) -> Self {
        let (sender, told) = mpsc::channel(STREAM_PAGES_MAX);
        Self {
            depot,
            sight: Arc::new(sight),
            room: room.apart(),
            tasks: JoinSet::new(),
            tickets: HashMap::new(),
            upload: None,
            download: None,
            sender,
            told,
        }
    }

    /// Carries out what the session asks for.
    pub(super) fn carry_out(&mut self, ticket: Ticket, order: BlobOrder) {
        match order {
            BlobOrder::Submit { hash, data_bytes } => {
                let (feed, pieces) = mpsc::channel(BLOB_FEED_MAX);
                self.upload = Some(Upload { ticket, feed });
                let job = self.job(ticket);
                self.spawn(ticket, job.take_in(hash, data_bytes, pieces));
            }
            BlobOrder::Data(data) => self.feed(ticket, Piece::Data(data)),
            BlobOrder::End => self.feed(ticket, Piece::End),
            BlobOrder::Get { hash } => {
                let job = self.job(ticket);
                let task = self.spawn(ticket, job.hand_out(hash));
                self.download = Some((ticket, task));
            }
            BlobOrder::Drop => {
                self.upload.take_if(|upload| upload.ticket == ticket);
                let download = self.download.take_if(|(known, _)| *known == ticket);
                if let Some((_, task)) = download {
                    task.abort();
                }
            }
        }
    }

    /// Whether data wait here, so that no more should be read. The session makes one or two pieces
    /// of what is read at a time.
    pub(super) fn is_blocked(&self) -> bool {
        let upload = self.upload.iter();
        upload
            .filter(|upload| !upload.feed.is_closed())
            .any(|upload| upload.feed.capacity() < PIECES_AT_ONCE)
    }

    /// Waits for what there is to tell, or until data do not wait any more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Told> {
        let blocked = self.is_blocked();
        tokio::select! {
            // We hold a sender ourselves, so the channel never closes.
            told = self.told.recv() => told,
            Some(joined) = self.tasks.join_next_with_id() => {
                self.joined(joined.map(|(id, ())| id))
            }
            () = room(self.upload.as_ref()), if blocked => None,
        }
    }

    /// Ends everything, and returns when no task is left.
    pub(super) async fn shutdown(&mut self) {
        self.upload = None;
        self.tasks.abort_all();
        while let Some(joined) = self.tasks.join_next_with_id().await {
            self.joined(joined.map(|(id, ())| id));
        }
    }

    fn job(&self, ticket: Ticket) -> Job {
        Job {
            ticket,
            depot: self.depot.clone(),
            sight: Arc::clone(&self.sight),
            room: self.room.clone(),
            sender: self.sender.clone(),
        }
    }

    fn spawn(
        &mut self,
        ticket: Ticket,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let handle = self.tasks.spawn(task);
        self.tickets.insert(handle.id(), ticket);
        handle
    }

    fn feed(&self, ticket: Ticket, piece: Piece) {
        let upload = self.upload.as_ref();
        // There is room, as `is_blocked` sees to. Where the task has ended, it has said why.
        if let Some(upload) = upload.filter(|upload| upload.ticket == ticket)
            && upload.feed.try_send(piece).is_err()
        {
            tracing::debug!("data of a BLOB that is not taken in any more");
        }
    }

    /// A task is over. One that panicked cannot say so itself.
    fn joined(&mut self, joined: Result<Id, JoinError>) -> Option<Told> {
        let id = joined.as_ref().map_or_else(JoinError::id, |id| *id);
        let ticket = self.tickets.remove(&id)?;
        let error = joined.err().filter(JoinError::is_panic)?;
        tracing::error!(%error, "the task of a BLOB panicked");
        let was_upload = self.upload.take_if(|upload| upload.ticket == ticket);
        let result = ResultCode::GeneralError;
        let news = match was_upload {
            Some(_) => BlobNews::Submitted(result),
            None => BlobNews::NotSent(result),
        };
        let page = None;
        Some(Told { ticket, news, page })
    }
}

/// Waits until the upload has room for what one read may bring.
async fn room(upload: Option<&Upload>) {
    if let Some(upload) = upload {
        // Fails where the task has ended: then there is nothing to wait for.
        drop(upload.feed.reserve_many(PIECES_AT_ONCE).await);
    }
}

impl Told {
    /// What the session is told, and the page it is, if it is one.
    pub(super) fn into_event(self) -> (Event, Option<Underway>) {
        let Self { ticket, news, page } = self;
        (Event::Blob { ticket, news }, page)
    }
}

impl Job {
    async fn tell(&self, news: BlobNews) -> Result<(), NotSent> {
        let ticket = self.ticket;
        let page = None;
        let told = self.sender.send(Told { ticket, news, page }).await;
        told.map_err(|_| NotSent::Gone)
    }

    async fn take_in(self, hash: BlobHash, data_bytes: u64, pieces: mpsc::Receiver<Piece>) {
        let result = match self.taken_in(hash, data_bytes, pieces).await {
            Ok(result) | Err(NotTaken::Refused(result)) => result,
            Err(NotTaken::GivenUp) => return,
        };
        // The stream is gone where this fails.
        self.tell(BlobNews::Submitted(result)).await.ok();
    }

    async fn taken_in(
        &self,
        hash: BlobHash,
        data_bytes: u64,
        mut pieces: mpsc::Receiver<Piece>,
    ) -> Result<ResultCode, NotTaken> {
        self.sight.refresh().await;
        let submitter = self.sight.requester.submitter(None, None);
        if let Some(depot) = &self.depot {
            let from = self.sight.requester.address();
            depot.register(submitter.peer, from).await;
        }
        let account = self
            .sight
            .settings
            .admits_blob(&submitter, data_bytes)
            .map_err(NotTaken::Refused)?;
        let depot = self.depot.as_ref();
        let depot = depot.ok_or(NotTaken::Refused(ResultCode::TemporaryError))?;
        let claim = BlobClaim {
            hash,
            length_bytes: data_bytes,
            submitter: account.submitter,
            owner: account.owner,
            owner_bytes_max: account.bytes_max,
        };
        let mut upload = begin(&depot.writer, claim).await?;
        if self.tell(BlobNews::Taken).await.is_err() {
            return Err(NotTaken::GivenUp);
        }
        loop {
            match pieces.recv().await {
                Some(Piece::Data(data)) => write(depot, &mut upload, data).await?,
                Some(Piece::End) => break,
                None => return Err(NotTaken::GivenUp),
            }
        }
        let (told, outcome) = oneshot::channel();
        upload.finish(|outcome| {
            // Nobody waits any more where this fails; the BLOB is kept all the same.
            told.send(outcome).ok();
        });
        Ok(result(outcome.await.unwrap_or(BlobOutcome::Halted)))
    }

    async fn hand_out(self, hash: BlobHash) {
        let result = match self.handed_out(hash).await {
            Ok(()) | Err(NotSent::Gone) => return,
            Err(NotSent::Refused(result)) => result,
            Err(NotSent::Read(BlobReadError::Removed)) => ResultCode::TemporaryError,
            Err(NotSent::Read(BlobReadError::Store(error))) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a BLOB cannot be read"
                );
                ResultCode::TemporaryError
            }
            Err(NotSent::Panicked(_)) => ResultCode::GeneralError,
        };
        self.tell(BlobNews::NotSent(result)).await.ok();
    }

    /// Whether the peer may read BLOBs at this moment.
    async fn may_read(&self) -> Result<(), NotSent> {
        self.sight.refresh().await;
        let reader = self.sight.requester.reader(None, None);
        let settings = &self.sight.settings;
        settings.reads_blobs(&reader).map_err(NotSent::Refused)
    }

    async fn handed_out(&self, hash: BlobHash) -> Result<(), NotSent> {
        self.may_read().await?;
        let mut blob = self.found(hash).await?;
        let data_bytes = blob.left_bytes();
        self.tell(BlobNews::Found { data_bytes }).await?;
        while blob.left_bytes() > 0 {
            self.sight.toll.rest().await;
            // A place first: a page that is read has somewhere to go.
            let place = self.sender.reserve().await.map_err(|_| NotSent::Gone)?;
            let room = self.room.page(PageSize::Any).await.ok_or(NotSent::Gone)?;
            let max_bytes = room.max_bytes().min(BLOB_PAGE_BYTES);
            let work = move || {
                let page = blob.page(max_bytes);
                let cost_keys = page.as_ref().map_or(0, cost_keys);
                ((blob, page), cost_keys)
            };
            // In the short queue to its end: a page is one piece of one file, and never more work
            // than a short read. The long one is for reads that keep a thread busy; behind them,
            // with one page of each address at a time, a large BLOB would never arrive. What
            // bounds its reader is the toll.
            let (next, page) = self.sight.read(Lane::Short, work).await?;
            blob = next;
            // Once more: a large one takes long, and much may have changed since its head was sent.
            self.may_read().await?;
            let ticket = self.ticket;
            let data = page?;
            let page = Some(room.of(data.len()));
            let news = BlobNews::Page(data);
            place.send(Told { ticket, news, page });
        }
        Ok(())
    }

    async fn found(&self, hash: BlobHash) -> Result<BlobReader, NotSent> {
        let depot = self.depot.as_ref();
        let store = depot.ok_or(NotSent::Refused(ResultCode::NotFound))?;
        let store = store.store.clone();
        let found = self
            .sight
            .requester
            .readers()
            .run(Lane::Short, move || store.blob(&hash));
        let found: Result<_, StoreError> = found.await?;
        found
            .map_err(BlobReadError::from)?
            .ok_or(NotSent::Refused(ResultCode::NotFound))
    }
}

const fn known(peer: Peer) -> Option<PeerKey> {
    match peer {
        Peer::Known(key) => Some(key),
        Peer::Anonymous => None,
    }
}

async fn begin(writer: &BlobWriter, claim: BlobClaim) -> Result<BlobUpload, NotTaken> {
    let (told, begun) = oneshot::channel();
    // Where nobody waits any more, the upload is dropped, and with it what it reserved.
    writer.submit(claim, |begun| drop(told.send(begun)));
    let begun = begun.await.unwrap_or(Err(BlobOutcome::Halted));
    begun.map_err(|outcome| NotTaken::Refused(result(outcome)))
}

/// Takes data in; waits where as much as may be is on its way to the disk.
async fn write(depot: &Depot, upload: &mut BlobUpload, mut data: Bytes) -> Result<(), NotTaken> {
    while !data.is_empty() {
        let chunk = upload.fill(&mut data);
        let Some(chunk) = chunk.map_err(|outcome| NotTaken::Refused(result(outcome)))? else {
            continue;
        };
        let queue = Arc::clone(&depot.queue);
        let room = queue.acquire_many_owned(CHUNK_PERMITS).await;
        // The semaphore is never closed.
        let room = room.map_err(|_| NotTaken::Refused(ResultCode::TemporaryError))?;
        upload.write(chunk, room);
    }
    Ok(())
}

/// What a page of a BLOB counts for.
fn cost_keys(page: &Bytes) -> u64 {
    let rows = page.len().div_ceil(RATE_BLOB_ROW_BYTES);
    let rows = u64::try_from(rows).unwrap_or(u64::MAX);
    rows.saturating_mul(RECORD_COST_KEYS.into())
}

/// What the peer is told.
const fn result(outcome: BlobOutcome) -> ResultCode {
    match outcome {
        BlobOutcome::Stored(_) => ResultCode::Accepted,
        BlobOutcome::Duplicate => ResultCode::Duplicate,
        BlobOutcome::Mismatch => ResultCode::Invalid,
        BlobOutcome::OverQuota => ResultCode::TooLarge,
        BlobOutcome::Busy => ResultCode::TooFast,
        BlobOutcome::NoSpace | BlobOutcome::Halted => ResultCode::TemporaryError,
    }
}

/// Pieces that one read of the stream can bring: data, and their end.
const PIECES_AT_ONCE: usize = 2;

const CHUNK_PERMITS: u32 = {
    assert!(BLOB_CHUNK_BYTES <= 1 << 20);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the line before says that it fits"
    )]
    {
        BLOB_CHUNK_BYTES as u32
    }
};

const _: () = assert!(BLOB_FEED_MAX >= 2 * PIECES_AT_ONCE);

#[cfg(test)]
mod tests;
