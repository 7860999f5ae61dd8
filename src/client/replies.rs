//! Records as they arrive, checked before the caller sees them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::demux::{Content, Reply};
use super::error::{RecordFault, RequestError};
use super::stream::Stream;
use crate::base::limits;
use crate::identity::Verifier;
use crate::wire::{Filter, QueryId, Record, Reference, ResultCode, Timestamp};

/// What a subscription brings.
#[derive(Clone, Debug)]
pub enum Item {
    /// A record that was asked for, whose hash and signature are good.
    Record(Record),
    /// The server sent something else as a record; it is dropped, and the subscription goes on.
    Rejected(RecordFault),
    /// What was stored has been sent; from here on records come as they arrive.
    LocallyComplete,
    /// The server ended the subscription; nothing follows.
    Closed(ResultCode),
}

/// The answer to a GET or QUERY: records, then a result.
///
/// Dropping it early tells the server to stop.
#[derive(Debug)]
pub struct Results {
    replies: Replies,
    patience: Duration,
    rejected: Vec<RecordFault>,
    rejected_count: u64,
    result: Option<ResultCode>,
}

impl Results {
    pub(super) fn new(replies: Replies, patience: Duration) -> Self {
        Self {
            replies,
            patience,
            rejected: Vec::new(),
            rejected_count: 0,
            result: None,
        }
    }

    /// The next record; `None` once the server has closed the query, after which
    /// [`result`](Self::result) tells how.
    ///
    /// A record that fails its check is passed over and counted in [`rejected`](Self::rejected).
    ///
    /// # Errors
    /// The stream ended, or the server was silent for too long.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Record>, RequestError> {
        while self.result.is_none() {
            let item = timeout(self.patience, self.replies.next()).await;
            match item.map_err(|_| RequestError::Timeout)?? {
                Item::Record(record) => return Ok(Some(record)),
                Item::Rejected(fault) => {
                    // A few tell the caller as much as all of them.
                    self.rejected.truncate(REJECTED_KEPT - 1);
                    self.rejected.push(fault);
                    self.rejected_count = self.rejected_count.saturating_add(1);
                }
                Item::LocallyComplete => {}
                Item::Closed(result) => self.result = Some(result),
            }
        }
        Ok(None)
    }

    /// The same as single items, for one that tells records and their end apart itself.
    pub(super) fn into_items(self) -> Subscription {
        Subscription::new(self.replies)
    }

    /// How the server closed the query; `None` while it is open.
    #[must_use]
    pub const fn result(&self) -> Option<ResultCode> {
        self.result
    }

    /// Why records were passed over: the first few reasons and the last one.
    #[must_use]
    pub fn rejected(&self) -> &[RecordFault] {
        &self.rejected
    }

    /// How many records were passed over.
    #[must_use]
    pub const fn rejected_count(&self) -> u64 {
        self.rejected_count
    }

    /// Takes every record that is left, and the result.
    ///
    /// For answers that are known to be small: all of it is held at once.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    /// Not cancel safe: records taken so far are lost.
    pub async fn collect(mut self) -> Result<(Vec<Record>, ResultCode), RequestError> {
        let mut records = Vec::new();
        loop {
            match (self.next().await?, self.result) {
                (Some(record), _) => records.push(record),
                (None, Some(result)) => return Ok((records, result)),
                // `next` returns `None` only with a result.
                (None, None) => return Err(self.replies.stream.end().into()),
            }
        }
    }
}

/// A subscription: the stored records, then each new one.
///
/// Dropping it tells the server to stop. While nobody calls [`next`](Self::next), records wait in
/// a bounded queue and then at the server; none is lost.
#[derive(Debug)]
pub struct Subscription {
    replies: Replies,
}

impl Subscription {
    pub(super) const fn new(replies: Replies) -> Self {
        Self { replies }
    }

