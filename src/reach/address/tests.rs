use super::registry::{V4, V6};
use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Every row: prefix, and whether the addresses just outside of it are global.
const ROWS: &[(&str, &str, &str, bool, bool)] = &[
    // first, last, name, is the one before global, is the one after
    ("0.0.0.0", "0.255.255.255", "this network", false, true),
    ("10.0.0.0", "10.255.255.255", "private use", true, true),
    (
        "100.64.0.0",
        "100.127.255.255",
        "shared address space",
        true,
        true,
    ),
    ("127.0.0.0", "127.255.255.255", "loopback", true, true),
    ("169.254.0.0", "169.254.255.255", "link local", true, true),
    ("172.16.0.0", "172.31.255.255", "private use", true, true),
    (
        "192.0.0.0",
        "192.0.0.255",
        "IPv4 service continuity",
        true,
        true,
    ),
    ("192.0.0.9", "192.0.0.9", "PCP anycast", false, false),
    ("192.0.0.10", "192.0.0.10", "TURN anycast", false, false),
    (
        "192.0.0.170",
        "192.0.0.171",
        "NAT64/DNS64 discovery",
        false,
        false,
    ),
    ("192.0.2.0", "192.0.2.255", "documentation", true, true),
    ("192.31.196.0", "192.31.196.255", "AS112", true, true),
    ("192.52.193.0", "192.52.193.255", "AMT", true, true),
    (
        "192.88.99.0",
        "192.88.99.255",
        "6to4 relay anycast",
        true,
        true,
    ),
    ("192.168.0.0", "192.168.255.255", "private use", true, true),
    ("192.175.48.0", "192.175.48.255", "AS112", true, true),
    ("198.18.0.0", "198.19.255.255", "benchmarking", true, true),
    (
        "198.51.100.0",
        "198.51.100.255",
        "documentation",
        true,
        true,
    ),
    ("203.0.113.0", "203.0.113.255", "documentation", true, true),
    ("224.0.0.0", "239.255.255.255", "multicast", true, false),
    ("240.0.0.0", "255.255.255.254", "reserved", false, false),
    (
        "::2",
        "::ffff:ffff",
        "IPv4-compatible, deprecated",
        false,
        false,
    ),
    ("64:ff9b::", "64:ff9b::ffff:ffff", "NAT64", false, false),
    (
        "64:ff9b:1::",
        "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        "NAT64, local use",
        false,
        false,
    ),
    (
        "100::",
        "100::ffff:ffff:ffff:ffff",
        "discard only",
        false,
        false,
    ),
    (
        "2001::",
        "2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
        "Teredo",
        true,
        false,
    ),
    (
        "2001:1:0:1::",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        "IETF protocol assignments",
        false,
        true,
    ),
    (
        "2001:2::",
        "2001:2:0:ffff:ffff:ffff:ffff:ffff",
        "benchmarking",
        false,
        false,
    ),
    (
        "2001:20::",
        "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff",
        "ORCHIDv2",
        false,
        false,
    ),
    (
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "documentation",
        true,
        true,
    ),
    (
        "2002::",
        "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "6to4",
        true,
        true,
    ),
    (
        "2620:4f:8000::",
        "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
        "AS112",
        true,
        true,
    ),
    (
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        "documentation",
        false,
        true,
    ),
    (
        "5f00::",
        "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "SRv6 segments",
        false,
        false,
    ),
    (
        "fc00::",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "unique local",
        false,
        false,
    ),
    (
        "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "link local",
        false,
        false,
    ),
    (
        "fec0::",
        "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "site local, deprecated",
        false,
        false,
    ),
    (
        "ff00::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "multicast",
        false,
        false,
    ),
];

fn neighbour(ip: IpAddr, step: i8) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => ip
            .to_bits()
            .checked_add_signed(step.into())
            .map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(ip) => ip
            .to_bits()
            .checked_add_signed(step.into())
            .map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

#[test]
fn no_special_range_is_global_and_its_borders_are_where_the_registry_has_them() {
    for (first, last, name, before, after) in ROWS {
        let (first, last) = (ip(first), ip(last));
        assert!(!is_global(first), "{first}");
        assert!(!is_global(last), "{last}");
        let words = class(first).to_string();
        // The first address of a range may lie in a narrower one inside of it.
        let words_last = class(last).to_string();
        assert!(
            words.contains(name) || words_last.contains(name),
            "{first}: {words}, {words_last}"
        );
        let outside = [(neighbour(first, -1), before), (neighbour(last, 1), after)];
        for (outside, expected) in outside {
            let Some(outside) = outside else { continue };
            assert_eq!(is_global(outside), *expected, "{outside}");
        }
    }
}

