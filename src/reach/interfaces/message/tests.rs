//! Messages as the kernel writes them, put together by the library that knows all of their fields.

#![expect(
    clippy::host_endian_bytes,
    reason = "netlink has the byte order of the machine"
)]

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteNextHop, RouteType, RouteVia,
};

use super::*;

const MULTIPART: u16 = 2;

fn bytes(message: RouteNetlinkMessage) -> Vec<u8> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = MULTIPART;
    message.header.sequence_number = 7;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len().next_multiple_of(4)];
    message.serialize(&mut bytes);
    bytes
}

fn entry(message: RouteNetlinkMessage) -> Option<Entry> {
    let bytes = bytes(message);
    let mut read = messages(&bytes);
    let message = read.next().unwrap();
    assert_eq!(message.sequence, 7);
    assert!(message.end().is_none());
    assert!(read.next().is_none());
    message.entry()
}

fn link_message(index: u32, name: &str, flags: LinkFlags) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = flags;
    link.attributes.push(LinkAttribute::Mtu(1_500));
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    RouteNetlinkMessage::NewLink(link)
}

fn address_message(
    family: AddressFamily,
    attributes: Vec<AddressAttribute>,
) -> RouteNetlinkMessage {
    let mut address = AddressMessage::default();
    address.header.family = family;
    address.header.index = 3;
    address.attributes = attributes;
    RouteNetlinkMessage::NewAddress(address)
}

fn route_message(family: AddressFamily, prefix_bits: u8) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = family;
    route.header.destination_prefix_length = prefix_bits;
    route.header.table = 254;
    route.header.kind = RouteType::Unicast;
    route
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_link_runs_when_it_is_switched_on_and_can_carry_packets() {
    let check = |flags, is_running| {
        let expected = Link {
            index: 2,
            name: "eth0".into(),
            is_running,
        };
        let read = entry(link_message(2, "eth0", flags));
        assert_eq!(read, Some(Entry::Link(expected)), "{flags}");
    };
    check(LinkFlags::Up | LinkFlags::Running, true);
    check(LinkFlags::Up, false);
    check(LinkFlags::Running, false);
}

fn check_address(family: AddressFamily, attributes: Vec<AddressAttribute>, expected: (&str, bool)) {
    let (text, is_valid) = expected;
    let expected = Address {
        link: 3,
        ip: ip(text),
        is_valid,
    };
    let read = entry(address_message(family, attributes));
    assert_eq!(read, Some(Entry::Address(expected)));
}

#[test]
fn of_a_point_to_point_link_the_address_is_this_end_s() {
    let attributes = vec![
        AddressAttribute::Address(ip("10.0.0.2")),
        AddressAttribute::Local(ip("11.1.0.1")),
    ];
    check_address(AddressFamily::Inet, attributes, ("11.1.0.1", true));
}

#[test]
fn an_ipv6_address_waits_for_its_duplicate_detection() {
    let check = |flags: AddressFlags, is_valid| {
        let attributes = vec![
            AddressAttribute::Address(ip("2600:1::1")),
            AddressAttribute::Flags(flags),
        ];
        check_address(AddressFamily::Inet6, attributes, ("2600:1::1", is_valid));
    };
    check(AddressFlags::Permanent, true);
    check(AddressFlags::Deprecated, true);
    check(AddressFlags::Tentative, false);
    check(AddressFlags::Tentative | AddressFlags::Optimistic, true);
    check(AddressFlags::Dadfailed | AddressFlags::Permanent, false);
}

#[test]
fn a_default_route_tells_its_gateway() {
    let mut route = route_message(AddressFamily::Inet, 0);
    let gateway = RouteAddress::from(ip("11.1.0.254"));
    route.attributes.push(RouteAttribute::Table(254));
    route.attributes.push(RouteAttribute::Gateway(gateway));
    let expected = Route {
        destination: ip("0.0.0.0"),
        prefix_bits: 0,
        gateways: vec![ip("11.1.0.254")],
    };
    let read = entry(RouteNetlinkMessage::NewRoute(route));
    assert_eq!(read, Some(Entry::Route(expected)));
}