    /// The next item. After [`Item::Closed`] the same is returned again.
    ///
    /// # Errors
    /// The stream ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Item, RequestError> {
        self.replies.next().await
    }

    /// Asks the server to end the subscription. What it sent before still arrives, then
    /// [`Item::Closed`].
    ///
    /// # Errors
    /// The stream ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn unsubscribe(&mut self) -> Result<(), RequestError> {
        self.replies.stream.unsubscribe(self.replies.id).await
    }
}

/// What the records of an answer must be.
#[derive(Debug)]
pub(super) enum Expected {
    /// Those that one of these names.
    References(Vec<Reference>),
    /// Those that pass this.
    Filter(Filter),
}

impl Expected {
    fn admits(&self, record: &Record) -> bool {
        match self {
            Self::References(references) => {
                let view = record.view();
                let (id, address) = (Reference::Id(view.id()), Reference::Address(view.address()));
                references
                    .iter()
                    .any(|named| *named == id || *named == address)
            }
            Self::Filter(filter) => {
                // When the server received it is not told, so any time the filter names will do.
                let received = filter.received_since().unwrap_or(Timestamp::MIN);
                filter.matches(&record.view(), received)
            }
        }
    }
}

/// The replies to one query, checked in batches as they come.
pub(super) struct Replies {
    stream: Stream,
    id: QueryId,
    incoming: mpsc::Receiver<Reply>,
    expected: Expected,
    verifier: Verifier,
    /// Checked and not yet taken: at most one batch.
    ready: VecDeque<Item>,
    closed: Option<ResultCode>,
}

impl std::fmt::Debug for Replies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replies")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.stream.abandon(self.id);
    }
}

impl Replies {
    pub(super) fn new(
        stream: Stream,
        id: QueryId,
        incoming: mpsc::Receiver<Reply>,
        expected: Expected,
    ) -> Self {
        Self {
            stream,
            id,
            incoming,
            expected,
            verifier: Verifier::new(limits::CLIENT_KEYS_REMEMBERED_MAX),
            ready: VecDeque::new(),
            closed: None,
        }
    }

    /// Cancel safe: nothing is taken from the queue before it can be handed on.
    async fn next(&mut self) -> Result<Item, RequestError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(item);
            }
            if let Some(result) = self.closed {
                return Ok(Item::Closed(result));
            }
            let mut batch = Vec::new();
            let most = limits::VERIFY_BATCH_MAX_RECORDS;
            if self.incoming.recv_many(&mut batch, most).await == 0 {
                return Err(self.stream.end().into());
            }
            self.check(batch);
        }
    }

    /// Checks a batch; signatures cost half as much together as one by one.
    fn check(&mut self, batch: Vec<Reply>) {
        let mut items: Vec<Item> = Vec::with_capacity(batch.len());
        for reply in batch {
            match reply.content {
                Content::Record(bytes) => items.push(self.parsed(bytes)),
                Content::LocallyComplete => items.push(Item::LocallyComplete),
                Content::Closed(result) => self.closed = Some(result),
            }
        }
        let views: Vec<_> = items
            .iter()
            .filter_map(Item::record)
            .map(Record::view)
            .collect();
        let mut verdicts = self.verifier.batch(&views).into_iter();
        for item in items {
            let item = match item {
                Item::Record(record) => match verdicts.next() {
                    Some(Err(error)) => Item::Rejected(error.into()),
                    _ => Item::Record(record),
                },
                other => other,
            };
            self.ready.push_back(item);
        }
    }

    fn parsed(&self, bytes: Bytes) -> Item {
        match Record::parse(bytes) {
            Err(error) => Item::Rejected(error.into()),
            Ok(record) if !self.expected.admits(&record) => Item::Rejected(RecordFault::NotAsked),
            Ok(record) => Item::Record(record),
        }
    }
}

impl Item {
    const fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            _ => None,
        }
    }
}

/// How many reasons for passing records over are kept.
const REJECTED_KEPT: usize = 8;
