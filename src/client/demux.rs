//! The task of one stream: sends what is queued, and brings each reply to the request it answers.
//!
//! | direction | queue | bound |
//! |-----------|-------|-------|
//! | out | messages that wait to be written | [`limits::CLIENT_QUEUE_MAX_MESSAGES`] and `_BYTES` |
//! | in | replies of each open query | the same; bytes are counted over all queries of the stream |
//!
//! A reply for which there is no room stops the reading of the whole stream: queries that share a
//! stream share its pace.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::error::{RequestError, ServerFault, StreamEnd};
use super::raw::{ReceiveHalf, SendHalf};
use crate::base::limits;
use crate::wire::{
    ClientMessage, Direction, ExtensionReply, Frame, FrameReader, QueryId, ResultCode,
    ServerMessage,
};

/// A reply to a query, on its way to the caller. Room in the queue is held until it is dropped.
pub(super) struct Reply {
    pub(super) content: Content,
    _room: Option<OwnedSemaphorePermit>,
}

/// What a reply to a query says.
pub(super) enum Content {
    Record(Bytes),
    LocallyComplete,
    Closed(ResultCode),
}

/// A message that waits to be written. Room in the queue is held until it is dropped.
pub(super) struct Outgoing {
    pub(super) bytes: Bytes,
    pub(super) _room: OwnedSemaphorePermit,
}

/// The answer to HELLO.
pub(super) struct HelloAck {
    pub(super) result: ResultCode,
    pub(super) version: u16,
    pub(super) apps: Vec<u32>,
}

/// Who waits for what on one stream. Shared by its handles and its task.
pub(super) struct Table {
    state: Mutex<State>,
    /// Queries were abandoned whose UNSUBSCRIBE is to be sent.
    abandoned: Notify,
    /// Bytes of messages that may still be queued for writing.
    pub(super) room_out: Arc<Semaphore>,
    room_in: Arc<Semaphore>,
    /// How often something was read.
    arrivals: AtomicU64,
}

#[derive(Default)]
struct State {
    /// `None` for a query that was abandoned: what still comes for it is dropped.
    queries: HashMap<QueryId, Option<mpsc::Sender<Reply>>>,
    submissions: HashMap<[u8; 32], VecDeque<oneshot::Sender<ResultCode>>>,
    /// How many there are in all.
    unanswered: usize,
    extensions: HashMap<u16, Awaited>,
    hello: Option<oneshot::Sender<HelloAck>>,
    abandoned: Vec<QueryId>,
    last_query: u16,
    last_request: u16,
    end: Option<StreamEnd>,
}

