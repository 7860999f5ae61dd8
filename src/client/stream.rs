//! Requests on one stream.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::demux::{self, HelloAck, Outgoing, Table};
use super::error::{ConnectError, RequestError, ServerFault, StreamEnd};
use super::raw::RawStream;
use super::replies::{Expected, Replies, Results, Subscription};
use super::submissions::{Pending, Submissions};
use crate::base::{Role, limits};
use crate::wire::{
    AdminCall, AdminReply, Body, BodyRefusal, ClientMessage, ExtensionReply, Filter, Info,
    InfoReply, QueryId, Record, Reference, ResultCode, RoleOpen, RoleStatus,
};

/// One stream of a connection, on which any number of requests may be on their way at a time.
///
/// Cheap to clone; all clones are one stream. It ends when the last clone, and the last result
/// that is still being read from it, are dropped.
///
/// The requests of a stream share its pace: where records of one query are not taken, the stream
/// is soon not read any more, and every other request on it waits too. Use a stream of its own,
/// from [`Client::open_stream`](super::Client::open_stream), for what must not wait.
///
/// # Source
/// `mosaic-wire.md` sections 7 and 8.
#[derive(Clone)]
pub struct Stream {
    shared: Arc<Shared>,
}

struct Shared {
    table: Arc<Table>,
    queue: mpsc::Sender<Outgoing>,
    /// How long a reply that is owed may take.
    patience: Duration,
    task: AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    /// Starts the task that runs `raw`.
    pub(super) fn start(raw: RawStream, patience: Duration) -> Self {
        let table = Arc::new(Table::new());
        let (queue, outgoing) = mpsc::channel(limits::CLIENT_QUEUE_MAX_MESSAGES);
        let run = demux::run(raw.into_halves(), outgoing, Arc::clone(&table));
        let task = tokio::spawn(run).abort_handle();
        Self {
            shared: Arc::new(Shared {
                table,
                queue,
                patience,
                task,
            }),
        }
    }

    /// Says HELLO and waits for its answer: the applications granted.
    pub(super) async fn hello(&self, apps: Vec<u32>) -> Result<Vec<u32>, ConnectError> {
        let greeting = async {
            let hello = ClientMessage::Hello {
                version: VERSION,
                apps,
            };
            let slot = self.slot(SMALL_MESSAGE_BYTES).await?;
            let answer = self.table().expect_hello()?;
            slot.send(hello.encode());
            answer.await.map_err(|_| RequestError::End(self.end()))
        };
        let ack = match timeout(self.shared.patience, greeting).await {
            Ok(Ok(ack)) => ack,
            Ok(Err(RequestError::End(StreamEnd::Closing(result)))) => {
                return Err(ConnectError::Refused(result));
            }
            Ok(Err(RequestError::End(end))) => return Err(end.into()),
            Ok(Err(_)) => return Err(StreamEnd::Dropped.into()),
            Err(_) => return Err(ConnectError::NoGreeting),
        };
        check_greeting(ack)
    }

    /// Hands in `record` and waits for the result. A refusal is a result like any other.
    ///
    /// # Errors
    /// [`RequestError::End`] and [`RequestError::Timeout`]: whether the record was stored is
    /// unknown. Submitting it again is harmless.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the record: it may still be stored.
    pub async fn submit(&self, record: &Record) -> Result<ResultCode, RequestError> {
        self.start_submit(record).await?.result().await
    }

    /// Hands records in without waiting for each one's result: at most `window` are on their way.
    #[must_use]
    pub fn submit_many(&self, window: usize) -> Submissions {
        Submissions::new(self.clone(), window)
    }

    /// Queues a record for sending; waits while the queue is full.
    ///
    /// # Cancel safety
    /// Cancel safe: either the record is queued and the result returned, or neither.
    pub(super) async fn start_submit(&self, record: &Record) -> Result<Pending, RequestError> {
        let message = ClientMessage::Submission {
            record: record.bytes().clone(),
        };
        let slot = self.slot(record.bytes().len()).await?;
        let id = record.id();
        let answer = self.table().expect_submission(id.prefix().0)?;
        slot.send(message.encode());
        Ok(Pending::new(self.clone(), id, answer))
    }

