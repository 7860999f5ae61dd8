//! How long to wait before connecting again.

use std::time::Duration;

use crate::base::limits;

/// Waits that double from [`limits::FOLLOW_BACKOFF_MIN`] to [`limits::FOLLOW_BACKOFF_MAX`].
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait. `chance`, from 0 to 1, spreads it over its upper half, so that the clients of
    /// a server that restarts do not come back all at once.
    pub(super) fn next(&mut self, chance: f64) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let longest = limits::FOLLOW_BACKOFF_MIN.saturating_mul(factor);
        let longest = longest.min(limits::FOLLOW_BACKOFF_MAX);
        longest.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
    }

    /// The connection is of use again: the next wait is short.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        let mut longest = limits::FOLLOW_BACKOFF_MIN;
        for _ in 0..100 {
            assert_eq!(backoff.next(1.0), longest);
            longest = (longest * 2).min(limits::FOLLOW_BACKOFF_MAX);
        }
        backoff.reset();
        assert_eq!(backoff.next(0.0), limits::FOLLOW_BACKOFF_MIN / 2);
    }
}
