//! What a dial-back shows, and what a prober's word is worth.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::votes::{Arrival, Contradiction};
use crate::{
    reach::{
        address::{self, Netgroup, canonical, canonical_address, is_global},
        endpoint::{Claim, Endpoint},
        evidence::{Dialback, DialbackSocket, ProbeAnswer, ProbeEnd},
    },
    wire::{ProbeMode, ProbeOutcome},
};

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const fn of(ip: IpAddr) -> Self {
        match canonical(ip) {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// What this machine is, as far as judging needs it.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// Every address on an interface.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// The gateways of the default routes.
    pub(super) gateways: BTreeSet<IpAddr>,
    /// The networks of our global addresses, and of those that others see.
    pub(super) groups: BTreeSet<Netgroup>,
}

impl Own {
    /// Whether a vote from `ip` could count.
    pub(super) fn is_foreign(&self, ip: IpAddr) -> bool {
        is_global(ip) && !self.addresses.contains(&ip) && !self.groups.contains(&Netgroup::of(ip))
    }
}

/// One probe, when it is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probed<'a> {
    pub(super) endpoint: Endpoint,
    /// The listener's.
    pub(super) family: Family,
    pub(super) mode: ProbeMode,
    pub(super) end: &'a ProbeEnd,
    /// The prober's address: of this exchange, or the one known before.
    pub(super) prober_ip: Option<IpAddr>,
    pub(super) dialback: Option<&'a Dialback>,
}

/// What was learnt from one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The listener was reached by a network.
    Arrived {
        group: Netgroup,
        arrival: Arrival,
        is_cold: bool,
    },
    /// A fresh port was reached, or not.
    Canary { group: Netgroup, has_arrived: bool },
    /// The listener was reached, by way of a neighbour.
    Proxied { group: Netgroup, source: IpAddr },
    /// The prober dialed in vain.
    Failed {
        group: Netgroup,
        outcome: ProbeOutcome,
    },
    /// A third server dialed in vain.
    FailedCold {
        group: Netgroup,
        outcome: ProbeOutcome,
    },
    /// The prober reached somebody else.
    Contradicted { group: Netgroup, how: Contradiction },
    /// A dial-back that counts for nothing.
    Discarded { from: IpAddr, why: Nothing },
    /// No vote.
    Nothing,
}

/// Why a dial-back counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    OtherSocket,
    OtherFamily,
    OurOwn,
    SameNetwork(Netgroup),
    NotGlobal(address::AddressClass),
    NotTheProber(Option<IpAddr>),
    NoDestination,
    Inconsistent { observed: IpAddr, dialed: IpAddr },
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSocket => f.write_str("it came in on another socket than the one tested"),
            Self::OtherFamily => f.write_str("it came over the other address family"),
            Self::OurOwn => f.write_str("this machine dialed itself"),
            Self::SameNetwork(group) => write!(f, "it came from our own network {group}"),
            Self::NotGlobal(class) => write!(f, "its source is not global: {class}"),
            Self::NotTheProber(Some(ip)) => write!(f, "its source is not the prober at {ip}"),
            Self::NotTheProber(None) => f.write_str("the prober's address is not known"),
            Self::NoDestination => {
                f.write_str("the system does not tell to which address it was sent")
            }
            Self::Inconsistent { observed, dialed } => write!(
                f,
                "the prober says that it sees us at {observed} and dialed {dialed}"
            ),
        }
    }
}

/// Judges one probe.
pub(super) fn judge(own: &Own, probed: Probed<'_>) -> Heard {
    match probed.dialback {
        Some(dialback) => judge_arrival(own, probed, dialback),
        None => judge_word(own, probed),
    }
}

