//! Why a verdict is what it is, in words.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use crate::{reach::verdict::Verdict, wire::ProbeTransport};

/// Why a verdict is what it is. [`Display`](fmt::Display) gives one sentence that says what was
/// found, with its numbers and addresses, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No round is over yet.
    Starting,
    /// The machine's own facts changed, so that nothing known holds any more.
    Changed(Change),
    /// There are too few probers for any verdict.
    TooFewProbers {
        /// Networks that can be asked.
        usable: usize,
        /// Networks that have to be.
        needed: usize,
        /// Whether a pinned witness would lower that number.
        witness_helps: bool,
    },
    /// No prober could be spoken to.
    NoProberReached {
        /// How many there are.
        probers: usize,
    },
    /// Too few probers probed.
    TooFewVotes {
        /// Networks that reached the endpoint.
        reached: usize,
        /// Networks that could not.
        failed: usize,
        /// Networks that have to agree.
        needed: usize,
    },
    /// Reached, but not yet by enough servers that this one had not contacted.
    NotCold {
        /// Networks that reached the endpoint.
        reached: usize,
        /// Of these, uncontacted ones.
        cold: usize,
        /// Uncontacted ones that are needed.
        needed: usize,
    },
    /// Reached; a second round has to confirm it.
    SecondRound {
        /// Networks that reached the endpoint.
        reached: usize,
    },
    /// Reached, but it changed too often.
    HeldDown {
        /// How often it was lost within a day.
        flips: usize,
    },
    /// What showed that the endpoint is public is too old.
    Expired {
        /// Networks whose dial-backs are fresh.
        fresh: usize,
        /// Networks that are needed.
        needed: usize,
    },
    /// The listener is bound to loopback.
    Loopback(SocketAddr),
    /// No interface has a global address, and nobody outside was reached.
    NoAddress,
    /// The listener is an onion service.
    Onion {
        /// What says so.
        sign: String,
    },
    /// Somebody else answers at the address.
    WrongKey {
        /// The URL or address.
        at: String,
        /// Networks that say so; 0 where this server saw it itself.
        networks: usize,
    },
    /// Dial-backs end at another instance with the same key, or nowhere.
    OtherInstance {
        /// Networks whose dial-backs did not come here.
        networks: usize,
    },
    /// Dial-backs arrive, and all from the same neighbour.
    Proxied {
        /// That neighbour.
        source: IpAddr,
    },
    /// Behind an address that is another machine's; nothing arrives.
    Nat {
        /// The own address, where it looks global and is not the one that others see.
        own: Option<IpAddr>,
        /// The address that others see.
        observed: Option<IpAddr>,
        /// What is listened on.
        port: PortName,
        /// Networks that reached the listener, if only because it had spoken to them.
        reached: usize,
        /// Networks that tried.
        tried: usize,
    },
    /// Behind an address that is another machine's, which forwards this port.
    Forwarded {
        /// The address that was dialed.
        dialed: Option<IpAddr>,
        /// The address at which the packets arrived.
        arrived_at: Option<IpAddr>,
        /// Whether fresh ports were tried, in vain.
        is_canary_lost: bool,
    },
    /// The address is ours, and nothing arrives.
    Firewalled {
        /// The address.
        address: SocketAddr,
        /// The interface that has it.
        interface: Option<String>,
        /// What is listened on.
        port: PortName,
        /// Networks that tried.
        tried: usize,
    },
    /// The address is ours, and only servers that this one had contacted get through.
    Filtered {
        /// The address.
        address: SocketAddr,
        /// What is listened on.
        port: PortName,
        /// Networks that got through.
        reached: usize,
        /// Uncontacted servers that did not.
        failed_cold: usize,
    },
    /// The address is ours, and some networks do not reach it.
    Partial {
        /// The address.
        address: SocketAddr,
        /// What is listened on.
        port: PortName,
        /// Networks that reached it.
        reached: usize,
        /// Networks that tried.
        tried: usize,
    },
    /// Behind a 1:1 translation.
    Translated {
        /// The address that was dialed.
        dialed: Option<IpAddr>,
        /// The address at which the packets arrived.
        arrived_at: Option<IpAddr>,
        /// Whether the operator accepts it and it was proved twice: then the roles are open.
        is_accepted: bool,
    },
    /// Broadly reached.
    Public {
        /// The address.
        address: SocketAddr,
        /// Networks that reached it lately.
        reached: usize,
        /// Of these, ones that this server had not contacted.
        cold: usize,
    },
}

/// What changed on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The address is on no usable interface.
    AddressGone(IpAddr),
    /// Addresses came and went.
    Addresses,
    /// There is no way out any more.
    Route,
    /// The machine slept, or its clock was set.
    Clock,
    /// The listening socket failed, or was bound anew.
    Listener,
}

