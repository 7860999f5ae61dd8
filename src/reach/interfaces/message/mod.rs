//! The bytes of netlink messages, as far as they matter here.
//!
//! Only the few fields that facts are made of are read. A decoder of whole messages fails at what
//! a newer kernel adds to a link, and with the link the machine's address would be lost.
//!
//! # Source
//! `rtnetlink(7)`, `netlink(7)`.

use std::io;
use std::net::IpAddr;

use rtnetlink::packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkMessage,
    NlasIterator,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::route::RouteMessage;

/// What the kernel is asked to list, of all families at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Links,
    Addresses,
    Routes,
}

impl Request {
    pub(super) const ALL: [Self; 3] = [Self::Links, Self::Addresses, Self::Routes];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Addresses => "addresses",
            Self::Routes => "routes",
        }
    }

    pub(super) fn encode(self, sequence: u32) -> Vec<u8> {
        let mut message = NetlinkMessage::from(match self {
            Self::Links => RouteNetlinkMessage::GetLink(LinkMessage::default()),
            Self::Addresses => RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            Self::Routes => RouteNetlinkMessage::GetRoute(RouteMessage::default()),
        });
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        message.header.sequence_number = sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Link(Link),
    Address(Address),
    Route(Route),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// Whether it is switched on and can carry packets.
    pub(super) is_running: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The link that has it.
    pub(super) link: u32,
    pub(super) ip: IpAddr,
    /// Whether its duplicate detection, if it has one, lets it be used.
    pub(super) is_valid: bool,
}

/// A route that packets to others can take, and that is wide enough to be a part of the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The first address of the destination.
    pub(super) destination: IpAddr,
    /// At most [`WIDE_MAX_BITS`].
    pub(super) prefix_bits: u8,
    pub(super) gateways: Vec<IpAddr>,
}

/// Longest prefix of a route that is looked at: whole values of the first byte of an address.
pub(super) const WIDE_MAX_BITS: u8 = 8;

/// A message within what was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    kind: u16,
    flags: u16,
    pub(super) sequence: u32,
    content: &'a [u8],
}

/// The messages in `received`, up to the first that is not whole.
pub(super) fn messages(received: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = received;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let message = Message {
            kind: u16_at(rest, 4)?,
            flags: u16_at(rest, 6)?,
            sequence: u32_at(rest, 8)?,
            content: rest.get(HEADER_BYTES..length)?,
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

impl Message<'_> {
    /// Whether a change while the list was made may have been missed.
    pub(super) const fn is_interrupted(&self) -> bool {
        self.flags & NLM_F_DUMP_INTR != 0
    }

    /// Whether the list ends here, and how.
    pub(super) fn end(&self) -> Option<io::Result<()>> {
        let code = match self.kind {
            NLMSG_DONE => 0,
            NLMSG_ERROR => i32::from_ne(array_at(self.content, 0).unwrap_or_default()),
            _ => return None,
        };
        Some(match code.checked_neg() {
            Some(1..) => Err(io::Error::from_raw_os_error(-code)),
            _ => Ok(()),
        })
    }

    /// The entry, if this is one that matters.
    pub(super) fn entry(&self) -> Option<Entry> {
        match self.kind {
            NEW_LINK => link(self.content).map(Entry::Link),
            NEW_ADDRESS => address(self.content).map(Entry::Address),
            NEW_ROUTE => route(self.content).map(Entry::Route),
            _ => None,
        }
    }

    /// Whether it is about a route too narrow to be looked at. Machines with many containers, or
    /// with the routes of the whole Internet, change those all day.
    pub(super) fn is_narrow_route(&self) -> bool {
        let is_route = matches!(self.kind, NEW_ROUTE | OLD_ROUTE);
        is_route
            && self
                .content
                .get(1)
                .is_some_and(|bits| *bits > WIDE_MAX_BITS)
    }
}

fn link(content: &[u8]) -> Option<Link> {
    let flags = u32_at(content, 8)?;
    let name = attributes(content, LINK_BYTES).find(|(kind, _)| *kind == LINK_NAME);
    let (_, name) = name?;
    let name = name.split(|byte| *byte == 0).next()?;
    Some(Link {
        index: u32_at(content, 4)?,
        name: String::from_utf8_lossy(name).into_owned(),
        is_running: flags & LINK_UP != 0 && flags & LINK_RUNNING != 0,
    })
}

fn address(content: &[u8]) -> Option<Address> {
    let [family, _prefix_bits, flags, _scope] = array_at(content, 0)?;
    let (mut local, mut other, mut flags) = (None, None, u32::from(flags));
    for (kind, value) in attributes(content, ADDRESS_BYTES) {
        match kind {
            // The other end's of a point-to-point link; ours elsewhere.
            ADDRESS_ADDRESS => other = ip(family, value),
            ADDRESS_LOCAL => local = ip(family, value),
            ADDRESS_FLAGS => flags = u32_at(value, 0).unwrap_or(flags),
            _ => {}
        }
    }
    let is_doubted = flags & TENTATIVE != 0 && flags & OPTIMISTIC == 0;
    Some(Address {
        link: u32_at(content, 4)?,
        ip: local.or(other)?,
        // A deprecated address is reached as well as another.
        is_valid: flags & DUPLICATE == 0 && !is_doubted,
    })
}

fn route(content: &[u8]) -> Option<Route> {
    let [family, prefix_bits, ..] = array_at::<4>(content, 0)?;
    let [table, _protocol, _scope, kind] = array_at(content, 4)?;
    let is_dead = u32_at(content, 8)? & (DEAD | LINK_DOWN) != 0;
    if prefix_bits > WIDE_MAX_BITS || kind != UNICAST || is_dead {
        return None;
    }
    let mut table = u32::from(table);
    let mut destination = unspecified(family)?;
    let mut gateways = Vec::new();
    for (kind, value) in attributes(content, ROUTE_BYTES) {
        match kind {
            ROUTE_DESTINATION => destination = ip(family, value)?,
            ROUTE_TABLE => table = u32_at(value, 0)?,
            ROUTE_HOPS => gateways.extend(hops(family, value)),
            _ => gateways.extend(gateway(family, kind, value)),
        }
    }
    // The local table is about packets to this machine. Any other may be in use: rules say which.
    (table != LOCAL_TABLE).then_some(Route {
        destination,
        prefix_bits,
        gateways,
    })
}

/// The gateways of a route that has several.
fn hops(family: u8, mut hops: &[u8]) -> impl Iterator<Item = IpAddr> {
    let each = std::iter::from_fn(move || {
        let length = usize::from(u16_at(hops, 0)?);
        let hop = hops.get(HOP_BYTES..length)?;
        hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(hop)
    });
    each.filter_map(move |hop| {
        attributes(hop, 0).find_map(|(kind, value)| gateway(family, kind, value))
    })
}

fn gateway(family: u8, kind: u16, value: &[u8]) -> Option<IpAddr> {
    match kind {
        ROUTE_GATEWAY => ip(family, value),
        // Of the other family: the family, then the address.
        ROUTE_VIA => ip(u8::try_from(u16_at(value, 0)?).ok()?, value.get(2..)?),
        _ => None,
    }
}

/// The attributes behind a head of `head_bytes`: their kinds and values.
fn attributes(content: &[u8], head_bytes: usize) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(content.get(head_bytes..).unwrap_or_default())
        .map_while(Result::ok)
        .map(|attribute| (attribute.kind(), attribute.into_inner()))
        .filter_map(|(kind, whole)| {
            let length = usize::from(u16_at(whole, 0)?);
            Some((kind, whole.get(ATTRIBUTE_HEAD_BYTES..length)?))
        })
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        INET => array_at::<4>(value, 0).map(IpAddr::from),
        INET6 => array_at::<16>(value, 0).map(IpAddr::from),
        _ => None,
    }
}

