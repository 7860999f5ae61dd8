//! What a stream has asked for and its driver has not yet fetched.

use std::collections::VecDeque;

use super::event::{Action, Ticket};
use crate::wire::ServerMessage;

/// The actions that wait for the driver, and the next ticket.
///
/// Emptied after every event, so it never holds more than the answers to one event: a page of
/// records, or the replies to [`limits::STREAM_READ_BYTES`] of messages of at least 8 bytes.
///
/// [`limits::STREAM_READ_BYTES`]: crate::base::limits::STREAM_READ_BYTES
#[derive(Debug, Default)]
pub(super) struct Output {
    actions: VecDeque<Action>,
    tickets: u64,
    /// Replies that wait until the data of a BLOB were sent; `None` while none are.
    held: Option<VecDeque<Action>>,
}

impl Output {
    /// A ticket that was never used on this stream.
    pub(super) fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets = self.tickets.wrapping_add(1);
        ticket
    }

    /// Adds an action. One that would put bytes between the data of a BLOB, or behind the end of
    /// the stream, waits.
    pub(super) fn push(&mut self, action: Action) {
        let waits = matches!(
            action,
            Action::Send(_)
                | Action::SendRecord { .. }
                | Action::Finish
                | Action::CloseConnection { .. }
        );
        match &mut self.held {
            Some(held) if waits => held.push_back(action),
            Some(_) | None => self.actions.push_back(action),
        }
    }

    /// Adds an action that belongs to the BLOB for which others wait.
    pub(super) fn push_held_back_by_nothing(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// From here on replies wait.
    ///
    /// What can wait is bounded: no message of the peer is looked at, and a driver tells nothing of
    /// reads, probes and INFO meanwhile. Left are results of submissions that were in flight, and
    /// the ends of reads that lost their role.
    pub(super) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Replies that waited follow now.
    pub(super) fn let_go(&mut self) {
        self.actions.extend(self.held.take().into_iter().flatten());
    }

    /// Drops the replies that waited: the stream is broken off.
    pub(super) fn forget_held(&mut self) {
        self.held = None;
    }

    pub(super) fn pop(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn send(&mut self, message: &ServerMessage) {
        self.push(Action::Send(message.encode()));
    }
}
