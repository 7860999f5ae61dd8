//! Submissions on their way to the log.

use std::collections::HashMap;

use super::event::Ticket;
use crate::base::limits;

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

    /// Takes a submission out whose result is known, and returns its ID's prefix.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<[u8; 32]> {
        let InFlight { id_prefix, bytes } = self.in_flight.remove(&ticket)?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(id_prefix)
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
