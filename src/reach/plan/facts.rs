//! From the machine's addresses to the endpoints that are tested.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::{
    Plan,
    judge::Family,
    reason::{Change, Reason},
    tracked::{Key, Nature, Standing, Tracked},
    votes::{Dated, Votes},
};
use crate::{
    base::limits,
    reach::{
        address::{Netgroup, canonical, is_global},
        endpoint::{Claim, Endpoint, Listener},
        evidence::{LocalFacts, OnionSign},
    },
    wire::ProbeTransport,
};

/// What an endpoint has to be like, by the facts.
struct Wanted {
    claim: Claim,
    from: Option<IpAddr>,
    nature: Nature,
    interface: Option<String>,
}

/// The part of the facts that is worth another look when it changes.
#[derive(PartialEq, Eq)]
struct Matters {
    addresses: BTreeSet<(IpAddr, bool)>,
    routes: (bool, bool),
    gateways: BTreeSet<IpAddr>,
}

impl Plan {
    pub(super) fn take_facts(&mut self, mut facts: LocalFacts, now: Instant) {
        facts.addresses.truncate(limits::LOCAL_ADDRESSES_MAX);
        for address in &mut facts.addresses {
            address.ip = canonical(address.ip);
        }
        let old = self.facts.replace(facts.clone());
        if old.as_ref() == Some(&facts) {
            return;
        }
        self.own.addresses = facts.addresses.iter().map(|it| it.ip).collect();
        self.own.gateways = facts.gateways.iter().map(|ip| canonical(*ip)).collect();
        self.refresh_own_groups(None);
        self.match_endpoints(&facts, old.is_some(), now);
        if let Some(old) = old {
            self.follow_routes(&old, &facts, now);
            if self.what_matters(&old) != self.what_matters(&facts) {
                self.look_again(now);
            }
        }
    }

    /// Our own networks: those of our global addresses, and of those that others see, also that
    /// of the claim at hand.
    fn refresh_own_groups(&mut self, claim: Option<IpAddr>) {
        let observed = self
            .tracked
            .values()
            .filter_map(|it| it.endpoint.claim.ip())
            .chain(claim);
        self.own.groups = self
            .own
            .addresses
            .iter()
            .copied()
            .filter(|ip| is_global(*ip))
            .chain(observed)
            .map(Netgroup::of)
            .collect();
    }

    fn match_endpoints(&mut self, facts: &LocalFacts, is_change: bool, now: Instant) {
        let mut wanted = BTreeMap::new();
        for listener in self.settings.listeners.clone() {
            for mut it in wanted_of(&listener, facts) {
                // That an address went is no verdict yet: a round finds out what is left.
                if is_change && it.nature == Nature::NoAddress {
                    it.nature = Nature::Probed;
                }
                wanted.insert((listener.id, local_ip(it.claim)), (listener, it));
            }
        }
        let gone: Vec<Key> = self
            .tracked
            .keys()
            .filter(|key| !wanted.contains_key(*key))
            .copied()
            .collect();
        for key in gone {
            if let Some(mut tracked) = self.tracked.remove(&key)
                && tracked.is_open()
            {
                self.note_flip(&mut tracked, now);
            }
        }
        for (key, (listener, it)) in wanted {
            match self.tracked.get_mut(&key) {
                Some(tracked) => {
                    let is_other = tracked.nature != it.nature || tracked.from != it.from;
                    tracked.nature = it.nature;
                    tracked.from = it.from;
                    tracked.interface = it.interface;
                    if is_other {
                        self.next_generation += 1;
                        tracked.reset(Change::Addresses, self.next_generation, now);
                        tracked.next_round = now + self.settings.timing.first_probe();
                    }
                }
                None => {
                    let tracked = self.new_tracked(&listener, it, is_change, now);
                    self.tracked.insert(key, tracked);
                }
            }
        }
        self.refresh_own_groups(None);
    }

    /// No probe of an earlier state of affairs has this number, whichever endpoint it was for.
    pub(super) const fn new_generation(&mut self) -> u64 {
        self.next_generation += 1;
        self.next_generation
    }

