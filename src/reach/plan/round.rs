//! One round of probes: strangers first, because asking makes a prober known; then the probers
//! themselves; then fresh ports, where the address is not ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{
    Plan,
    book::{Place, Readiness},
    decide::CANARIES_NEEDED,
    judge::Heard,
    quorum::Quorum,
    tracked::Tracked,
    votes::is_fresh,
};
use crate::{
    base::limits,
    reach::{
        address::Netgroup,
        evidence::{ProbeAnswer, ProbeEnd, ProbeId},
    },
    wire::{ProbeCode, ProbeMode, PublicKey},
};

/// What a round is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To find out.
    Search,
    /// To confirm that the endpoint is reached.
    Second,
    /// To see that it still is.
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Cold,
    Direct,
    Canary,
}

/// One round of probes.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) purpose: Purpose,
    /// Whether a look is enough as long as nothing new comes of it.
    is_light: bool,
    phase: Phase,
    quorum: Quorum,
    first: Option<Place>,
    /// Strangers that have to get through.
    pub(super) cold_wanted: usize,
    pub(super) cold_got: BTreeSet<Netgroup>,
    /// Probers whose strangers did not: who dialed is their word alone, so each counts once,
    /// however many it names; and not at all after it failed as another's stranger. So no liar
    /// counts twice.
    pub(super) cold_lost: BTreeSet<Place>,
    cold_blamed: BTreeSet<Place>,
    cold_asks: usize,
    cold_failures: BTreeMap<Place, u32>,
    cold_done: BTreeSet<Place>,
    /// Third servers that had their turn.
    avoid: BTreeSet<PublicKey>,
    asked: BTreeSet<Place>,
    canaries_asked: BTreeSet<Place>,
    /// Networks that had their say.
    pub(super) tried: BTreeSet<Netgroup>,
    pub(super) proofs: BTreeSet<Netgroup>,
    pub(super) mismatches: BTreeMap<Netgroup, Option<Place>>,
    pub(super) failures: BTreeMap<Netgroup, Place>,
    pub(super) contradicted: BTreeSet<Netgroup>,
    /// Probers in a row that cannot be reached from here, though they are there for others.
    dead_ends: usize,
    out: BTreeMap<ProbeId, Place>,
}

/// Whom to ask next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    Now(Place),
    Later(Instant),
    Nobody,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Waits,
    Over,
}

impl Round {
    pub(super) fn new(
        purpose: Purpose,
        is_light: bool,
        cold_wanted: usize,
        quorum: Quorum,
    ) -> Self {
        Self {
            purpose,
            is_light,
            phase: Phase::Cold,
            quorum,
            first: None,
            cold_wanted,
            cold_got: BTreeSet::new(),
            cold_lost: BTreeSet::new(),
            cold_blamed: BTreeSet::new(),
            cold_asks: 0,
            cold_failures: BTreeMap::new(),
            cold_done: BTreeSet::new(),
            avoid: BTreeSet::new(),
            asked: BTreeSet::new(),
            canaries_asked: BTreeSet::new(),
            tried: BTreeSet::new(),
            proofs: BTreeSet::new(),
            mismatches: BTreeMap::new(),
            failures: BTreeMap::new(),
            contradicted: BTreeSet::new(),
            dead_ends: 0,
            out: BTreeMap::new(),
        }
    }

    pub(super) const fn first(&self) -> Option<Place> {
        self.first
    }

    /// Whether others of the family have to wait with questions that make probers known.
    pub(super) fn needs_strangers(&self) -> bool {
        self.phase == Phase::Cold && self.cold_wanted > 0 && self.dead_ends == 0
    }

    /// Whether no packet comes back to this address, although the probers are there: further
    /// questions would only keep the probers from other endpoints.
    pub(super) const fn is_dead_end(&self) -> bool {
        self.dead_ends >= DEAD_ENDS_MAX
    }

    fn is_cold_asked(&self) -> bool {
        self.phase == Phase::Cold && !self.out.is_empty()
    }

    /// Networks that speak against an endpoint that was public.
    pub(super) fn against(&self) -> usize {
        let mut groups: BTreeSet<Netgroup> = self.failures.keys().copied().collect();
        groups.extend(self.mismatches.keys());
        groups.extend(&self.contradicted);
        groups.len()
    }

