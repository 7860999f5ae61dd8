//! The registries of special addresses, as tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{AddressClass, SpecialRange};

pub(super) fn class_v4(ip: Ipv4Addr) -> AddressClass {
    let holds = |range: &&Range<Ipv4Addr>| {
        let outside = 32 - u32::from(range.prefix_bits);
        (ip.to_bits() ^ range.first.to_bits()).unbounded_shr(outside) == 0
    };
    match narrowest(V4.iter().filter(holds)) {
        Some(range) => AddressClass::Special(range.special()),
        None => AddressClass::Global,
    }
}

pub(super) fn class_v6(ip: Ipv6Addr) -> AddressClass {
    let holds = |range: &&Range<Ipv6Addr>| {
        let outside = 128 - u32::from(range.prefix_bits);
        (ip.to_bits() ^ range.first.to_bits()).unbounded_shr(outside) == 0
    };
    let [first, ..] = ip.octets();
    match narrowest(V6.iter().filter(holds)) {
        Some(range) => AddressClass::Special(range.special()),
        None if first & 0xe0 == 0x20 => AddressClass::Global,
        None => AddressClass::Unallocated,
    }
}

/// Ranges lie inside each other; the narrowest says the most.
fn narrowest<'a, A>(ranges: impl Iterator<Item = &'a Range<A>>) -> Option<&'a Range<A>> {
    ranges.max_by_key(|range| range.prefix_bits)
}

/// A row of a table: a range of addresses of one family.
pub(super) struct Range<A> {
    pub(super) first: A,
    pub(super) prefix_bits: u8,
    pub(super) name: &'static str,
    rfc: &'static str,
    is_reachable: bool,
}

impl<A: Copy + Into<IpAddr>> Range<A> {
    fn special(&self) -> SpecialRange {
        SpecialRange {
            first: self.first.into(),
            prefix_bits: self.prefix_bits,
            name: self.name,
            rfc: self.rfc,
            is_reachable: self.is_reachable,
        }
    }
}

const fn v4(
    first: [u8; 4],
    prefix_bits: u8,
    name: &'static str,
    rfc: &'static str,
) -> Range<Ipv4Addr> {
    let [a, b, c, d] = first;
    Range {
        first: Ipv4Addr::new(a, b, c, d),
        prefix_bits,
        name,
        rfc,
        is_reachable: false,
    }
}

const fn v6(
    first: [u16; 8],
    prefix_bits: u8,
    name: &'static str,
    rfc: &'static str,
) -> Range<Ipv6Addr> {
    let [a, b, c, d, e, f, g, h] = first;
    Range {
        first: Ipv6Addr::new(a, b, c, d, e, f, g, h),
        prefix_bits,
        name,
        rfc,
        is_reachable: false,
    }
}

const fn reachable<A: Copy>(range: Range<A>) -> Range<A> {
    Range {
        first: range.first,
        prefix_bits: range.prefix_bits,
        name: range.name,
        rfc: range.rfc,
        is_reachable: true,
    }
}

/// The IANA IPv4 Special-Purpose Address Registry (RFC 6890, RFC 8190), and multicast.
pub(super) const V4: [Range<Ipv4Addr>; 27] = [
    v4([0, 0, 0, 0], 8, "this network", "RFC 791"),
    v4([0, 0, 0, 0], 32, "this host on this network", "RFC 1122"),
    v4([10, 0, 0, 0], 8, "private use", "RFC 1918"),
    v4([100, 64, 0, 0], 10, "shared address space", "RFC 6598"),
    v4([127, 0, 0, 0], 8, "loopback", "RFC 1122"),
    v4([169, 254, 0, 0], 16, "link local", "RFC 3927"),
    v4([172, 16, 0, 0], 12, "private use", "RFC 1918"),
    v4([192, 0, 0, 0], 24, "IETF protocol assignments", "RFC 6890"),
    v4([192, 0, 0, 0], 29, "IPv4 service continuity", "RFC 7335"),
    v4([192, 0, 0, 8], 32, "IPv4 dummy address", "RFC 7600"),
    reachable(v4([192, 0, 0, 9], 32, "PCP anycast", "RFC 7723")),
    reachable(v4([192, 0, 0, 10], 32, "TURN anycast", "RFC 8155")),
    v4([192, 0, 0, 170], 31, "NAT64/DNS64 discovery", "RFC 8880"),
    v4([192, 0, 2, 0], 24, "documentation", "RFC 5737"),
    reachable(v4([192, 31, 196, 0], 24, "AS112", "RFC 7535")),
    reachable(v4([192, 52, 193, 0], 24, "AMT", "RFC 7450")),
    v4([192, 88, 99, 0], 24, "6to4 relay anycast", "RFC 7526"),
    v4([192, 88, 99, 2], 32, "6a44 relay anycast", "RFC 6751"),
    v4([192, 168, 0, 0], 16, "private use", "RFC 1918"),
    reachable(v4([192, 175, 48, 0], 24, "AS112", "RFC 7534")),
    v4([198, 18, 0, 0], 15, "benchmarking", "RFC 2544"),
    v4([198, 51, 100, 0], 24, "documentation", "RFC 5737"),
    v4([203, 0, 113, 0], 24, "documentation", "RFC 5737"),
    v4([224, 0, 0, 0], 4, "multicast", "RFC 5771"),
    v4([233, 252, 0, 0], 24, "multicast documentation", "RFC 5771"),
    v4([240, 0, 0, 0], 4, "reserved", "RFC 1112"),
    v4([255, 255, 255, 255], 32, "limited broadcast", "RFC 8190"),
];