#[test]
fn the_first_and_the_last_address_of_every_row_are_special() {
    for range in &V4 {
        let first = range.first.to_bits();
        let inside = u32::MAX.unbounded_shr(range.prefix_bits.into());
        assert_eq!(first & inside, 0, "{}: bits behind the prefix", range.name);
        for bits in [first, first | inside] {
            let ip = Ipv4Addr::from_bits(bits).into();
            assert!(matches!(class(ip), AddressClass::Special(_)), "{ip}");
        }
    }
    for range in &V6 {
        let first = range.first.to_bits();
        let inside = u128::MAX.unbounded_shr(range.prefix_bits.into());
        assert_eq!(first & inside, 0, "{}: bits behind the prefix", range.name);
        for bits in [first, first | inside] {
            let ip = Ipv6Addr::from_bits(bits).into();
            assert!(matches!(class(ip), AddressClass::Special(_)), "{ip}");
        }
    }
}

#[test]
fn ordinary_addresses_are_global() {
    for text in [
        "1.0.0.1",
        "11.1.0.1",
        "21.7.0.1",
        "172.32.0.1",
        "223.255.255.255",
        "2600:1::1",
        "2a00::1",
        "2000::",
        "3fff:1000::",
        "2001:200::1",
        "2003::1",
    ] {
        assert_eq!(class(ip(text)), AddressClass::Global, "{text}");
    }
}

#[test]
fn ipv6_outside_of_what_was_allocated_is_not_global() {
    for text in [
        "1::1", "200::1", "1fff::1", "4000::1", "8000::1", "fbff::1", "fe00::1",
    ] {
        assert_eq!(class(ip(text)), AddressClass::Unallocated, "{text}");
    }
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_judged_as_ipv4() {
    assert!(is_global(ip("::ffff:11.1.0.1")));
    assert!(!is_global(ip("::ffff:10.1.0.1")));
    assert!(!is_global(ip("::11.1.0.1")), "IPv4-compatible");
    assert_eq!(canonical(ip("::ffff:11.1.0.1")), ip("11.1.0.1"));
    let scoped: SocketAddr = "[fe80::1%3]:9".parse().unwrap();
    assert_eq!(canonical_address(scoped), "[fe80::1]:9".parse().unwrap());
    let mapped: SocketAddr = "[::ffff:11.1.0.1]:9".parse().unwrap();
    assert_eq!(canonical_address(mapped), "11.1.0.1:9".parse().unwrap());
}

#[test]
fn the_narrowest_range_gives_its_name_and_its_source() {
    let check = |text: &str, expected: &str| {
        assert_eq!(class(ip(text)).to_string(), expected);
    };
    check("192.168.1.2", "private use (192.168.0.0/16, RFC 1918)");
    check("192.0.0.9", "PCP anycast (192.0.0.9/32, RFC 7723)");
    check(
        "192.0.0.100",
        "IETF protocol assignments (192.0.0.0/24, RFC 6890)",
    );
    check(
        "255.255.255.255",
        "limited broadcast (255.255.255.255/32, RFC 8190)",
    );
    check("::1", "loopback (::1/128, RFC 4291)");
    check("2001:0:1::", "Teredo (2001::/32, RFC 4380)");
    check("8.8.8.8", "global");
}

#[test]
fn a_netgroup_is_a_slash_16_or_a_slash_32() {
    let check = |a: &str, b: &str, same: bool, text: &str| {
        assert_eq!(Netgroup::of(ip(a)) == Netgroup::of(ip(b)), same, "{a} {b}");
        assert_eq!(Netgroup::of(ip(a)).to_string(), text);
    };
    check("11.1.0.1", "11.1.255.255", true, "11.1.0.0/16");
    check("11.1.0.1", "11.2.0.1", false, "11.1.0.0/16");
    check("11.1.0.1", "::ffff:11.1.2.3", true, "11.1.0.0/16");
    check("2600:1::1", "2600:1:ffff::", true, "2600:1::/32");
    check("2600:1::1", "2600:2::1", false, "2600:1::/32");
    check("::", "0.0.0.0", false, "::/32");
}
