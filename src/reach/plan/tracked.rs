//! One endpoint under test: what is known of it, how it stands, what is under way.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    book::{Path, Place},
    decide::CANARIES_NEEDED,
    judge::Family,
    quorum::Quorum,
    reason::{Change, Reason},
    round::Round,
    votes::{Arrival, Votes, is_fresh},
};
use crate::{
    reach::{
        address::Netgroup,
        endpoint::{Claim, Endpoint, ListenerId},
        evidence::ProbeId,
        timing::Timing,
    },
    wire::ProbeMode,
};

/// What stays the same of an endpoint while more is learnt of it: its listener, and the local
/// global address if it has one.
pub(super) type Key = (ListenerId, Option<IpAddr>);

/// Whether an endpoint is worth probing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// It is.
    Probed,
    /// Only this machine can reach it.
    Loopback,
    /// There is no address that anybody could ask from.
    NoAddress,
    /// The address that the listener is bound to is gone.
    Gone(IpAddr),
}

/// How an endpoint stands.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// Not reached well enough, for this reason.
    Closed(Reason),
    /// Reached by a quorum; a second round confirms it.
    Probation { reached: usize, extra_rounds: u32 },
    /// Reached, twice.
    Open(Keep),
}

/// What keeps an open endpoint open.
#[derive(Clone, Debug)]
pub(super) struct Keep {
    /// The single probe that is out.
    pub(super) single: Option<ProbeId>,
    /// When the next one is due.
    pub(super) next_single: Instant,
    /// Whether the next one asks for a stranger.
    pub(super) is_next_cold: bool,
    /// When a missing vote may be replaced, and the wait after that.
    pub(super) next_top_up: Instant,
    pub(super) top_up_wait: Duration,
    /// When the hourly round is due.
    pub(super) next_full: Instant,
    /// Rounds in a row that spoke against it.
    pub(super) doubts: u32,
    /// Of these, ones that strangers' traffic vetoed.
    pub(super) vetoes: u32,
}

/// One endpoint under test.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) endpoint: Endpoint,
    pub(super) family: Family,
    pub(super) bound: SocketAddr,
    /// The local address to ask from.
    pub(super) from: Option<IpAddr>,
    pub(super) nature: Nature,
    pub(super) interface: Option<String>,
    /// Whether the operator accepts a 1:1 translation of the observed address.
    pub(super) is_accepted: bool,
    /// Tells probes of an earlier state of affairs from those of the present one.
    pub(super) generation: u64,
    pub(super) votes: Votes,
    pub(super) standing: Standing,
    pub(super) since: Instant,
    pub(super) round: Option<Round>,
    pub(super) next_round: Instant,
    /// Whether the next round asks for strangers although nothing demands it.
    pub(super) is_next_round_cold: bool,
    /// Whether the next round is whole, whatever is known.
    pub(super) is_next_round_whole: bool,
    pub(super) backoff: Duration,
    /// Rounds since the start, or since the operator asked for them.
    pub(super) rounds: u32,
    pub(super) last_round_at: Option<Instant>,
    /// Whom the last round asked first.
    pub(super) last_first: Option<Place>,
    /// Rounds in a row in which too many networks dissented.
    pub(super) dissent_rounds: u32,
    pub(super) hold_until: Option<Instant>,
    /// When there are strangers again, where the next round waits for them.
    pub(super) strangers_at: Option<Instant>,
    pub(super) claim_changes: VecDeque<Instant>,
}

/// A vote that the endpoint is reached as it has to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    pub(super) at: Instant,
    pub(super) cold_at: Option<Instant>,
}

impl Tracked {
    pub(super) const fn key(&self) -> Key {
        let ip = match self.endpoint.claim {
            Claim::Local(ip) => Some(ip),
            Claim::Observed(_) | Claim::Unknown => None,
        };
        (self.endpoint.listener, ip)
    }

    pub(super) const fn path(&self) -> Path {
        (self.family, self.endpoint.transport)
    }

