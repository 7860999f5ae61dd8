//! What happened to probes: votes are entered, rounds go on, endpoints open and close.

use std::time::Instant;

use super::{
    Plan,
    decide::{self, CANARIES_NEEDED, decide},
    judge::{Heard, Probed, judge},
    quorum::Quorum,
    reason::Reason,
    round::{self, Purpose, Round},
    tracked::{Pending, Standing, Tracked},
    votes::Contradiction,
};
use crate::{
    base::limits,
    reach::{
        address::{Netgroup, canonical, is_global},
        evidence::{Dialback, ProbeAnswer, ProbeEnd, ProbeId, Spontaneous},
    },
};

impl Plan {
    /// A nonce came home. What it is worth is seen when its probe is over: some of what it is
    /// measured by comes with the prober's answer.
    pub(super) fn take_dialback(&mut self, dialback: Dialback, now: Instant) {
        self.counters.dialbacks += 1;
        let Some(pending) = self.probes.get_mut(&dialback.probe) else {
            self.counters.discarded += 1;
            return;
        };
        if pending.dialback.is_none() {
            pending.dialback = Some(dialback);
        }
        let family = pending.path.0;
        if let Some(dialer) = dialback.dialer {
            // It was answered, so it is no stranger any more.
            self.book.contact(dialer, family, now);
        }
    }

    pub(super) fn take_spontaneous(&mut self, seen: Spontaneous, now: Instant) {
        self.counters.spontaneous += 1;
        let remote = canonical(seen.remote);
        if !self.own.is_foreign(remote) {
            return;
        }
        let dst = seen.dst.map(canonical);
        for tracked in self.tracked.values_mut() {
            let is_there = tracked.endpoint.listener == seen.listener
                && (tracked.is_accepted
                    || (tracked.is_local() && tracked.endpoint.claim.ip() == dst));
            if is_there {
                tracked.votes.spontaneous.put(Netgroup::of(remote), (), now);
            }
        }
    }

    pub(super) fn take_end(&mut self, probe: ProbeId, end: &ProbeEnd, now: Instant) {
        let Some(pending) = self.probes.remove(&probe) else {
            return;
        };
        self.book.ended(pending.place, pending.path, end, now);
        if matches!(end.answer, ProbeAnswer::Refused(_)) {
            self.counters.refusals += 1;
        }
        let Some(mut tracked) = self.tracked.remove(&pending.key) else {
            return;
        };
        // What was asked before everything changed says nothing about what is now.
        if tracked.generation == pending.generation {
            self.hear(&mut tracked, probe, pending, end, now);
        }
        self.tracked.insert(pending.key, tracked);
    }

    fn hear(
        &mut self,
        tracked: &mut Tracked,
        probe: ProbeId,
        pending: Pending,
        end: &ProbeEnd,
        now: Instant,
    ) {
        let family = tracked.family;
        let prober_ip = end
            .prober_ip
            .map(canonical)
            .or_else(|| self.book.ip(pending.place, family));
        self.hear_observed(tracked, prober_ip, end, now);
        let heard = judge(
            &self.own,
            Probed {
                endpoint: tracked.endpoint,
                family,
                mode: pending.mode,
                end,
                prober_ip,
                dialback: pending.dialback.as_ref(),
            },
        );
        let is_proof =
            matches!(&heard, Heard::Arrived { arrival, .. } if tracked.is_proof(arrival));
        self.enter(tracked, &heard, pending, now);
        if matches!(end.answer, ProbeAnswer::Refused(_)) {
            tracked.votes.refusals += 1;
        }
        let dialer = pending.dialback.and_then(|dialback| dialback.dialer);
        let dialer = dialer.map(|key| (key, self.book.place_of(&key)));
        let named = round::named_dialer(end).and_then(|key| self.book.place_of(&key));
        if tracked.single() == Some(probe) {
            Self::heard_single(tracked, &heard, is_proof, now);
        } else if let Some(round) = &mut tracked.round {
            let timing = self.settings.timing;
            let reached = self.book.reached(pending.place, family);
            let is_up =
                reached.is_some_and(|at| super::votes::is_fresh(at, now, timing.contact_ttl()));
            let end = (end, is_up, named);
            round.heard(probe, pending.mode, &heard, is_proof, end, dialer);
        }
    }

    fn enter(&mut self, tracked: &mut Tracked, heard: &Heard, pending: Pending, now: Instant) {
        let votes = &mut tracked.votes;
        match heard {
            Heard::Arrived {
                group,
                arrival,
                is_cold,
            } => votes.arrived(*group, *arrival, *is_cold, now),
            Heard::Canary { group, has_arrived } => votes.canaries.put(*group, *has_arrived, now),
            Heard::Proxied { group, source } => votes.proxied.put(*group, *source, now),
            Heard::Failed { group, outcome } => votes.failures.put(*group, *outcome, now),
            Heard::FailedCold { group, outcome } => votes.cold_failures.put(*group, *outcome, now),
            Heard::Contradicted { group, how } => {
                votes.contradictions.put(*group, *how, now);
                if *how == Contradiction::NothingCame {
                    self.strike(pending.place, now);
                }
            }
            Heard::Discarded { from, why } => {
                votes.discard(*from, why.to_string(), now);
                self.counters.discarded += 1;
            }
            Heard::Nothing => {}
        }
    }

