//! The probers: what is known of each, when it may be asked, and which of them are cold.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    judge::{Family, Own},
    quorum::Quorum,
    votes::is_fresh,
};
use crate::{
    base::limits,
    reach::{
        address::{Netgroup, canonical, is_global},
        endpoint::Prober,
        evidence::{ProbeAnswer, ProbeEnd},
        timing::Timing,
    },
    wire::{ProbeCode, ProbeMode, ProbeTransport, PublicKey},
};

/// Place of a prober in the book.
pub(super) type Place = usize;

/// What a prober is asked over: families and transports are refused one by one.
pub(super) type Path = (Family, ProbeTransport);

/// One prober.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) prober: Prober,
    /// The configured address, where it is an IP address and not a name.
    literal: Option<IpAddr>,
    /// The addresses at which it was spoken to.
    seen: BTreeMap<Family, IpAddr>,
    /// Families in which there was a connection to it, and when.
    reached: BTreeMap<Family, Instant>,
    is_out: bool,
    next_ask: Option<Instant>,
    refusing: BTreeMap<Path, Instant>,
    strikes: VecDeque<Instant>,
    skipped_until: Option<Instant>,
    canaries: VecDeque<Instant>,
    pub(super) last: Option<(ProbeAnswer, Instant)>,
}

/// Whether a prober can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Now,
    Later(Instant),
    No,
}

/// All probers.
#[derive(Clone, Debug)]
pub(super) struct Book {
    timing: Timing,
    own_key: PublicKey,
    entries: Vec<Entry>,
    /// Servers that sent or were sent something lately.
    contacted: BTreeMap<(PublicKey, Family), Instant>,
}

