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
}

impl Output {
    /// A ticket that was never used on this stream.
    pub(super) fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets = self.tickets.wrapping_add(1);
        ticket
    }

    pub(super) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn pop(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn send(&mut self, message: &ServerMessage) {
        self.push(Action::Send(message.encode()));
    }
}
