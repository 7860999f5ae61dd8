//! One limit, as a moment in time (the generic cell rate algorithm).

use std::time::Duration;

/// How much is allowed: `per_second` in the long run, `burst` at once after a time of quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// What may be used in a second; 0 sets no limit.
    pub per_second: u64,
    /// What may be used at once; at least 1 is taken.
    pub burst: u64,
}

/// Ticks since the rates began; a tick is a sixteenth of a nanosecond, so that a rate of hundreds of
/// millions has a price of more than a few. They last for 36 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticks(u64);

/// How far something is used: the moment at which all of its allowance is there again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell(Ticks);

/// An allowance in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    /// What one unit takes. Rounded up: never more is let through than is allowed.
    price: u64,
    /// What the burst takes.
    depth: u64,
}

impl Ticks {
    #[cfg(test)]
    pub(super) const ZERO: Self = Self(0);

    pub(super) fn of(span: Duration) -> Self {
        let ticks = span.as_nanos().saturating_mul(u128::from(PER_NANO));
        Self(u64::try_from(ticks).unwrap_or(u64::MAX))
    }

    pub(super) fn span(self) -> Duration {
        Duration::from_nanos(self.0.div_ceil(PER_NANO))
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Meter {
    /// `None` where there is no limit.
    pub(super) fn of(allowance: Allowance) -> Option<Self> {
        if allowance.per_second == 0 {
            return None;
        }
        let price = PER_SECOND.div_ceil(allowance.per_second);
        let depth = price.saturating_mul(allowance.burst.max(1));
        Some(Self { price, depth })
    }

    /// As many units in an hour, and as many at once.
    pub(super) fn hourly(units: u32) -> Self {
        let price = PER_SECOND
            .saturating_mul(3_600)
            .div_ceil(u64::from(units.max(1)));
        Self {
            price,
            depth: price.saturating_mul(u64::from(units.max(1))),
        }
    }

    /// The moment at which everything is there again, if `units` are used at `now`; `None` where
    /// they are more than is left.
    pub(super) fn used(self, cell: Cell, now: Ticks, units: u64) -> Option<Cell> {
        let after = self.after(cell, now, units);
        (after.0 <= now.plus(Ticks(self.depth))).then_some(after)
    }

    /// The same, but whoever used nothing lately may use even more than the burst, and owes it then.
    pub(super) fn granted(
        self,
        cell: Cell,
        now: Ticks,
        units: u64,
        debt_max: Ticks,
    ) -> Option<Cell> {
        let used = self.used(cell, now, units);
        used.or_else(|| {
            cell.is_full(now)
                .then(|| self.owed(cell, now, units, debt_max))
        })
    }

    /// The same for units that were used already, whether or not they were left. What is owed is
    /// no more than `debt_max`.
    pub(super) fn owed(self, cell: Cell, now: Ticks, units: u64, debt_max: Ticks) -> Cell {
        let most = now.plus(Ticks(self.depth)).plus(debt_max);
        Cell(self.after(cell, now, units).0.min(most))
    }

    /// How long it takes until nothing is owed any more.
    pub(super) fn wait(self, cell: Cell, now: Ticks) -> Ticks {
        cell.0.minus(now).minus(Ticks(self.depth))
    }

    /// The meter that lets `factor` times as many units through, and `depth` worth of them at once.
    pub(super) fn faster(self, factor: u32, depth: Ticks) -> Self {
        Self {
            price: self.price.div_ceil(u64::from(factor.max(1))),
            depth: depth.0,
        }
    }

    fn after(self, cell: Cell, now: Ticks, units: u64) -> Cell {
        let price = Ticks(self.price.saturating_mul(units));
        Cell(cell.0.max(now).plus(price))
    }
}

impl Cell {
    /// Whether all of the allowance is there.
    pub(super) fn is_full(self, now: Ticks) -> bool {
        self.0 <= now
    }
}

/// Ticks of a nanosecond.
const PER_NANO: u64 = 16;

/// Ticks of a second.
const PER_SECOND: u64 = 1_000_000_000 * PER_NANO;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meter(per_second: u64, burst: u64) -> Meter {
        Meter::of(Allowance { per_second, burst }).unwrap()
    }

    fn millis(count: u64) -> Ticks {
        Ticks::of(Duration::from_millis(count))
    }

    #[test]
    fn a_burst_passes_and_then_one_unit_in_each_interval() {
        let meter = meter(10, 3);
        let mut cell = Cell::default();
        let mut passes = |at: u64| match meter.used(cell, millis(at), 1) {
            Some(after) => {
                cell = after;
                true
            }
            None => false,
        };
        assert_eq!([0, 0, 0, 0].map(&mut passes), [true, true, true, false]);
        assert_eq!([99, 100, 150].map(&mut passes), [false, true, false]);
        assert_eq!(
            [200, 400, 400, 400].map(&mut passes),
            [true, true, true, false]
        );
    }

    #[test]
    fn what_was_used_without_asking_is_made_good_in_time_and_bounded() {
        let meter = meter(10, 3);
        let cell = meter.owed(Cell::default(), millis(0), 5, millis(60_000));
        assert_eq!(meter.wait(cell, millis(0)), millis(200));
        assert_eq!(meter.wait(cell, millis(150)), millis(50));
        assert_eq!(meter.wait(cell, millis(250)), millis(0));
        assert!(meter.used(cell, millis(0), 1).is_none());
        let cell = meter.owed(cell, millis(0), u64::MAX, millis(1_000));
        assert_eq!(meter.wait(cell, millis(0)), millis(1_000));
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_are_let_through(
            per_second in 1_u64..2_000,
            burst in 1_u64..50,
            steps in proptest::collection::vec((0_u64..200_000_000, 1_u64..4), 1..200),
        ) {
            let meter = meter(per_second, burst);
            let (mut cell, mut nanos, mut used) = (Cell::default(), 0_u64, 0_u64);
            for (pause, units) in steps {
                nanos += pause;
                let now = Ticks::of(Duration::from_nanos(nanos));
                if let Some(after) = meter.used(cell, now, units) {
                    cell = after;
                    used += units;
                }
                let allowed = u128::from(burst) * 1_000_000_000
                    + u128::from(per_second) * u128::from(nanos);
                prop_assert!(u128::from(used) * 1_000_000_000 <= allowed);
            }
            // Nobody is starved: after the time of one unit, one unit passes.
            let rest = Ticks::of(Duration::from_nanos(nanos + 1_000_000_000 / per_second + 1));
            prop_assert!(meter.used(cell, rest, 1).is_some());
        }
    }
}
