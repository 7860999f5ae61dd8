//! Keeping an endpoint open, or not: single probes, full rounds, age, doubts.

use std::{collections::BTreeSet, time::Instant};

use super::{
    Plan,
    book::{Place, Readiness},
    decide::decide,
    judge::Heard,
    quorum::Quorum,
    reason::Reason,
    round::Round,
    tracked::{Keep, Standing, Tracked},
    votes::{Dated, is_fresh},
};
use crate::{reach::address::Netgroup, wire::ProbeMode};

/// What a single probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Single {
    /// To see that the endpoint is still reached.
    Heartbeat,
    /// The same, by a stranger.
    Cold,
    /// To replace a vote that is missing or grows old.
    TopUp,
}

impl Plan {
    pub(super) fn open(&mut self, tracked: &mut Tracked, now: Instant) {
        let timing = self.settings.timing;
        self.counters.promotions += 1;
        let full = self.varied(timing.full_round());
        tracked.standing = Standing::Open(Keep {
            single: None,
            next_single: now + self.varied(timing.heartbeat()),
            is_next_cold: false,
            next_top_up: now,
            top_up_wait: timing.retry_min(),
            next_full: now + full,
            doubts: 0,
            vetoes: 0,
        });
        tracked.since = now;
        tracked.backoff = timing.retry_min();
        tracked.next_round = now + full;
        tracked.hold_until = None;
    }

    /// The endpoint is not public any more; what proved it counts no more, so that the whole way
    /// has to be gone again.
    fn demote(&mut self, tracked: &mut Tracked, reason: Option<Reason>, now: Instant) {
        let timing = self.settings.timing;
        tracked.votes.arrivals = match reason {
            // Networks that still reach it are part of this verdict.
            Some(Reason::Partial { .. }) => std::mem::take(&mut tracked.votes.arrivals),
            _ => Dated::default(),
        };
        let reason = reason.unwrap_or_else(|| decide(self.case(tracked, now)));
        tracked.votes.canaries = Dated::default();
        tracked.close(reason, now);
        self.note_flip(tracked, now);
        tracked.round = None;
        tracked.generation = self.new_generation();
        tracked.backoff = timing.retry_min();
        tracked.next_round = now + timing.retry_min();
    }

    /// Sees to it that what is open or about to open still may be, and asks for single probes.
    pub(super) fn keep(&mut self, tracked: &mut Tracked, quorum: Quorum, now: Instant) {
        let timing = self.settings.timing;
        match &tracked.standing {
            Standing::Closed(_) => return,
            Standing::Probation { .. } => {
                let fresh = tracked.proofs(now, timing.positive_ttl()).count();
                if fresh < quorum.reached {
                    let reason = expired(fresh, quorum);
                    tracked.close(reason, now);
                } else if let Some(at) = self.expiry(tracked, quorum, now) {
                    self.wake_at(at);
                }
                return;
            }
            Standing::Open(_) => {}
        }
        let fresh = tracked.proofs(now, tracked.proof_ttl(now, timing)).count();
        let is_cold = tracked
            .last_cold()
            .is_some_and(|at| is_fresh(at, now, timing.cold_ttl()));
        if fresh < quorum.reached || !is_cold {
            let cold = tracked.cold_proofs(now, timing);
            let reason = if fresh < quorum.reached {
                expired(fresh, quorum)
            } else {
                Reason::NotCold {
                    reached: fresh,
                    cold,
                    needed: COLD_TO_STAY,
                }
            };
            return self.demote(tracked, Some(reason), now);
        }
        if let Some(at) = self.expiry(tracked, quorum, now) {
            self.wake_at(at);
        }
        if let Some(at) = tracked.last_cold() {
            self.wake_at(at + timing.cold_ttl());
        }
        if tracked.round.is_none() {
            self.ask_single(tracked, quorum, now);
        }
    }

    /// When the quorum of proofs falls apart by age.
    fn expiry(&self, tracked: &Tracked, quorum: Quorum, now: Instant) -> Option<Instant> {
        let ttl = tracked.proof_ttl(now, self.settings.timing);
        nth_newest(tracked, quorum.reached, now, ttl).map(|at| at + ttl)
    }