fn unspecified(family: u8) -> Option<IpAddr> {
    ip(family, &[0; 16])
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_ne)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_ne)
}

/// Numbers as the kernel writes them.
trait FromNative<const N: usize> {
    fn from_ne(bytes: [u8; N]) -> Self;
}

macro_rules! from_native {
    ($number:ty, $bytes:literal) => {
        impl FromNative<$bytes> for $number {
            #[expect(
                clippy::host_endian_bytes,
                reason = "netlink has the byte order of the machine"
            )]
            fn from_ne(bytes: [u8; $bytes]) -> Self {
                Self::from_ne_bytes(bytes)
            }
        }
    };
}

from_native!(u16, 2);
from_native!(u32, 4);
from_native!(i32, 4);

const HEADER_BYTES: usize = 16;
const LINK_BYTES: usize = 16;
const ADDRESS_BYTES: usize = 8;
const ROUTE_BYTES: usize = 12;
const HOP_BYTES: usize = 8;
const ATTRIBUTE_HEAD_BYTES: usize = 4;

/// `RTM_NEWLINK`, `RTM_NEWADDR`, `RTM_NEWROUTE`, `RTM_DELROUTE`.
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const OLD_ROUTE: u16 = 25;

/// `IFF_UP`, `IFF_RUNNING`, `IFLA_IFNAME`.
const LINK_UP: u32 = 0x1;
const LINK_RUNNING: u32 = 0x40;
const LINK_NAME: u16 = 3;

/// `IFA_ADDRESS`, `IFA_LOCAL`, `IFA_FLAGS`.
const ADDRESS_ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ADDRESS_FLAGS: u16 = 8;

/// `IFA_F_OPTIMISTIC`, `IFA_F_DADFAILED`, `IFA_F_TENTATIVE`.
const OPTIMISTIC: u32 = 0x04;
const DUPLICATE: u32 = 0x08;
const TENTATIVE: u32 = 0x40;

/// `RTN_UNICAST`, `RT_TABLE_LOCAL`, `RTNH_F_DEAD`, `RTNH_F_LINKDOWN`.
const UNICAST: u8 = 1;
const LOCAL_TABLE: u32 = 255;
const DEAD: u32 = 1;
const LINK_DOWN: u32 = 16;

/// `RTA_DST`, `RTA_GATEWAY`, `RTA_MULTIPATH`, `RTA_TABLE`, `RTA_VIA`.
const ROUTE_DESTINATION: u16 = 1;
const ROUTE_GATEWAY: u16 = 5;
const ROUTE_HOPS: u16 = 9;
const ROUTE_TABLE: u16 = 15;
const ROUTE_VIA: u16 = 18;

/// `AF_INET`, `AF_INET6`.
const INET: u8 = 2;
const INET6: u8 = 10;

#[cfg(test)]
mod tests;