    /// Takes in what came of one of its probes, whose prober `is_up` if another endpoint spoke with
    /// it lately, and which names the prober `named` as the one that dialed.
    pub(super) fn heard(
        &mut self,
        probe: ProbeId,
        mode: ProbeMode,
        heard: &Heard,
        is_proof: bool,
        (end, is_up, named): (&ProbeEnd, bool, Option<Place>),
        dialer: Option<(PublicKey, Option<Place>)>,
    ) {
        let Some(place) = self.out.remove(&probe) else {
            return;
        };
        match end.answer {
            ProbeAnswer::NotReached if is_up => self.dead_ends += 1,
            ProbeAnswer::NotReached | ProbeAnswer::LocalError => {}
            ProbeAnswer::Dialed { .. } | ProbeAnswer::Refused(_) | ProbeAnswer::Unusable => {
                self.dead_ends = 0;
            }
        }
        match heard {
            Heard::Arrived { group, .. } => {
                self.is_light = false;
                self.tried.insert(*group);
                if is_proof {
                    self.proofs.insert(*group);
                } else {
                    let by = match mode {
                        ProbeMode::Cold => dialer.and_then(|(_, place)| place),
                        ProbeMode::Direct | ProbeMode::Canary => Some(place),
                    };
                    self.mismatches.insert(*group, by);
                }
            }
            Heard::Failed { group, .. } => {
                self.tried.insert(*group);
                self.failures.insert(*group, place);
            }
            Heard::Contradicted { group, .. } => {
                self.tried.insert(*group);
                self.contradicted.insert(*group);
            }
            Heard::Proxied { group, .. } => {
                self.is_light = false;
                self.tried.insert(*group);
            }
            Heard::Canary { .. }
            | Heard::FailedCold { .. }
            | Heard::Discarded { .. }
            | Heard::Nothing => {}
        }
        if mode == ProbeMode::Cold {
            self.heard_cold((place, named), heard, end, dialer.map(|(key, _)| key));
        }
    }

    fn heard_cold(
        &mut self,
        (place, named): (Place, Option<Place>),
        heard: &Heard,
        end: &ProbeEnd,
        dialer: Option<PublicKey>,
    ) {
        self.avoid.extend(dialer.or_else(|| named_dialer(end)));
        match heard {
            Heard::Arrived {
                group,
                is_cold: true,
                ..
            } => {
                self.cold_got.insert(*group);
                self.cold_done.insert(place);
                return;
            }
            Heard::FailedCold { .. } if !self.cold_blamed.contains(&place) => {
                self.cold_lost.insert(place);
                self.cold_blamed.extend(named);
            }
            _ => {}
        }
        let failures = self.cold_failures.entry(place).or_default();
        *failures += match end.answer {
            ProbeAnswer::Refused(ProbeCode::NoHelper) | ProbeAnswer::NotReached => {
                COLD_FAILURES_MAX
            }
            _ => 1,
        };
    }

    fn is_cold_over(&self) -> bool {
        let asks_max = if self.is_light {
            LIGHT_COLD_ASKS_MAX
        } else {
            limits::PLAN_COLD_ASKS_MAX
        };
        self.is_dead_end()
            || self.cold_got.len() >= self.cold_wanted
            || self.cold_asks >= asks_max
            // More failed than can lie, and nobody got through.
            || (self.cold_got.is_empty() && self.cold_lost.len() >= self.quorum.failed)
    }

    fn is_direct_over(&self) -> bool {
        let wanted = if self.is_light { 1 } else { self.quorum.tried };
        self.tried.len() >= wanted || self.is_dead_end()
    }
}

impl Plan {
    /// Takes a round as far as it goes now.
    pub(super) fn step_round(&mut self, tracked: &mut Tracked, now: Instant) -> Step {
        let Some(mut round) = tracked.round.take() else {
            return Step::Waits;
        };
        let step = loop {
            let step = match round.phase {
                Phase::Cold => self.step_cold(tracked, &mut round, now),
                Phase::Direct => self.step_direct(tracked, &mut round, now),
                Phase::Canary => self.step_canary(tracked, &mut round, now),
            };
            match (step, round.phase) {
                (Step::Waits, _) => break Step::Waits,
                (Step::Over, Phase::Cold) => round.phase = Phase::Direct,
                (Step::Over, Phase::Direct) => round.phase = Phase::Canary,
                (Step::Over, Phase::Canary) => break Step::Over,
            }
        };
        tracked.round = Some(round);
        step
    }

    /// One stranger after the other: the next one must be none of those before it.
    fn step_cold(&mut self, tracked: &Tracked, round: &mut Round, now: Instant) -> Step {
        if !round.out.is_empty() {
            return Step::Waits;
        }
        if round.is_cold_over() {
            return Step::Over;
        }
        let is_other_asking = self.tracked.values().any(|other| {
            other.family == tracked.family && other.round.as_ref().is_some_and(Round::is_cold_asked)
        });
        if is_other_asking {
            return Step::Waits;
        }
        match self.pick_for_cold(tracked, round, now) {
            Pick::Nobody => return Step::Over,
            Pick::Later(at) => self.wake_at(at),
            Pick::Now(place) => {
                round.cold_asks += 1;
                let avoid = self.not_to_be_strangers(tracked, round, now);
                self.ask_in_round(tracked, round, place, (ProbeMode::Cold, avoid), now);
            }
        }
        Step::Waits
    }