    fn new_tracked(
        &mut self,
        listener: &Listener,
        wanted: Wanted,
        is_change: bool,
        now: Instant,
    ) -> Tracked {
        let timing = self.settings.timing;
        let reason = if is_change {
            Reason::Changed(Change::Addresses)
        } else {
            Reason::Starting
        };
        let first = self.started + timing.first_probe();
        let mut tracked = Tracked {
            endpoint: Endpoint {
                listener: listener.id,
                transport: listener.transport,
                claim: wanted.claim,
                port: listener.bound.port(),
            },
            family: Family::of(listener.bound.ip()),
            bound: listener.bound,
            from: wanted.from,
            nature: wanted.nature,
            interface: wanted.interface,
            is_accepted: false,
            // Probes of a former endpoint of this name must not be taken for this one's.
            generation: self.new_generation(),
            votes: Votes::default(),
            standing: Standing::Closed(reason),
            since: now,
            round: None,
            next_round: if is_change {
                now + timing.first_probe()
            } else {
                first.max(now)
            },
            is_next_round_cold: false,
            is_next_round_whole: false,
            backoff: timing.retry_min(),
            rounds: 0,
            last_round_at: None,
            last_first: None,
            dissent_rounds: 0,
            hold_until: None,
            strangers_at: None,
            claim_changes: VecDeque::new(),
        };
        tracked.endpoint.port = self.port_of(&tracked);
        tracked
    }

    /// The port on which others reach an endpoint: where a router stands before it, the operator
    /// may have named another one in a URL.
    fn port_of(&self, tracked: &Tracked) -> u16 {
        let bound = tracked.bound.port();
        if tracked.is_local() {
            return bound;
        }
        self.urls
            .port_for(tracked.endpoint.transport, tracked.family)
            .unwrap_or(bound)
    }

    /// Without a way out nothing holds; a way that changed is only a reason to look again.
    fn follow_routes(&mut self, old: &LocalFacts, new: &LocalFacts, now: Instant) {
        let lost_v4 = old.route_v4 && !new.route_v4;
        let lost_v6 = old.route_v6 && !new.route_v6;
        self.reset_all(&Change::Route, now, |tracked| match tracked.family {
            Family::V4 => lost_v4,
            Family::V6 => lost_v6,
        });
    }

    /// What a verdict can depend on. The inner addresses of containers come and go all the time.
    fn what_matters(&self, facts: &LocalFacts) -> Matters {
        let is_bound = |ip: IpAddr| {
            let mut listeners = self.settings.listeners.iter();
            listeners.any(|listener| canonical(listener.bound.ip()) == ip)
        };
        let addresses = facts.addresses.iter();
        Matters {
            addresses: addresses
                .map(|it| (canonical(it.ip), it.is_usable))
                .filter(|(ip, _)| is_global(*ip) || is_bound(*ip))
                .collect(),
            routes: (facts.route_v4, facts.route_v6),
            gateways: facts.gateways.iter().map(|ip| canonical(*ip)).collect(),
        }
    }

    /// Something changed: every endpoint is tested again, though not more often than is useful
    /// where changes come all the time, and not before there are strangers where those are missing.
    fn look_again(&mut self, now: Instant) {
        let rest = self.settings.timing.heartbeat() / 10;
        for tracked in self.tracked.values_mut() {
            if matches!(tracked.standing, Standing::Probation { .. }) {
                continue;
            }
            let at = tracked.last_round_at.map_or(now, |at| now.max(at + rest));
            let at = tracked
                .strangers_at
                .map_or(at, |strangers| at.max(strangers));
            tracked.next_round = tracked.next_round.min(at);
            tracked.backoff = self.settings.timing.retry_min();
        }
    }

    /// Nothing known of these endpoints holds any more.
    pub(super) fn reset_all(
        &mut self,
        change: &Change,
        now: Instant,
        is_concerned: impl Fn(&Tracked) -> bool,
    ) {
        let keys: Vec<Key> = self.tracked.keys().copied().collect();
        for key in keys {
            let Some(mut tracked) = self.tracked.remove(&key) else {
                continue;
            };
            if tracked.is_probed() && is_concerned(&tracked) {
                if tracked.is_open() {
                    self.note_flip(&mut tracked, now);
                }
                tracked.reset(change.clone(), self.new_generation(), now);
                tracked.backoff = self.settings.timing.retry_min();
                tracked.next_round = now + self.settings.timing.retry_min();
            }
            self.tracked.insert(key, tracked);
        }
    }

