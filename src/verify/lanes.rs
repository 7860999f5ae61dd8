//! Lanes whose records are kept out of batches.

use std::collections::{HashSet, VecDeque};

use crate::base::limits;

/// Lanes that sent a wrong signature, the latest [`limits::VERIFY_SINGLED_OUT_MAX`] of them.
///
/// To be forgotten again, a lane must wait until that many others did the same, each on a
/// connection of its own: a handshake costs its sender more than a spoiled batch costs us.
#[derive(Debug, Default)]
pub(super) struct SingledOut {
    lanes: HashSet<u64>,
    by_age: VecDeque<u64>,
}

impl SingledOut {
    pub(super) fn contains(&self, lane: u64) -> bool {
        self.lanes.contains(&lane)
    }

    pub(super) fn insert(&mut self, lane: u64) {
        if !self.lanes.insert(lane) {
            return;
        }
        self.by_age.push_back(lane);
        if self.by_age.len() > limits::VERIFY_SINGLED_OUT_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.lanes.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_lanes_are_remembered() {
        let mut singled_out = SingledOut::default();
        let max = u64::try_from(limits::VERIFY_SINGLED_OUT_MAX).unwrap();
        for lane in 0..=max {
            singled_out.insert(lane);
            singled_out.insert(lane);
        }
        assert!(!singled_out.contains(0));
        assert!(singled_out.contains(1));
        assert!(singled_out.contains(max));
        assert_eq!(singled_out.by_age.len(), limits::VERIFY_SINGLED_OUT_MAX);
        assert_eq!(singled_out.lanes.len(), limits::VERIFY_SINGLED_OUT_MAX);
    }
}