/// Who waits for the replies to a request of the extension set.
enum Awaited {
    /// There is one.
    One(oneshot::Sender<ExtensionReply>),
    /// There are several, until the caller has had enough.
    Several(mpsc::Sender<ExtensionReply>),
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            abandoned: Notify::new(),
            room_out: Arc::new(Semaphore::new(limits::CLIENT_QUEUE_MAX_BYTES)),
            room_in: Arc::new(Semaphore::new(limits::CLIENT_QUEUE_MAX_BYTES)),
            arrivals: AtomicU64::new(0),
        }
    }

    /// Waits for HELLO ACK.
    pub(super) fn expect_hello(&self) -> Result<oneshot::Receiver<HelloAck>, RequestError> {
        let (sender, receiver) = oneshot::channel();
        self.running()?.hello = Some(sender);
        Ok(receiver)
    }

    /// Opens a query under an ID that was not used for as long as possible: the answer to an
    /// UNSUBSCRIBE that crossed the end of its query must not be taken for that of a later one.
    pub(super) fn expect_query(&self) -> Result<(QueryId, mpsc::Receiver<Reply>), RequestError> {
        let mut state = self.running()?;
        if state.queries.len() >= limits::STREAM_QUERIES_MAX {
            return Err(RequestError::TooManyOpen);
        }
        let mut id = QueryId(state.last_query.wrapping_add(1));
        while state.queries.contains_key(&id) {
            id = QueryId(id.0.wrapping_add(1));
        }
        state.last_query = id.0;
        let (sender, receiver) = mpsc::channel(limits::CLIENT_QUEUE_MAX_MESSAGES);
        state.queries.insert(id, Some(sender));
        Ok((id, receiver))
    }

    /// Waits for the result of a submission. The same record may wait several times; each result
    /// goes to the one that waits longest.
    pub(super) fn expect_submission(
        &self,
        id_prefix: [u8; 32],
    ) -> Result<oneshot::Receiver<ResultCode>, RequestError> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.running()?;
        if state.unanswered >= limits::CLIENT_SUBMISSIONS_MAX {
            return Err(RequestError::TooManyOpen);
        }
        state.unanswered += 1;
        let waiting = state.submissions.entry(id_prefix).or_default();
        waiting.push_back(sender);
        Ok(receiver)
    }

    /// Waits for the reply to an extension request.
    pub(super) fn expect_extension(
        &self,
    ) -> Result<(u16, oneshot::Receiver<ExtensionReply>), RequestError> {
        let (sender, receiver) = oneshot::channel();
        let id = self.expect_extensions(Awaited::One(sender))?;
        Ok((id, receiver))
    }

    /// Waits for several replies to an extension request, until [`forget`](Self::forget).
    pub(super) fn expect_replies(
        &self,
    ) -> Result<(u16, mpsc::Receiver<ExtensionReply>), RequestError> {
        let (sender, receiver) = mpsc::channel(limits::CLIENT_REPLIES_MAX);
        let id = self.expect_extensions(Awaited::Several(sender))?;
        Ok((id, receiver))
    }

    /// The caller wants no more replies to that request.
    pub(super) fn forget(&self, request_id: u16) {
        self.state().extensions.remove(&request_id);
    }

    fn expect_extensions(&self, awaited: Awaited) -> Result<u16, RequestError> {
        let mut state = self.running()?;
        // Requests that timed out wait here for ever, so they count.
        if state.extensions.len() >= limits::CLIENT_QUEUE_MAX_MESSAGES {
            return Err(RequestError::TooManyOpen);
        }
        let mut id = state.last_request.wrapping_add(1);
        while state.extensions.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        state.last_request = id;
        state.extensions.insert(id, awaited);
        Ok(id)
    }

    /// The caller wants no more of a query: what comes is dropped, and the server is told.
    pub(super) fn abandon(&self, id: QueryId) {
        let mut state = self.state();
        if let Some(entry) = state.queries.get_mut(&id) {
            *entry = None;
            // Bounded by the number of open queries: an ID is freed by its QUERY CLOSED only.
            state.abandoned.push(id);
            self.abandoned.notify_one();
        }
    }

    /// Why the stream ended. [`StreamEnd::Dropped`] while it has not.
    pub(super) fn end(&self) -> StreamEnd {
        self.state().end.clone().unwrap_or(StreamEnd::Dropped)
    }

    /// How often something was read so far.
    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// Whether the stream can take no more requests.
    pub(super) fn has_ended(&self) -> bool {
        self.state().end.is_some()
    }

    /// Everyone who waits learns of the end: their channels close.
    fn finish(&self, end: StreamEnd) {
        let mut state = self.state();
        if state.end.is_none() {
            *state = State {
                end: Some(end),
                ..State::default()
            };
        }
        self.room_out.close();
        self.room_in.close();
    }

    fn running(&self) -> Result<MutexGuard<'_, State>, RequestError> {
        let state = self.state();
        match &state.end {
            Some(end) => Err(end.clone().into()),
            None => Ok(state),
        }
    }

    /// What is under the lock is valid between any two statements, so a panic elsewhere is no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a stream until either side ends it; then everyone who waits on it is told why.
pub(super) async fn run(
    (send, receive): (SendHalf, ReceiveHalf),
    queue: mpsc::Receiver<Outgoing>,
    table: Arc<Table>,
) {
    // Also when the task is aborted or panics, nobody may wait for ever.
    let _told = FinishOnDrop(&table);
    let reading = read_all(receive, &table);
    tokio::pin!(reading);
    let end = tokio::select! {
        end = &mut reading => end,
        // A server that stops reading may have said why; its last words are on their way.
        end = write_all(send, queue, &table) => {
            timeout(LAST_WORDS, reading).await.unwrap_or(end)
        }
    };
    table.finish(end);
}

struct FinishOnDrop<'a>(&'a Table);

impl Drop for FinishOnDrop<'_> {
    fn drop(&mut self) {
        self.0.finish(StreamEnd::Dropped);
    }
}

async fn write_all(
    mut send: SendHalf,
    mut queue: mpsc::Receiver<Outgoing>,
    table: &Table,
) -> StreamEnd {
    let mut batch: Vec<Outgoing> = Vec::new();
    let mut chunks: Vec<Bytes> = Vec::new();
    loop {
        tokio::select! {
            count = queue.recv_many(&mut batch, limits::CLIENT_QUEUE_MAX_MESSAGES) => {
                if count == 0 {
                    return StreamEnd::Dropped;
                }
            }
            () = table.abandoned.notified() => {}
        }
        // A query is queued before it can be abandoned. So what is queued after the list was taken
        // goes out first, and no UNSUBSCRIBE overtakes its query.
        let abandoned = std::mem::take(&mut table.state().abandoned);
        while batch.len() < 2 * limits::CLIENT_QUEUE_MAX_MESSAGES
            && let Ok(message) = queue.try_recv()
        {
            batch.push(message);
        }
        chunks.extend(batch.iter().map(|message| message.bytes.clone()));
        chunks.extend(
            abandoned
                .into_iter()
                .map(|id| ClientMessage::Unsubscribe { id }.encode()),
        );
        if let Err(end) = send.write_all(&mut chunks).await {
            return end;
        }
        chunks.clear();
        batch.clear();
    }
}