    pub(super) fn is_probed(&self) -> bool {
        self.nature == Nature::Probed
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.standing, Standing::Open(_))
    }

    pub(super) const fn is_local(&self) -> bool {
        matches!(self.endpoint.claim, Claim::Local(_))
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        let ip = self.endpoint.claim.ip()?;
        Some(SocketAddr::new(ip, self.endpoint.port))
    }

    /// Whether an arrival shows what has to be shown: for an address of ours, that packets to it
    /// come here unchanged; for an accepted translation, that packets to that address do.
    pub(super) fn is_proof(&self, arrival: &Arrival) -> bool {
        match self.endpoint.claim {
            Claim::Local(_) => arrival.is_exact,
            Claim::Observed(ip) => {
                self.is_accepted && arrival.dialed == SocketAddr::new(ip, self.endpoint.port)
            }
            Claim::Unknown => false,
        }
    }

    fn every_proof(&self) -> impl Iterator<Item = (Netgroup, Proof)> {
        let proofs = self.votes.arrivals.iter();
        proofs
            .filter(|(_, arrival, _)| self.is_proof(arrival))
            .map(|(group, arrival, at)| {
                let cold_at = arrival.cold_at;
                (*group, Proof { at, cold_at })
            })
    }

    /// Proofs younger than `ttl`.
    pub(super) fn proofs(
        &self,
        now: Instant,
        ttl: Duration,
    ) -> impl Iterator<Item = (Netgroup, Proof)> {
        self.every_proof()
            .filter(move |(_, proof)| is_fresh(proof.at, now, ttl))
    }

    /// Fresh proofs that no later failure of the same network takes back.
    pub(super) fn standing_proofs(&self, now: Instant, timing: Timing) -> usize {
        self.votes
            .standing_arrivals(now, timing)
            .filter(|(_, arrival)| self.is_proof(arrival))
            .count()
    }

    /// Proofs that were cold lately enough.
    pub(super) fn cold_proofs(&self, now: Instant, timing: Timing) -> usize {
        self.every_proof()
            .filter_map(|(_, proof)| proof.cold_at)
            .filter(|at| is_fresh(*at, now, timing.cold_ttl()))
            .count()
    }

    /// Arrivals of either kind that were cold lately enough.
    pub(super) fn cold_arrivals(&self, now: Instant, timing: Timing) -> usize {
        self.votes
            .arrivals
            .iter()
            .filter_map(|(_, arrival, _)| arrival.cold_at)
            .filter(|at| is_fresh(*at, now, timing.cold_ttl()))
            .count()
    }

    /// How old a proof may be: strangers' traffic stretches it, though not for ever.
    pub(super) fn proof_ttl(&self, now: Instant, timing: Timing) -> Duration {
        let newest = self.votes.spontaneous.newest();
        if newest.is_some_and(|at| is_fresh(at, now, timing.positive_ttl())) {
            timing.stretched_ttl()
        } else {
            timing.positive_ttl()
        }
    }

    /// When the last stranger was seen to get through: a cold dial-back, or unasked traffic.
    pub(super) fn last_cold(&self) -> Option<Instant> {
        self.every_proof()
            .filter_map(|(_, proof)| proof.cold_at)
            .max()
            .max(self.votes.spontaneous.newest())
    }

    /// Whether nothing arrives, that is known well enough, and it is known freshly.
    pub(super) fn is_shut(&self, quorum: Quorum, now: Instant, timing: Timing) -> bool {
        let young = self.votes.failures.fresh(now, timing.top_up()).count();
        self.votes.standing_arrivals(now, timing).next().is_none() && young >= quorum.failed
    }

    /// Whether fresh ports of an accepted translation are not reached any more, while the
    /// listener's may be: then it became the forwarding of a port.
    pub(super) fn is_port_alone(&self, quorum: Quorum, now: Instant, timing: Timing) -> bool {
        let (arrived, lost) = self.votes.canaries_within(timing.hour(), now);
        !self.is_local() && lost >= quorum.failed && arrived < CANARIES_NEEDED
    }

    /// How old the canaries may be by which a round goes. One that is to confirm that they are
    /// lost sends its own.
    pub(super) fn canary_ttl(&self, quorum: Quorum, now: Instant, timing: Timing) -> Duration {
        let is_doubted = matches!(&self.standing, Standing::Open(keep) if keep.doubts > 0);
        match self.last_round_at {
            Some(begun) if is_doubted && self.is_port_alone(quorum, now, timing) => {
                now.saturating_duration_since(begun)
            }
            _ => timing.hour(),
        }
    }

    /// Whether more than a third of six networks or more say that they cannot reach it.
    pub(super) fn is_dissented(&self, now: Instant, timing: Timing) -> bool {
        let failed = self.votes.standing_failures(now, timing).count();
        let reached = self.standing_proofs(now, timing);
        let total = failed + reached;
        reached > 0 && total >= DISSENT_NETWORKS_MIN && failed * 3 > total
    }

    pub(super) const fn is_disputed(&self) -> bool {
        self.dissent_rounds >= DISSENT_ROUNDS
    }

    /// Nothing known holds any more.
    pub(super) fn reset(&mut self, change: Change, generation: u64, now: Instant) {
        self.generation = generation;
        self.strangers_at = None;
        self.votes = Votes {
            refusals: self.votes.refusals,
            ..Votes::default()
        };
        self.round = None;
        self.dissent_rounds = 0;
        self.close(Reason::Changed(change), now);
        self.rounds = 0;
    }

    pub(super) fn close(&mut self, reason: Reason, now: Instant) {
        self.standing = Standing::Closed(reason);
        self.since = now;
    }

    /// The probes of this endpoint that are out and belong to no round.
    pub(super) const fn single(&self) -> Option<ProbeId> {
        match &self.standing {
            Standing::Open(keep) => keep.single,
            Standing::Closed(_) | Standing::Probation { .. } => None,
        }
    }
}

/// A probe that is out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) key: Key,
    pub(super) generation: u64,
    pub(super) place: Place,
    pub(super) path: Path,
    pub(super) mode: ProbeMode,
    pub(super) expires: Instant,
    pub(super) dialback: Option<crate::reach::evidence::Dialback>,
}

/// Networks among which dissent counts, and rounds for which it has to last.
const DISSENT_NETWORKS_MIN: usize = 6;
const DISSENT_ROUNDS: u32 = 3;
