//! How much a peer may use in a time: pure counting, on a clock that is passed in.
//!
//! What is used is counted for the key that a peer speaks for and for the network it comes from
//! (an IPv4 address, or an IPv6 network of 64 bits):
//!
//! | peer | its key's account | its network's account |
//! | --- | --- | --- |
//! | user of this server | a user's allowance | of all users there: what a few of them may use |
//! | stranger with a key | a stranger's | of all strangers there: what one of them may use |
//! | anonymous | none | the same |
//!
//! So strangers, however many keys they make, have no more than their address has, and leave the
//! users behind the same address alone.
//!
//! Two things happen past a limit. What has not cost anything yet is refused
//! ([`take`](Rates::take)); what can be made to wait waits ([`spend`](Rates::spend)).

mod counters;
mod gcra;
mod rules;
mod table;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use self::counters::{Count, Counters};
pub use self::gcra::Allowance;
pub use self::rules::{Asker, Limit, RateRules};

use self::counters::add;
use self::gcra::{Cell, Meter, Ticks};
use self::rules::Origin;
use self::table::{Account, Table};
use crate::base::Network;
use crate::base::limits::{
    BANNED_TOLD_PER_SECOND, RATE_DEBT_MAX, RATE_ENTRIES_MAX, RATE_PATIENCE, RATE_REFUSALS_FACTOR,
};
use crate::wire::PublicKey;

/// What every peer has used. One for a server.
#[derive(Debug)]
pub struct Rates {
    /// When the first tick was.
    began: Instant,
    books: Mutex<Books>,
    counters: Counters,
}

#[derive(Debug)]
struct Books {
    rules: RateRules,
    origins: Table<Origin>,
    keys: Table<PublicKey>,
    /// Apart from the others, for these say something for an hour.
    registrations: Table<Network>,
    /// Banned peers that were told so.
    told: Cell,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is within the limits.
    Pass,
    /// It is refused.
    TooFast,
    /// It is refused, and so many were lately that the connection should be closed.
    FarTooFast,
}

/// How much longer one connection can go on being refused.
#[derive(Debug, Default)]
pub struct Patience(Mutex<Cell>);

/// A handshake in flight, or an open connection; counted until it is dropped.
#[derive(Debug)]
pub struct Seat {
    rates: Arc<Rates>,
    kind: SeatKind,
    /// Whose account it is on; `None` for the common one.
    origin: Option<Origin>,
    /// The same for its key, if it has one.
    key: Option<Option<PublicKey>>,
}

#[derive(Clone, Copy, Debug)]
enum SeatKind {
    Handshake,
    Connection,
}

/// What an account may use, and what it has used.
struct Line<'a> {
    meter: Option<Meter>,
    cell: &'a mut Cell,
}

impl Rates {
    /// Nothing was used yet at `now`.
    #[must_use]
    pub fn new(rules: RateRules, now: Instant) -> Self {
        Self {
            began: now,
            books: Mutex::new(Books {
                rules,
                origins: Table::new(RATE_ENTRIES_MAX),
                keys: Table::new(RATE_ENTRIES_MAX),
                registrations: Table::new(RATE_ENTRIES_MAX),
                told: Cell::default(),
            }),
            counters: Counters::default(),
        }
    }

    /// From here on `rules` hold. Where they are others than before, everybody has all of their
    /// allowances again; what is open stays counted.
    pub fn set(&self, rules: RateRules) {
        let mut books = self.books();
        if books.rules != rules {
            books.rules = rules;
            books.origins.refill();
            books.keys.refill();
        }
    }

    /// The rules that hold.
    #[must_use]
    pub fn rules(&self) -> RateRules {
        self.books().rules
    }

