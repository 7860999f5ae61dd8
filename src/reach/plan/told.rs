//! What the plan tells: the turns of listeners, and the report.

use std::{
    mem,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    Action, Plan, Turn,
    judge::Family,
    reason::{Change, Reason},
    report::{
        DiscardedReport, EndpointReport, ListenerReport, ObservedReport, ProberReport, Report,
        VoteReport,
    },
    tracked::{Nature, Standing, Tracked},
    votes::Dated,
};
use crate::reach::{
    address::Netgroup,
    endpoint::{Claim, Listener},
    evidence::ProbeAnswer,
    timing::Timing,
    verdict::Verdict,
};

/// What was told of a listener last.
#[derive(Clone, Debug)]
pub(super) struct Told {
    verdict: Verdict,
    is_open: bool,
    kind: mem::Discriminant<Reason>,
    is_family_missing: bool,
    endpoints: Vec<SocketAddr>,
    since: Instant,
}

/// What a listener has come to.
struct State {
    reason: Reason,
    is_open: bool,
    /// Whether only the missing of IPv4 keeps it closed.
    is_family_missing: bool,
    endpoints: Vec<SocketAddr>,
}

impl State {
    fn why(&self) -> String {
        let (verdict, reason) = (self.reason.verdict(), &self.reason);
        if self.is_family_missing {
            format!(
                "{verdict}: {reason}; closed because IPv4 does not reach this server: make IPv4 \
                 public, or set reachability.allow_ipv6_only"
            )
        } else {
            format!("{verdict}: {reason}")
        }
    }
}

impl Plan {
    /// Why an endpoint's verdict is what it is, as of now.
    pub(super) fn reason(&self, tracked: &Tracked, now: Instant) -> Reason {
        let onion = || self.onion_sign(tracked).map(str::to_owned);
        match &tracked.nature {
            Nature::Loopback => {
                return onion().map_or(Reason::Loopback(tracked.bound), |sign| Reason::Onion {
                    sign,
                });
            }
            Nature::NoAddress => {
                return onion().map_or(Reason::NoAddress, |sign| Reason::Onion { sign });
            }
            Nature::Gone(ip) => return Reason::Changed(Change::AddressGone(*ip)),
            Nature::Probed => {}
        }
        match &tracked.standing {
            Standing::Open(_) => self.open_reason(tracked, now),
            Standing::Probation { .. } | Standing::Closed(_)
                if self.wrong_url(tracked).is_some() =>
            {
                let at = self.wrong_url(tracked).map(ToString::to_string);
                Reason::WrongKey {
                    at: at.unwrap_or_default(),
                    networks: 0,
                }
            }
            Standing::Probation { reached, .. } => Reason::SecondRound { reached: *reached },
            Standing::Closed(reason) => match self.quorum(tracked.family) {
                Err((usable, needed)) => self.too_few_probers(tracked, usable, needed),
                Ok(_) => reason.clone(),
            },
        }
    }

    fn open_reason(&self, tracked: &Tracked, now: Instant) -> Reason {
        let timing = self.settings.timing;
        let Some(address) = tracked.address() else {
            return Reason::Starting;
        };
        if tracked.is_local() {
            let ttl = tracked.proof_ttl(now, timing);
            return Reason::Public {
                address,
                reached: tracked.proofs(now, ttl).count(),
                cold: tracked.cold_proofs(now, timing),
            };
        }
        let newest = tracked.votes.arrivals.iter().max_by_key(|(_, _, at)| *at);
        Reason::Translated {
            dialed: Some(address.ip()),
            arrived_at: newest.and_then(|(_, arrival, _)| arrival.dst),
            is_accepted: true,
        }
    }

    fn too_few_probers(&self, tracked: &Tracked, usable: usize, needed: usize) -> Reason {
        let onion = self.onion_sign(tracked).map(str::to_owned);
        if usable == 0 && !tracked.is_local() {
            // Nobody can be asked what the address is, and none of ours is public.
            return onion.map_or(Reason::NoAddress, |sign| Reason::Onion { sign });
        }
        Reason::TooFewProbers {
            usable,
            needed,
            witness_helps: needed > super::Quorum::SMALL.tried,
        }
    }

    /// The address that was verified from outside, where one was.
    fn verified(tracked: &Tracked) -> Option<SocketAddr> {
        tracked.is_open().then(|| tracked.address()).flatten()
    }

    fn state(&self, listener: &Listener, now: Instant) -> State {
        let endpoints = || {
            self.tracked
                .values()
                .filter(|it| it.endpoint.listener == listener.id)
        };
        let verified: Vec<SocketAddr> = endpoints().filter_map(Self::verified).collect();
        let is_v6 = Family::of(listener.bound.ip()) == Family::V6;
        let has_v4 = self
            .tracked
            .values()
            .any(|it| it.family == Family::V4 && Self::verified(it).is_some());
        let is_family_missing =
            is_v6 && !verified.is_empty() && !has_v4 && !self.settings.allow_ipv6_only;
        let is_loopback = listener.bound.ip().to_canonical().is_loopback();
        let best = endpoints()
            // What is open speaks for the listener, whatever else is found.
            .map(|it| (it.is_open(), self.reason(it, now)))
            .max_by_key(|(is_open, reason)| (*is_open, reason.verdict()));
        let unprobed = if is_loopback {
            Reason::Loopback(listener.bound)
        } else {
            Reason::Starting
        };
        State {
            reason: best.map_or(unprobed, |(_, reason)| reason),
            is_open: !verified.is_empty() && !is_family_missing && !is_loopback,
            is_family_missing,
            endpoints: verified,
        }
    }

