//! What one request has cost so far, and what follows from it.

use std::fmt;

use super::readers::{Lane, ReaderPanicked};
use super::requests::Stop;
use super::sight::Sight;
use crate::base::Seq;
use crate::base::limits::{
    PAGE_MAX_COST_KEYS, QUERY_SCAN_RESUMED_FACTOR, RECORD_COST_KEYS, SHORT_READ_COST_KEYS,
};
use crate::store::PageBudget;

/// What one request has cost so far. It decides in which queue the next page stands, how large that
/// is, and when the request has looked at enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    spent: Spent,
    /// Keys that may be looked at in vain.
    vain_max_keys: u64,
}

/// What a request has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    /// As [`PageBudget`] counts.
    keys: u64,
    delivered: u64,
}

impl Effort {
    /// Of a request that may look at `scan_max` records without delivering them.
    pub(super) fn new(scan_max: u32) -> Self {
        Self {
            spent: Spent::default(),
            vain_max_keys: u64::from(scan_max).saturating_mul(RECORD_COST_KEYS.into()),
        }
    }

    /// Of one that has to come to its end, whatever it costs.
    pub(super) const fn unbounded() -> Self {
        Self {
            spent: Spent {
                keys: 0,
                delivered: 0,
            },
            vain_max_keys: u64::MAX,
        }
    }

    /// The same for one that asks for what was received since some time, from a log that ends at
    /// `tail`. It may look at more records; and each place of the log may have a key in the index
    /// that has to be passed over.
    pub(super) fn resumed(self, tail: Seq) -> Self {
        let records = self.vain_max_keys.saturating_mul(QUERY_SCAN_RESUMED_FACTOR);
        Self {
            vain_max_keys: records.saturating_add(tail.get()),
            ..self
        }
    }

    /// The same for one that also has to look for `count` things, each at a cost of `keys`.
    pub(super) fn more(self, count: usize, keys: u64) -> Self {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        Self {
            vain_max_keys: self
                .vain_max_keys
                .saturating_add(count.saturating_mul(keys)),
            ..self
        }
    }

    /// What the next page may cost: not much more than what may still be looked at in vain, or what is
    /// refused would depend on how much a page gets done in its time.
    pub(super) fn budget(&self) -> PageBudget {
        let vain_left = self.vain_max_keys.saturating_sub(self.spent.vain_keys());
        let short = SHORT_READ_COST_KEYS.saturating_sub(self.spent.keys);
        PageBudget {
            cost_keys: match self.lane() {
                Lane::Short => short,
                Lane::Long => vain_left.clamp(SHORT_READ_COST_KEYS, PAGE_MAX_COST_KEYS),
            },
            paced: self.lane() == Lane::Long,
            ..PageBudget::default()
        }
    }

    /// Reads a page on the share of the pool that `sight` has. `work` also returns what it cost.
    ///
    /// # Errors
    /// [`ReaderPanicked`].
    pub(super) async fn read<T: Send + 'static>(
        &self,
        sight: &Sight,
        work: impl FnOnce() -> (T, u64) + Send + 'static,
    ) -> Result<T, ReaderPanicked> {
        sight.read(self.lane(), work).await
    }

    /// Notes what a page cost, and how many records it had.
    ///
    /// # Errors
    /// [`Stop::TooWide`]: nothing more should be read. The page itself is good.
    pub(super) fn add(&mut self, cost_keys: u64, delivered: usize) -> Result<(), Stop> {
        let spent = &mut self.spent;
        spent.keys = spent.keys.saturating_add(cost_keys);
        let delivered = u64::try_from(delivered).unwrap_or(u64::MAX);
        spent.delivered = spent.delivered.saturating_add(delivered);
        if spent.vain_keys() > self.vain_max_keys {
            return Err(Stop::TooWide(*spent));
        }
        Ok(())
    }

    const fn lane(&self) -> Lane {
        if self.spent.keys < SHORT_READ_COST_KEYS {
            Lane::Short
        } else {
            Lane::Long
        }
    }
}

impl Spent {
    /// What it cost beyond reading what it delivered.
    fn vain_keys(&self) -> u64 {
        let used = self.delivered.saturating_mul(RECORD_COST_KEYS.into());
        self.keys.saturating_sub(used)
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let looked_at = self.keys / u64::from(RECORD_COST_KEYS);
        write!(
            f,
            "a cost of {looked_at} records for {} delivered ones",
            self.delivered
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = RECORD_COST_KEYS as u64;

    #[test]
    fn a_request_stands_in_the_short_queue_until_it_had_its_moment() {
        let mut effort = Effort::new(u32::MAX);
        assert_eq!(effort.lane(), Lane::Short);
        assert_eq!(effort.budget().cost_keys, SHORT_READ_COST_KEYS);
        effort.add(SHORT_READ_COST_KEYS - 1, 0).unwrap();
        assert_eq!((effort.lane(), effort.budget().cost_keys), (Lane::Short, 1));
        effort.add(1, 0).unwrap();
        assert_eq!(effort.lane(), Lane::Long);
        assert_eq!(effort.budget().cost_keys, PAGE_MAX_COST_KEYS);
    }

    #[test]
    fn what_is_delivered_is_not_looked_at_in_vain() {
        let mut effort = Effort::new(100);
        for _ in 0..1_000 {
            effort.add(10 * KEYS, 10).unwrap();
        }
        effort.add(100 * KEYS, 0).unwrap();
        let stop = effort.add(1, 0);
        assert!(matches!(stop, Err(Stop::TooWide(_))), "{stop:?}");
    }

    #[test]
    fn the_last_page_is_not_larger_than_what_is_left_to_look_at() {
        let mut effort = Effort::new(1_000);
        effort.add(SHORT_READ_COST_KEYS, 0).unwrap();
        let left = 1_000 * KEYS - SHORT_READ_COST_KEYS;
        assert_eq!(effort.budget().cost_keys, left);
        effort.add(left, 0).unwrap();
        assert_eq!(effort.budget().cost_keys, SHORT_READ_COST_KEYS);
        assert!(effort.add(1, 0).is_err());
    }

    #[test]
    fn whoever_resumes_may_look_at_more() {
        let bound = 100 * KEYS * QUERY_SCAN_RESUMED_FACTOR + 7;
        let mut effort = Effort::new(100).resumed(Seq::new(7));
        effort.add(bound, 0).unwrap();
        assert!(effort.add(1, 0).is_err());
        let mut effort = Effort::unbounded();
        effort.add(u64::MAX, 0).unwrap();
    }
}
