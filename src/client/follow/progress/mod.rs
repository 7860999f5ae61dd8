//! Where a followed subscription stands: what to ask on the next connection, and which of the
//! records that then come were handed on before. No I/O and no clock.
//!
//! # Nothing is missed
//! A subscription that breaks off is resumed by *received since*. The moment to name is one for
//! which it is sure that every record the server received before it has come through: a *proof*.
//! There are two, both by the server's own clock:
//!
//! * LOCALLY COMPLETE: what was received before the subscription was asked for has come.
//! * While nothing waits to be taken, INFO answers: what was received before INFO was sent has
//!   come, but for what the server needs to put a record on its way.
//!
//! The subscription is resumed [`limits::FOLLOW_OVERLAP`] before the last proof, so that what was
//! on its way, in a batch of the store, or on the wrong side of a clock's small correction comes
//! again. How far a caller or a network lags behind does not matter: no proof, no step forward.
//!
//! A server without INFO leaves the local clock, [`limits::FOLLOW_OVERLAP_LOCAL_CLOCK`] back; there
//! the proof is that packets arrived while nothing waited. A local clock that is wrong by more than
//! that can then miss records over a lost connection.
//!
//! # Nothing comes twice
//! A record can come again only if the server received it after the moment that is named, and it
//! was handed on later still. So the IDs of what was handed on since then, and a slack of one more
//! overlap for the difference of the clocks, are all that has to be remembered. While proofs come,
//! that is what arrives in 105 seconds. It never exceeds
//! [`limits::FOLLOW_REMEMBERED_MAX_RECORDS`]: past it the oldest are forgotten, and a connection
//! that is lost right then brings some records a second time, but none is missed. The same happens
//! where a server's clock is set by more than the overlap.
//!
//! # Stored records
//! They come newest first. Where the connection breaks in their midst, the rest is asked for by
//! *until* the oldest one that came, and the IDs that have exactly that timestamp are told apart by
//! name. So a long listing goes on where it stopped instead of starting over.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::narrow::{TimeElement, with_time};
use super::window::Window;
use crate::base::limits;
use crate::wire::{Filter, FilterError, IdPrefix, RecordId, ResultCode, Timestamp};

/// What a clock said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// When, by the local monotonic clock.
    pub(super) at: Instant,
    /// The time at `at` or a little earlier, never later.
    pub(super) time: Timestamp,
    pub(super) clock: Clock,
}

/// Whose time of day it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Server,
    Local,
}

/// What to ask of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Query(Filter, u16),
    Subscribe(Filter, u16),
}

/// What follows from the end of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Ask the next thing on the same connection.
    AskAgain,
    /// The server says that nothing more will come.
    Ended,
    /// The server ended it before its time.
    Refused(ResultCode),
}

/// Where a followed subscription stands.
#[derive(Debug)]
pub(super) struct Progress {
    filter: Filter,
    limit: u16,
    phase: Phase,
    /// The last moment of which it is sure that everything up to it has come, or is part of the
    /// stored records that [`Phase::Rest`] still asks for.
    proof: Option<Reading>,
    window: Window,
    /// LOCALLY COMPLETE has been handed on.
    is_complete: bool,
}

#[derive(Debug)]
enum Phase {
    /// The subscription as the caller asked for it.
    Whole(Stored),
    /// The stored records received before `cut` that a broken-off [`Phase::Whole`] did not come to.
    Rest { cut: Timestamp, stored: Stored },
    /// What was received since the proof; the stored part is over.
    Live,
}

/// How far the stored records came.
#[derive(Debug, Default)]
struct Stored {
    /// Timestamp of the oldest record that came.
    reached: Option<Timestamp>,
    /// The records that came and have exactly that timestamp.
    edge: HashSet<IdPrefix>,
    /// How many came.
    count: u16,
    /// Whether the present request brought something new.
    has_moved: bool,
}

impl Progress {
    pub(super) fn new(filter: Filter, limit: u16) -> Self {
        Self {
            filter,
            limit,
            phase: Phase::Whole(Stored::default()),
            proof: None,
            window: Window::new(limits::FOLLOW_REMEMBERED_MAX_RECORDS),
            is_complete: false,
        }
    }

    /// What to ask now. `reading` was taken on this connection, before this is asked.
    ///
    /// # Errors
    /// The caller's filter is too large to be narrowed by one more time.
    pub(super) fn ask(&mut self, reading: Reading) -> Result<Ask, FilterError> {
        if let Phase::Rest { stored, .. } = &self.phase
            && self.limit != 0
            && stored.count >= self.limit
        {
            self.phase = Phase::Live;
        }
        match &mut self.phase {
            Phase::Whole(_) => {
                self.proof = Some(reading);
                Ok(Ask::Subscribe(self.filter.clone(), self.limit))
            }
            Phase::Rest { cut, stored } => {
                stored.has_moved = false;
                stored.rest(&self.filter, *cut, self.limit)
            }
            Phase::Live => {
                let since = self.proof.map(|proof| resume_at(proof, reading));
                let since = since.max(self.filter.received_since());
                let filter = match since {
                    Some(since) => with_time(&self.filter, TimeElement::ReceivedSince, since)?,
                    None => self.filter.clone(),
                };
                Ok(Ask::Subscribe(filter, 0))
            }
        }
    }