    /// How often each limit was met.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Begins a handshake from `address`; `None` where it has as many in flight as it may have, or
    /// began too many lately. Whose they are is not known yet, so they count as strangers'.
    #[must_use]
    pub fn handshake(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Seat> {
        let ticks = self.ticks(now);
        let origin = Origin::Strangers(Network::of(address));
        let mut books = self.books();
        let meter = Meter::of(books.rules.of_origin(Limit::Handshakes, origin));
        let in_flight_max = books.rules.handshakes_in_flight(origin);
        let account = books.origins.of(origin, ticks);
        let is_full = in_flight_max.is_some_and(|max| account.handshakes >= max);
        let cell = account.cell(Limit::Handshakes);
        let used = match meter {
            Some(meter) => meter.used(*cell, ticks, 1),
            None => Some(*cell),
        };
        let count = self.counters.of(Limit::Handshakes);
        let Some(used) = used.filter(|_| !is_full) else {
            add(&count.refused);
            return None;
        };
        *cell = used;
        account.handshakes = account.handshakes.saturating_add(1);
        add(&count.passed);
        let origin = books.origins.has(origin).then_some(origin);
        drop(books);
        Some(Seat {
            rates: Arc::clone(self),
            kind: SeatKind::Handshake,
            origin,
            key: None,
        })
    }

    /// Counts an open connection; `None` where its key or its network has as many as it may have.
    #[must_use]
    pub fn connection(self: &Arc<Self>, asker: &Asker, now: Instant) -> Option<Seat> {
        let ticks = self.ticks(now);
        let origin = asker.origin();
        let mut books = self.books();
        let Books {
            rules,
            origins,
            keys,
            registrations: _,
            told: _,
        } = &mut *books;
        let has_room =
            |account: &Account, max: Option<u32>| max.is_none_or(|max| account.connections < max);
        let of_origin = origins.of(origin, ticks);
        let mut of_key = asker.key.map(|key| keys.of(key, ticks));
        let is_in = has_room(of_origin, rules.origin_connections(origin))
            && of_key
                .as_ref()
                .is_none_or(|account| has_room(account, rules.key_connections()));
        if !is_in {
            add(&self.counters.connections_refused);
            return None;
        }
        of_origin.connections = of_origin.connections.saturating_add(1);
        if let Some(account) = &mut of_key {
            account.connections = account.connections.saturating_add(1);
        }
        let origin = origins.has(origin).then_some(origin);
        let key = asker.key.map(|key| keys.has(key).then_some(key));
        drop(books);
        Some(Seat {
            rates: Arc::clone(self),
            kind: SeatKind::Connection,
            origin,
            key,
        })
    }

    /// Uses `units` of a limit, if they are left; of none of the accounts where they are not left on
    /// each of them. Where all of an account's allowance is left, even more than that is, and is owed:
    /// otherwise a request of that many units would never pass.
    pub fn take(
        &self,
        limit: Limit,
        asker: &Asker,
        units: u32,
        patience: &Patience,
        now: Instant,
    ) -> Verdict {
        let ticks = self.ticks(now);
        let debt_max = Ticks::of(RATE_DEBT_MAX);
        let count = self.counters.of(limit);
        let mut books = self.books();
        let meter = books.rules_of(limit, asker);
        // What is written goes where it was read: looked up again, an owner who shared an account could
        // have found one of its own.
        let uses = books.lines(limit, asker, ticks).map(|line| {
            let line = line?;
            let used = match line.meter {
                Some(meter) => meter.granted(*line.cell, ticks, u64::from(units), debt_max),
                None => Some(*line.cell),
            };
            Some((line.cell, used))
        });
        if uses.iter().flatten().all(|(_, used)| used.is_some()) {
            for (cell, used) in uses.into_iter().flatten() {
                *cell = used.unwrap_or(*cell);
            }
            drop(books);
            add(&count.passed);
            return Verdict::Pass;
        }
        drop(books);
        add(&count.refused);
        if meter.is_none_or(|meter| patience.bears(meter, ticks)) {
            Verdict::TooFast
        } else {
            add(&self.counters.far_too_fast);
            Verdict::FarTooFast
        }
    }

    /// Takes note that `units` of a limit were used. Returns how long the peer should be made to
    /// wait before it uses more; zero where that is not over its limits.
    pub fn spend(&self, limit: Limit, asker: &Asker, units: u32, now: Instant) -> Duration {
        let ticks = self.ticks(now);
        let debt_max = Ticks::of(RATE_DEBT_MAX);
        let mut wait = Ticks::default();
        let mut books = self.books();
        for line in books.lines(limit, asker, ticks).into_iter().flatten() {
            if let Some(meter) = line.meter {
                *line.cell = meter.owed(*line.cell, ticks, u64::from(units), debt_max);
                wait = wait.max(meter.wait(*line.cell, ticks));
            }
        }
        drop(books);
        let count = self.counters.of(limit);
        // Who uses nothing only asks.
        if wait > Ticks::default() {
            add(&count.delayed);
        } else if units > 0 {
            add(&count.passed);
        }
        wait.span()
    }

    /// Uses one of the registrations that are left to the network of `address`, if one is.
    pub fn may_register(&self, address: IpAddr, now: Instant) -> bool {
        let ticks = self.ticks(now);
        let network = Network::of(address);
        let mut books = self.books();
        let Some(max) = books.rules.registrations(network) else {
            return true;
        };
        let cell = &mut books.registrations.of(network, ticks).registrations;
        match Meter::hourly(max).used(*cell, ticks, 1) {
            Some(used) => {
                *cell = used;
                true
            }
            None => false,
        }
    }

    /// Counts a connection of a banned peer. Whether it may be let in for a moment, to be told: there
    /// is one allowance for all of them together.
    pub fn may_tell_banned(&self, now: Instant) -> bool {
        add(&self.counters.banned);
        let ticks = self.ticks(now);
        let meter = Meter::of(Allowance {
            per_second: BANNED_TOLD_PER_SECOND.into(),
            burst: BANNED_TOLD_PER_SECOND.into(),
        });
        let told = &mut self.books().told;
        match meter.map_or(Some(*told), |meter| meter.used(*told, ticks, 1)) {
            Some(used) => {
                *told = used;
                true
            }
            None => false,
        }
    }

    /// Addresses and keys that are counted one by one at this moment.
    #[must_use]
    pub fn entries(&self) -> usize {
        let books = self.books();
        books.origins.len().saturating_add(books.keys.len())
    }

    fn ticks(&self, now: Instant) -> Ticks {
        Ticks::of(now.saturating_duration_since(self.began))
    }

    /// Each change under the lock is one step, so a panic elsewhere can not leave it half done.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// The accounts on which something is counted.
    fn lines(&mut self, limit: Limit, asker: &Asker, now: Ticks) -> [Option<Line<'_>>; 2] {
        let Self {
            rules,
            origins,
            keys,
            registrations: _,
            told: _,
        } = self;
        let origin = asker.origin();
        let of_origin = Line {
            meter: Meter::of(rules.of_origin(limit, origin)),
            cell: origins.of(origin, now).cell(limit),
        };
        let of_key = asker.key.map(|key| Line {
            meter: Meter::of(rules.of_key(limit, asker.is_user)),
            cell: keys.of(key, now).cell(limit),
        });
        [Some(of_origin), of_key]
    }

    /// The meter by which one connection of the asker is measured.
    fn rules_of(&self, limit: Limit, asker: &Asker) -> Option<Meter> {
        Meter::of(match asker.key {
            Some(_) => self.rules.of_key(limit, asker.is_user),
            None => self.rules.of_origin(limit, asker.origin()),
        })
    }
}

impl Patience {
    /// Whether one more refusal, by what `meter` allows, can be borne.
    fn bears(&self, meter: Meter, now: Ticks) -> bool {
        let refusals = meter.faster(RATE_REFUSALS_FACTOR, Ticks::of(RATE_PATIENCE));
        let mut cell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match refusals.used(*cell, now, 1) {
            Some(used) => {
                *cell = used;
                true
            }
            None => false,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut books = self.rates.books();
        // What is open keeps its account, so it is still there; the time is of no matter.
        let now = Ticks::default();
        let kind = self.kind;
        let leave = |account: &mut Account| {
            let count = match kind {
                SeatKind::Handshake => &mut account.handshakes,
                SeatKind::Connection => &mut account.connections,
            };
            *count = count.saturating_sub(1);
        };
        leave(match self.origin {
            Some(origin) => books.origins.of(origin, now),
            None => books.origins.common(),
        });
        if let Some(key) = self.key {
            leave(match key {
                Some(key) => books.keys.of(key, now),
                None => books.keys.common(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
