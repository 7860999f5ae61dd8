//! How long one page of work may take.

use std::time::{Duration, Instant};

use crate::base::limits;

/// What one page may cost; it ends at whichever is used up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageBudget {
    /// Most entries in the page.
    pub rows: usize,
    /// Bytes of records past which no further entry joins the page.
    pub bytes: usize,
    /// Time after which the page ends, with what it has.
    pub time: Duration,
}

impl Default for PageBudget {
    fn default() -> Self {
        Self {
            rows: limits::PAGE_MAX_RECORDS,
            bytes: limits::PAGE_MAX_BYTES,
            time: limits::PAGE_TIME_BUDGET,
        }
    }
}

/// The time of one page. It is looked at after some work only: asking for the time costs as
/// much as several keys, and a page that does no work at all would never end.
pub(super) struct Clock {
    deadline: Option<Instant>,
    worked: u32,
}

impl Clock {
    /// Starts the time of a page; one that is too long to tell never ends.
    pub(super) fn start(time: Duration) -> Self {
        Self {
            deadline: Instant::now().checked_add(time),
            worked: 0,
        }
    }

    /// Notes work worth that many keys. True when the time is over.
    pub(super) fn is_over(&mut self, keys: u32) -> bool {
        self.worked = self.worked.saturating_add(keys);
        if self.worked < LOOK_EVERY_KEYS {
            return false;
        }
        self.worked = 0;
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Work between two looks at the time, in steps from one key to the next.
const LOOK_EVERY_KEYS: u32 = 64;

/// What finding a place among the keys costs.
pub(super) const SEEK_KEYS: u32 = 8;

/// What reading a record and holding a filter against it costs.
pub(super) const RECORD_KEYS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_time_still_does_some_work() {
        let mut clock = Clock::start(Duration::ZERO);
        let steps = (1..).find(|_| clock.is_over(1)).unwrap();
        assert_eq!(steps, LOOK_EVERY_KEYS);
        assert!(!clock.is_over(1));
        assert!(clock.is_over(LOOK_EVERY_KEYS));
    }

    #[test]
    fn a_time_too_long_to_tell_never_ends() {
        let mut clock = Clock::start(Duration::MAX);
        assert!((0..10_000).all(|_| !clock.is_over(SEEK_KEYS)));
    }
}