    /// What others see as our address becomes our claim, where it is not ours.
    pub(super) fn follow_observed(&mut self, tracked: &mut Tracked, now: Instant) {
        if tracked.is_local() {
            return;
        }
        let timing = self.settings.timing;
        tracked.endpoint.port = self.port_of(tracked);
        let agreed = tracked.votes.agreed_address(now, timing);
        let claim = agreed.map_or(Claim::Unknown, Claim::Observed);
        if claim == tracked.endpoint.claim {
            return;
        }
        let was_known = tracked.endpoint.claim != Claim::Unknown;
        if was_known && agreed.is_some() {
            let hour = timing.hour();
            tracked
                .claim_changes
                .retain(|at| super::votes::is_fresh(*at, now, hour));
            if tracked.claim_changes.len() >= limits::PLAN_OBSERVED_CHANGES_MAX {
                return;
            }
            tracked.claim_changes.push_back(now);
        }
        if tracked.is_open() {
            // What was accepted was the other address. The round that is due finds out.
            self.note_flip(tracked, now);
            tracked.close(Reason::Changed(Change::Addresses), now);
            tracked.next_round = now + timing.retry_min();
        }
        tracked.endpoint.claim = claim;
        tracked.is_accepted =
            agreed.is_some_and(|ip| self.settings.accept_static_nat.contains(&ip));
        // Those fresh ports were another address's.
        tracked.votes.canaries = Dated::default();
        self.refresh_own_groups(agreed);
        // A network of ours has no vote; this one was not known to be ours.
        if let Some(ip) = agreed {
            let group = Netgroup::of(ip);
            tracked.votes.arrivals.remove(&group);
            tracked.votes.failures.remove(&group);
        }
    }

    /// The sign that an endpoint is an onion service's, if there is one.
    pub(super) fn onion_sign(&self, tracked: &Tracked) -> Option<&str> {
        let has_tcp = self
            .settings
            .listeners
            .iter()
            .any(|listener| listener.transport == ProbeTransport::Tcp);
        let this = tracked.endpoint.listener;
        self.signs.iter().find_map(|sign| match sign {
            // Tor carries TCP alone, so a URL speaks of that listener if there is one.
            OnionSign::Url(url)
                if !has_tcp || tracked.endpoint.transport == ProbeTransport::Tcp =>
            {
                Some(url.as_str())
            }
            OnionSign::Torrc { file, listener } if *listener == this => Some(file.as_str()),
            OnionSign::ControlPort(listener) if *listener == this => Some("Tor's control port"),
            OnionSign::LoopbackPeers(listener) if *listener == this => Some("loopback peers"),
            _ => None,
        })
    }

    /// Every address on an interface that could be an endpoint's.
    pub(super) fn local_addresses(&self) -> &BTreeSet<IpAddr> {
        &self.own.addresses
    }
}

/// The endpoints that a listener has by the facts; at least one.
fn wanted_of(listener: &Listener, facts: &LocalFacts) -> Vec<Wanted> {
    let bound = canonical_bound(listener);
    let family = Family::of(bound.ip());
    let closed = |nature| {
        vec![Wanted {
            claim: Claim::Unknown,
            from: None,
            nature,
            interface: None,
        }]
    };
    if bound.ip().is_loopback() {
        return closed(Nature::Loopback);
    }
    let mine = facts
        .addresses
        .iter()
        .filter(|it| it.is_usable && Family::of(it.ip) == family && !it.ip.is_loopback())
        .filter(|it| bound.ip().is_unspecified() || it.ip == bound.ip());
    let locals: Vec<Wanted> = mine
        .clone()
        .filter(|it| is_global(it.ip))
        .take(limits::PLAN_CANDIDATES_MAX)
        .map(|it| Wanted {
            claim: Claim::Local(it.ip),
            from: Some(it.ip),
            nature: Nature::Probed,
            interface: Some(it.interface.clone()),
        })
        .collect();
    if !locals.is_empty() {
        return locals;
    }
    let is_specific = !bound.ip().is_unspecified();
    let mut others = mine.filter(|it| !is_link_local(it.ip));
    match others.next() {
        Some(other) => vec![Wanted {
            claim: Claim::Unknown,
            from: is_specific.then_some(other.ip),
            nature: Nature::Probed,
            interface: None,
        }],
        None if is_specific => closed(Nature::Gone(bound.ip())),
        None => closed(Nature::NoAddress),
    }
}

fn canonical_bound(listener: &Listener) -> SocketAddr {
    let bound = listener.bound;
    // The IPv6 wildcard is no IPv4 address in disguise.
    SocketAddr::new(canonical(bound.ip()), bound.port())
}

const fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

const fn local_ip(claim: Claim) -> Option<IpAddr> {
    match claim {
        Claim::Local(ip) => Some(ip),
        Claim::Observed(_) | Claim::Unknown => None,
    }
}
