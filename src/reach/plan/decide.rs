//! The decision table: from what is known of an endpoint to its verdict.
//!
//! # Source
//! `reachability.md` section (d.3).

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::{
    quorum::Quorum,
    reason::{PortName, Reason},
    votes::{Contradiction, OBSERVERS_MIN, Votes},
};
use crate::reach::{
    endpoint::{Claim, Endpoint},
    timing::Timing,
};

/// All that an endpoint is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) now: Instant,
    pub(super) timing: Timing,
    pub(super) endpoint: Endpoint,
    pub(super) interface: Option<&'a str>,
    pub(super) quorum: Quorum,
    pub(super) votes: &'a Votes,
    /// How many probers there are, and whether any was spoken to lately.
    pub(super) probers: usize,
    pub(super) is_any_reached: bool,
    /// Whether too many networks dissented for several rounds.
    pub(super) is_disputed: bool,
    /// The listener's onion sign.
    pub(super) onion: Option<&'a str>,
}

/// The verdict on an endpoint that is not public, with its reason.
pub(super) fn decide(case: Case<'_>) -> Reason {
    if let Some(reason) = decide_elsewhere(case) {
        return reason;
    }
    match case.endpoint.claim {
        Claim::Local(ip) if is_ours(case, ip) => decide_ours(case, ip),
        _ => decide_not_ours(case),
    }
}

/// Whether others see the address that we have. Where several networks, and the more, see another
/// one, the address only looks like ours: a network inside may use public addresses as its own.
pub(super) fn is_ours(case: Case<'_>, ip: IpAddr) -> bool {
    let tally = case.votes.observed_tally(case.now, case.timing);
    let same = tally
        .iter()
        .find(|(observed, _)| *observed == ip)
        .map_or(0, |(_, networks)| *networks);
    let total: usize = tally.iter().map(|(_, networks)| networks).sum();
    let others = total.saturating_sub(same);
    others < OBSERVERS_MIN || others <= same
}

/// Packets end elsewhere, or come through a neighbour.
fn decide_elsewhere(case: Case<'_>) -> Option<Reason> {
    let ttl = case.timing.positive_ttl();
    let contradictions = || case.votes.contradictions.fresh(case.now, ttl);
    let networks = contradictions().count();
    if networks >= case.quorum.reached {
        let wrong = contradictions().filter(|(_, how)| **how == Contradiction::WrongKey);
        return Some(if wrong.count() * 2 > networks {
            Reason::WrongKey {
                at: match case.endpoint.claim.ip() {
                    Some(ip) => SocketAddr::new(ip, case.endpoint.port).to_string(),
                    None => format!("port {}", case.endpoint.port),
                },
                networks,
            }
        } else {
            Reason::OtherInstance { networks }
        });
    }
    let mut proxied = case.votes.proxied.fresh(case.now, ttl);
    let (_, source) = proxied.next()?;
    (proxied.count() + 1 >= case.quorum.failed).then_some(Reason::Proxied { source: *source })
}

fn decide_ours(case: Case<'_>, ip: IpAddr) -> Reason {
    let (votes, now, timing) = (case.votes, case.now, case.timing);
    let exact = || {
        votes
            .standing_arrivals(now, timing)
            .filter(|(_, arrival)| arrival.is_exact)
    };
    let reached = exact().count();
    let cold = fresh_cold(case, true);
    let failed = votes.standing_failures(now, timing).count();
    let failed_cold = votes
        .cold_failures
        .fresh(now, timing.positive_ttl())
        .count();
    let address = SocketAddr::new(ip, case.endpoint.port);
    let port = port_name(case);
    if reached > 0
        && (case.is_disputed || (reached < case.quorum.reached && failed >= case.quorum.failed))
    {
        return Reason::Partial {
            address,
            port,
            reached,
            tried: reached + failed,
        };
    }
    if reached >= case.quorum.reached {
        // Failures before the first cold arrival are explained by it.
        return if cold < case.quorum.cold && failed_cold >= COLD_FAILURES_MIN && failed_cold > cold
        {
            Reason::Filtered {
                address,
                port,
                reached,
                failed_cold,
            }
        } else {
            Reason::NotCold {
                reached,
                cold,
                needed: case.quorum.cold,
            }
        };
    }
    if reached == 0 && failed >= case.quorum.failed {
        return Reason::Firewalled {
            address,
            interface: case.interface.map(str::to_owned),
            port,
            tried: failed,
        };
    }
    too_few(case, reached, failed)
}