    /// Tells each listener's turn, where there is one.
    pub(super) fn tell_turns(&mut self, now: Instant) {
        for listener in self.settings.listeners.clone() {
            let state = self.state(&listener, now);
            let kind = mem::discriminant(&state.reason);
            let verdict = state.reason.verdict();
            let old = self.told.get(&listener.id);
            let is_same_state =
                old.is_some_and(|old| old.verdict == verdict && old.is_open == state.is_open);
            let is_same = is_same_state
                && old.is_some_and(|old| {
                    old.kind == kind
                        && old.is_family_missing == state.is_family_missing
                        && old.endpoints == state.endpoints
                });
            if is_same {
                continue;
            }
            let since = old.filter(|_| is_same_state).map_or(now, |old| old.since);
            self.actions.push_back(Action::Turn(Turn {
                listener: listener.id,
                verdict,
                is_open: state.is_open,
                why: state.why(),
                endpoints: state.endpoints.clone(),
            }));
            let told = Told {
                verdict,
                is_open: state.is_open,
                kind,
                is_family_missing: state.is_family_missing,
                endpoints: state.endpoints,
                since,
            };
            self.told.insert(listener.id, told);
        }
    }

    /// Everything known and concluded, as of now.
    #[must_use]
    pub fn report(&self, now: Instant) -> Report {
        let listeners: Vec<ListenerReport> = self
            .settings
            .listeners
            .iter()
            .map(|listener| self.listener_report(listener, now))
            .collect();
        let best = listeners.iter().max_by_key(|it| (it.is_open, it.verdict));
        let scale = self.settings.timing.scale();
        Report {
            verdict: best.map_or(Verdict::Unknown, |it| it.verdict),
            is_open: listeners.iter().any(|it| it.is_open),
            why: best.map_or_else(String::new, |it| it.why.clone()),
            time_scale: (scale < 1.0).then_some(scale),
            is_settled: self.is_settled(now),
            endpoints: self
                .tracked
                .values()
                .map(|tracked| self.endpoint_report(tracked, now))
                .collect(),
            probers: self.prober_reports(now),
            urls: self.url_reports(),
            warnings: self.warnings(now),
            counters: self.counters,
            listeners,
        }
    }

    fn listener_report(&self, listener: &Listener, now: Instant) -> ListenerReport {
        let state = self.state(listener, now);
        let since = self.told.get(&listener.id).map_or(now, |told| told.since);
        ListenerReport {
            id: listener.id,
            bound: listener.bound,
            transport: listener.transport,
            verdict: state.reason.verdict(),
            is_open: state.is_open,
            why: state.why(),
            verified: state.endpoints,
            since_secs: secs_since(since, now),
        }
    }

    fn endpoint_report(&self, tracked: &Tracked, now: Instant) -> EndpointReport {
        let (votes, timing) = (&tracked.votes, self.settings.timing);
        let reason = self.reason(tracked, now);
        let (known, address) = match tracked.endpoint.claim {
            Claim::Local(ip) => ("local", Some(ip)),
            Claim::Observed(ip) => ("observed", Some(ip)),
            Claim::Unknown => ("unknown", None),
        };
        let port = tracked.endpoint.port;
        let hour = timing.hour();
        let canaries = || votes.canaries.fresh(now, hour);
        EndpointReport {
            listener: tracked.endpoint.listener,
            transport: tracked.endpoint.transport,
            endpoint: match address {
                Some(ip) => SocketAddr::new(ip, port).to_string(),
                None => format!("*:{port}"),
            },
            known,
            interface: tracked.interface.clone(),
            verdict: reason.verdict(),
            why: reason.to_string(),
            standing: match tracked.standing {
                Standing::Closed(_) => "closed",
                Standing::Probation { .. } => "probation",
                Standing::Open(_) => "open",
            },
            arrived_at: arrived_at(tracked),
            observed: votes
                .observed_tally(now, timing)
                .into_iter()
                .map(|(ip, networks)| ObservedReport { ip, networks })
                .collect(),
            reached: arrivals(tracked, true, now, timing),
            translated: arrivals(tracked, false, now, timing),
            proxied: told_votes(&votes.proxied, now, timing, |source| source.to_string()),
            failed: told_votes(&votes.failures, now, timing, |it| it.name().to_owned()),
            failed_cold: told_votes(&votes.cold_failures, now, timing, |it| it.name().to_owned()),
            contradicted: told_votes(&votes.contradictions, now, timing, |it| {
                it.name().to_owned()
            }),
            canaries_arrived: canaries().filter(|(_, has_arrived)| **has_arrived).count(),
            canaries_asked: canaries().count(),
            spontaneous: votes.spontaneous.fresh(now, timing.veto_window()).count(),
            refusals: votes.refusals,
            discarded: votes
                .discarded
                .iter()
                .map(|it| DiscardedReport {
                    from: it.from,
                    why: it.why.clone(),
                    age_secs: secs_since(it.at, now),
                })
                .collect(),
            since_secs: secs_since(tracked.since, now),
            next_probe_secs: self.next_probe_secs(tracked, now),
            flips: self.flips_of(tracked, now),
        }
    }