/// A port as firewalls name it: `udp/1320`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortName {
    /// What is spoken there.
    pub transport: ProbeTransport,
    /// The number.
    pub port: u16,
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.transport {
            ProbeTransport::Quic => "udp",
            ProbeTransport::Tcp => "tcp",
        };
        write!(f, "{protocol}/{}", self.port)
    }
}

impl Reason {
    /// The verdict that it is a reason for.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Starting
            | Self::Changed(_)
            | Self::TooFewProbers { .. }
            | Self::NoProberReached { .. }
            | Self::TooFewVotes { .. }
            | Self::NotCold { .. }
            | Self::SecondRound { .. }
            | Self::HeldDown { .. }
            | Self::Expired { .. } => Verdict::Unknown,
            Self::Loopback(_) | Self::NoAddress => Verdict::Local,
            Self::Onion { .. } => Verdict::Onion,
            Self::WrongKey { .. } | Self::OtherInstance { .. } => Verdict::Conflict,
            Self::Proxied { .. } => Verdict::Proxied,
            Self::Nat { .. } => Verdict::Nat,
            Self::Forwarded { .. } => Verdict::Forwarded,
            Self::Firewalled { .. } | Self::Filtered { .. } => Verdict::Firewalled,
            Self::Partial { .. } => Verdict::Partial,
            Self::Translated { .. } => Verdict::Translated,
            Self::Public { .. } => Verdict::Public,
        }
    }

    fn write_unknown(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(change) => write!(f, "{change}; being tested anew"),
            Self::TooFewProbers {
                usable,
                needed,
                witness_helps,
            } => {
                let witness = if *witness_helps {
                    ", or 3 of which the operator pins one as witness"
                } else {
                    ""
                };
                write!(
                    f,
                    "{} of probers usable, {needed} needed{witness}; add probers on other networks",
                    Networks(*usable)
                )
            }
            Self::NoProberReached { probers } => write!(
                f,
                "none of {probers} probers could be reached; check that outgoing connections are \
                 allowed and that the probers are running"
            ),
            Self::TooFewVotes {
                reached,
                failed,
                needed,
            } => write!(
                f,
                "reached by {}, not reached by {failed}, {needed} have to agree; \
                 see which probers refuse or are down",
                Networks(*reached)
            ),
            Self::NotCold {
                reached,
                cold,
                needed,
            } => write!(
                f,
                "reached by {}, but by {cold} of {needed} that this server had not contacted; \
                 it is tried again once contacts are forgotten",
                Networks(*reached)
            ),
            Self::SecondRound { reached } => write!(
                f,
                "reached by {}; a second round follows",
                Networks(*reached)
            ),
            Self::HeldDown { flips } => write!(
                f,
                "reached, but lost {flips} times within a day; it has to stay reachable for a while"
            ),
            Self::Expired { fresh, needed } => write!(
                f,
                "only {} reached it lately, {needed} needed; see which probers refuse or are down",
                Networks(*fresh)
            ),
            _ => f.write_str("no test is over yet"),
        }
    }

    fn write_not_ours(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nat {
                own,
                observed,
                port,
                reached,
                tried,
            } => {
                match own {
                    Some(own) => write!(f, "{own} is on this machine, but others see ")?,
                    None => f.write_str("no address of this machine is public; others see ")?,
                }
                write_address(f, *observed)?;
                write!(
                    f,
                    ", where {reached} of {} reached {port}; a public server needs the public \
                     address on its own interface",
                    Networks(*tried)
                )
            }
            Self::Forwarded {
                dialed,
                arrived_at,
                is_canary_lost,
            } => {
                f.write_str("reached at ")?;
                write_address(f, *dialed)?;
                f.write_str(", but packets arrive for ")?;
                write_address(f, *arrived_at)?;
                f.write_str(", so a NAT or container forwards this port")?;
                if *is_canary_lost {
                    f.write_str(" (or translates 1:1 behind a filter: other ports do not arrive)")?;
                }
                f.write_str("; bind the public address or use host networking")
            }
            Self::Translated {
                dialed,
                arrived_at,
                is_accepted,
            } => {
                f.write_str("reached at ")?;
                write_address(f, *dialed)?;
                f.write_str(" on every port, translated 1:1 to ")?;
                write_address(f, *arrived_at)?;
                if *is_accepted {
                    f.write_str("; the operator accepts this translation, so the roles are open")
                } else {
                    f.write_str(
                        "; bind a public address, or accept it with reachability.accept_static_nat",
                    )
                }
            }
            _ => Ok(()),
        }
    }

    fn write_ours(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Firewalled {
                address,
                interface,
                port,
                tried,
            } => {
                let interface = interface.as_deref().unwrap_or("this machine");
                write!(
                    f,
                    "{} is on {interface}, but 0 of {} reached {port}; open it, also in the \
                     provider's firewall or security group",
                    address.ip(),
                    Networks(*tried)
                )
            }
            Self::Filtered {
                address,
                port,
                reached,
                failed_cold,
            } => write!(
                f,
                "{address} is reached by {}, but not by {failed_cold} that this server had not \
                 contacted first; open {port} to every source",
                Networks(*reached)
            ),
            Self::Partial {
                address,
                port,
                reached,
                tried,
            } => write!(
                f,
                "{reached} of {} reached {address}; open {port} to every source, or ask the \
                 provider about its routes",
                Networks(*tried)
            ),
            Self::Public {
                address,
                reached,
                cold,
            } => write!(
                f,
                "{address} is on this machine and was reached by {}, {cold} of them uncontacted",
                Networks(*reached)
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(bound) => write!(
                f,
                "the listener is bound to {bound}, which only this machine reaches; bind a public \
                 address"
            ),
            Self::NoAddress => f.write_str(
                "no interface has a public address, and no prober was reached; connect this \
                 machine to the Internet",
            ),
            Self::Onion { sign } => write!(
                f,
                "an onion service ({sign}) serves applications alone; the other roles need a \
                 public address"
            ),
            Self::WrongKey { at, networks: 0 } => write!(
                f,
                "somebody else answers at {at}; correct the configured URL, or the address"
            ),
            Self::WrongKey { at, networks } => write!(
                f,
                "{} found somebody else at {at}; see who has the address",
                Networks(*networks)
            ),
            Self::OtherInstance { networks } => write!(
                f,
                "dial-backs of {} ended elsewhere; give every instance its own key and its own \
                 address, without a load balancer",
                Networks(*networks)
            ),
            Self::Proxied { source } => write!(
                f,
                "dial-backs arrive from {source}, which hides who sends; let packets keep their \
                 source address, or bind the public address"
            ),
            Self::Nat { .. } | Self::Forwarded { .. } | Self::Translated { .. } => {
                self.write_not_ours(f)
            }
            Self::Firewalled { .. }
            | Self::Filtered { .. }
            | Self::Partial { .. }
            | Self::Public { .. } => self.write_ours(f),
            Self::Starting
            | Self::Changed(_)
            | Self::TooFewProbers { .. }
            | Self::NoProberReached { .. }
            | Self::TooFewVotes { .. }
            | Self::NotCold { .. }
            | Self::SecondRound { .. }
            | Self::HeldDown { .. }
            | Self::Expired { .. } => self.write_unknown(f),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressGone(ip) => write!(f, "{ip} is on no usable interface"),
            Self::Addresses => f.write_str("the addresses of this machine changed"),
            Self::Route => f.write_str("the way out to the Internet is gone"),
            Self::Clock => f.write_str("the machine slept, or its clock was set"),
            Self::Listener => f.write_str("the listening socket failed, or was bound anew"),
        }
    }
}