    /// Whom a third server must not be: whoever had a turn, lied, is known, or, as long as others
    /// are missing, has been one already.
    fn not_to_be_strangers(
        &self,
        tracked: &Tracked,
        round: &Round,
        now: Instant,
    ) -> Vec<PublicKey> {
        let timing = self.settings.timing;
        let cold: BTreeSet<Netgroup> = tracked
            .votes
            .arrivals
            .iter()
            .filter(|(_, arrival, _)| {
                let at = arrival.cold_at;
                round.purpose == Purpose::Search
                    && at.is_some_and(|at| is_fresh(at, now, timing.cold_ttl()))
            })
            .map(|(group, ..)| *group)
            .collect();
        let known = self.book.places().filter(|place| {
            let group = self.book.group(*place, tracked.family);
            let entry = self.book.entry(*place);
            entry.is_some_and(|entry| entry.skipped_until(now).is_some())
                || group.is_some_and(|group| cold.contains(&group))
        });
        let known = known.filter_map(|place| self.book.entry(place).map(|it| it.prober.key));
        let warm = self.book.warm_keys(tracked.family, now);
        let turns = round.avoid.iter().copied();
        let mut seen = BTreeSet::new();
        turns
            .chain(known)
            .chain(warm)
            .filter(|key| seen.insert(*key))
            .collect()
    }

    fn step_direct(&mut self, tracked: &Tracked, round: &mut Round, now: Instant) -> Step {
        let must_wait = self.tracked.values().any(|other| {
            other.family == tracked.family
                && other.round.as_ref().is_some_and(Round::needs_strangers)
        });
        while !must_wait && !round.is_direct_over() {
            if round.tried.len() + round.out.len() >= round.quorum.tried
                || (round.is_light && !round.out.is_empty())
            {
                break;
            }
            match self.pick_for_direct(tracked, round, now) {
                Pick::Now(place) => {
                    round.asked.insert(place);
                    self.ask_in_round(tracked, round, place, (ProbeMode::Direct, Vec::new()), now);
                }
                Pick::Later(at) => {
                    self.wake_at(at);
                    return Step::Waits;
                }
                Pick::Nobody => break,
            }
        }
        if must_wait || !round.out.is_empty() {
            Step::Waits
        } else {
            Step::Over
        }
    }

    /// Fresh ports tell a forwarded port from a translated address.
    fn step_canary(&mut self, tracked: &Tracked, round: &mut Round, now: Instant) -> Step {
        let is_ours = self.is_ours(tracked, now);
        if is_ours
            || tracked.cold_arrivals(now, self.settings.timing) == 0
            || tracked
                .votes
                .standing_arrivals(now, self.settings.timing)
                .count()
                < round.quorum.reached
        {
            return Step::Over;
        }
        loop {
            let ttl = tracked.canary_ttl(round.quorum, now, self.settings.timing);
            let (arrived, lost) = tracked.votes.canaries_within(ttl, now);
            let missing = CANARIES_NEEDED.saturating_sub(arrived);
            if lost >= round.quorum.failed || missing <= round.out.len() {
                break;
            }
            match self.pick_for_canary(tracked, round, now) {
                Pick::Now(place) => {
                    round.canaries_asked.insert(place);
                    self.ask_in_round(tracked, round, place, (ProbeMode::Canary, Vec::new()), now);
                }
                Pick::Later(at) => {
                    self.wake_at(at);
                    return Step::Waits;
                }
                Pick::Nobody => break,
            }
        }
        if round.out.is_empty() {
            Step::Over
        } else {
            Step::Waits
        }
    }

    fn ask_in_round(
        &mut self,
        tracked: &Tracked,
        round: &mut Round,
        place: Place,
        (mode, avoid): (ProbeMode, Vec<PublicKey>),
        now: Instant,
    ) {
        if let Some(probe) = self.ask(tracked, place, mode, avoid, now) {
            round.first.get_or_insert(place);
            round.out.insert(probe, place);
        }
    }

