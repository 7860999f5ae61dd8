//! Many records on their way at a time.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::error::RequestError;
use super::stream::Stream;
use crate::wire::{Record, RecordId, ResultCode};

/// A record that was handed in, and what the server said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The record.
    pub id: RecordId,
    /// The server's answer.
    pub result: ResultCode,
}

/// Hands records in without waiting for each one's result, as [`Stream::submit_many`] makes it.
///
/// ```no_run
/// # async fn example(stream: mosaicd::client::Stream, records: Vec<mosaicd::wire::Record>)
/// # -> Result<(), mosaicd::client::RequestError> {
/// let mut submissions = stream.submit_many(128);
/// for record in &records {
///     if let Some(submitted) = submissions.push(record).await? {
///         assert!(submitted.result.is_success());
///     }
/// }
/// while let Some(submitted) = submissions.next().await? {
///     assert!(submitted.result.is_success());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Submissions {
    stream: Stream,
    window: usize,
    /// In the order of `push`; never more than `window`.
    on_the_way: VecDeque<Pending>,
}

impl Submissions {
    pub(super) fn new(stream: Stream, window: usize) -> Self {
        Self {
            stream,
            window: window.max(1),
            on_the_way: VecDeque::new(),
        }
    }

    /// Hands in `record`. Where the window is full, first waits for the result of the oldest one
    /// that is on its way, and returns it.
    ///
    /// # Errors
    /// As [`Stream::submit`]. `record` was then not sent, and what became of those on their way
    /// is unknown.
    ///
    /// # Cancel safety
    /// Not cancel safe: the result of the oldest record may be lost. Ask [`is_full`](Self::is_full)
    /// and take it with [`next`](Self::next) first where that matters.
    pub async fn push(&mut self, record: &Record) -> Result<Option<Submitted>, RequestError> {
        let oldest = if self.is_full() {
            self.next().await?
        } else {
            None
        };
        let pending = self.stream.start_submit(record).await?;
        self.on_the_way.push_back(pending);
        Ok(oldest)
    }

    /// The result of the oldest record on its way, or `None` where none is.
    ///
    /// # Errors
    /// As [`Stream::submit`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Submitted>, RequestError> {
        let Some(oldest) = self.on_the_way.front_mut() else {
            return Ok(None);
        };
        let submitted = oldest.wait().await;
        self.on_the_way.pop_front();
        submitted.map(Some)
    }

    /// How many records are on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.on_the_way.len()
    }

    /// Whether no record is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.on_the_way.is_empty()
    }

    /// Whether the next [`push`](Self::push) waits for a result first.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.on_the_way.len() >= self.window
    }
}

/// One record on its way.
#[derive(Debug)]
pub(super) struct Pending {
    stream: Stream,
    id: RecordId,
    answer: oneshot::Receiver<ResultCode>,
}

impl Pending {
    pub(super) fn new(stream: Stream, id: RecordId, answer: oneshot::Receiver<ResultCode>) -> Self {
        Self { stream, id, answer }
    }

    pub(super) async fn result(mut self) -> Result<ResultCode, RequestError> {
        self.wait().await.map(|submitted| submitted.result)
    }

    /// Cancel safe; not to be called again once it has returned.
    async fn wait(&mut self) -> Result<Submitted, RequestError> {
        let result = self.stream.owed(&mut self.answer).await?;
        Ok(Submitted {
            id: self.id,
            result,
        })
    }
}
