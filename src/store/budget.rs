//! How long one page of work may take.

use std::thread;
use std::time::{Duration, Instant};

use crate::base::limits;

/// What one page may cost; it ends at whichever is used up first.
///
/// Costs are counted in keys of the index: a step from one to the next is one, finding a place
/// among them eight, reading a record [`limits::RECORD_COST_KEYS`]. They are about in proportion to
/// processor time, and, unlike it, the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageBudget {
    /// Most entries in the page.
    pub rows: usize,
    /// Bytes of records past which no further entry joins the page.
    pub bytes: usize,
    /// Bytes of records that the page has at most: one that would exceed them is left for the next
    /// page, even where this one has no other.
    pub bytes_max: usize,
    /// Keys past which the page ends, with what it has. A few more are looked at in any case.
    pub cost_keys: u64,
    /// Time after which the page ends, with what it has.
    pub time: Duration,
    /// Whether the thread rests, again and again, for as long as it worked: then whoever waits for
    /// the processor or the disk gets them within [`limits::PACED_BURST`].
    pub paced: bool,
}

impl Default for PageBudget {
    fn default() -> Self {
        Self {
            rows: limits::PAGE_MAX_RECORDS,
            bytes: limits::PAGE_MAX_BYTES,
            bytes_max: usize::MAX,
            cost_keys: limits::PAGE_MAX_COST_KEYS,
            time: limits::PAGE_TIME_BUDGET,
            paced: false,
        }
    }
}

/// The time of one page, and what it cost. Both are looked at after some work only: asking for the
/// time costs as much as several keys, and a page that does no work at all would never end.
pub(super) struct Clock {
    deadline: Option<Instant>,
    worked: u32,
    cost_keys: u64,
    cost_max_keys: u64,
    /// Where the thread rests at times: when it last did.
    rested: Option<Instant>,
}

impl Clock {
    /// Starts the time of a page; one that is too long to tell never ends.
    pub(super) fn start(budget: PageBudget) -> Self {
        let now = Instant::now();
        Self {
            deadline: now.checked_add(budget.time),
            worked: 0,
            cost_keys: 0,
            cost_max_keys: budget.cost_keys,
            rested: budget.paced.then_some(now),
        }
    }

    /// Notes work worth that many keys. True when the page has to end.
    pub(super) fn is_over(&mut self, keys: u32) -> bool {
        self.worked = self.worked.saturating_add(keys);
        self.note(keys.into());
        if self.worked < LOOK_EVERY_KEYS {
            return false;
        }
        self.worked = 0;
        let now = Instant::now();
        if let Some(rested) = &mut self.rested {
            let burst = now.saturating_duration_since(*rested);
            if burst >= limits::PACED_BURST {
                thread::sleep(burst);
                *rested = Instant::now();
            }
        }
        self.cost_keys >= self.cost_max_keys
            || self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Notes work worth that many keys, which is not to be cut off.
    pub(super) const fn note(&mut self, keys: u64) {
        self.cost_keys = self.cost_keys.saturating_add(keys);
    }

    /// What the page cost so far.
    pub(super) const fn cost_keys(&self) -> u64 {
        self.cost_keys
    }
}

/// Work between two looks at the time, in steps from one key to the next.
const LOOK_EVERY_KEYS: u32 = 64;

/// What finding a place among the keys costs.
pub(super) const SEEK_KEYS: u32 = 8;

/// What reading a record and holding a filter against it costs.
pub(super) const RECORD_KEYS: u32 = limits::RECORD_COST_KEYS;

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(time: Duration, cost_keys: u64) -> PageBudget {
        PageBudget {
            cost_keys,
            time,
            ..PageBudget::default()
        }
    }

    #[test]
    fn a_page_without_time_still_does_some_work() {
        let mut clock = Clock::start(budget(Duration::ZERO, u64::MAX));
        let steps = (1..).find(|_| clock.is_over(1)).unwrap();
        assert_eq!(steps, LOOK_EVERY_KEYS);
        assert!(!clock.is_over(1));
        assert!(clock.is_over(LOOK_EVERY_KEYS));
    }

    #[test]
    fn a_time_too_long_to_tell_never_ends() {
        let mut clock = Clock::start(budget(Duration::MAX, u64::MAX));
        assert!((0..10_000).all(|_| !clock.is_over(SEEK_KEYS)));
    }

    #[test]
    fn a_page_ends_when_its_cost_is_used_up_and_tells_what_it_cost() {
        let mut clock = Clock::start(budget(Duration::MAX, 100));
        let steps = (1..).find(|_| clock.is_over(1)).unwrap();
        assert_eq!(steps, 2 * LOOK_EVERY_KEYS);
        clock.note(1_000);
        assert_eq!(clock.cost_keys(), u64::from(steps) + 1_000);
    }
}