    /// Asks for the records that `references` name, at most
    /// [`GET_REFERENCES_MAX`](limits::GET_REFERENCES_MAX) of them in one request.
    ///
    /// # Errors
    /// The stream has ended, or too many queries are open on it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn get(&self, references: Vec<Reference>) -> Result<Results, RequestError> {
        let size = references.len() * REFERENCE_BYTES;
        let expected = Expected::References(references.clone());
        let replies = self
            .open_query(size, expected, |id| ClientMessage::Get { id, references })
            .await?;
        Ok(Results::new(replies, self.shared.patience))
    }

    /// Asks for the stored records that pass `filter`, newest first, at most `limit` of them; 0
    /// asks for all.
    ///
    /// # Errors
    /// The stream has ended, or too many queries are open on it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn query(&self, filter: Filter, limit: u16) -> Result<Results, RequestError> {
        let expected = Expected::Filter(filter.clone());
        let replies = self
            .open_query(filter.bytes().len(), expected, |id| ClientMessage::Query {
                id,
                limit,
                filter,
            })
            .await?;
        Ok(Results::new(replies, self.shared.patience))
    }

    /// Asks for the stored records that pass `filter`, newest first, at most `limit` of them (0
    /// asks for all), and then for each new one as it arrives.
    ///
    /// # Errors
    /// The stream has ended, or too many queries are open on it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn subscribe(
        &self,
        filter: Filter,
        limit: u16,
    ) -> Result<Subscription, RequestError> {
        let expected = Expected::Filter(filter.clone());
        let replies = self
            .open_query(filter.bytes().len(), expected, |id| {
                ClientMessage::Subscribe { id, limit, filter }
            })
            .await?;
        Ok(Subscription::new(replies))
    }

    /// Asks what the server is and serves. Needs the extension messages; where they were not
    /// granted, the server answers UNRECOGNIZED and the stream ends.
    ///
    /// # Errors
    /// [`RequestError::Timeout`], [`RequestError::End`], or a reply that does not decode.
    ///
    /// # Cancel safety
    /// Cancel safe.
    ///
    /// # Source
    /// `extensions.md`, INFO.
    pub async fn info(&self) -> Result<InfoReply, RequestError> {
        self.extension(&Info {}).await
    }

    /// Binds the stream to `role`. It must be the first request on the stream.
    ///
    /// # Errors
    /// [`RequestError::Refused`] with the server's reason; otherwise as [`info`](Self::info).
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the stream is bound; drop the stream too.
    pub(super) async fn bind(&self, role: Role, app: Option<u32>) -> Result<(), RequestError> {
        self.bind_to(RoleOpen {
            role: role.into(),
            app,
        })
        .await
    }

    /// Binds the stream to what `open` says, as [`bind`](Self::bind) does.
    pub(super) async fn bind_to(&self, open: RoleOpen) -> Result<(), RequestError> {
        let status: RoleStatus = self.extension(&open).await?;
        match status.result {
            ResultCode::Success => Ok(()),
            result => Err(RequestError::Refused {
                result,
                why: status.why,
            }),
        }
    }

    /// Whether the stream has ended: every further request fails.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.table().has_ended()
    }

    /// How often something arrived on the stream so far.
    pub(super) fn arrivals(&self) -> u64 {
        self.table().arrivals()
    }

    /// Why the stream ended.
    pub(super) fn end(&self) -> StreamEnd {
        self.table().end()
    }

    /// The caller wants no more of that query.
    pub(super) fn abandon(&self, id: QueryId) {
        self.table().abandon(id);
    }

    /// Sends UNSUBSCRIBE and lets what was sent before it come in.
    pub(super) async fn unsubscribe(&self, id: QueryId) -> Result<(), RequestError> {
        let slot = self.slot(SMALL_MESSAGE_BYTES).await?;
        slot.send(ClientMessage::Unsubscribe { id }.encode());
        Ok(())
    }

    async fn open_query(
        &self,
        size: usize,
        expected: Expected,
        message: impl FnOnce(QueryId) -> ClientMessage,
    ) -> Result<Replies, RequestError> {
        let slot = self.slot(size).await?;
        let (id, incoming) = self.table().expect_query()?;
        slot.send(message(id).encode());
        Ok(Replies::new(self.clone(), id, incoming, expected))
    }

    async fn extension<R: Body>(&self, request: &impl Body) -> Result<R, RequestError> {
        let slot = self.slot(SMALL_MESSAGE_BYTES).await?;
        let (id, answer) = self.table().expect_extension()?;
        slot.send(request.encode(id));
        let reply = self.owed(answer).await?;
        match R::decode(&reply.body) {
            Ok(body) if reply.kind == R::KIND => Ok(body),
            _ => Err(refusal(&reply)),
        }
    }

    /// Gives an order on an operator's stream. The replies come in parts; a refusal is a reply.
    ///
    /// # Errors
    /// The stream has ended.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the order.
    pub(super) async fn order(&self, call: &AdminCall) -> Result<Orders, RequestError> {
        let slot = self.slot(call.encode(0).len()).await?;
        let (id, replies) = self.table().expect_replies()?;
        slot.send(call.encode(id));
        Ok(Orders {
            stream: self.clone(),
            id,
            replies,
        })
    }

    /// Waits for a reply that the server owes.
    pub(super) async fn owed<T>(
        &self,
        answer: impl Future<Output = Result<T, oneshot::error::RecvError>>,
    ) -> Result<T, RequestError> {
        match timeout(self.shared.patience, answer).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(self.end().into()),
            Err(_) => Err(RequestError::Timeout),
        }
    }

    /// Waits until there is room for a message of about `size` bytes. Sending from the slot is then
    /// one step that cannot fail or wait, so a request is either registered and sent, or neither.
    async fn slot(&self, size: usize) -> Result<Slot<'_>, RequestError> {
        let size = u32::try_from(size.max(SMALL_MESSAGE_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.table().room_out);
        let room = room
            .acquire_many_owned(size)
            .await
            .map_err(|_| self.end())?;
        let permit = self.shared.queue.reserve().await.map_err(|_| self.end())?;
        Ok(Slot { permit, room })
    }

    fn table(&self) -> &Table {
        &self.shared.table
    }
}