fn decide_not_ours(case: Case<'_>) -> Reason {
    let (votes, now, timing) = (case.votes, case.now, case.timing);
    let reached = votes.standing_arrivals(now, timing).count();
    let failed = votes.standing_failures(now, timing).count();
    let failed_cold = votes
        .cold_failures
        .fresh(now, timing.positive_ttl())
        .count();
    let is_cold = fresh_cold(case, false) > 0;
    if is_cold && reached >= case.quorum.reached {
        return decide_forwarded(case);
    }
    let filtered = !is_cold && reached > 0 && failed_cold >= COLD_FAILURES_MIN;
    if filtered || failed >= case.quorum.failed {
        return Reason::Nat {
            own: case.endpoint.claim.ip().filter(|_| is_local(case)),
            observed: observed(case),
            port: port_name(case),
            reached,
            tried: reached + failed,
        };
    }
    if reached >= case.quorum.reached {
        return Reason::NotCold {
            reached,
            cold: 0,
            needed: case.quorum.cold,
        };
    }
    too_few(case, reached, failed)
}

fn decide_forwarded(case: Case<'_>) -> Reason {
    let last = case
        .votes
        .arrivals
        .iter()
        .max_by_key(|(_, _, at)| *at)
        .map(|(_, arrival, _)| arrival);
    let dialed = last.map(|arrival| arrival.dialed.ip());
    let arrived_at = last.and_then(|arrival| arrival.dst);
    let (arrived, asked) = canaries(case);
    if arrived >= CANARIES_NEEDED {
        Reason::Translated {
            dialed,
            arrived_at,
            is_accepted: false,
        }
    } else {
        Reason::Forwarded {
            dialed,
            arrived_at,
            is_canary_lost: asked > arrived,
        }
    }
}

fn too_few(case: Case<'_>, reached: usize, failed: usize) -> Reason {
    if case.is_any_reached {
        return Reason::TooFewVotes {
            reached,
            failed,
            needed: case.quorum.reached,
        };
    }
    match case.onion {
        _ if is_local(case) => Reason::NoProberReached {
            probers: case.probers,
        },
        Some(sign) => Reason::Onion {
            sign: sign.to_owned(),
        },
        None => Reason::NoAddress,
    }
}

/// Networks that were cold when they arrived, lately enough.
fn fresh_cold(case: Case<'_>, is_exact: bool) -> usize {
    case.votes
        .arrivals
        .iter()
        .filter(|(_, arrival, _)| arrival.is_exact == is_exact)
        .filter_map(|(_, arrival, _)| arrival.cold_at)
        .filter(|at| super::votes::is_fresh(*at, case.now, case.timing.cold_ttl()))
        .count()
}

/// Canaries that arrived, and all of them.
pub(super) fn canaries(case: Case<'_>) -> (usize, usize) {
    let fresh = || case.votes.canaries.fresh(case.now, case.timing.cold_ttl());
    let arrived = fresh().filter(|(_, has_arrived)| **has_arrived).count();
    (arrived, fresh().count())
}

const fn port_name(case: Case<'_>) -> PortName {
    PortName {
        transport: case.endpoint.transport,
        port: case.endpoint.port,
    }
}

fn observed(case: Case<'_>) -> Option<IpAddr> {
    let tally = case.votes.observed_tally(case.now, case.timing);
    tally.first().map(|(ip, _)| *ip)
}

const fn is_local(case: Case<'_>) -> bool {
    matches!(case.endpoint.claim, Claim::Local(_))
}

/// Third servers that have to fail before a filter is believed in: one of them may lie.
const COLD_FAILURES_MIN: usize = 2;

/// Fresh ports that have to be reached before a 1:1 translation is believed in.
pub(super) const CANARIES_NEEDED: usize = 2;
