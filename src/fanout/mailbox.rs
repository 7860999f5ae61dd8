//! What one subscription has still to be told.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::Seq;
use crate::base::limits::{MAILBOX_MAX_BYTES, MAILBOX_MAX_RECORDS};
use crate::store::Entry;

/// What a subscription is told next.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// A new entry that matches. The bytes are shared with every other subscription.
    Live(Arc<Entry>),
    /// The mailbox was full: everything after that position has to be read from the log.
    Behind {
        /// The position up to which the subscription was told everything.
        after: Seq,
    },
}

/// The queue of one subscription; its bounds are [`MAILBOX_MAX_RECORDS`] and [`MAILBOX_MAX_BYTES`].
///
/// A single record larger than the bound in bytes is queued when nothing else is.
pub(super) struct Mailbox {
    queue: VecDeque<Arc<Entry>>,
    bytes: usize,
    state: State,
}

enum State {
    /// Entries after `from` are queued as they are published. Entries up to `from` were stored
    /// before the subscription, or were read from the log before they were published.
    Live { from: Seq },
    /// Nothing is queued; the log has to be read after that position.
    Behind { after: Seq },
}

impl Mailbox {
    /// An empty mailbox that takes every entry after `from`.
    pub(super) fn new(from: Seq) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            state: State::Live { from },
        }
    }

    /// Takes an entry of the log that the subscription has to be told of. Returns whether the
    /// owner may be asleep and has to be woken.
    pub(super) fn offer(&mut self, entry: &Arc<Entry>) -> bool {
        match self.state {
            State::Behind { .. } => false,
            State::Live { from } if entry.seq <= from => false,
            State::Live { .. } if self.has_room(entry) => self.push(entry),
            State::Live { .. } => {
                // The queue is not empty here, so its owner was woken when it was filled.
                self.state = State::Behind {
                    after: entry.seq.prev(),
                };
                false
            }
        }
    }

    /// Takes an entry that is in no log. Returns `None` where it was not queued, else whether the
    /// owner has to be woken.
    ///
    /// An ephemeral record is for those who listen now: to be behind, or full, is not to listen.
    pub(super) fn offer_ephemeral(&mut self, entry: &Arc<Entry>) -> Option<bool> {
        match self.state {
            State::Live { .. } if self.has_room(entry) => Some(self.push(entry)),
            State::Live { .. } | State::Behind { .. } => None,
        }
    }

    /// What the owner is told next: first what is queued, then that it is behind.
    pub(super) fn take(&mut self) -> Option<Delivery> {
        if let Some(entry) = self.queue.pop_front() {
            self.bytes = self.bytes.saturating_sub(cost_bytes(&entry));
            return Some(Delivery::Live(entry));
        }
        match self.state {
            State::Live { .. } => None,
            State::Behind { after } => Some(Delivery::Behind { after }),
        }
    }

    /// The owner was told everything up to `position`, and `tail` is the last published position.
    /// Returns whether the mailbox takes new entries again.
    pub(super) fn caught_up(&mut self, position: Seq, tail: Seq) -> bool {
        if let State::Behind { .. } = self.state {
            self.state = if position >= tail {
                State::Live { from: position }
            } else {
                State::Behind { after: position }
            };
        }
        matches!(self.state, State::Live { .. })
    }

    fn push(&mut self, entry: &Arc<Entry>) -> bool {
        let was_empty = self.queue.is_empty();
        self.bytes = self.bytes.saturating_add(cost_bytes(entry));
        self.queue.push_back(Arc::clone(entry));
        was_empty
    }

    fn has_room(&self, entry: &Entry) -> bool {
        let bytes = self.bytes.saturating_add(cost_bytes(entry));
        self.queue.is_empty()
            || (self.queue.len() < MAILBOX_MAX_RECORDS && bytes <= MAILBOX_MAX_BYTES)
    }
}

/// Bytes that a queued entry keeps alive, as if it were not shared.
fn cost_bytes(entry: &Entry) -> usize {
    entry.record.bytes().len()
}