/// A number of networks, in words.
struct Networks(usize);

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 network"),
            many => write!(f, "{many} networks"),
        }
    }
}

fn write_address(f: &mut fmt::Formatter<'_>, ip: Option<IpAddr>) -> fmt::Result {
    match ip {
        Some(ip) => write!(f, "{ip}"),
        None => f.write_str("another address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reason: &Reason, verdict: Verdict, sentence: &str) {
        assert_eq!(reason.verdict(), verdict);
        assert_eq!(reason.to_string(), sentence);
    }

    #[test]
    fn a_sentence_names_numbers_addresses_and_the_remedy() {
        let port = PortName {
            transport: ProbeTransport::Quic,
            port: 1320,
        };
        check(
            &Reason::Firewalled {
                address: "21.7.0.2:1320".parse().unwrap(),
                interface: Some("eth0".to_owned()),
                port,
                tried: 5,
            },
            Verdict::Firewalled,
            "21.7.0.2 is on eth0, but 0 of 5 networks reached udp/1320; open it, also in the \
             provider's firewall or security group",
        );
        check(
            &Reason::Forwarded {
                dialed: Some("21.7.0.2".parse().unwrap()),
                arrived_at: Some("172.17.0.2".parse().unwrap()),
                is_canary_lost: false,
            },
            Verdict::Forwarded,
            "reached at 21.7.0.2, but packets arrive for 172.17.0.2, so a NAT or container \
             forwards this port; bind the public address or use host networking",
        );
        check(
            &Reason::TooFewProbers {
                usable: 2,
                needed: 3,
                witness_helps: false,
            },
            Verdict::Unknown,
            "2 networks of probers usable, 3 needed; add probers on other networks",
        );
    }
}