    /// The heartbeat, and the replacement of votes that grow old.
    fn ask_single(&mut self, tracked: &mut Tracked, quorum: Quorum, now: Instant) {
        let timing = self.settings.timing;
        let wanted = quorum.reached + 1;
        let young = tracked.proofs(now, timing.top_up()).count();
        let grows_old = nth_newest(tracked, wanted, now, timing.top_up());
        let heartbeat = self.varied(timing.heartbeat());
        let is_cold_old = tracked
            .last_cold()
            .is_none_or(|at| !is_fresh(at, now, timing.cold_ttl() / 2));
        let is_aging = tracked.proofs(now, timing.positive_ttl()).count() > young;
        let Standing::Open(keep) = &mut tracked.standing else {
            return;
        };
        if keep.single.is_some() {
            return;
        }
        let mut wakes = vec![keep.next_single];
        let is_due = if young >= wanted {
            keep.top_up_wait = timing.retry_min();
            wakes.extend(grows_old.map(|at| at + timing.top_up()));
            keep.next_single <= now
        } else {
            if is_aging {
                let soon = now + timing.heartbeat() / 10;
                keep.next_top_up = keep.next_top_up.min(soon);
            }
            wakes.push(keep.next_top_up);
            keep.next_single <= now || keep.next_top_up <= now
        };
        if !is_due {
            wakes.into_iter().for_each(|at| self.wake_at(at));
            return;
        }
        let is_heartbeat = keep.next_single <= now;
        let wants_cold = is_heartbeat && (keep.is_next_cold || is_cold_old);
        if is_heartbeat {
            keep.next_single = now + heartbeat;
            keep.is_next_cold = !keep.is_next_cold;
        }
        if is_aging {
            // A vote that is there is worth more haste than one that never was.
            keep.next_top_up = now + timing.heartbeat() / 10;
        } else {
            keep.next_top_up = now + keep.top_up_wait;
            keep.top_up_wait = (keep.top_up_wait * 2).min(timing.heartbeat());
        }
        let (next_single, next_top_up) = (keep.next_single, keep.next_top_up);
        self.wake_at(next_single);
        self.wake_at(next_top_up);
        let single = match (wants_cold, is_heartbeat) {
            (true, _) => Single::Cold,
            (false, true) => Single::Heartbeat,
            (false, false) => Single::TopUp,
        };
        self.start_single(tracked, single, now);
    }

    fn start_single(&mut self, tracked: &mut Tracked, single: Single, now: Instant) {
        let (family, timing) = (tracked.family, self.settings.timing);
        let wants_cold = single == Single::Cold;
        let mode = if wants_cold {
            ProbeMode::Cold
        } else {
            ProbeMode::Direct
        };
        let young: BTreeSet<Netgroup> = tracked
            .proofs(now, timing.top_up())
            .map(|(group, _)| group)
            .collect();
        let ready = self.book.places().filter(|place| {
            self.book.is_fit(*place, family, &self.own)
                && self.book.readiness(*place, tracked.path(), now) == Readiness::Now
        });
        // Those whose vote is young stay strangers as long as they can.
        let ready = ready.filter(|place| {
            let group = self.book.group(*place, family);
            single != Single::TopUp || group.is_none_or(|group| !young.contains(&group))
        });
        // Whoever was heard and asked longest ago is next, so that no one who refuses takes the
        // turns of others; for strangers, one who is none anyway.
        let ranked = ready.map(|place| {
            let group = self.book.group(place, family);
            let heard = group.and_then(|group| tracked.votes.arrivals.at(&group));
            let asked = self.book.entry(place).and_then(|entry| entry.last);
            let is_cold = self.book.warm_until(place, family, now).is_none();
            let last = heard.max(asked.map(|(_, at)| at));
            let is_missing = heard.is_none_or(|at| !is_fresh(at, now, timing.positive_ttl()));
            let is_spared = match single {
                Single::Cold => is_cold,
                Single::TopUp => is_missing,
                Single::Heartbeat => false,
            };
            ((is_spared, last), place)
        });
        let mut ranked: Vec<((bool, Option<Instant>), Place)> = ranked.collect();
        let best = ranked.iter().map(|(rank, _)| *rank).min();
        ranked.retain(|(rank, _)| Some(*rank) == best);
        let Some((_, place)) = self.random_of(&ranked) else {
            return;
        };
        let avoid = if wants_cold {
            self.book.warm_keys(family, now)
        } else {
            Vec::new()
        };
        let probe = self.ask(tracked, place, mode, avoid, now);
        if let Standing::Open(keep) = &mut tracked.standing {
            keep.single = probe;
        }
    }