    /// Takes in as what address the prober saw us, and what follows for our claim.
    fn hear_observed(
        &mut self,
        tracked: &mut Tracked,
        prober_ip: Option<std::net::IpAddr>,
        end: &ProbeEnd,
        now: Instant,
    ) {
        let observed = end.observed.map(|address| canonical(address.ip()));
        let (Some(prober_ip), Some(observed)) = (prober_ip, observed) else {
            return;
        };
        let is_of_family = |ip| super::Family::of(ip) == tracked.family;
        if !self.own.is_foreign(prober_ip)
            || !is_of_family(prober_ip)
            || !is_of_family(observed)
            || !is_global(observed)
        {
            return;
        }
        tracked
            .votes
            .observed
            .put(Netgroup::of(prober_ip), observed, now);
        self.follow_observed(tracked, now);
    }

    pub(super) fn strike(&mut self, place: usize, now: Instant) {
        if self.book.strike(place, now) {
            self.counters.strikes += 1;
        }
    }

    /// What follows from a round that is over.
    pub(super) fn conclude(
        &mut self,
        tracked: &mut Tracked,
        round: &Round,
        quorum: Quorum,
        now: Instant,
    ) {
        self.counters.rounds += 1;
        tracked.rounds = tracked.rounds.saturating_add(1);
        tracked.last_first = round.first().or(tracked.last_first);
        self.find_liars(round, quorum, now);
        if tracked.is_dissented(now, self.settings.timing) {
            tracked.dissent_rounds = tracked.dissent_rounds.saturating_add(1);
        } else {
            tracked.dissent_rounds = 0;
        }
        match round.purpose {
            Purpose::Search => self.conclude_search(tracked, round, quorum, now),
            Purpose::Second => self.conclude_second(tracked, round, quorum, now),
            Purpose::Keep => self.conclude_keep(tracked, round, quorum, now),
        }
    }

    /// Whoever says, or dials, what a quorum of others proved wrong is noted.
    fn find_liars(&mut self, round: &Round, quorum: Quorum, now: Instant) {
        if round.proofs.len() < quorum.reached {
            return;
        }
        for (group, place) in &round.failures {
            if !round.proofs.contains(group) {
                self.strike(*place, now);
            }
        }
        for place in round.mismatches.values().flatten() {
            self.strike(*place, now);
        }
    }

    fn conclude_search(
        &mut self,
        tracked: &mut Tracked,
        round: &Round,
        quorum: Quorum,
        now: Instant,
    ) {
        let timing = self.settings.timing;
        let reached = tracked.standing_proofs(now, timing);
        let is_held = tracked.hold_until.is_some_and(|until| until > now);
        if self.has_quorum(tracked, quorum, now) {
            if is_held {
                let flips = self.flips_of(tracked, now);
                tracked.close(Reason::HeldDown { flips }, now);
            } else {
                tracked.standing = Standing::Probation {
                    reached,
                    extra_rounds: 0,
                };
                tracked.since = now;
                tracked.backoff = timing.retry_min();
                tracked.next_round = now + timing.probation();
                return;
            }
        } else {
            self.close_by_votes(tracked, now);
        }
        if round.is_dead_end() {
            tracked.backoff = timing.retry_max();
        }
        self.back_off(tracked, now);
        let missing = self.missing_strangers(tracked, quorum, now);
        if missing > 0 {
            self.wait_for_strangers(tracked, missing, now);
        }
    }

    /// How many strangers have to get through before the endpoint can open or, where a translation
    /// lies before it, its verdict be named. Of one that nobody reaches nothing hangs on strangers.
    fn missing_strangers(&self, tracked: &Tracked, quorum: Quorum, now: Instant) -> usize {
        let timing = self.settings.timing;
        match &tracked.standing {
            Standing::Closed(Reason::NotCold { cold, needed, .. }) => needed.saturating_sub(*cold),
            _ if tracked.standing_proofs(now, timing) > 0 => {
                quorum.cold.saturating_sub(tracked.cold_proofs(now, timing))
            }
            _ => 0,
        }
    }

