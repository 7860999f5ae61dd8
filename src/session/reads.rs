//! The GETs, queries and subscriptions that are open on a stream.

use super::connection::HeldBytes;
use super::event::{Action, Ticket};
use super::output::Output;
use crate::base::{RoleSet, limits};
use crate::policy::Gate;
use crate::wire::{QueryId, ResultCode, ServerMessage};

/// The reads that are open on one stream; at most [`limits::STREAM_QUERIES_MAX`], so they are
/// searched one by one.
#[derive(Debug, Default)]
pub(super) struct Reads {
    open: Vec<OpenRead>,
}

/// One read that has not been answered to its end.
#[derive(Debug)]
pub(super) struct OpenRead {
    pub(super) id: QueryId,
    pub(super) ticket: Ticket,
    pub(super) progress: Progress,
    /// The roles that were open to it at some time since it began; all of them are open still.
    pub(super) scope: RoleSet,
    /// The gate's epoch since which the roles of the scope were seen to be open.
    pub(super) epoch: u64,
    /// What it takes of the connection's budget.
    #[expect(dead_code, reason = "it is given back with the read")]
    pub(super) held: HeldBytes,
}

/// How far a read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// A GET, and whether it found something so far.
    Get { found: bool },
    /// A QUERY.
    Query,
    /// A subscription that delivers what was stored when it began.
    Stored,
    /// A subscription that delivers what arrives.
    Live,
}

impl Reads {
    /// Whether one more read would be too many.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= limits::STREAM_QUERIES_MAX
    }

    /// Whether no read is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Adds a read, whose query ID no open one has.
    pub(super) fn insert(&mut self, read: OpenRead) {
        assert!(!self.is_full(), "the caller asked before");
        assert!(
            self.open.iter().all(|open| open.id != read.id),
            "an ID is open once"
        );
        self.open.push(read);
    }

    /// The read with that ticket. None is there where it was cancelled meanwhile.
    pub(super) fn by_ticket(&mut self, ticket: Ticket) -> Option<&mut OpenRead> {
        self.open.iter_mut().find(|read| read.ticket == ticket)
    }

    /// Takes the read with that ticket out: its driver has ended it.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<OpenRead> {
        let place = self.open.iter().position(|read| read.ticket == ticket)?;
        Some(self.open.swap_remove(place))
    }

    /// Cancels the read with that query ID, without a word to the peer. Whether there was one.
    pub(super) fn cancel(&mut self, id: QueryId, output: &mut Output) -> bool {
        let Some(place) = self.open.iter().position(|read| read.id == id) else {
            return false;
        };
        let ticket = self.open.swap_remove(place).ticket;
        output.push(Action::Cancel { ticket });
        true
    }

    /// Cancels every read, without a word to the peer.
    pub(super) fn cancel_all(&mut self, output: &mut Output) {
        for OpenRead { ticket, .. } in self.open.drain(..) {
            output.push(Action::Cancel { ticket });
        }
    }

    /// Ends every read whose scope has a role that is shut, or was for a moment.
    ///
    /// A read of several roles ends with the first of them: were it left open, the peer would
    /// never learn what it missed until that role opened again.
    pub(super) fn close_shut(&mut self, gate: &Gate, output: &mut Output) {
        self.open.retain(|read| {
            if read.is_whole(gate) {
                return true;
            }
            output.push(Action::Cancel {
                ticket: read.ticket,
            });
            output.send(&ServerMessage::QueryClosed {
                id: read.id,
                result: ResultCode::TemporaryError,
            });
            false
        });
    }

    /// Adds the roles of `reach`, which were open at `epoch`, to the scope of every read: what it
    /// delivers comes from them too.
    pub(super) fn widen(&mut self, reach: RoleSet, epoch: u64) {
        for read in &mut self.open {
            read.epoch = epoch;
            read.scope = read.scope.union(reach);
        }
    }
}

impl OpenRead {
    /// Whether every role of the scope was open all the time, so that nothing was left out.
    pub(super) fn is_whole(&self, gate: &Gate) -> bool {
        self.scope.intersection(gate.open_since(self.epoch)) == self.scope
    }

    /// What the peer is told when the driver ends the read with `result`.
    pub(super) fn closing_result(&self, result: ResultCode) -> ResultCode {
        match (self.progress, result) {
            (Progress::Get { found: false }, ResultCode::Success) => ResultCode::NotFound,
            _ => result,
        }
    }
}