    /// What came of a single probe: whatever speaks against the endpoint is looked into at once.
    pub(super) fn heard_single(tracked: &mut Tracked, heard: &Heard, is_proof: bool, now: Instant) {
        let Standing::Open(keep) = &mut tracked.standing else {
            return;
        };
        keep.single = None;
        let is_against = match heard {
            Heard::Arrived { .. } => !is_proof,
            Heard::Failed { .. }
            | Heard::FailedCold { .. }
            | Heard::Contradicted { .. }
            | Heard::Proxied { .. } => true,
            Heard::Canary { .. } | Heard::Discarded { .. } | Heard::Nothing => false,
        };
        if is_against {
            tracked.next_round = tracked.next_round.min(now);
            tracked.is_next_round_cold |= matches!(heard, Heard::FailedCold { .. });
        }
    }

    /// What follows from a full round of an endpoint that is open.
    pub(super) fn conclude_keep(
        &mut self,
        tracked: &mut Tracked,
        round: &Round,
        quorum: Quorum,
        now: Instant,
    ) {
        let timing = self.settings.timing;
        if tracked.is_disputed() {
            let reason = decide(self.case(tracked, now));
            return self.demote(tracked, Some(reason), now);
        }
        let has_failed = round.proofs.len() < quorum.reached && round.against() >= quorum.failed;
        let is_elsewhere = tracked.votes.contradicted(now, timing) >= quorum.reached;
        let is_filtered = round.cold_wanted > 0
            && round.cold_got.is_empty()
            && round.cold_lost.len() >= quorum.failed;
        let is_port_alone = tracked.is_port_alone(quorum, now, timing);
        let strangers = tracked
            .votes
            .spontaneous
            .fresh(now, timing.veto_window())
            .count();
        let full = self.varied(timing.full_round());
        let Standing::Open(keep) = &mut tracked.standing else {
            return;
        };
        if !(has_failed || is_elsewhere || is_filtered || is_port_alone) {
            keep.doubts = 0;
            keep.vetoes = 0;
            if keep.next_full <= now || round.cold_wanted > 0 {
                keep.next_full = now + full;
            }
            // A round that something else asked for does not put off the hourly one.
            tracked.next_round = keep.next_full;
            return;
        }
        tracked.is_next_round_cold = is_filtered && !has_failed;
        keep.doubts += 1;
        if keep.doubts == 1 {
            tracked.next_round = now + timing.confirmation();
        } else if !is_elsewhere
            && !is_port_alone
            && strangers >= VETO_NETWORKS
            && keep.vetoes < VETOES_MAX
        {
            keep.vetoes += 1;
            tracked.next_round = now + timing.veto_round();
        } else {
            let reason = if is_filtered && !has_failed {
                let reason = decide(self.case(tracked, now));
                Some(reason_of_filter(tracked, round, reason))
            } else if is_port_alone && !has_failed && !is_elsewhere {
                tracked.votes.forget_arrived_canaries();
                Some(decide(self.case(tracked, now)))
            } else {
                None
            };
            self.demote(tracked, reason, now);
        }
    }
}

/// Only strangers do not get through: the votes of others stay out of it.
fn reason_of_filter(tracked: &Tracked, round: &Round, otherwise: Reason) -> Reason {
    match tracked.address() {
        Some(address) if tracked.is_local() => Reason::Filtered {
            address,
            port: super::reason::PortName {
                transport: tracked.endpoint.transport,
                port: tracked.endpoint.port,
            },
            reached: round.proofs.len(),
            failed_cold: round.cold_lost.len(),
        },
        _ => otherwise,
    }
}

const fn expired(fresh: usize, quorum: Quorum) -> Reason {
    Reason::Expired {
        fresh,
        needed: quorum.reached,
    }
}

/// When the `n`th newest proof came in, of those younger than `ttl`.
fn nth_newest(
    tracked: &Tracked,
    n: usize,
    now: Instant,
    ttl: std::time::Duration,
) -> Option<Instant> {
    let mut at: Vec<Instant> = tracked
        .proofs(now, ttl)
        .map(|(_, proof)| proof.at)
        .collect();
    at.sort_by_key(|at| std::cmp::Reverse(*at));
    at.get(n.checked_sub(1)?).copied()
}

/// Strangers that have to have got through lately.
const COLD_TO_STAY: usize = 1;

/// Networks of strangers whose traffic vetoes a demotion, and how often it does.
const VETO_NETWORKS: usize = 2;
const VETOES_MAX: u32 = 3;