/// The replies to one order, as they come.
#[derive(Debug)]
pub(super) struct Orders {
    stream: Stream,
    id: u16,
    replies: mpsc::Receiver<ExtensionReply>,
}

impl Orders {
    /// The next reply, which the server owes.
    pub(super) async fn next(&mut self) -> Result<AdminReply, RequestError> {
        let reply = match timeout(self.stream.shared.patience, self.replies.recv()).await {
            Ok(Some(reply)) => reply,
            Ok(None) => return Err(self.stream.end().into()),
            Err(_) => return Err(RequestError::Timeout),
        };
        let decoded = AdminReply::decode(&reply.body);
        match decoded {
            Ok(decoded) if reply.kind == AdminReply::KIND => Ok(decoded),
            _ => Err(refusal(&reply)),
        }
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.stream.table().forget(self.id);
    }
}

/// Room for one message in the queue of a stream.
struct Slot<'a> {
    permit: mpsc::Permit<'a, Outgoing>,
    room: OwnedSemaphorePermit,
}

impl Slot<'_> {
    fn send(self, bytes: Bytes) {
        let room = self.room;
        self.permit.send(Outgoing { bytes, _room: room });
    }
}

fn check_greeting(ack: HelloAck) -> Result<Vec<u32>, ConnectError> {
    match ack.result {
        ResultCode::Success if OFFERED.contains(&ack.version) => Ok(ack.apps),
        ResultCode::Success => Err(StreamEnd::Fault(ServerFault::Version(ack.version)).into()),
        refused => Err(ConnectError::Refused(refused)),
    }
}

/// A reply that is not what was asked for is a refusal, or nothing that makes sense.
fn refusal(reply: &ExtensionReply) -> RequestError {
    match BodyRefusal::decode(&reply.body) {
        Ok(refusal) => RequestError::Refused {
            result: refusal.result,
            why: Some(refusal.why),
        },
        Err(_) => RequestError::End(StreamEnd::Fault(ServerFault::Extension)),
    }
}

/// Highest major version spoken: Mosaic 0.8.
const VERSION: u16 = 0;

/// What the server may choose from.
const OFFERED: RangeInclusive<u16> = 0..=VERSION;

/// What a message without much content counts for in the queue.
const SMALL_MESSAGE_BYTES: usize = 1_024;

/// A reference in GET.
const REFERENCE_BYTES: usize = 48;
