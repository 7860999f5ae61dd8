//! What the networks said about one endpoint: one vote for each, the newest, with its time.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use crate::{
    base::limits,
    reach::{address::Netgroup, timing::Timing},
    wire::ProbeOutcome,
};

/// Values with their times, at most [`limits::PLAN_VOTES_MAX`]; the oldest makes room.
#[derive(Clone, Debug)]
pub(super) struct Dated<K, V>(BTreeMap<K, (V, Instant)>);

impl<K, V> Default for Dated<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy, V> Dated<K, V> {
    pub(super) fn put(&mut self, key: K, value: V, at: Instant) {
        if self.0.len() >= limits::PLAN_VOTES_MAX && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(key, (value, at));
    }

    pub(super) fn at(&self, key: &K) -> Option<Instant> {
        self.0.get(key).map(|(_, at)| *at)
    }

    pub(super) fn value(&self, key: &K) -> Option<&V> {
        self.0.get(key).map(|(value, _)| value)
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// Those younger than `ttl`.
    pub(super) fn fresh(&self, now: Instant, ttl: Duration) -> impl Iterator<Item = (&K, &V)> {
        self.0
            .iter()
            .filter(move |(_, (_, at))| is_fresh(*at, now, ttl))
            .map(|(key, (value, _))| (key, value))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V, Instant)> {
        self.0.iter().map(|(key, (value, at))| (key, value, *at))
    }

    pub(super) fn newest(&self) -> Option<Instant> {
        self.0.values().map(|(_, at)| *at).max()
    }
}

pub(super) fn is_fresh(at: Instant, now: Instant, ttl: Duration) -> bool {
    now.saturating_duration_since(at) < ttl
}

/// A dial-back that arrived and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Whether it arrived at the very address that was dialed, and that one is ours.
    pub(super) is_exact: bool,
    /// The local address at which it arrived.
    pub(super) dst: Option<IpAddr>,
    /// The address that was dialed.
    pub(super) dialed: SocketAddr,
    /// When this network was last cold.
    pub(super) cold_at: Option<Instant>,
}

/// How a network reached somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contradiction {
    /// Somebody else has the address.
    WrongKey,
    /// The right key, but another instance.
    NonceRejected,
    /// It says that all went well, and nothing came.
    NothingCame,
}

impl Contradiction {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::WrongKey => "wrong-key",
            Self::NonceRejected => "nonce-rejected",
            Self::NothingCame => "ok, but nothing came",
        }
    }
}

/// A dial-back that counts for nothing.
#[derive(Clone, Debug)]
pub(super) struct Discarded {
    pub(super) from: IpAddr,
    pub(super) why: String,
    pub(super) at: Instant,
}

/// Everything said about one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Votes {
    /// By the network of whoever dialed.
    pub(super) arrivals: Dated<Netgroup, Arrival>,
    /// By the network of the prober.
    pub(super) proxied: Dated<Netgroup, IpAddr>,
    /// By the network of the prober that dialed in vain.
    pub(super) failures: Dated<Netgroup, ProbeOutcome>,
    /// By the network of the prober whose third server dialed in vain.
    pub(super) cold_failures: Dated<Netgroup, ProbeOutcome>,
    /// By the network of the prober.
    pub(super) contradictions: Dated<Netgroup, Contradiction>,
    /// By the network of the prober: our address as it sees it.
    pub(super) observed: Dated<Netgroup, IpAddr>,
    /// By the network of the prober: whether a fresh port was reached.
    pub(super) canaries: Dated<Netgroup, bool>,
    /// By the stranger's network.
    pub(super) spontaneous: Dated<Netgroup, ()>,
    pub(super) discarded: VecDeque<Discarded>,
    pub(super) refusals: u64,
}

impl Votes {
    /// Takes in an arrival. A network that was cold stays so for its time, as long as it arrives
    /// in the same way.
    pub(super) fn arrived(
        &mut self,
        group: Netgroup,
        mut arrival: Arrival,
        is_cold: bool,
        now: Instant,
    ) {
        let earlier = self
            .arrivals
            .value(&group)
            .filter(|earlier| earlier.is_exact == arrival.is_exact)
            .and_then(|earlier| earlier.cold_at);
        arrival.cold_at = if is_cold { Some(now) } else { earlier };
        self.arrivals.put(group, arrival, now);
    }

    /// Networks younger than `ttl` that reached a fresh port, and that did not.
    pub(super) fn canaries_within(&self, ttl: Duration, now: Instant) -> (usize, usize) {
        let votes = || self.canaries.fresh(now, ttl);
        let arrived = votes().filter(|(_, has_arrived)| **has_arrived).count();
        (arrived, votes().count() - arrived)
    }

