//! What the listed links, addresses and routes come to.

use std::collections::HashMap;
use std::net::IpAddr;

use super::message::{Address, Entry, Link, Route, WIDE_MAX_BITS};
use crate::base::limits;
use crate::reach::address::{canonical, is_global};
use crate::reach::evidence::{LocalAddress, LocalFacts};

/// What was listed so far, each part within its bound.
#[derive(Debug, Default)]
pub(super) struct Listing {
    links: HashMap<u32, Link>,
    /// Apart from the others, so that these never take their room.
    global: Vec<Address>,
    other: Vec<Address>,
    routes: Vec<Route>,
}

impl Listing {
    /// Adds an entry, if there is room for it.
    pub(super) fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Link(link) if self.links.len() < limits::LOCAL_LINKS_MAX => {
                self.links.insert(link.index, link);
            }
            Entry::Address(address) => {
                let list = match is_global(address.ip) {
                    true => &mut self.global,
                    false => &mut self.other,
                };
                if list.len() < limits::LOCAL_ADDRESSES_MAX {
                    list.push(address);
                }
            }
            Entry::Route(route) if self.routes.len() < limits::LOCAL_ROUTES_MAX => {
                self.routes.push(route);
            }
            Entry::Link(_) | Entry::Route(_) => {}
        }
    }

    /// The facts. Equal listings in another order give equal facts.
    pub(super) fn facts(&self) -> LocalFacts {
        let listed = self.global.iter().chain(&self.other);
        let mut addresses: Vec<LocalAddress> = listed
            .take(limits::LOCAL_ADDRESSES_MAX)
            .map(|address| self.local(address))
            .collect();
        addresses.sort_unstable_by(|a, b| (a.ip, &a.interface).cmp(&(b.ip, &b.interface)));
        let way_out = self.routes.iter().filter(|route| route.prefix_bits <= 1);
        let mut gateways: Vec<IpAddr> = way_out.flat_map(|route| route.gateways.clone()).collect();
        gateways.sort_unstable();
        gateways.dedup();
        gateways.truncate(limits::LOCAL_GATEWAYS_MAX);
        LocalFacts {
            addresses,
            route_v4: self.covers(V4_BLOCKS, V4_BLOCKS_NEEDED, IpAddr::is_ipv4),
            route_v6: self.covers(V6_BLOCKS, V6_BLOCKS_NEEDED, IpAddr::is_ipv6),
            gateways,
        }
    }

    fn local(&self, address: &Address) -> LocalAddress {
        let link = self.links.get(&address.link);
        LocalAddress {
            ip: canonical(address.ip),
            interface: link.map(|link| link.name.clone()).unwrap_or_default(),
            is_usable: address.is_valid && link.is_some_and(|link| link.is_running),
        }
    }

    /// Whether the routes of one family cover at least `needed` of the `blocks`, which are values of
    /// the first byte of an address.
    ///
    /// That finds a default route in any of its spellings: tunnels write it as two halves, or as all
    /// that is not private.
    fn covers(
        &self,
        blocks: std::ops::RangeInclusive<u8>,
        needed: usize,
        family: impl Fn(&IpAddr) -> bool,
    ) -> bool {
        let of_family = |route: &&Route| family(&route.destination);
        let routes: Vec<(u8, u8)> = self
            .routes
            .iter()
            .filter(of_family)
            .map(first_byte)
            .collect();
        let is_covered = |block: &u8| {
            let covers = |(first, mask): &(u8, u8)| block & mask == first & mask;
            routes.iter().any(covers)
        };
        blocks.filter(is_covered).count() >= needed
    }
}

/// The first byte of a route's destination, and the bits of it that count.
fn first_byte(route: &Route) -> (u8, u8) {
    let first = match route.destination {
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            first
        }
        IpAddr::V6(ip) => {
            let [first, ..] = ip.octets();
            first
        }
    };
    let free_bits = WIDE_MAX_BITS.saturating_sub(route.prefix_bits);
    (first, u8::MAX.unbounded_shl(free_bits.into()))
}

/// The first bytes of addresses that are not multicast, and how many of them are most.
const V4_BLOCKS: std::ops::RangeInclusive<u8> = 1..=223;
const V4_BLOCKS_NEEDED: usize = 128;

