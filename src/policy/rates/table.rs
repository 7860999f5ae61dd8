//! Who has used how much: a bounded table of accounts.

use std::collections::HashMap;
use std::hash::Hash;

use super::gcra::{Cell, Ticks};
use super::rules::Limit;
use crate::base::limits::RATE_EVICTION_LOOKS_MAX;

/// What one address or key has used, and what it has open.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    cells: [Cell; Limit::COUNT],
    /// Users registered.
    pub(super) registrations: Cell,
    /// Handshakes in flight.
    pub(super) handshakes: u32,
    /// Connections.
    pub(super) connections: u32,
}

/// Accounts by their owners, at most `max` of them.
///
/// An account makes room for a new one only when it says nothing any more: all of its allowance is
/// there again, and nothing is open. So fresh keys, however many, do not make a busy one forgotten.
/// While no such account is found, new owners share one.
#[derive(Debug)]
pub(super) struct Table<K> {
    places: HashMap<K, usize>,
    entries: Vec<(K, Account)>,
    /// Where the search for an account that says nothing goes on.
    hand: usize,
    max: usize,
    common: Account,
}

impl Account {
    pub(super) fn cell(&mut self, limit: Limit) -> &mut Cell {
        let [handshakes, streams, submissions, bytes, rows] = &mut self.cells;
        match limit {
            Limit::Handshakes => handshakes,
            Limit::Streams => streams,
            Limit::Submissions => submissions,
            Limit::Bytes => bytes,
            Limit::QueryRows => rows,
        }
    }

    fn says_nothing(&self, now: Ticks) -> bool {
        self.handshakes == 0
            && self.connections == 0
            && self.registrations.is_full(now)
            && self.cells.iter().all(|cell| cell.is_full(now))
    }

    fn refill(&mut self) {
        self.cells = Default::default();
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            places: HashMap::new(),
            entries: Vec::new(),
            hand: 0,
            max,
            common: Account::default(),
        }
    }

    /// The account of `owner`, a new one if need be, or the common one if there is no room.
    pub(super) fn of(&mut self, owner: K, now: Ticks) -> &mut Account {
        match self.place(owner, now) {
            Some(place) => match self.entries.get_mut(place) {
                Some((_, account)) => account,
                None => &mut self.common,
            },
            None => &mut self.common,
        }
    }

    /// Whether `owner` has an account of its own at this moment.
    pub(super) fn has(&self, owner: K) -> bool {
        self.places.contains_key(&owner)
    }

    /// The account that everybody without one of their own shares.
    pub(super) fn common(&mut self) -> &mut Account {
        &mut self.common
    }

    /// Everybody has all of their allowances again.
    pub(super) fn refill(&mut self) {
        self.common.refill();
        for (_, account) in &mut self.entries {
            account.refill();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn place(&mut self, owner: K, now: Ticks) -> Option<usize> {
        if let Some(place) = self.places.get(&owner) {
            return Some(*place);
        }
        let place = if self.entries.len() < self.max {
            self.entries.push((owner, Account::default()));
            self.entries.len().checked_sub(1)?
        } else {
            let place = self.idle(now)?;
            let entry = self.entries.get_mut(place)?;
            self.places.remove(&entry.0);
            *entry = (owner, Account::default());
            place
        };
        self.places.insert(owner, place);
        Some(place)
    }

    /// The next account that says nothing any more, among the few that are looked at.
    fn idle(&mut self, now: Ticks) -> Option<usize> {
        for _ in 0..RATE_EVICTION_LOOKS_MAX.min(self.entries.len()) {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.entries.len();
            let (_, account) = self.entries.get(place)?;
            if account.says_nothing(now) {
                return Some(place);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::gcra::{Allowance, Meter};
    use super::*;

    /// The moment at which the rates began: what is used then is missing for a second.
    const NOW: Ticks = Ticks::ZERO;

    fn use_up(account: &mut Account) {
        let meter = Meter::of(Allowance {
            per_second: 1,
            burst: 1,
        })
        .unwrap();
        let cell = account.cell(Limit::Streams);
        *cell = meter.used(*cell, NOW, 1).unwrap();
    }

    #[test]
    fn fresh_owners_do_not_make_a_busy_one_forgotten_and_share_one_account_when_all_are_busy() {
        let mut table = Table::new(8);
        for owner in 0..8 {
            use_up(table.of(owner, NOW));
        }
        for fresh in 100..1_000 {
            table.of(fresh, NOW).connections += 1;
            assert!(!table.has(fresh));
        }
        assert_eq!(table.common().connections, 900);
        assert!((0..8).all(|owner| table.has(owner)));
        assert_eq!(table.len(), 8);
    }

    #[test]
    fn an_account_that_says_nothing_any_more_makes_room() {
        let mut table = Table::new(8);
        for owner in 0..8 {
            use_up(table.of(owner, NOW));
        }
        table.of(3, NOW).connections = 1;
        let later = Ticks::of(Duration::from_secs(1));
        for fresh in 100..107 {
            use_up(table.of(fresh, later));
            assert!(table.has(fresh));
        }
        assert!(table.has(3), "something of it is open");
        assert_eq!(table.len(), 8);
    }
}
