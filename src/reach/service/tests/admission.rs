//! What requests and vouchers tell by themselves.

use std::net::IpAddr;
use std::time::Duration;

use super::vouching::voucher;
use super::world::{asker, key, request};
use crate::base::limits;
use crate::reach::service::admission::{self, AddressRules, Denial, Vouching};
use crate::reach::service::{Asker, padding};
use crate::wire::{Body, ProbeCode, ProbeMode, ProbeRequest, Timestamp, Voucher};

fn global(asker_ip: &str, own: &str) -> Asker {
    Asker {
        remote: (asker_ip.parse::<IpAddr>().unwrap(), 40_000).into(),
        local_ip: Some(own.parse().unwrap()),
        ..asker(1, 2)
    }
}

fn check(asker: &Asker, request: &ProbeRequest, expected: Result<(), Denial>) {
    let got = admission::probe(AddressRules::iana(), asker, request);
    assert_eq!(got.map(|_| ()), expected, "{asker:?}");
}

fn code(code: ProbeCode) -> Result<(), Denial> {
    Err(Denial::Code(code))
}

#[test]
fn only_addresses_of_the_public_internet_are_dialed() {
    let direct = request(1, 2, 1320, ProbeMode::Direct);
    check(&global("11.1.0.1", "12.2.0.1"), &direct, Ok(()));
    check(&global("2600:1::1", "2600:2::1"), &direct, Ok(()));
    for ip in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
    ] {
        let asker = global(ip, "12.2.0.1");
        check(&asker, &direct, code(ProbeCode::NotGlobal));
    }
    for ip in [
        "::1",
        "fe80::1",
        "fd00::1",
        "64:ff9b::b01:1",
        "2002:b01:1::1",
        "2001:db8::1",
    ] {
        let asker = global(ip, "2600:2::1");
        check(&asker, &direct, code(ProbeCode::NotGlobal));
    }
}

#[test]
fn a_neighbour_is_not_dialed() {
    let direct = request(1, 2, 1320, ProbeMode::Direct);
    let neighbour = global("11.1.0.1", "11.1.200.1");
    check(&neighbour, &direct, code(ProbeCode::SameNetwork));
    let neighbour = global("2600:1::1", "2600:1:ffff::1");
    check(&neighbour, &direct, code(ProbeCode::SameNetwork));
}

#[test]
fn an_address_of_a_family_that_was_not_reached_is_not_dialed() {
    let direct = request(1, 2, 1320, ProbeMode::Direct);
    let asker = global("11.1.0.1", "2600:2::1");
    check(&asker, &direct, code(ProbeCode::NoFamily));
}

#[test]
fn ports_of_ordinary_services_are_not_dialed() {
    let stranger = global("11.1.0.1", "12.2.0.1");
    for port in [443, 1024, 1320, 65_535] {
        check(&stranger, &request(1, 2, port, ProbeMode::Direct), Ok(()));
    }
    for port in [0, 22, 53, 80, 123, 442, 444, 1023] {
        let direct = request(1, 2, port, ProbeMode::Direct);
        check(&stranger, &direct, code(ProbeCode::PortRefused));
    }
}

#[test]
fn an_asker_without_a_key_is_told_to_sign_in() {
    let anonymous = Asker {
        key: None,
        ..global("11.1.0.1", "12.2.0.1")
    };
    let direct = request(1, 2, 1320, ProbeMode::Direct);
    check(&anonymous, &direct, Err(Denial::Anonymous));
}

#[test]
fn a_request_that_is_shorter_than_a_full_datagram_costs_more() {
    let stranger = global("11.1.0.1", "12.2.0.1");
    for mode in [ProbeMode::Direct, ProbeMode::Canary] {
        let mut short = request(1, 2, 1320, mode);
        short.pad = padding(0);
        let bare_bytes = short.encode(0).len();
        check(&stranger, &short, Err(Denial::Cost(1_200)));
        // The marker of the padding's length takes two bytes more than an empty one's.
        short.pad = padding(1_200 - bare_bytes - 1);
        assert_eq!(short.encode(0).len(), 1_200);
        check(&stranger, &short, Ok(()));
        short.pad.pop();
        check(&stranger, &short, Err(Denial::Cost(1_200)));
    }
}