/// A nonce came home: that is proved. Where from, and to which address, is looked at here.
fn judge_arrival(own: &Own, probed: Probed<'_>, dialback: &Dialback) -> Heard {
    let from = canonical(dialback.remote.ip());
    let discarded = |why| Heard::Discarded { from, why };
    if !is_right_socket(probed, dialback.at) {
        return discarded(Nothing::OtherSocket);
    }
    if Family::of(from) != probed.family {
        return discarded(Nothing::OtherFamily);
    }
    let prober_ip = probed.prober_ip.map(canonical);
    let prober_group = prober_ip.filter(|ip| own.is_foreign(*ip)).map(Netgroup::of);
    if is_neighbour(own, from) {
        return match prober_group {
            Some(group) => Heard::Proxied {
                group,
                source: from,
            },
            // A neighbour that was asked itself shows nothing about others.
            None => discarded(Nothing::NotGlobal(address::class(from))),
        };
    }
    if own.addresses.contains(&from) {
        return discarded(Nothing::OurOwn);
    }
    if !is_global(from) {
        return discarded(Nothing::NotGlobal(address::class(from)));
    }
    let group = Netgroup::of(from);
    if own.groups.contains(&group) {
        return discarded(Nothing::SameNetwork(group));
    }
    let is_prober = prober_ip == Some(from);
    if probed.mode != ProbeMode::Cold && !is_prober {
        return discarded(Nothing::NotTheProber(prober_ip));
    }
    if probed.mode == ProbeMode::Canary {
        return Heard::Canary {
            group,
            has_arrived: true,
        };
    }
    // Where the prober's address is not known, the dialer could be the prober itself.
    let is_cold = probed.mode == ProbeMode::Cold
        && dialback.is_cold
        && prober_ip.is_some_and(|prober_ip| prober_ip != from);
    match weigh_destination(probed, dialback) {
        Ok(arrival) => Heard::Arrived {
            group,
            arrival,
            is_cold,
        },
        Err(why) => discarded(why),
    }
}

/// Whether the packets arrived at the address that was dialed, and that one is ours.
fn weigh_destination(probed: Probed<'_>, dialback: &Dialback) -> Result<Arrival, Nothing> {
    let dst = dialback.dst.map(canonical);
    let dialed = canonical_address(dialback.dialed);
    let observed = probed.end.observed.map(|address| canonical(address.ip()));
    let arrival = |is_exact| Arrival {
        is_exact,
        dst,
        dialed,
        cold_at: None,
    };
    let Claim::Local(candidate) = probed.endpoint.claim else {
        return Ok(arrival(false));
    };
    let Some(dst) = dst else {
        return Err(Nothing::NoDestination);
    };
    if dst != candidate || dialed != SocketAddr::new(candidate, probed.endpoint.port) {
        return Ok(arrival(false));
    }
    match observed.filter(|observed| *observed != candidate) {
        Some(observed) => Err(Nothing::Inconsistent {
            observed,
            dialed: dialed.ip(),
        }),
        None => Ok(arrival(true)),
    }
}

/// Nothing came home: all there is is the prober's word.
fn judge_word(own: &Own, probed: Probed<'_>) -> Heard {
    let ProbeAnswer::Dialed {
        outcome,
        control_ok,
        ..
    } = probed.end.answer
    else {
        return Heard::Nothing;
    };
    let Some(group) = probed
        .prober_ip
        .map(canonical)
        .filter(|ip| own.is_foreign(*ip))
        .filter(|ip| Family::of(*ip) == probed.family)
        .map(Netgroup::of)
    else {
        return Heard::Nothing;
    };
    let in_vain = matches!(
        outcome,
        ProbeOutcome::NoResponse | ProbeOutcome::Unreachable | ProbeOutcome::ProtocolError
    );
    match probed.mode {
        ProbeMode::Canary => match outcome {
            ProbeOutcome::LocalError => Heard::Nothing,
            _ => Heard::Canary {
                group,
                has_arrived: false,
            },
        },
        // Of a third server one knows only what the prober says: a failure explains a verdict, but
        // neither of them is accused of anything.
        // The prober could name any; so it speaks for its own network.
        ProbeMode::Cold if in_vain && control_ok => Heard::FailedCold { group, outcome },
        ProbeMode::Cold => Heard::Nothing,
        ProbeMode::Direct => match outcome {
            ProbeOutcome::Ok => Heard::Contradicted {
                group,
                how: Contradiction::NothingCame,
            },
            ProbeOutcome::WrongKey => Heard::Contradicted {
                group,
                how: Contradiction::WrongKey,
            },
            ProbeOutcome::NonceRejected => Heard::Contradicted {
                group,
                how: Contradiction::NonceRejected,
            },
            _ if in_vain && control_ok => Heard::Failed { group, outcome },
            _ => Heard::Nothing,
        },
    }
}

fn is_right_socket(probed: Probed<'_>, at: DialbackSocket) -> bool {
    match at {
        DialbackSocket::Listener(listener) => {
            probed.mode != ProbeMode::Canary && listener == probed.endpoint.listener
        }
        DialbackSocket::Canary => probed.mode == ProbeMode::Canary,
    }
}

/// Whether packets from `ip` can only have been sent, or re-sent, next door.
fn is_neighbour(own: &Own, ip: IpAddr) -> bool {
    let is_private = match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    own.gateways.contains(&ip) || ip.is_loopback() || (is_private && !own.addresses.contains(&ip))
}
