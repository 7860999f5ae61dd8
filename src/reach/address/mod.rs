//! Address classes of the IANA registries, netgroups, and addresses in the one form in which they
//! can be compared.

mod registry;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `ip` in the one form in which addresses are compared: an IPv4 address that a socket of both
/// families wrote as IPv6 (`::ffff:192.0.2.1`) becomes IPv4 again.
#[must_use]
pub const fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// `address` in the one form in which addresses are compared: as [`canonical`], and without the
/// flow label and the scope of an IPv6 address. Fit to compare and to print; a link-local address
/// cannot be dialed without its scope.
#[must_use]
pub const fn canonical_address(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical(address.ip()), address.port())
}

/// Whether `ip` is an ordinary unicast address of the public Internet, at which a server can be.
///
/// Not global is whatever a registry of special addresses lists, multicast and reserved space, and
/// IPv6 outside of `2000::/3`, from which alone addresses were ever given to networks. That
/// includes the forms that carry another address inside (6to4, Teredo, NAT64): what is dialed there
/// is a translator.
///
/// The registries call some special addresses *globally reachable*: the anycast addresses of PCP
/// and TURN in `192.0.0.0/24` and `2001:1::/32`, AS112, AMT, ORCHIDv2, drone identifiers. They name
/// services or identifiers and belong to no server, so a server that claims one is mistaken, and a
/// stranger who has one dialed abuses the dialer: here they are not global either.
#[must_use]
pub fn is_global(ip: IpAddr) -> bool {
    class(ip) == AddressClass::Global
}

/// What kind of address `ip` is, for texts; [`is_global`] is drawn from it.
#[must_use]
pub fn class(ip: IpAddr) -> AddressClass {
    match canonical(ip) {
        IpAddr::V4(ip) => registry::class_v4(ip),
        IpAddr::V6(ip) => registry::class_v6(ip),
    }
}

/// What kind of address an address is. [`Display`](fmt::Display) says it in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// An ordinary unicast address of the public Internet.
    Global,
    /// An address of a range with a special purpose.
    Special(SpecialRange),
    /// An IPv6 address from a range out of which none was ever given to a network.
    Unallocated,
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Special(range) => range.fmt(f),
            Self::Unallocated => f.write_str("not allocated (RFC 4291)"),
        }
    }
}

/// A range of addresses with a special purpose. [`Display`](fmt::Display) gives its name, source
/// and prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialRange {
    /// First address of the range.
    pub first: IpAddr,
    /// Length of the prefix that the addresses of the range share, in bits.
    pub prefix_bits: u8,
    /// What it is for, as the registry calls it.
    pub name: &'static str,
    /// The document that says so.
    pub rfc: &'static str,
    /// Whether the registry calls it *globally reachable*; [`is_global`] does not follow it there.
    pub is_reachable: bool,
}

impl fmt::Display for SpecialRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            prefix_bits,
            name,
            rfc,
            ..
        } = self;
        write!(f, "{name} ({first}/{prefix_bits}, {rfc})")
    }
}

/// The network of an address, coarsely: neighbours in one are likely to be one operator's, behind
/// one firewall, so that several of them are worth one vote.
///
/// IPv4: the first 16 bits; IPv6: the first 32. An IPv4-mapped IPv6 address is IPv4.
///
/// # Source
/// `reachability.md` sections (a.1) and (a.2): the rule of Tor and Bitcoin Core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Netgroup(Prefix);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Prefix {
    V4([u8; 2]),
    V6([u16; 2]),
}

impl Netgroup {
    /// The netgroup of `ip`.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match canonical(ip) {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                Self(Prefix::V4([a, b]))
            }
            IpAddr::V6(ip) => {
                let [a, b, ..] = ip.segments();
                Self(Prefix::V6([a, b]))
            }
        }
    }
}

impl fmt::Display for Netgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Prefix::V4([a, b]) => write!(f, "{}/16", Ipv4Addr::new(a, b, 0, 0)),
            Prefix::V6([a, b]) => write!(f, "{}/32", Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)),
        }
    }
}

#[cfg(test)]
mod tests;