#[test]
fn a_cold_probe_costs_what_the_dial_sends() {
    let stranger = global("11.1.0.1", "12.2.0.1");
    let mut cold = request(1, 2, 1320, ProbeMode::Cold);
    check(&stranger, &cold, Ok(()));
    cold.pad.pop();
    check(
        &stranger,
        &cold,
        Err(Denial::Cost(limits::PROBE_COLD_COST_BYTES)),
    );
}

#[test]
fn a_cold_probe_is_signed_for_this_prober_nonce_port_and_transport() {
    let asked = |change: fn(&mut ProbeRequest)| {
        let mut cold = request(1, 2, 1320, ProbeMode::Cold);
        change(&mut cold);
        admission::asked(&key(2).public(), &key(1).public(), &cold).is_ok()
    };
    assert!(asked(|_| {}));
    assert!(!asked(|cold| cold.port = 1_321));
    assert!(!asked(|cold| cold.nonce = crate::wire::Nonce::generate()));
    assert!(!asked(
        |cold| cold.transport = crate::wire::ProbeTransport::Tcp
    ));
    assert!(!asked(|cold| cold.asked = None));
    let cold = request(1, 2, 1320, ProbeMode::Cold);
    let (asker, prober, third) = (key(1).public(), key(2).public(), key(3).public());
    assert!(
        admission::asked(&third, &asker, &cold).is_err(),
        "for another prober"
    );
    assert!(
        admission::asked(&prober, &third, &cold).is_err(),
        "by another asker"
    );
}

#[test]
fn a_list_of_servers_to_avoid_has_a_bound() {
    let stranger = global("11.1.0.1", "12.2.0.1");
    let mut cold = request(1, 2, 1320, ProbeMode::Cold);
    cold.avoid = vec![serde_bytes::ByteArray::new([1; 32]); limits::PROBE_AVOID_MAX];
    check(&stranger, &cold, Ok(()));
    cold.avoid.push(serde_bytes::ByteArray::new([1; 32]));
    check(&stranger, &cold, Err(Denial::Invalid("avoid is too long")));
}

fn check_voucher(change: impl Fn(&mut Voucher), expected: Result<(), Denial>) {
    check_voucher_at(Timestamp::now(), false, change, expected);
}

fn check_voucher_at(
    now: Timestamp,
    is_pinned: bool,
    change: impl Fn(&mut Voucher),
    expected: Result<(), Denial>,
) {
    let peer = global("12.2.0.1", "13.3.0.1");
    let mut voucher = voucher(1, 2, 1320);
    voucher.ip = "11.1.0.1".parse().unwrap();
    (voucher.issued, voucher.expires) = (now, now.saturating_add(Duration::from_secs(30)));
    change(&mut voucher);
    let vouching = Vouching {
        peer: &Asker {
            key: Some(key(2).public()),
            ..peer
        },
        is_pinned,
        now,
    };
    let got = admission::voucher(AddressRules::iana(), vouching, &voucher);
    assert_eq!(got.map(|_| ()), expected, "{voucher:?}");
}

#[test]
fn a_voucher_for_an_address_that_is_not_to_be_dialed_is_refused() {
    check_voucher(|_| {}, Ok(()));
    let at = |ip: &'static str| move |voucher: &mut Voucher| voucher.ip = ip.parse().unwrap();
    for ip in ["10.0.0.1", "127.0.0.1", "169.254.169.254", "fd00::1"] {
        check_voucher(at(ip), code(ProbeCode::NotGlobal));
    }
    check_voucher(at("13.3.9.9"), code(ProbeCode::SameNetwork));
    check_voucher(at("12.2.0.1"), code(ProbeCode::SameNetwork));
    check_voucher(at("12.2.7.7"), code(ProbeCode::SameNetwork));
    check_voucher(|voucher| voucher.port = 22, code(ProbeCode::PortRefused));
}

