//! The orders of operators, on their way from a stream to who carries them out.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet, spawn_blocking};

use super::requester::Requester;
use crate::base::limits::ADMIN_CALLS_AT_ONCE_MAX;
use crate::session::{Event, Order, Report, Ticket};
use crate::wire::{AdminCall, AdminReply, PublicKey, ResultCode};

/// Knows the operators, and carries out their orders.
pub trait Operator: Send + Sync {
    /// The operator as whom a peer acts that proved to hold `key`, which signs in for `master`: one
    /// of the two, if that one is an operator at this moment. Called on an async worker, so it must
    /// not block.
    fn operator(&self, key: &PublicKey, master: &PublicKey) -> Option<PublicKey>;

    /// Carries out the order of the operator `by`, or the next part of one that is `from` where an
    /// earlier part ended. Called on a thread of its own, which it may block.
    fn call(&self, by: PublicKey, call: &AdminCall, from: Option<&[u8]>) -> Part;
}

/// What came of an order, or one part of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What the operator is told. Whether more follows is for `next` to say.
    pub reply: AdminReply,
    /// Where the next part begins; `None` at the end. It is asked for when this part was sent, and
    /// never leaves the process.
    pub next: Option<Vec<u8>>,
}

impl From<AdminReply> for Part {
    /// The whole of an answer.
    fn from(reply: AdminReply) -> Self {
        Self { reply, next: None }
    }
}

/// Where all streams hand in their orders. Clones share one bound.
#[derive(Clone)]
pub(super) struct Desk {
    operator: Option<Arc<dyn Operator>>,
    permits: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(operator: Option<Arc<dyn Operator>>) -> Self {
        Self {
            operator,
            permits: Arc::new(Semaphore::new(ADMIN_CALLS_AT_ONCE_MAX)),
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}

/// The order of one stream that is under way; the session lets there be one at a time. Dropping it
/// ends a listing. A change that was begun is made all the same.
#[derive(Debug)]
pub(super) struct Orders {
    desk: Desk,
    requester: Arc<Requester>,
    tasks: JoinSet<()>,
    /// The order that was begun last, with its task.
    begun: Option<(Id, Begun)>,
    sender: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
}

/// What was asked for, as far as an answer has to know.
#[derive(Clone, Copy, Debug)]
enum Begun {
    SignIn(Ticket),
    Call(Ticket),
}

/// What there is to tell of an order.
#[derive(Debug)]
pub(super) struct Told {
    ticket: Ticket,
    report: Report,
}

impl Told {
    /// What the session is told.
    pub(super) fn into_event(self) -> Event {
        let Self { ticket, report } = self;
        Event::Reported { ticket, report }
    }
}

impl Orders {
    pub(super) fn new(desk: Desk, requester: Arc<Requester>) -> Self {
        let (sender, told) = mpsc::channel(1);
        Self {
            desk,
            requester,
            tasks: JoinSet::new(),
            begun: None,
            sender,
            told,
        }
    }

    /// Begins to carry out an order.
    pub(super) fn start(&mut self, ticket: Ticket, order: Order) {
        let begun = match &order {
            Order::SignIn => Begun::SignIn(ticket),
            Order::Call(_) => Begun::Call(ticket),
        };
        let task = Task {
            desk: self.desk.clone(),
            requester: Arc::clone(&self.requester),
            sender: self.sender.clone(),
            ticket,
        };
        let task = self.tasks.spawn(task.run(order));
        self.begun = Some((task.id(), begun));
    }

    /// Waits for what there is to tell of an order.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            tokio::select! {
                // We hold a sender ourselves, so the channel never closes.
                Some(told) = self.told.recv() => return told,
                Some(joined) = self.tasks.join_next() => {
                    if let Some(told) = self.joined(joined) {
                        return told;
                    }
                }
                else => std::future::pending().await,
            }
        }
    }

    /// Ends everything but a change that was begun, and returns when no task is left.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.abort_all();
        while let Some(joined) = self.tasks.join_next().await {
            self.joined(joined);
        }
    }

    /// A task is over. One that panicked cannot say so itself.
    fn joined(&mut self, joined: Result<(), JoinError>) -> Option<Told> {
        let error = joined.err().filter(JoinError::is_panic)?;
        tracing::error!(%error, "the task of an operator's order panicked");
        let (_, begun) = self.begun.take_if(|(id, _)| *id == error.id())?;
        let (ticket, report) = match begun {
            Begun::SignIn(ticket) => {
                let failed = (ResultCode::GeneralError, FAILED.to_owned());
                (ticket, Report::SignedIn(Err(failed)))
            }
            Begun::Call(ticket) => (ticket, Report::Reply(failed())),
        };
        Some(Told { ticket, report })
    }
}

/// One order, as its task sees it.
struct Task {
    desk: Desk,
    requester: Arc<Requester>,
    sender: mpsc::Sender<Told>,
    ticket: Ticket,
}

impl Task {
    async fn run(self, order: Order) {
        match order {
            Order::SignIn => {
                let signed_in = self.operator().await.map(|_| ());
                self.tell(Report::SignedIn(signed_in)).await;
            }
            Order::Call(call) => self.call(call).await,
        }
    }

    /// Carries an order out part by part. The next one begins when the stream has taken the last.
    async fn call(&self, call: AdminCall) {
        let call = Arc::new(call);
        let mut from = None;
        loop {
            let Ok(place) = self.sender.reserve().await else {
                return;
            };
            let Part { mut reply, next } = self.part(&call, from).await;
            reply.more = next.is_some();
            let report = Report::Reply(reply);
            let ticket = self.ticket;
            place.send(Told { ticket, report });
            match next {
                Some(next) => from = Some(next),
                None => return,
            }
        }
    }

    /// One part; looks anew who asks, as operators come and go. That is when it is the part's turn:
    /// the key may be dismissed while it waits.
    async fn part(&self, call: &Arc<AdminCall>, from: Option<Vec<u8>>) -> Part {
        let Ok(permit) = Arc::clone(&self.desk.permits).acquire_owned().await else {
            return failed().into();
        };
        let (operator, by) = match self.operator().await {
            Ok(operator) => operator,
            Err((result, why)) => return AdminReply::refused(result, &why).into(),
        };
        let call = Arc::clone(call);
        let work = spawn_blocking(move || {
            // Here, not in the future, so that a dropped stream does not lend the place twice.
            let _permit = permit;
            operator.call(by, &call, from.as_deref())
        });
        work.await.unwrap_or_else(|error| {
            tracing::error!(%error, "an operator's order panicked");
            failed().into()
        })
    }

    /// As which operator the peer acts.
    async fn operator(&self) -> Result<(Arc<dyn Operator>, PublicKey), (ResultCode, String)> {
        self.requester.refresh().await;
        let found = || {
            let (key, master) = (self.requester.key()?, self.requester.master()?);
            let operator = Arc::clone(self.desk.operator.as_ref()?);
            let by = operator.operator(key, &master)?;
            Some((operator, by))
        };
        found().ok_or_else(|| {
            let why = "this key is not an operator's".to_owned();
            (ResultCode::Unauthorized, why)
        })
    }

    async fn tell(&self, report: Report) {
        let ticket = self.ticket;
        // Fails where the stream has ended, which needs no answer.
        self.sender.send(Told { ticket, report }).await.ok();
    }
}

fn failed() -> AdminReply {
    AdminReply::refused(ResultCode::GeneralError, FAILED)
}

const FAILED: &str = "the order failed; the trace says why";

#[cfg(test)]
mod tests;
