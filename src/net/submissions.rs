//! The submissions of one stream, on their way to the pipeline and back.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::ingest::{Budget, Ingest, Reply, Room, SubmitJob};
use super::requester::Requester;
use crate::base::Role;
use crate::session::Ticket;
use crate::wire::{Record, ResultCode};

/// The submissions of one stream.
///
/// Each goes to the pipeline at once if there is room and the peer's master is known; else it
/// waits here, in order, and the stream is not read meanwhile. What waits is bounded by what the
/// session lets be under way.
pub(super) struct Submissions {
    lane: u64,
    ingest: Arc<dyn Ingest>,
    budget: Budget,
    requester: Arc<Requester>,
    waiting: VecDeque<Submission>,
    /// Makes ready for the first that waits. Kept from turn to turn, for its place in the queue.
    preparing: Option<Pin<Box<dyn Future<Output = Option<Room>> + Send>>>,
    results: mpsc::UnboundedReceiver<(Ticket, ResultCode)>,
    sender: mpsc::UnboundedSender<(Ticket, ResultCode)>,
}

/// A record that a session wants stored.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) ticket: Ticket,
    pub(super) record: Record,
    pub(super) bound: Option<Role>,
    pub(super) app: Option<u32>,
}

impl Submissions {
    pub(super) fn new(
        lane: u64,
        ingest: Arc<dyn Ingest>,
        budget: Budget,
        requester: Arc<Requester>,
    ) -> Self {
        let (sender, results) = mpsc::unbounded_channel();
        Self {
            lane,
            ingest,
            budget,
            requester,
            waiting: VecDeque::new(),
            preparing: None,
            results,
            sender,
        }
    }

    /// Hands a submission over, now or as soon as there is room.
    pub(super) fn submit(&mut self, submission: Submission) {
        if self.waiting.is_empty() && self.requester.is_fresh() {
            let len_bytes = submission.record.bytes().len();
            if let Some(room) = self.budget.try_take(len_bytes) {
                self.hand_over(submission, room);
                return;
            }
        }
        self.waiting.push_back(submission);
    }

    /// Whether submissions wait for room, so that no more should be read.
    pub(super) fn is_blocked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Hands over what waits as room comes free, and waits for results; returns all that are here.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Vec<(Ticket, ResultCode)> {
        loop {
            let has_waiting = self.prepare();
            tokio::select! {
                room = ready(&mut self.preparing), if has_waiting => self.proceed(room),
                first = self.results.recv() => {
                    // We hold a sender ourselves, so there is always a first.
                    let mut results: Vec<_> = first.into_iter().collect();
                    while let Ok(result) = self.results.try_recv() {
                        results.push(result);
                    }
                    return results;
                }
            }
        }
    }

    /// Begins to make ready for the first submission that waits. Returns whether there is one.
    fn prepare(&mut self) -> bool {
        let Some(first) = self.waiting.front() else {
            return false;
        };
        let len_bytes = first.record.bytes().len();
        if self.preparing.is_none() {
            let (requester, budget) = (Arc::clone(&self.requester), self.budget.clone());
            self.preparing = Some(Box::pin(async move {
                requester.refresh().await;
                budget.take(len_bytes).await
            }));
        }
        true
    }

    fn proceed(&mut self, room: Option<Room>) {
        self.preparing = None;
        let Some(submission) = self.waiting.pop_front() else {
            return;
        };
        match room {
            Some(room) => self.hand_over(submission, room),
            None => {
                let result = (submission.ticket, ResultCode::TemporaryError);
                // We hold the receiver, so this arrives.
                drop(self.sender.send(result));
            }
        }
    }

    fn hand_over(&self, submission: Submission, room: Room) {
        let Submission {
            ticket,
            record,
            bound,
            app,
        } = submission;
        self.ingest.submit(SubmitJob {
            lane: self.lane,
            record,
            submitter: self.requester.submitter(bound, app),
            reply: Reply::new(ticket, self.sender.clone(), room),
        });
    }
}

/// Waits for what is being prepared, if anything.
async fn ready(
    preparing: &mut Option<Pin<Box<dyn Future<Output = Option<Room>> + Send>>>,
) -> Option<Room> {
    match preparing {
        Some(preparing) => preparing.await,
        None => None,
    }
}

impl fmt::Debug for Submissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submissions")
            .field("lane", &self.lane)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}