#[test]
fn nobody_vouches_for_itself() {
    let denial = Denial::Invalid("nobody vouches for itself");
    check_voucher(|voucher| voucher.server = key(2).public(), Err(denial));
}

#[test]
fn a_voucher_of_a_stranger_costs_four_times_what_one_of_a_friend_costs() {
    let now = Timestamp::now();
    let with = |bytes| move |voucher: &mut Voucher| voucher.pad = padding(bytes);
    let (friend, stranger) = (limits::PROBE_COLD_COST_BYTES, limits::VOUCHER_COST_BYTES);
    check_voucher_at(now, true, with(friend), Ok(()));
    check_voucher_at(now, true, with(friend - 1), Err(Denial::Cost(friend)));
    check_voucher_at(now, false, with(stranger), Ok(()));
    check_voucher_at(now, false, with(stranger - 1), Err(Denial::Cost(stranger)));
}

#[test]
fn a_voucher_is_good_for_half_a_minute_and_what_clocks_differ_by() {
    let now = Timestamp::now();
    let (life, off) = (Duration::from_secs(30), limits::VOUCHER_CLOCK_TOLERANCE);
    let nano = Duration::from_nanos(1);
    let lived = |issued: Timestamp, life: Duration| {
        move |voucher: &mut Voucher| {
            voucher.issued = issued;
            voucher.expires = issued.saturating_add(life);
        }
    };
    let early = now.saturating_sub(life + off);
    check_voucher_at(now, false, lived(early, life), Ok(()));
    let expired = Err(Denial::Invalid("the voucher has expired"));
    check_voucher_at(now, false, lived(early.saturating_sub(nano), life), expired);
    let late = now.saturating_add(off);
    check_voucher_at(now, false, lived(late, life), Ok(()));
    let future = Err(Denial::Invalid("the voucher is from the future"));
    check_voucher_at(now, false, lived(late.saturating_add(nano), life), future);
    let long = Err(Denial::Invalid("a voucher lives for 30 seconds at most"));
    check_voucher_at(now, false, lived(now, life + nano), long);
    let backwards = |voucher: &mut Voucher| voucher.expires = voucher.issued.saturating_sub(nano);
    check_voucher_at(now, false, backwards, long);
}

#[test]
fn a_voucher_is_signed_by_its_sender_and_by_the_server_it_names() {
    let check = |change: fn(&mut Voucher)| {
        let mut voucher = voucher(1, 2, 1320);
        change(&mut voucher);
        admission::voucher_signatures(&key(2).public(), &voucher).is_ok()
    };
    assert!(check(|_| {}));
    // Every field that says whom, where and until when to dial.
    assert!(!check(|voucher| voucher.ip = "11.9.9.9".parse().unwrap()));
    assert!(!check(|voucher| voucher.port = 1_321));
    assert!(!check(|voucher| voucher.server = key(9).public()));
    assert!(!check(
        |voucher| voucher.nonce = crate::wire::Nonce::generate()
    ));
    assert!(!check(|voucher| voucher.expires = voucher.issued));
    assert!(!check(|voucher| voucher.issued = voucher.expires));
    assert!(!check(
        |voucher| voucher.transport = crate::wire::ProbeTransport::Tcp
    ));
    // A prober that makes the server's consent up, however well it signs itself.
    assert!(!check(|voucher| {
        voucher.asked = key(2).sign(&voucher.signed_hash());
        voucher.signature = key(2).sign(&voucher.signed_hash());
    }));
    assert!(
        check(|voucher| voucher.pad = padding(7)),
        "padding is not signed"
    );
}

#[test]
fn a_voucher_passed_on_by_somebody_else_is_forged() {
    let voucher = voucher(1, 2, 1320);
    assert!(admission::voucher_signatures(&key(3).public(), &voucher).is_err());
    // Also where that one signs it anew: the server did not ask it.
    let mut signed_anew = voucher;
    signed_anew.signature = key(3).sign(&signed_anew.signed_hash());
    assert!(admission::voucher_signatures(&key(3).public(), &signed_anew).is_err());
}
