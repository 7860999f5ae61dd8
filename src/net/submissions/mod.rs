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
use crate::session::{Settings, Ticket};
use crate::wire::{Record, ResultCode};

/// The submissions of one stream.
///
/// Each goes to the pipeline at once if there is room; else it waits here, in order, and the stream
/// is not read meanwhile. What waits is bounded by what the session lets be under way.
pub(super) struct Submissions {
    lane: u64,
    ingest: Arc<dyn Ingest>,
    budget: Budget,
    requester: Arc<Requester>,
    settings: Arc<Settings>,
    waiting: VecDeque<Submission>,
    /// Waits for room for the first of them. Kept from turn to turn, for its place in the queue.
    room: Option<Waiting>,
    results: mpsc::UnboundedReceiver<(Ticket, ResultCode)>,
    sender: mpsc::UnboundedSender<(Ticket, ResultCode)>,
}

type Waiting = Pin<Box<dyn Future<Output = Option<Room>> + Send>>;

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
        settings: Arc<Settings>,
    ) -> Self {
        let (sender, results) = mpsc::unbounded_channel();
        Self {
            lane,
            ingest,
            budget,
            requester,
            settings,
            waiting: VecDeque::new(),
            room: None,
            results,
            sender,
        }
    }

    /// Hands a submission over, now or as soon as there is room.
    pub(super) fn submit(&mut self, submission: Submission) {
        if self.waiting.is_empty() {
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
            self.ask_for_room();
            let has_asked = self.room.is_some();
            tokio::select! {
                room = granted(&mut self.room), if has_asked => self.proceed(room),
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

    /// Asks for room for the first submission that waits, unless that was done before.
    fn ask_for_room(&mut self) {
        if let (Some(first), None) = (self.waiting.front(), &self.room) {
            let len_bytes = first.record.bytes().len();
            let budget = self.budget.clone();
            self.room = Some(Box::pin(async move { budget.take(len_bytes).await }));
        }
    }

    fn proceed(&mut self, room: Option<Room>) {
        self.room = None;
        match (self.waiting.pop_front(), room) {
            (Some(submission), Some(room)) => self.hand_over(submission, room),
            (Some(submission), None) => {
                let result = (submission.ticket, ResultCode::TemporaryError);
                // We hold the receiver, so this arrives.
                self.sender.send(result).ok();
            }
            (None, _) => {}
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
            from: self.requester.address(),
            settings: Arc::clone(&self.settings),
            reply: Reply::new(ticket, self.sender.clone(), room),
        });
    }
}

/// Waits for the room that was asked for.
async fn granted(room: &mut Option<Waiting>) -> Option<Room> {
    match room {
        Some(room) => room.await,
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

#[cfg(test)]
mod tests;