    fn next_probe_secs(&self, tracked: &Tracked, now: Instant) -> Option<u64> {
        if !tracked.is_probed() || self.quorum(tracked.family).is_err() {
            return None;
        }
        if tracked.round.is_some() || tracked.single().is_some() {
            return Some(0);
        }
        let next = match &tracked.standing {
            Standing::Open(keep) => tracked.next_round.min(keep.next_single),
            Standing::Closed(_) | Standing::Probation { .. } => tracked.next_round,
        };
        Some(next.saturating_duration_since(now).as_secs())
    }

    fn prober_reports(&self, now: Instant) -> Vec<ProberReport> {
        let entries = self.book.entries().iter();
        entries
            .map(|entry| ProberReport {
                key: entry.prober.key,
                address: entry.prober.address.clone(),
                networks: entry
                    .ips()
                    .into_iter()
                    .map(|ip| Netgroup::of(ip).to_string())
                    .collect(),
                is_pinned: entry.prober.pinned,
                state: entry.state(&self.settings.own_key, &self.own, now),
                strikes: entry.strikes(),
                last: entry.last.map(|(answer, _)| answer_text(answer)),
                last_age_secs: entry.last.map(|(_, at)| secs_since(at, now)),
            })
            .collect()
    }

    fn warnings(&self, now: Instant) -> Vec<String> {
        let timing = self.settings.timing;
        let mut warnings = Vec::new();
        for tracked in self.tracked.values() {
            let Claim::Local(ip) = tracked.endpoint.claim else {
                continue;
            };
            let others = tracked.votes.observed_tally(now, timing);
            for (other, networks) in others.into_iter().filter(|(other, _)| *other != ip) {
                warnings.push(format!(
                    "packets from {ip} leave by another address: {networks} of the probers' \
                     networks see {other}"
                ));
            }
        }
        for url in self.url_reports() {
            if let Some(finding) = url.finding.filter(|_| url.verdict == Verdict::Conflict) {
                warnings.push(format!("{}: {finding}", url.url));
            }
        }
        warnings
    }
}

fn arrived_at(tracked: &Tracked) -> Vec<IpAddr> {
    let arrivals = tracked.votes.arrivals.iter();
    let mut at: Vec<IpAddr> = arrivals.filter_map(|(_, arrival, _)| arrival.dst).collect();
    at.sort();
    at.dedup();
    at
}

fn arrivals(tracked: &Tracked, is_exact: bool, now: Instant, timing: Timing) -> Vec<VoteReport> {
    let arrivals = tracked.votes.arrivals.iter();
    arrivals
        .filter(|(_, arrival, at)| {
            arrival.is_exact == is_exact && super::votes::is_fresh(*at, now, timing.stretched_ttl())
        })
        .map(|(group, arrival, at)| VoteReport {
            network: group.to_string(),
            what: format!("dialed {}", arrival.dialed),
            is_cold: arrival
                .cold_at
                .is_some_and(|at| super::votes::is_fresh(at, now, timing.cold_ttl())),
            age_secs: secs_since(at, now),
        })
        .collect()
}

fn told_votes<V>(
    votes: &Dated<Netgroup, V>,
    now: Instant,
    timing: Timing,
    what: impl Fn(&V) -> String,
) -> Vec<VoteReport> {
    votes
        .iter()
        .filter(|(_, _, at)| super::votes::is_fresh(*at, now, timing.positive_ttl()))
        .map(|(group, value, at)| VoteReport {
            network: group.to_string(),
            what: what(value),
            is_cold: false,
            age_secs: secs_since(at, now),
        })
        .collect()
}

fn answer_text(answer: ProbeAnswer) -> String {
    match answer {
        ProbeAnswer::Dialed {
            outcome,
            control_ok,
            ..
        } if control_ok => outcome.name().to_owned(),
        ProbeAnswer::Dialed { outcome, .. } => {
            format!("{}, its own way out unproved", outcome.name())
        }
        ProbeAnswer::Refused(code) => format!("refused: {}", code.name()),
        ProbeAnswer::NotReached => "not reached".to_owned(),
        ProbeAnswer::LocalError => "could not be asked".to_owned(),
        ProbeAnswer::Unusable => "did not answer as it should".to_owned(),
    }
}

fn secs_since(at: Instant, now: Instant) -> u64 {
    let age: Duration = now.saturating_duration_since(at);
    age.as_secs()
}
