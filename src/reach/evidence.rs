//! What is learnt about an endpoint, before anything is concluded from it.

use std::net::{IpAddr, SocketAddr};

use crate::wire::{ProbeCode, ProbeMode, ProbeOutcome, PublicKey};

use super::endpoint::ListenerId;

/// What the kernel says about this machine's addresses (evidence L1 and L2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalFacts {
    /// Every address on an interface, loopback ones included; at most
    /// [`LOCAL_ADDRESSES_MAX`](crate::base::limits::LOCAL_ADDRESSES_MAX).
    pub addresses: Vec<LocalAddress>,
    /// Whether there is a way out for IPv4: a default route, or one that covers most of it.
    pub route_v4: bool,
    /// The same for IPv6.
    pub route_v6: bool,
    /// The gateways of the default routes.
    pub gateways: Vec<IpAddr>,
}

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub ip: IpAddr,
    /// The interface's name.
    pub interface: String,
    /// Whether the interface is up and the address can be used (an IPv6 address that failed its
    /// duplicate detection, or has not passed it yet, cannot).
    pub is_usable: bool,
}

/// A sign that a listener is reached as a Tor onion service (evidence L3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnionSign {
    /// A configured URL has an onion name.
    Url(String),
    /// A torrc forwards to the listener's port.
    Torrc {
        /// The file.
        file: String,
        /// The listener that is forwarded to.
        listener: ListenerId,
    },
    /// Tor's control port says that it forwards to the listener's port.
    ControlPort(ListenerId),
    /// The listener is bound to loopback, and loopback peers use it.
    LoopbackPeers(ListenerId),
}

/// Name of one probe; never used twice by one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub u64);

/// A dial-back that brought a nonce of ours, unused and in time, to one of our sockets.
///
/// It proves that its sender reached us; what else it proves is for the plan to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialback {
    /// The probe whose nonce it showed.
    pub probe: ProbeId,
    /// Where it came in.
    pub at: DialbackSocket,
    /// Its source address, proved by the handshake.
    pub remote: SocketAddr,
    /// The local address it was sent to; `None` where the system does not tell.
    pub dst: Option<IpAddr>,
    /// The key that the dialer proved, if it showed one.
    pub dialer: Option<PublicKey>,
    /// Whether this process had sent nothing to `remote`'s address for
    /// [`contact_ttl`](super::timing::Timing::contact_ttl) when the connection came in.
    pub is_cold: bool,
    /// The mode that the dialer named.
    pub mode: ProbeMode,
    /// The address that the dialer says it dialed.
    pub dialed: SocketAddr,
}

/// A socket of ours on which a dial-back can arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialbackSocket {
    /// A listener.
    Listener(ListenerId),
    /// A fresh port that sent nothing before.
    Canary,
}

/// A handshake that nobody was asked for, from an address that was cold (evidence S1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spontaneous {
    /// Where it came in.
    pub listener: ListenerId,
    /// Its source address.
    pub remote: IpAddr,
    /// The local address it was sent to.
    pub dst: Option<IpAddr>,
}

/// How asking a prober ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeEnd {
    /// The prober's address, where a connection to it came about.
    pub prober_ip: Option<IpAddr>,
    /// Our address as the prober reports it.
    pub observed: Option<SocketAddr>,
    /// What the prober said.
    pub answer: ProbeAnswer,
}

/// What a prober said, or why it said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeAnswer {
    /// The dial was made, or attempted.
    Dialed {
        /// How it ended.
        outcome: ProbeOutcome,
        /// Whether the dialer's own way out is proved.
        control_ok: bool,
        /// Who dialed, as the prober says.
        dialer: Option<PublicKey>,
        /// From where, as the prober says.
        dialer_ip: Option<IpAddr>,
    },
    /// The prober did not dial: not a vote.
    Refused(ProbeCode),
    /// There was no connection to the prober: not a vote.
    NotReached,
    /// Our own side failed, for example a socket could not be bound: not a vote.
    LocalError,
    /// The prober does not speak the messages, broke them, or was silent: not a vote.
    Unusable,
}

/// What was found at a configured URL whose address is not one of this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlFinding {
    /// Its host is a name that does not resolve.
    Unresolved,
    /// Its host resolves to these addresses' first one, which answers with our own key.
    Ours(IpAddr),
    /// Somebody else answers there.
    WrongKey(IpAddr),
    /// Nobody answers there.
    Silent(IpAddr),
}