async fn read_all(mut receive: ReceiveHalf, table: &Table) -> StreamEnd {
    let mut frames = FrameReader::new(Direction::ToClient);
    loop {
        match receive.read().await {
            Ok(Some(bytes)) => {
                table.arrivals.fetch_add(1, Ordering::Relaxed);
                frames.push(bytes);
            }
            Ok(None) => return StreamEnd::Ended,
            Err(end) => return end,
        }
        loop {
            let message = match frames.next() {
                Ok(Some(Frame::Message(message))) => ServerMessage::parse(&message),
                // Nothing here asks for a BLOB.
                Ok(Some(Frame::BlobData { .. })) => continue,
                Ok(None) => break,
                Err(error) => return ServerFault::from(error).into(),
            };
            let message = match message {
                Ok(message) => message,
                Err(error) => return ServerFault::from(error).into(),
            };
            if let Err(end) = dispatch(message, table).await {
                return end;
            }
        }
    }
}

/// Brings `message` to whoever waits for it. What nobody expects is ignored, as the protocol says.
async fn dispatch(message: ServerMessage, table: &Table) -> Result<(), StreamEnd> {
    match message {
        ServerMessage::Record { id, record } => {
            let sender = table.state().queries.get(&id).cloned().flatten();
            if let Some(sender) = sender {
                forward_record(record, &sender, table).await;
            }
        }
        ServerMessage::LocallyComplete { id } => {
            let sender = table.state().queries.get(&id).cloned().flatten();
            if let Some(sender) = sender {
                forward(Content::LocallyComplete, None, &sender).await;
            }
        }
        ServerMessage::QueryClosed { id, result } => {
            let sender = table.state().queries.remove(&id).flatten();
            if let Some(sender) = sender {
                forward(Content::Closed(result), None, &sender).await;
            }
        }
        ServerMessage::SubmissionResult { result, id_prefix } => {
            answer_submission(&mut table.state(), &id_prefix, result);
        }
        ServerMessage::Extension(reply) => answer_extension(reply, table).await,
        ServerMessage::HelloAck {
            result,
            version,
            apps,
        } => {
            let waiting = table.state().hello.take();
            if let Some(waiting) = waiting {
                waiting
                    .send(HelloAck {
                        result,
                        version,
                        apps,
                    })
                    .ok();
            }
        }
        ServerMessage::Closing { result } => return Err(StreamEnd::Closing(result)),
        ServerMessage::Unrecognized => return Err(StreamEnd::Unrecognized),
        _ => {}
    }
    Ok(())
}

/// Whoever gave up waiting needs no answer.
async fn answer_extension(reply: ExtensionReply, table: &Table) {
    let request_id = reply.request_id;
    let several = {
        let mut state = table.state();
        match state.extensions.remove(&request_id) {
            None => return,
            Some(Awaited::One(waiting)) => {
                waiting.send(reply).ok();
                return;
            }
            Some(Awaited::Several(waiting)) => {
                let awaited = Awaited::Several(waiting.clone());
                state.extensions.insert(request_id, awaited);
                waiting
            }
        }
    };
    several.send(reply).await.ok();
}

async fn forward_record(record: Bytes, sender: &mpsc::Sender<Reply>, table: &Table) {
    let bytes = u32::try_from(record.len()).unwrap_or(u32::MAX);
    let room = Arc::clone(&table.room_in);
    let room = tokio::select! {
        room = room.acquire_many_owned(bytes) => room.ok(),
        // Nobody will take the record, so it needs no room.
        () = sender.closed() => return,
    };
    forward(Content::Record(record), room, sender).await;
}

async fn forward(
    content: Content,
    room: Option<OwnedSemaphorePermit>,
    sender: &mpsc::Sender<Reply>,
) {
    let reply = Reply {
        content,
        _room: room,
    };
    // Fails where the query was abandoned meanwhile.
    sender.send(reply).await.ok();
}

fn answer_submission(state: &mut State, id_prefix: &[u8; 32], result: ResultCode) {
    let Some(waiting) = state.submissions.get_mut(id_prefix) else {
        return;
    };
    if let Some(sender) = waiting.pop_front() {
        sender.send(result).ok();
    }
    if waiting.is_empty() {
        state.submissions.remove(id_prefix);
    }
    state.unanswered = state.unanswered.saturating_sub(1);
}

/// How long a server that reads no more has for its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);