#[test]
fn a_route_with_several_gateways_tells_them_all() {
    let mut route = route_message(AddressFamily::Inet, 1);
    let hop = |attribute| {
        let mut hop = RouteNextHop::default();
        hop.attributes.push(attribute);
        hop
    };
    let hops = vec![
        hop(RouteAttribute::Gateway(RouteAddress::from(ip(
            "11.1.0.254",
        )))),
        hop(RouteAttribute::Via(RouteVia::Inet6(
            "fe80::1".parse().unwrap(),
        ))),
    ];
    let half = RouteAddress::from(ip("128.0.0.0"));
    route.attributes.push(RouteAttribute::Destination(half));
    route.attributes.push(RouteAttribute::MultiPath(hops));
    let expected = Route {
        destination: ip("128.0.0.0"),
        prefix_bits: 1,
        gateways: vec![ip("11.1.0.254"), ip("fe80::1")],
    };
    let read = entry(RouteNetlinkMessage::NewRoute(route));
    assert_eq!(read, Some(Entry::Route(expected)));
}

#[test]
fn routes_that_lead_nowhere_are_passed_over() {
    let check = |change: fn(&mut RouteMessage), is_read: bool| {
        let mut route = route_message(AddressFamily::Inet6, 0);
        change(&mut route);
        let read = entry(RouteNetlinkMessage::NewRoute(route.clone()));
        assert_eq!(read.is_some(), is_read, "{route:?}");
    };
    check(|_| {}, true);
    check(|route| route.header.kind = RouteType::Unreachable, false);
    check(|route| route.header.kind = RouteType::BlackHole, false);
    check(|route| route.header.flags = RouteFlags::Dead, false);
    check(|route| route.header.flags = RouteFlags::Linkdown, false);
    check(|route| route.header.flags = RouteFlags::Onlink, true);
    check(|route| route.header.table = 255, false);
    check(
        |route| route.attributes.push(RouteAttribute::Table(255)),
        false,
    );
    check(
        |route| route.attributes.push(RouteAttribute::Table(51_820)),
        true,
    );
    check(|route| route.header.destination_prefix_length = 9, false);
    check(
        |route| route.header.address_family = AddressFamily::Mpls,
        false,
    );
}

#[test]
fn only_routes_that_are_narrow_for_certain_are_no_change() {
    let check = |message: RouteNetlinkMessage, expected: bool| {
        let bytes = bytes(message);
        let narrow = messages(&bytes).all(|message| message.is_narrow_route());
        assert_eq!(narrow, expected);
    };
    let narrow = route_message(AddressFamily::Inet, 24);
    let wide = route_message(AddressFamily::Inet, 1);
    check(RouteNetlinkMessage::NewRoute(narrow.clone()), true);
    check(RouteNetlinkMessage::DelRoute(narrow), true);
    check(RouteNetlinkMessage::NewRoute(wide.clone()), false);
    check(RouteNetlinkMessage::DelRoute(wide), false);
    check(link_message(1, "lo", LinkFlags::Up), false);
}

#[test]
fn a_list_ends_with_its_last_message_or_with_an_error() {
    let head = |kind: u16, content: &[u8]| {
        let length = u32::try_from(HEADER_BYTES + content.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(content);
        bytes
    };
    let end = |bytes: &[u8]| messages(bytes).next().unwrap().end();
    assert!(matches!(end(&head(NLMSG_DONE, &[0; 4])), Some(Ok(()))));
    assert!(matches!(end(&head(NLMSG_ERROR, &[0; 20])), Some(Ok(()))));
    let refused = end(&head(NLMSG_ERROR, &(-1_i32).to_ne_bytes()));
    let error = refused.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert!(
        end(&head(NLMSG_ERROR, &i32::MIN.to_ne_bytes()))
            .unwrap()
            .is_ok()
    );
}

#[test]
fn messages_that_are_cut_off_anywhere_are_passed_over() {
    let both = [
        bytes(link_message(1, "lo", LinkFlags::Up)),
        bytes(address_message(
            AddressFamily::Inet,
            vec![AddressAttribute::Local(ip("11.1.0.1"))],
        )),
        bytes(RouteNetlinkMessage::NewRoute(route_message(
            AddressFamily::Inet,
            0,
        ))),
    ]
    .concat();
    assert_eq!(messages(&both).filter_map(|m| m.entry()).count(), 3);
    for end in 0..both.len() {
        let cut = messages(&both[..end]).filter_map(|m| m.entry()).count();
        assert!(cut < 3, "{end}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, kind in 16_u16..26) {
        let mut message = vec![0; HEADER_BYTES];
        message.extend(&bytes);
        let length = u32::try_from(message.len()).unwrap();
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        for bytes in [&message, &bytes] {
            for message in messages(bytes) {
                message.entry();
                message.end();
                message.is_narrow_route();
            }
        }
    }
}
