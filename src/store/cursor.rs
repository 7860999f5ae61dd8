//! What a reader looks for, and how far it has come.

use std::collections::VecDeque;

use super::{
    budget::{Clock, RECORD_KEYS},
    error::{Damage, StoreError},
    keys::Hit,
    merge::{Merge, Step},
    planner::{self, Plan, Start},
    record_format::LogEntry,
    recover,
    view::{Keys, View},
};
use crate::{
    base::Seq,
    wire::{Address, Filter, RecordId, RecordRef, Timestamp},
};

/// A position in the results of one question.
///
/// It is plain data: it holds nothing of the database between pages, and at most about 200 kB for
/// the largest filters. What is replaced while it is being paged through is left out.
#[derive(Debug)]
pub struct Cursor {
    wants: Wants,
    until: Seq,
    state: State,
    /// Hits that were found and not looked at yet.
    pending: VecDeque<Hit>,
    /// About the bytes of a record in these results.
    typical_bytes: usize,
}

/// A question to the store.
#[derive(Debug)]
pub(super) enum Wants {
    /// The records that match a filter.
    Filter(Filter),
    /// The record with that ID.
    Id(RecordId),
    /// The records of an address.
    Group(Address),
}

#[derive(Debug)]
enum State {
    New,
    /// Reading the log from `next` to `last`, collecting what matches.
    Walking {
        next: Seq,
        last: Seq,
        hits: Vec<Hit>,
    },
    Merging {
        plan: Plan,
        merge: Merge,
    },
    /// Whatever is left is pending.
    Listed,
}

/// What a page works with.
pub(super) struct Hands<'a, 'v> {
    pub(super) view: &'v View<'a>,
    pub(super) clock: Clock,
    pub(super) keys: Option<Keys<'v>>,
}

/// Whether there may be more to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// As many as were asked for.
    Enough,
    /// Everything that is left is pending.
    All,
    /// The time was over first.
    OutOfTime,
}

impl Cursor {
    /// A cursor over the records that match `filter`, newest timestamp first, among the entries up
    /// to `until`.
    ///
    /// [`Seq::MAX`] means whatever is there when a page is read. A subscription gives the place from
    /// which on it is told of every entry: then it sees each exactly once.
    #[must_use]
    pub fn new(filter: Filter, until: Seq) -> Self {
        Self::of(Wants::Filter(filter), until)
    }

    /// A cursor over the records of one address, newest first.
    #[must_use]
    pub fn of_group(address: Address, until: Seq) -> Self {
        Self::of(Wants::Group(address), until)
    }

    pub(super) fn of(wants: Wants, until: Seq) -> Self {
        Self {
            wants,
            until,
            state: State::New,
            pending: VecDeque::new(),
            typical_bytes: TYPICAL_BYTES,
        }
    }

    /// Looks for hits until `count` are pending. `rows` is what the reader wants in all.
    pub(super) fn find(
        &mut self,
        hands: &mut Hands<'_, '_>,
        count: usize,
        rows: usize,
    ) -> Result<Found, StoreError> {
        if let State::New = self.state {
            self.begin(hands, rows)?;
        }
        if let State::Walking { .. } = self.state
            && !self.walk(hands)?
        {
            return Ok(Found::OutOfTime);
        }
        let State::Merging { plan, merge } = &mut self.state else {
            return Ok(Found::All);
        };
        let keys = match &mut hands.keys {
            Some(keys) => keys,
            none => none.insert(hands.view.index(plan.order())?),
        };
        while self.pending.len() < count {
            match merge.next(plan, keys, &mut hands.clock)? {
                Step::Hit(hit) => self.pending.push_back(hit),
                Step::OutOfTime => return Ok(Found::OutOfTime),
                Step::End => {
                    self.state = State::Listed;
                    return Ok(Found::All);
                }
            }
        }
        Ok(Found::Enough)
    }

    /// Takes up to `count` hits that were found.
    pub(super) fn take(&mut self, count: usize) -> Vec<Hit> {
        let count = count.min(self.pending.len());
        self.pending.drain(..count).collect()
    }

    /// Gives back hits that were taken and not looked at.
    pub(super) fn put_back(&mut self, hits: &[Hit]) {
        for hit in hits.iter().rev() {
            self.pending.push_front(*hit);
        }
    }

    /// Whether nothing is pending.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// How many records are likely to fit into `bytes`.
    pub(super) fn likely_records(&self, bytes: usize) -> usize {
        1 + bytes / self.typical_bytes
    }

    /// Learns the size of a record of the results.
    pub(super) fn learn_size(&mut self, bytes: usize) {
        self.typical_bytes = (self.typical_bytes * 7 + bytes).div_ceil(8);
    }

    /// Whether the record answers the question. Index keys are digests, so it must be asked again.
    pub(super) fn matches(&self, record: &RecordRef<'_>, received: Timestamp) -> bool {
        self.wants.matches(record, received)
    }

    fn begin(&mut self, hands: &mut Hands<'_, '_>, rows: usize) -> Result<(), StoreError> {
        let Hands { view, clock, .. } = hands;
        self.state = match planner::start(view, &self.wants, self.until, clock)? {
            Start::Nothing => State::Listed,
            Start::Walk(next, last) => State::Walking {
                next,
                last,
                hits: Vec::new(),
            },
            Start::Merge(plan) => State::Merging {
                merge: Merge::new(&plan, rows),
                plan,
            },
        };
        Ok(())
    }

    /// Reads on in the log. False if the time is over before the end is reached.
    fn walk(&mut self, hands: &mut Hands<'_, '_>) -> Result<bool, StoreError> {
        let State::Walking { next, last, hits } = &mut self.state else {
            return Ok(true);
        };
        let mut log = hands.view.log()?;
        log.seek(&next.to_be_bytes());
        while *next <= *last {
            let Some((key, value)) = log.item()? else {
                break;
            };
            let seq = recover::seq_of(key)?;
            let entry = LogEntry::decode(value).map_err(|_| Damage::Malformed(seq))?;
            if seq > *last {
                break;
            }
            if let LogEntry::Record(header, record) = entry
                && self.wants.matches(&record, header.received)
            {
                hits.push(Hit::at(record.timestamp(), seq));
            }
            *next = seq.next();
            if hands.clock.is_over(RECORD_KEYS) {
                return Ok(false);
            }
            log.step();
        }
        hits.sort_unstable();
        self.pending = VecDeque::from(std::mem::take(hits));
        self.state = State::Listed;
        Ok(true)
    }
}

impl Wants {
    fn matches(&self, record: &RecordRef<'_>, received: Timestamp) -> bool {
        match self {
            Self::Filter(filter) => filter.matches(record, received),
            Self::Id(id) => record.id() == *id,
            Self::Group(address) => record.address() == *address,
        }
    }
}

/// What a record is taken to have before any was seen.
const TYPICAL_BYTES: usize = 600;
