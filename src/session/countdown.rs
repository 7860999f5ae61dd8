//! A time that runs while the peer can do something about it.

use std::time::{Duration, Instant};

use super::event::Intake;
use crate::base::limits;

/// How long the peer may still take for something.
///
/// The time stands still while the driver does not read: the missing bytes may have been here for
/// long. Where it is the peer that keeps the driver from reading, that has a bound, or half a message
/// could be kept here for ever by somebody who now and then takes a byte of what they asked for:
/// [`limits::STALLED_TIMEOUT`] in all, and then the time runs on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Countdown {
    /// What was left at `since`.
    left: Duration,
    /// How long the peer might still keep it standing at `since`.
    grace: Duration,
    since: Instant,
    intake: Intake,
}

impl Countdown {
    /// One of `length` that runs from `now` on.
    pub(super) const fn new(length: Duration, now: Instant) -> Self {
        Self {
            left: length,
            grace: limits::STALLED_TIMEOUT,
            since: now,
            intake: Intake::Reads,
        }
    }

    /// When it runs out; `None` while it stands still for as long as the server likes.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self.intake {
            Intake::Reads => Some(self.since + self.left),
            Intake::Blocked => Some(self.since + self.grace + self.left),
            Intake::Rests => None,
        }
    }

    /// Takes note of what the driver does from `now` on.
    pub(super) fn set(&mut self, intake: Intake, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        let ran = match self.intake {
            Intake::Reads => passed,
            Intake::Blocked => {
                let ran = passed.saturating_sub(self.grace);
                self.grace = self.grace.saturating_sub(passed);
                ran
            }
            Intake::Rests => Duration::ZERO,
        };
        self.left = self.left.saturating_sub(ran);
        self.since = now;
        self.intake = intake;
    }
}
