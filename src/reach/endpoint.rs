//! What is tested: listeners, the endpoints they claim to be, and the servers that test them.

use std::net::{IpAddr, SocketAddr};

use crate::wire::{ProbeTransport, PublicKey};

/// One listening socket of this server, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub id: ListenerId,
    /// What it speaks.
    pub transport: ProbeTransport,
    /// The address it is bound to; it may be the wildcard of its family. The port is a real one.
    pub bound: SocketAddr,
}

/// Where a listener is, or claims to be, reached.
///
/// A verdict belongs to an endpoint; a listener on the wildcard address has one for each address of
/// the machine, and each family has its own listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The listener behind it.
    pub listener: ListenerId,
    /// What it speaks.
    pub transport: ProbeTransport,
    /// The address, and how it is known.
    pub claim: Claim,
    /// The port on which others reach it; that of a configured URL may differ from the listener's.
    pub port: u16,
}

/// The address of an endpoint, and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// A global address on an interface of this machine.
    Local(IpAddr),
    /// An address that probers report and this machine does not have.
    Observed(IpAddr),
    /// No address yet: probers have to be asked what they see.
    Unknown,
}

impl Claim {
    /// The address, if one is known.
    #[must_use]
    pub const fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Local(ip) | Self::Observed(ip) => Some(ip),
            Self::Unknown => None,
        }
    }
}

/// A server that can be asked to probe, and that probes for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prober {
    /// The key it must hold.
    pub key: PublicKey,
    /// Where it is: `host:port`.
    pub address: String,
    /// Whether the operator vouches for it: a witness. With one of them a smaller quorum will do.
    pub pinned: bool,
}

/// Bound sockets, in their order, as listeners to be tested.
pub fn listeners(sockets: impl IntoIterator<Item = (SocketAddr, ProbeTransport)>) -> Vec<Listener> {
    let numbered = (0..=u16::MAX).zip(sockets);
    numbered
        .map(|(number, (bound, transport))| Listener {
            id: ListenerId(number),
            transport,
            bound,
        })
        .collect()
}
