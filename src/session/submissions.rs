//! Submissions on their way to the log.

use std::collections::HashMap;

use super::event::Ticket;
use super::output::Output;
use crate::base::limits;
use crate::wire::{ResultCode, ServerMessage};

/// Submissions of one stream that have no result yet.
#[derive(Debug, Default)]
pub(super) struct Submissions {
    in_flight: HashMap<Ticket, InFlight>,
    bytes: usize,
}

#[derive(Debug)]
struct InFlight {
    id_prefix: [u8; 32],
    bytes: usize,
}

impl Submissions {
    /// Notes that a record of `bytes` bytes was handed on.
    pub(super) fn insert(&mut self, ticket: Ticket, id_prefix: [u8; 32], bytes: usize) {
        let before = self.in_flight.insert(ticket, InFlight { id_prefix, bytes });
        assert!(before.is_none(), "a ticket is used once");
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Tells the peer what became of a submission, which is in flight no longer.
    pub(super) fn answer(&mut self, ticket: Ticket, result: ResultCode, output: &mut Output) {
        if let Some(InFlight { id_prefix, bytes }) = self.in_flight.remove(&ticket) {
            self.bytes = self.bytes.saturating_sub(bytes);
            output.send(&ServerMessage::SubmissionResult { result, id_prefix });
        }
    }

    /// Whether no further submission is taken until a result is known.
    pub(super) fn is_full(&self) -> bool {
        self.in_flight.len() >= limits::STREAM_SUBMISSIONS_MAX
            || self.bytes >= limits::STREAM_SUBMISSIONS_MAX_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }
}
