//! Which records were handed on lately, so that none is handed on twice.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use crate::wire::IdPrefix;

/// IDs of records, with the time at which each was first seen.
///
/// Holds at most `bound` IDs: past it the oldest is forgotten.
#[derive(Debug)]
pub(super) struct Window {
    bound: usize,
    ids: HashSet<IdPrefix>,
    /// The same IDs, oldest first.
    ages: VecDeque<(Instant, IdPrefix)>,
}

impl Window {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound,
            ids: HashSet::new(),
            ages: VecDeque::new(),
        }
    }

    /// Takes note of a record. Whether it is new.
    pub(super) fn insert(&mut self, now: Instant, id: IdPrefix) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.ages.push_back((now, id));
        if self.ages.len() > self.bound
            && let Some((_, oldest)) = self.ages.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }

    /// Forgets what was first seen before `time`.
    pub(super) fn forget_before(&mut self, time: Instant) {
        while let Some((seen, id)) = self.ages.front()
            && *seen < time
        {
            self.ids.remove(id);
            self.ages.pop_front();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.ids.len(), self.ages.len());
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(number: u8) -> IdPrefix {
        IdPrefix([number; 32])
    }

    #[test]
    fn a_record_is_new_once_until_it_is_forgotten() {
        let start = Instant::now();
        let mut window = Window::new(10);
        assert!(window.insert(start, id(1)));
        assert!(!window.insert(start + Duration::from_secs(5), id(1)));
        window.forget_before(start);
        assert!(!window.insert(start, id(1)));
        window.forget_before(start + Duration::from_secs(1));
        assert!(window.insert(start, id(1)));
    }

    #[test]
    fn past_its_bound_the_window_forgets_the_oldest_first() {
        let start = Instant::now();
        let mut window = Window::new(2);
        for number in [1, 2, 3] {
            assert!(window.insert(start, id(number)));
        }
        assert_eq!(window.len(), 2);
        assert!(!window.insert(start, id(3)));
        assert!(!window.insert(start, id(2)));
        assert!(window.insert(start, id(1)));
        assert_eq!(window.len(), 2);
    }
}