impl Book {
    pub(super) fn new(timing: Timing, own_key: PublicKey, probers: &[Prober]) -> Self {
        let entries = probers
            .iter()
            .take(limits::PLAN_PROBERS_MAX)
            .map(|prober| Entry {
                literal: literal_of(&prober.address),
                prober: prober.clone(),
                seen: BTreeMap::new(),
                reached: BTreeMap::new(),
                is_out: false,
                next_ask: None,
                refusing: BTreeMap::new(),
                strikes: VecDeque::new(),
                skipped_until: None,
                canaries: VecDeque::new(),
                last: None,
            })
            .collect();
        Self {
            timing,
            own_key,
            entries,
            contacted: BTreeMap::new(),
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn places(&self) -> std::ops::Range<Place> {
        0..self.entries.len()
    }

    pub(super) fn entry(&self, place: Place) -> Option<&Entry> {
        self.entries.get(place)
    }

    /// Its address in that family, if it is known.
    pub(super) fn ip(&self, place: Place, family: Family) -> Option<IpAddr> {
        let entry = self.entries.get(place)?;
        let literal = entry.literal.filter(|ip| Family::of(*ip) == family);
        entry.seen.get(&family).copied().or(literal)
    }

    /// When there was last a connection to it in that family.
    pub(super) fn reached(&self, place: Place, family: Family) -> Option<Instant> {
        self.entries.get(place)?.reached.get(&family).copied()
    }

    pub(super) fn group(&self, place: Place, family: Family) -> Option<Netgroup> {
        self.ip(place, family).map(Netgroup::of)
    }

    /// Whether its vote could count at all: not ourselves, nor a neighbour.
    pub(super) fn is_fit(&self, place: Place, family: Family, own: &Own) -> bool {
        let Some(entry) = self.entries.get(place) else {
            return false;
        };
        entry.prober.key != self.own_key
            && entry.literal.is_none_or(|ip| Family::of(ip) == family)
            && self.ip(place, family).is_none_or(|ip| own.is_foreign(ip))
    }

    /// The quorum that the known probers allow, and how many networks of them there are. A prober
    /// whose address is a name counts for a network of its own until it is spoken to.
    pub(super) fn quorum(&self, family: Family, own: &Own) -> (Result<Quorum, usize>, usize) {
        let fit = || {
            self.places()
                .filter(|place| self.is_fit(*place, family, own))
        };
        let known: BTreeSet<Netgroup> = fit()
            .filter_map(|place| self.group(place, family))
            .collect();
        let unknown: BTreeSet<PublicKey> = fit()
            .filter(|place| self.group(*place, family).is_none())
            .filter_map(|place| self.entry(place).map(|entry| entry.prober.key))
            .collect();
        let has_pinned = fit().any(|place| self.entry(place).is_some_and(|it| it.prober.pinned));
        let usable = known.len() + unknown.len();
        (Quorum::among(usable, has_pinned), usable)
    }

    /// Whether it can be asked over that path.
    pub(super) fn readiness(&self, place: Place, path: Path, now: Instant) -> Readiness {
        let Some(entry) = self.entries.get(place) else {
            return Readiness::No;
        };
        let is_paused = entry.skipped_until.is_some_and(|until| until > now)
            || entry.refusing.get(&path).is_some_and(|until| *until > now);
        match entry.next_ask {
            _ if is_paused || entry.is_out => Readiness::No,
            Some(at) if at > now => Readiness::Later(at),
            _ => Readiness::Now,
        }
    }

    /// Whether a prober may be asked for one more canary: it dials few ports of one address.
    pub(super) fn has_canary_left(&self, place: Place, now: Instant) -> bool {
        let hour = self.timing.hour();
        self.entries.get(place).is_some_and(|entry| {
            let lately = entry.canaries.iter().filter(|at| is_fresh(**at, now, hour));
            lately.count() < CANARIES_PER_HOUR_MAX
        })
    }

    /// It is being asked.
    pub(super) fn asked(&mut self, place: Place, path: Path, mode: ProbeMode, now: Instant) {
        let pace = self.pace();
        let Some(entry) = self.entries.get_mut(place) else {
            return;
        };
        entry.is_out = true;
        entry.next_ask = Some(now + pace);
        if mode == ProbeMode::Canary {
            if entry.canaries.len() >= CANARIES_PER_HOUR_MAX {
                entry.canaries.pop_front();
            }
            entry.canaries.push_back(now);
        }
        let key = entry.prober.key;
        self.contact(key, path.0, now);
    }

    /// It was asked, and this came of it.
    pub(super) fn ended(&mut self, place: Place, path: Path, end: &ProbeEnd, now: Instant) {
        let (minute, hour) = (self.timing.minute(), self.timing.hour());
        let Some(entry) = self.entries.get_mut(place) else {
            return;
        };
        entry.is_out = false;
        entry.last = Some((end.answer, now));
        let key = entry.prober.key;
        if let Some(ip) = end.prober_ip.map(canonical) {
            entry.seen.insert(Family::of(ip), ip);
            entry.reached.insert(Family::of(ip), now);
            self.contact(key, path.0, now);
        }
        let Some(entry) = self.entries.get_mut(place) else {
            return;
        };
        let pause = match end.answer {
            ProbeAnswer::Refused(ProbeCode::RateLimited | ProbeCode::Busy) => minute,
            ProbeAnswer::Refused(
                ProbeCode::NoFamily
                | ProbeCode::NotGlobal
                | ProbeCode::SameNetwork
                | ProbeCode::PortRefused
                | ProbeCode::CostRequired,
            ) => hour / 12,
            _ => return,
        };
        entry.refusing.insert(path, now + pause);
    }

    /// A server sent us something, or was sent something.
    pub(super) fn contact(&mut self, key: PublicKey, family: Family, now: Instant) {
        if self.contacted.len() >= limits::PLAN_CONTACTS_MAX {
            let ttl = self.timing.contact_ttl();
            self.contacted.retain(|_, at| is_fresh(*at, now, ttl));
        }
        if self.contacted.len() >= limits::PLAN_CONTACTS_MAX {
            let oldest = self.contacted.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(contact, _)| *contact) {
                self.contacted.remove(&oldest);
            }
        }
        self.contacted.insert((key, family), now);
    }

    /// Until when it is not cold; `None` where it is.
    pub(super) fn warm_until(&self, place: Place, family: Family, now: Instant) -> Option<Instant> {
        let key = self.entries.get(place)?.prober.key;
        let at = *self.contacted.get(&(key, family))?;
        let until = at + self.timing.contact_ttl();
        (until > now).then_some(until)
    }

    /// Keys that would not be cold, the newest contacts first.
    pub(super) fn warm_keys(&self, family: Family, now: Instant) -> Vec<PublicKey> {
        let ttl = self.timing.contact_ttl();
        let mut warm: Vec<_> = self
            .contacted
            .iter()
            .filter(|((_, of), at)| *of == family && is_fresh(**at, now, ttl))
            .map(|((key, _), at)| (*at, *key))
            .collect();
        warm.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        warm.into_iter().map(|(_, key)| key).collect()
    }

    /// It said what was proved wrong. Returns whether that was counted.
    pub(super) fn strike(&mut self, place: Place, now: Instant) -> bool {
        let pause = self.timing.liar_pause();
        let Some(entry) = self.entries.get_mut(place) else {
            return false;
        };
        entry.strikes.retain(|at| is_fresh(*at, now, pause));
        entry.strikes.push_back(now);
        if entry.strikes.len() >= STRIKES_MAX {
            entry.strikes.clear();
            entry.skipped_until = Some(now + pause);
        }
        true
    }

    pub(super) fn place_of(&self, key: &PublicKey) -> Option<Place> {
        self.places().find(|place| {
            self.entry(*place)
                .is_some_and(|entry| entry.prober.key == *key)
        })
    }

    /// Whether any prober was spoken to in that family within `ttl`.
    pub(super) fn is_any_reached(&self, family: Family, now: Instant, ttl: Duration) -> bool {
        self.entries.iter().any(|entry| {
            let at = entry.reached.get(&family);
            at.is_some_and(|at| is_fresh(*at, now, ttl))
        })
    }

    /// The wait between two requests to one prober, which answers six in a minute.
    pub(super) fn pace(&self) -> Duration {
        // A little more, so that none of them comes early by another clock.
        self.timing.minute() * 11 / 60
    }
}

impl Entry {
    pub(super) fn strikes(&self) -> u32 {
        u32::try_from(self.strikes.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn skipped_until(&self, now: Instant) -> Option<Instant> {
        self.skipped_until.filter(|until| *until > now)
    }

    pub(super) fn ips(&self) -> BTreeSet<IpAddr> {
        self.seen.values().copied().chain(self.literal).collect()
    }

    /// Why it cannot be asked, for people.
    pub(super) fn state(&self, own_key: &PublicKey, own: &Own, now: Instant) -> String {
        let ips = self.ips();
        let is_near = |ip: &IpAddr| !own.is_foreign(*ip);
        if self.prober.key == *own_key {
            "this server itself".to_owned()
        } else if self.skipped_until(now).is_some() {
            "left alone: what it said was proved wrong".to_owned()
        } else if !ips.is_empty() && ips.iter().all(|ip| !is_global(*ip)) {
            "not at a global address".to_owned()
        } else if !ips.is_empty() && ips.iter().all(is_near) {
            "in our own network".to_owned()
        } else if self.refusing.values().any(|until| *until > now) {
            "refuses".to_owned()
        } else {
            "usable".to_owned()
        }
    }
}

fn literal_of(address: &str) -> Option<IpAddr> {
    let address: SocketAddr = address.parse().ok()?;
    Some(canonical(address.ip()))
}

/// Probers dial three ports of one address in an hour; the listener's is one of them.
const CANARIES_PER_HOUR_MAX: usize = 2;

/// Strikes after which a prober is left alone.
const STRIKES_MAX: usize = 3;