    /// Somebody who is known already and did not find a stranger for this round yet; somebody new
    /// only where it must be, since that one is no stranger any more.
    fn pick_for_cold(&mut self, tracked: &Tracked, round: &Round, now: Instant) -> Pick {
        let family = tracked.family;
        let cold_left = self
            .book
            .places()
            .filter(|place| self.book.is_fit(*place, family, &self.own))
            .filter(|place| self.book.warm_until(*place, family, now).is_none())
            .count();
        let are_many_left = cold_left > round.cold_wanted + round.quorum.tried;
        let places = self.book.places().filter(|place| {
            round.cold_failures.get(place).copied().unwrap_or(0) < COLD_FAILURES_MAX
        });
        let ranked = places.map(|place| {
            let is_warm = self.book.warm_until(place, family, now).is_some();
            let has_served = round.cold_done.contains(&place);
            // To believe in a filter it takes as many probers, not as many strangers.
            let has_lost = round.purpose == Purpose::Keep && round.cold_lost.contains(&place);
            let rank = match (is_warm, has_served) {
                _ if has_lost => 4,
                (true, false) => 0,
                (false, _) if are_many_left => 1,
                (true, true) => 2,
                (false, _) => 3,
            };
            (rank, place)
        });
        let ranked: Vec<_> = ranked.collect();
        self.pick(tracked, round, ranked, now)
    }

    fn pick_for_direct(&mut self, tracked: &Tracked, round: &Round, now: Instant) -> Pick {
        let family = tracked.family;
        let out: BTreeSet<Netgroup> = round
            .out
            .values()
            .filter_map(|place| self.book.group(*place, family))
            .collect();
        let places = self.book.places().filter(|place| {
            let group = self.book.group(*place, family);
            !round.asked.contains(place)
                && group.is_none_or(|group| !round.tried.contains(&group) && !out.contains(&group))
        });
        let spares_cold = round.purpose == Purpose::Search;
        let ranked = places.map(|place| {
            let is_warm = self.book.warm_until(place, family, now).is_some();
            (u8::from(spares_cold && !is_warm), place)
        });
        let ranked: Vec<_> = ranked.collect();
        self.pick(tracked, round, ranked, now)
    }

    fn pick_for_canary(&mut self, tracked: &Tracked, round: &Round, now: Instant) -> Pick {
        let family = tracked.family;
        let ttl = tracked.canary_ttl(round.quorum, now, self.settings.timing);
        let places = self.book.places().filter(|place| {
            let Some(group) = self.book.group(*place, family) else {
                return false;
            };
            let is_done = tracked
                .votes
                .canaries
                .fresh(now, ttl)
                .any(|(done, _)| *done == group);
            !round.canaries_asked.contains(place)
                && !is_done
                && self.book.has_canary_left(*place, now)
        });
        let ranked: Vec<_> = places.map(|place| (0, place)).collect();
        self.pick(tracked, round, ranked, now)
    }

    /// One of the lowest rank at random; not the one with whom the last round began, if another
    /// will do. Somebody who can be asked now goes before somebody of the same rank who cannot.
    fn pick(
        &mut self,
        tracked: &Tracked,
        round: &Round,
        ranked: Vec<(u8, Place)>,
        now: Instant,
    ) -> Pick {
        let is_first = round.first.is_none();
        let mut picks = Vec::new();
        for (rank, place) in ranked {
            if !self.book.is_fit(place, tracked.family, &self.own) {
                continue;
            }
            let rank = (rank, is_first && tracked.last_first == Some(place));
            match self.book.readiness(place, tracked.path(), now) {
                Readiness::Now => picks.push((rank.1, rank.0, None, place)),
                Readiness::Later(at) => picks.push((rank.1, rank.0, Some(at), place)),
                Readiness::No => {}
            }
        }
        let Some(best) = picks.iter().map(|pick| (pick.0, pick.1, pick.2)).min() else {
            return Pick::Nobody;
        };
        if let Some(at) = best.2 {
            return Pick::Later(at);
        }
        picks.retain(|pick| (pick.0, pick.1, pick.2) == best);
        match self.random_of(&picks) {
            Some((.., place)) => Pick::Now(place),
            None => Pick::Nobody,
        }
    }
}

/// Who dialed, by the prober's word.
pub(super) const fn named_dialer(end: &ProbeEnd) -> Option<PublicKey> {
    match end.answer {
        ProbeAnswer::Dialed { dialer, .. } => dialer,
        _ => None,
    }
}

/// Failures after which a prober is not asked for strangers again in the same round.
const COLD_FAILURES_MAX: u32 = 2;

/// Probers in a row that cannot be reached from an address, while others reach them, after which
/// the address is taken for one that leads nowhere. One may have gone down just now.
const DEAD_ENDS_MAX: usize = 2;

/// Strangers that a look asks for.
const LIGHT_COLD_ASKS_MAX: usize = 2;