    /// A record came. Whether it is to be handed on.
    pub(super) fn record(&mut self, now: Instant, id: RecordId) -> bool {
        match &mut self.phase {
            Phase::Whole(stored) => {
                let is_new = self.window.insert(now, id.prefix());
                stored.take(id);
                is_new
            }
            Phase::Rest { stored, .. } => stored.take(id),
            Phase::Live => self.window.insert(now, id.prefix()),
        }
    }

    /// LOCALLY COMPLETE came, on a connection whose clock said `reading` before it was asked for.
    /// Whether it is to be handed on.
    pub(super) fn locally_complete(&mut self, reading: Reading) -> bool {
        self.phase = Phase::Live;
        self.prove(reading);
        !std::mem::replace(&mut self.is_complete, true)
    }

    /// Everything that the server received before `reading` has come.
    ///
    /// To be called only after LOCALLY COMPLETE on the same connection.
    pub(super) fn prove(&mut self, reading: Reading) {
        self.proof = Some(reading);
        let overlap = overlap_of(reading.clock);
        if let Some(time) = reading.at.checked_sub(overlap * 2) {
            self.window.forget_before(time);
        }
    }

    /// The query or subscription was closed with `result`.
    pub(super) fn closed(&mut self, result: ResultCode) -> Closed {
        match (&self.phase, result) {
            (Phase::Rest { .. }, ResultCode::Success) => {
                self.phase = Phase::Live;
                Closed::AskAgain
            }
            // The server's cap on one query: the next one starts where this one stopped.
            (Phase::Rest { stored, .. }, ResultCode::TooOpen) if stored.has_moved => {
                Closed::AskAgain
            }
            (_, ResultCode::Success) => Closed::Ended,
            (_, refused) => Closed::Refused(refused),
        }
    }

    /// The connection, or the subscription on it, broke off.
    pub(super) fn lost(&mut self) {
        let Phase::Whole(stored) = &mut self.phase else {
            return;
        };
        let stored = std::mem::take(stored);
        self.phase = match self.proof {
            Some(proof) if proof.clock == Clock::Server && stored.reached.is_some() => {
                let cut = proof.time.saturating_sub(overlap_of(proof.clock));
                Phase::Rest { cut, stored }
            }
            // By no clock but the server's can stored records be told from live ones, so all of
            // them are asked for again; those that came are remembered.
            _ => Phase::Whole(Stored::default()),
        };
    }

    /// How many records are remembered.
    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.window.len()
    }
}

impl Stored {
    /// A stored record came. Whether it is new: those at the edge come again.
    fn take(&mut self, id: RecordId) -> bool {
        let timestamp = id.timestamp();
        if self.reached.is_none_or(|reached| timestamp < reached) {
            self.reached = Some(timestamp);
            self.edge.clear();
        }
        let is_at_edge = self.reached == Some(timestamp);
        let has_room = self.edge.len() < limits::FOLLOW_REMEMBERED_MAX_RECORDS;
        if is_at_edge && has_room && !self.edge.insert(id.prefix()) {
            return false;
        }
        self.count = self.count.saturating_add(1);
        self.has_moved = true;
        true
    }

    /// Asks for the stored records behind the edge.
    fn rest(&self, filter: &Filter, cut: Timestamp, limit: u16) -> Result<Ask, FilterError> {
        let until = earlier(filter.until(), self.reached.unwrap_or(Timestamp::MAX));
        let before_cut = cut.saturating_sub(Duration::from_nanos(1));
        let received = earlier(filter.received_until(), before_cut);
        let filter = with_time(filter, TimeElement::Until, until)?;
        let filter = with_time(&filter, TimeElement::ReceivedUntil, received)?;
        let left = match limit {
            0 => 0,
            limit => {
                let again = u16::try_from(self.edge.len()).unwrap_or(u16::MAX);
                limit.saturating_sub(self.count).saturating_add(again)
            }
        };
        Ok(Ask::Query(filter, left))
    }
}

/// The *received since* that brings everything after `proof`, asked for on a connection whose
/// clock says `now`.
fn resume_at(proof: Reading, now: Reading) -> Timestamp {
    let passed = now.at.saturating_duration_since(proof.at);
    // When the proof was, by the clock as it goes today: it may have been set since.
    let by_clock_now = now.time.saturating_sub(passed);
    let time = match (proof.clock, now.clock) {
        (Clock::Local, Clock::Server) => by_clock_now,
        (Clock::Server, Clock::Local) => proof.time,
        (Clock::Server, Clock::Server) | (Clock::Local, Clock::Local) => {
            proof.time.min(by_clock_now)
        }
    };
    time.saturating_sub(overlap_of(proof.clock))
}

const fn overlap_of(clock: Clock) -> Duration {
    match clock {
        Clock::Server => limits::FOLLOW_OVERLAP,
        Clock::Local => limits::FOLLOW_OVERLAP_LOCAL_CLOCK,
    }
}

fn earlier(asked: Option<Timestamp>, bound: Timestamp) -> Timestamp {
    asked.map_or(bound, |asked| asked.min(bound))
}

#[cfg(test)]
mod tests;