    /// Whether a first round may be followed by the second.
    fn has_quorum(&self, tracked: &Tracked, quorum: Quorum, now: Instant) -> bool {
        let timing = self.settings.timing;
        let is_right_place = if tracked.is_local() {
            self.is_ours(tracked, now)
        } else {
            let (arrived, _) = decide::canaries(self.case(tracked, now));
            tracked.is_accepted && arrived >= CANARIES_NEEDED
        };
        is_right_place
            && tracked.standing_proofs(now, timing) >= quorum.reached
            && tracked.cold_proofs(now, timing) >= quorum.cold
            && tracked.votes.contradicted(now, timing) < quorum.reached
            && !tracked.is_disputed()
    }

    fn conclude_second(
        &mut self,
        tracked: &mut Tracked,
        round: &Round,
        quorum: Quorum,
        now: Instant,
    ) {
        let timing = self.settings.timing;
        let Standing::Probation {
            reached,
            extra_rounds,
        } = tracked.standing
        else {
            return;
        };
        let contradicted = tracked.votes.contradicted(now, timing);
        if round.proofs.len() >= quorum.reached && self.has_quorum(tracked, quorum, now) {
            // Somebody found others there: with several instances behind one address that shows
            // in the next rounds.
            if contradicted > 0 && extra_rounds < EXTRA_ROUNDS_MAX {
                tracked.standing = Standing::Probation {
                    reached,
                    extra_rounds: extra_rounds + 1,
                };
                tracked.next_round = now + timing.probation();
                return;
            }
            return self.open(tracked, now);
        }
        if round.against() >= quorum.failed || contradicted >= quorum.reached {
            tracked.votes.arrivals = super::votes::Dated::default();
            self.close_by_votes(tracked, now);
        } else if !self.has_quorum(tracked, quorum, now) {
            self.close_by_votes(tracked, now);
        }
        self.back_off(tracked, now);
    }

    fn close_by_votes(&mut self, tracked: &mut Tracked, now: Instant) {
        let reason = decide(self.case(tracked, now));
        let is_same =
            matches!(&tracked.standing, Standing::Closed(old) if old.verdict() == reason.verdict());
        let since = tracked.since;
        tracked.close(reason, now);
        if is_same {
            tracked.since = since;
        }
    }

    /// The next round comes later than this one did.
    fn back_off(&mut self, tracked: &mut Tracked, now: Instant) {
        let wait = self.varied(tracked.backoff);
        let timing = self.settings.timing;
        tracked.next_round = now + wait;
        tracked.backoff = (tracked.backoff * 2).clamp(timing.retry_min(), timing.retry_max());
    }

    /// Strangers are those who are left alone for a while, so nobody is asked until there are as
    /// many as are missing, and one to find them.
    fn wait_for_strangers(&self, tracked: &mut Tracked, missing: usize, now: Instant) {
        let family = tracked.family;
        let mut cold_at: Vec<Instant> = self
            .book
            .places()
            .filter(|place| self.book.is_fit(*place, family, &self.own))
            .map(|place| self.book.warm_until(place, family, now).unwrap_or(now))
            .collect();
        cold_at.sort();
        if let Some(at) = cold_at.get(missing).or(cold_at.last()) {
            tracked.next_round = tracked.next_round.max(*at);
            tracked.strangers_at = Some(*at);
        }
    }

    /// How often the endpoint was lost within a day.
    pub(super) fn flips_of(&self, tracked: &Tracked, now: Instant) -> usize {
        let window = self.settings.timing.flip_window();
        self.flips.get(&tracked.key()).map_or(0, |flips| {
            let lately = flips
                .iter()
                .filter(|at| super::votes::is_fresh(**at, now, window));
            lately.count()
        })
    }

    /// Notes that the endpoint was lost, and has it wait where that happens too often.
    pub(super) fn note_flip(&mut self, tracked: &mut Tracked, now: Instant) {
        self.counters.demotions += 1;
        if self.flips.len() >= limits::PLAN_HISTORIES_MAX
            && !self.flips.contains_key(&tracked.key())
        {
            self.flips.pop_first();
        }
        let flips = self.flips.entry(tracked.key()).or_default();
        if flips.len() >= FLIPS_REMEMBERED {
            flips.pop_front();
        }
        flips.push_back(now);
        let timing = self.settings.timing;
        let excess = self.flips_of(tracked, now).saturating_sub(FLIPS_FREE);
        if let Some(doublings) = excess.checked_sub(1) {
            let factor = 1_u32 << doublings.min(8);
            let wait = (timing.hold_down_min() * factor).min(timing.hold_down_max());
            tracked.hold_until = Some(now + wait);
        }
    }
}

/// The end of a probe that nobody told the end of.
pub(super) const LOST: ProbeEnd = ProbeEnd {
    prober_ip: None,
    observed: None,
    answer: ProbeAnswer::LocalError,
};

/// Further rounds that a doubt costs before an endpoint opens.
const EXTRA_ROUNDS_MAX: u32 = 2;

/// Losses within a day that cost nothing.
const FLIPS_FREE: usize = 3;

/// Losses that are remembered: enough for the longest wait.
const FLIPS_REMEMBERED: usize = 16;