/// The IANA IPv6 Special-Purpose Address Registry (RFC 6890, RFC 8190), multicast, and what was
/// special once and is still written into configurations.
pub(super) const V6: [Range<Ipv6Addr>; 28] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified", "RFC 4291"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback", "RFC 4291"),
    v6([0; 8], 96, "IPv4-compatible, deprecated", "RFC 4291"),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "NAT64", "RFC 6052"),
    v6(
        [0x64, 0xff9b, 1, 0, 0, 0, 0, 0],
        48,
        "NAT64, local use",
        "RFC 8215",
    ),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard only", "RFC 6666"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy prefix", "RFC 9780"),
    v6(
        [0x2001, 0, 0, 0, 0, 0, 0, 0],
        23,
        "IETF protocol assignments",
        "RFC 2928",
    ),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo", "RFC 4380"),
    reachable(v6(
        [0x2001, 1, 0, 0, 0, 0, 0, 1],
        128,
        "PCP anycast",
        "RFC 7723",
    )),
    reachable(v6(
        [0x2001, 1, 0, 0, 0, 0, 0, 2],
        128,
        "TURN anycast",
        "RFC 8155",
    )),
    reachable(v6(
        [0x2001, 1, 0, 0, 0, 0, 0, 3],
        128,
        "DNS-SD SRP anycast",
        "RFC 9665",
    )),
    v6(
        [0x2001, 2, 0, 0, 0, 0, 0, 0],
        48,
        "benchmarking",
        "RFC 5180",
    ),
    reachable(v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, "AMT", "RFC 7450")),
    reachable(v6(
        [0x2001, 4, 0x112, 0, 0, 0, 0, 0],
        48,
        "AS112",
        "RFC 7535",
    )),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "ORCHID", "RFC 4843"),
    reachable(v6(
        [0x2001, 0x20, 0, 0, 0, 0, 0, 0],
        28,
        "ORCHIDv2",
        "RFC 7343",
    )),
    reachable(v6(
        [0x2001, 0x30, 0, 0, 0, 0, 0, 0],
        28,
        "drone remote identifiers",
        "RFC 9374",
    )),
    v6(
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],
        32,
        "documentation",
        "RFC 3849",
    ),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4", "RFC 3056"),
    reachable(v6(
        [0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0],
        48,
        "AS112",
        "RFC 7534",
    )),
    v6(
        [0x3ffe, 0, 0, 0, 0, 0, 0, 0],
        16,
        "6bone, returned",
        "RFC 3701",
    ),
    v6(
        [0x3fff, 0, 0, 0, 0, 0, 0, 0],
        20,
        "documentation",
        "RFC 9637",
    ),
    v6(
        [0x5f00, 0, 0, 0, 0, 0, 0, 0],
        16,
        "SRv6 segments",
        "RFC 9602",
    ),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local", "RFC 4193"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link local", "RFC 4291"),
    v6(
        [0xfec0, 0, 0, 0, 0, 0, 0, 0],
        10,
        "site local, deprecated",
        "RFC 3879",
    ),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast", "RFC 4291"),
];