    pub(super) fn forget_arrived_canaries(&mut self) {
        self.canaries.0.retain(|_, (has_arrived, _)| !*has_arrived);
    }

    pub(super) fn discard(&mut self, from: IpAddr, why: String, at: Instant) {
        if self.discarded.len() >= limits::PLAN_DISCARDED_MAX {
            self.discarded.pop_front();
        }
        self.discarded.push_back(Discarded { from, why, at });
    }

    /// Networks whose last word is that arrival: fresh, and not followed by a failure.
    pub(super) fn standing_arrivals(
        &self,
        now: Instant,
        timing: Timing,
    ) -> impl Iterator<Item = (Netgroup, &Arrival)> {
        self.arrivals
            .iter()
            .filter(move |(group, _, at)| {
                is_fresh(*at, now, timing.positive_ttl())
                    && self.failures.at(group).is_none_or(|failed| failed <= *at)
            })
            .map(|(group, arrival, _)| (*group, arrival))
    }

    /// Networks whose last word is that failure.
    pub(super) fn standing_failures(
        &self,
        now: Instant,
        timing: Timing,
    ) -> impl Iterator<Item = Netgroup> {
        self.failures
            .iter()
            .filter(move |(group, _, at)| {
                is_fresh(*at, now, timing.positive_ttl())
                    && self.arrivals.at(group).is_none_or(|arrived| arrived < *at)
            })
            .map(|(group, _, _)| *group)
    }

    /// Networks that found others there lately.
    pub(super) fn contradicted(&self, now: Instant, timing: Timing) -> usize {
        self.contradictions
            .fresh(now, timing.positive_ttl())
            .count()
    }

    /// The addresses that networks report, the most reported first.
    pub(super) fn observed_tally(&self, now: Instant, timing: Timing) -> Vec<(IpAddr, usize)> {
        let mut tally = BTreeMap::<IpAddr, usize>::new();
        for (_, ip) in self.observed.fresh(now, timing.positive_ttl()) {
            *tally.entry(*ip).or_default() += 1;
        }
        let mut tally: Vec<_> = tally.into_iter().collect();
        tally.sort_by_key(|(_, networks)| std::cmp::Reverse(*networks));
        tally
    }

    /// The address that several networks report, while no other is reported by several.
    pub(super) fn agreed_address(&self, now: Instant, timing: Timing) -> Option<IpAddr> {
        let tally = self.observed_tally(now, timing);
        let mut strong = tally
            .iter()
            .filter(|(_, networks)| *networks >= OBSERVERS_MIN);
        match (strong.next(), strong.next()) {
            (Some((ip, _)), None) => Some(*ip),
            _ => None,
        }
    }
}

/// Networks that have to report an address before it is taken for ours.
pub(super) const OBSERVERS_MIN: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn group(number: u8) -> Netgroup {
        Netgroup::of(IpAddr::from([number, 1, 0, 1]))
    }

    #[test]
    fn the_oldest_vote_makes_room_for_a_new_network() {
        let start = Instant::now();
        let mut votes = Dated::default();
        for number in 0..=limits::PLAN_VOTES_MAX {
            let at = start + Duration::from_secs(number as u64);
            votes.put(number, (), at);
        }
        assert_eq!(votes.iter().count(), limits::PLAN_VOTES_MAX);
        assert_eq!(votes.at(&0), None);
    }

    #[test]
    fn an_address_is_agreed_on_by_two_networks_and_no_other_pair() {
        let (now, timing) = (Instant::now(), Timing::REAL);
        let (this, that) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([5, 6, 7, 8]));
        let mut votes = Votes::default();
        votes.observed.put(group(1), this, now);
        assert_eq!(votes.agreed_address(now, timing), None);
        votes.observed.put(group(2), this, now);
        votes.observed.put(group(3), that, now);
        assert_eq!(votes.agreed_address(now, timing), Some(this));
        votes.observed.put(group(4), that, now);
        assert_eq!(votes.agreed_address(now, timing), None);
        let later = now + timing.positive_ttl();
        assert_eq!(votes.agreed_address(later, timing), None);
    }

    #[test]
    fn a_network_stays_cold_only_while_it_arrives_in_the_same_way() {
        let now = Instant::now();
        let mut votes = Votes::default();
        let mut arrival = Arrival {
            is_exact: true,
            dst: None,
            dialed: SocketAddr::from(([1, 2, 3, 4], 1)),
            cold_at: None,
        };
        votes.arrived(group(1), arrival, true, now);
        votes.arrived(group(1), arrival, false, now);
        assert_eq!(votes.arrivals.value(&group(1)).unwrap().cold_at, Some(now));
        arrival.is_exact = false;
        votes.arrived(group(1), arrival, false, now);
        assert_eq!(votes.arrivals.value(&group(1)).unwrap().cold_at, None);
    }
}