/// The same for what was allocated of IPv6, `2000::/3`.
const V6_BLOCKS: std::ops::RangeInclusive<u8> = 0x20..=0x3f;
const V6_BLOCKS_NEEDED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn link(index: u32, name: &str, is_running: bool) -> Entry {
        Entry::Link(Link {
            index,
            name: name.to_owned(),
            is_running,
        })
    }

    fn address(link: u32, text: &str, is_valid: bool) -> Entry {
        let ip = ip(text);
        Entry::Address(Address { link, ip, is_valid })
    }

    fn route(prefix: &str, gateways: &[&str]) -> Entry {
        let (destination, prefix_bits) = prefix.split_once('/').unwrap();
        Entry::Route(Route {
            destination: ip(destination),
            prefix_bits: prefix_bits.parse().unwrap(),
            gateways: gateways.iter().map(|gateway| ip(gateway)).collect(),
        })
    }

    fn facts(entries: impl IntoIterator<Item = Entry>) -> LocalFacts {
        let mut listing = Listing::default();
        for entry in entries {
            listing.add(entry);
        }
        listing.facts()
    }

    #[test]
    fn an_address_is_usable_on_a_running_link_and_past_its_duplicate_detection() {
        let facts = facts([
            link(1, "lo", true),
            link(2, "eth0", true),
            link(3, "eth1", false),
            address(1, "127.0.0.1", true),
            address(2, "11.1.0.1", true),
            address(2, "2600:1::1", false),
            address(3, "11.2.0.1", true),
            address(4, "11.3.0.1", true),
        ]);
        let told: Vec<(String, &str, bool)> = facts
            .addresses
            .iter()
            .map(|a| (a.ip.to_string(), a.interface.as_str(), a.is_usable))
            .collect();
        let expected = [
            ("11.1.0.1", "eth0", true),
            ("11.2.0.1", "eth1", false),
            ("11.3.0.1", "", false),
            ("127.0.0.1", "lo", true),
            ("2600:1::1", "eth0", false),
        ];
        assert_eq!(
            told,
            expected.map(|(ip, link, usable)| (ip.to_owned(), link, usable))
        );
    }

    #[test]
    fn the_order_of_a_listing_does_not_change_the_facts() {
        let entries = vec![
            link(1, "a", true),
            link(2, "b", true),
            address(1, "11.1.0.1", true),
            address(2, "11.1.0.1", true),
            address(1, "2600:1::1", true),
            route("0.0.0.0/0", &["11.1.0.254"]),
            route("0.0.0.0/0", &["11.1.0.253"]),
        ];
        let backwards = facts(entries.clone().into_iter().rev());
        assert_eq!(facts(entries), backwards);
    }

    fn check_routes(routes: &[&str], v4: bool, v6: bool) {
        let facts = facts(routes.iter().map(|prefix| route(prefix, &[])));
        assert_eq!((facts.route_v4, facts.route_v6), (v4, v6), "{routes:?}");
    }

    #[test]
    fn a_way_out_is_a_default_route_or_what_amounts_to_one() {
        check_routes(&[], false, false);
        check_routes(&["0.0.0.0/0"], true, false);
        check_routes(&["::/0"], false, true);
        check_routes(&["0.0.0.0/1", "128.0.0.0/1"], true, false);
        check_routes(&["0.0.0.0/1"], false, false);
        check_routes(&["10.0.0.0/8", "172.0.0.0/8"], false, false);
        check_routes(&["::/1", "8000::/1"], false, true);
        check_routes(&["8000::/1"], false, false);
        check_routes(&["2000::/3"], false, true);
        check_routes(&["fc00::/7"], false, false);
    }

    #[test]
    fn everything_that_is_not_private_is_a_way_out() {
        let tunnel = [
            "0.0.0.0/5",
            "8.0.0.0/7",
            "11.0.0.0/8",
            "12.0.0.0/6",
            "16.0.0.0/4",
            "32.0.0.0/3",
            "64.0.0.0/2",
            "128.0.0.0/3",
            "160.0.0.0/5",
            "168.0.0.0/6",
        ];
        check_routes(&tunnel, true, false);
    }

    #[test]
    fn gateways_are_those_of_default_routes_and_of_halves_of_them() {
        let facts = facts([
            route("0.0.0.0/0", &["11.1.0.254", "11.1.0.253"]),
            route("0.0.0.0/1", &["10.8.0.1"]),
            route("10.0.0.0/8", &["11.1.0.9"]),
            route("::/0", &["fe80::1"]),
            route("::/0", &["fe80::1"]),
        ]);
        let expected = ["10.8.0.1", "11.1.0.253", "11.1.0.254", "fe80::1"];
        assert_eq!(facts.gateways, expected.map(ip));
    }

    #[test]
    fn many_container_addresses_leave_room_for_the_public_ones() {
        let mut entries = vec![link(1, "eth0", true)];
        for n in 0..limits::LOCAL_ADDRESSES_MAX + 9 {
            entries.push(address(1, &format!("fe80::{n:x}"), true));
        }
        entries.push(address(1, "11.1.0.1", true));
        let facts = facts(entries);
        assert_eq!(facts.addresses.len(), limits::LOCAL_ADDRESSES_MAX);
        assert!(facts.addresses.iter().any(|a| a.ip == ip("11.1.0.1")));
    }
}
