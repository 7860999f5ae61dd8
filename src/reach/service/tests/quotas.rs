//! What is counted over time, on a clock moved by hand.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::base::limits;
use crate::reach::service::dials::{Household, Proof, Wanted};
use crate::reach::service::quotas::{Quotas, Sender};
use crate::reach::timing::Timing;
use crate::wire::{Nonce, ProbeCode, ProbeTransport, PublicKey, SecretKey};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

struct Clocked {
    quotas: Quotas,
    now: Instant,
}

impl Clocked {
    fn new() -> Self {
        Self {
            quotas: Quotas::new(Timing::REAL),
            now: Instant::now(),
        }
    }

    /// A probe that is over at once.
    fn probe(&mut self, wanted: Wanted) -> Result<(), ProbeCode> {
        let household = self.quotas.begin(Proof::Own, &wanted, self.now)?;
        self.quotas.finish(Proof::Own, household);
        Ok(())
    }

    /// A voucher that is carried out, for a server of that number; its dial is over at once.
    fn vouch(&mut self, sender: Sender, server: usize) -> Result<(), ProbeCode> {
        let seed = u8::try_from(100 + server).unwrap();
        let wanted = wanted(seed, &host(server), 1320);
        let nonce = Nonce::generate();
        let household = self.quotas.vouched(sender, nonce, &wanted, self.now)?;
        self.quotas.finish(Proof::Voucher, household);
        Ok(())
    }

    /// How many of fifty vouchers for different servers are carried out.
    fn vouched(&mut self, sender: impl Fn(usize) -> Sender) -> usize {
        (0..50)
            .filter(|server| self.vouch(sender(*server), *server).is_ok())
            .count()
    }
}

fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed([seed; 32]).public()
}

fn wanted(seed: u8, ip: &str, port: u16) -> Wanted {
    Wanted {
        key: key(seed),
        ip: ip.parse().unwrap(),
        port,
        transport: ProbeTransport::Quic,
    }
}

fn host(number: usize) -> String {
    format!("{}.{}.0.1", 11 + number / 256, number % 256)
}

fn admitted(clocked: &mut Clocked, wanted: impl Fn(usize) -> Wanted) -> usize {
    (0..200)
        .filter(|number| clocked.probe(wanted(*number)).is_ok())
        .count()
}

#[test]
fn an_address_is_dialed_six_times_a_minute() {
    let mut clocked = Clocked::new();
    let seed = |number: usize| u8::try_from(number).unwrap();
    let one = |number| wanted(seed(number), "11.1.0.1", 1320);
    assert_eq!(
        admitted(&mut clocked, one),
        limits::PROBES_PER_ADDRESS_PER_MINUTE_MAX
    );
    assert_eq!(clocked.probe(one(0)), Err(ProbeCode::RateLimited));
    assert_eq!(clocked.probe(wanted(1, "11.1.0.2", 1320)), Ok(()));
    clocked.now += MINUTE;
    assert_eq!(clocked.probe(one(0)), Ok(()));
}

#[test]
fn the_addresses_of_one_home_are_one_address_in_ipv6() {
    let mut clocked = Clocked::new();
    let neighbours = |number| wanted(1, &format!("2600:1:2:3{number:02x}::1"), 1320);
    assert_eq!(
        admitted(&mut clocked, |number| neighbours(number % 256)),
        limits::PROBES_PER_ADDRESS_PER_MINUTE_MAX
    );
    assert_eq!(clocked.probe(wanted(1, "2600:1:2:400::1", 1320)), Ok(()));
}

#[test]
fn an_address_written_as_ipv6_is_the_same_address() {
    let mapped: IpAddr = "::ffff:11.1.0.1".parse().unwrap();
    let plain: IpAddr = "11.1.0.1".parse().unwrap();
    assert_eq!(Household::of(mapped), Household::of(plain));
}

#[test]
fn a_key_has_twelve_probes_a_minute_from_wherever_it_asks() {
    let mut clocked = Clocked::new();
    let one_key = |number| wanted(1, &host(number), 1320);
    assert_eq!(
        admitted(&mut clocked, one_key),
        limits::PROBES_PER_KEY_PER_MINUTE_MAX
    );
    assert_eq!(clocked.probe(wanted(2, "12.0.0.1", 1320)), Ok(()));
}

#[test]
fn everybody_together_has_sixty_probes_a_minute() {
    let mut clocked = Clocked::new();
    let all = |number: usize| wanted(u8::try_from(number).unwrap(), &host(number), 1320);
    assert_eq!(admitted(&mut clocked, all), limits::PROBES_PER_MINUTE_MAX);
    clocked.now += MINUTE - Duration::from_nanos(1);
    assert_eq!(admitted(&mut clocked, all), 0);
    clocked.now += Duration::from_nanos(1);
    assert_eq!(admitted(&mut clocked, all), limits::PROBES_PER_MINUTE_MAX);
}

#[test]
fn one_address_has_one_probe_under_way() {
    let mut clocked = Clocked::new();
    let one = wanted(1, "11.1.0.1", 1320);
    let under_way = clocked.quotas.begin(Proof::Own, &one, clocked.now).unwrap();
    assert_eq!(clocked.probe(one), Err(ProbeCode::Busy));
    assert_eq!(clocked.probe(wanted(1, "11.1.0.2", 1320)), Ok(()));
    clocked.quotas.finish(Proof::Own, under_way);
    assert_eq!(clocked.probe(one), Ok(()));
}

#[test]
fn sixteen_probes_are_under_way_at_a_time() {
    let mut clocked = Clocked::new();
    let begin = |clocked: &mut Clocked, number: usize| {
        let seed = u8::try_from(number).unwrap();
        let wanted = wanted(seed, &host(number), 1320);
        clocked.quotas.begin(Proof::Own, &wanted, clocked.now)
    };
    for number in 0..limits::PROBES_AT_ONCE_MAX {
        begin(&mut clocked, number).unwrap();
    }
    assert_eq!(begin(&mut clocked, 100), Err(ProbeCode::Busy));
    clocked
        .quotas
        .finish(Proof::Own, Household::of(host(3).parse().unwrap()));
    assert!(begin(&mut clocked, 100).is_ok());
}

#[test]
fn a_fourth_port_of_an_address_is_refused_for_an_hour() {
    let mut clocked = Clocked::new();
    for port in [1320, 40_001, 40_002, 1320] {
        assert_eq!(clocked.probe(wanted(1, "11.1.0.1", port)), Ok(()), "{port}");
        clocked.now += MINUTE;
    }
    let fourth = wanted(1, "11.1.0.1", 40_003);
    assert_eq!(clocked.probe(fourth), Err(ProbeCode::PortRefused));
    assert_eq!(
        clocked.probe(wanted(2, "11.1.0.1", 40_003)),
        Err(ProbeCode::PortRefused)
    );
    assert_eq!(clocked.probe(wanted(1, "11.1.0.2", 40_003)), Ok(()));
    clocked.now += HOUR;
    assert_eq!(clocked.probe(fourth), Ok(()));
}

#[test]
fn the_ports_of_tcp_are_others_than_those_of_udp() {
    let mut clocked = Clocked::new();
    for port in 2_000..2_003 {
        assert_eq!(clocked.probe(wanted(1, "11.1.0.1", port)), Ok(()));
    }
    let transport = ProbeTransport::Tcp;
    let over_tcp = Wanted {
        transport,
        ..wanted(1, "11.1.0.1", 2_003)
    };
    assert_eq!(clocked.probe(over_tcp), Ok(()));
}

#[test]
fn a_probe_that_is_turned_away_counts_for_nothing() {
    let mut clocked = Clocked::new();
    let one = wanted(1, "11.1.0.1", 1320);
    let under_way = clocked.quotas.begin(Proof::Own, &one, clocked.now).unwrap();
    for port in 2_000..2_100 {
        assert_eq!(
            clocked.probe(wanted(1, "11.1.0.1", port)),
            Err(ProbeCode::Busy)
        );
    }
    clocked.quotas.finish(Proof::Own, under_way);
    assert_eq!(clocked.probe(wanted(1, "11.1.0.1", 2_000)), Ok(()));
}

#[test]
fn addresses_whose_ports_cannot_be_remembered_are_turned_away() {
    // Without the limit of rate, which does not let that many in.
    let mut clocked = Clocked::new();
    let number_of = |number: usize| {
        let seed = u8::try_from(number % 251).unwrap();
        wanted(seed, &host(number), 1320)
    };
    for number in 0..limits::PROBE_PORT_ADDRESSES_MAX {
        clocked.quotas.forget_minute();
        assert_eq!(clocked.probe(number_of(number)), Ok(()), "{number}");
    }
    clocked.quotas.forget_minute();
    let next = number_of(limits::PROBE_PORT_ADDRESSES_MAX);
    assert_eq!(clocked.probe(next), Err(ProbeCode::Busy));
    assert_eq!(clocked.probe(number_of(0)), Ok(()), "a known one");
    clocked.now += HOUR;
    assert_eq!(clocked.probe(next), Ok(()));
}

#[test]
fn a_network_has_a_quarter_of_all_probes() {
    let mut clocked = Clocked::new();
    let seed = |number: usize| u8::try_from(number).unwrap();
    let neighbours = |number| wanted(seed(number), &format!("11.1.{number}.1"), 1320);
    assert_eq!(admitted(&mut clocked, neighbours), 15);
    let stranger = wanted(201, "12.1.0.1", 1320);
    assert_eq!(clocked.probe(stranger), Ok(()));
    clocked.now += MINUTE;
    let neighbours = |number| wanted(seed(number), &format!("2600:1:{number:x}::1"), 1320);
    assert_eq!(admitted(&mut clocked, neighbours), 15);
}

#[test]
fn vouchers_keep_no_address_from_having_itself_dialed() {
    let mut clocked = Clocked::new();
    let at = |seed, port| wanted(seed, "11.1.0.1", port);
    // As often, at as many ports and for as many keys as vouchers can have it dialed.
    let mut dials = 0;
    for seed in 1..=20 {
        let sham = at(seed, 2_000 + u16::from(seed % 3));
        if let Ok(household) = clocked.quotas.begin(Proof::Voucher, &sham, clocked.now) {
            clocked.quotas.finish(Proof::Voucher, household);
            dials += 1;
        }
    }
    assert_eq!(dials, limits::PROBES_PER_ADDRESS_PER_MINUTE_MAX);
    clocked.now += MINUTE;
    let under_way = clocked
        .quotas
        .begin(Proof::Voucher, &at(1, 2_000), clocked.now);
    let household = under_way.unwrap();
    assert_eq!(clocked.probe(at(1, 1320)), Ok(()));
    // The end of its own probe does not end that of the voucher.
    let again = clocked
        .quotas
        .begin(Proof::Voucher, &at(1, 2_000), clocked.now);
    assert_eq!(again, Err(ProbeCode::Busy));
    clocked.quotas.finish(Proof::Voucher, household);
    let fourth = clocked
        .quotas
        .begin(Proof::Voucher, &at(1, 1320), clocked.now);
    assert_eq!(fourth, Err(ProbeCode::PortRefused));
}

fn stranger(seed: usize, ip: &str) -> Sender {
    Sender::new(key(u8::try_from(seed).unwrap()), ip.parse().unwrap(), false)
}

fn friend(seed: usize, ip: &str) -> Sender {
    Sender::new(key(u8::try_from(seed).unwrap()), ip.parse().unwrap(), true)
}

#[test]
fn a_prober_has_six_vouchers_a_minute_from_wherever_it_sends_them() {
    let mut clocked = Clocked::new();
    assert_eq!(clocked.vouched(|n| stranger(1, &host(n))), 6);
    let mut clocked = Clocked::new();
    assert_eq!(clocked.vouched(|n| friend(1, &host(n))), 6);
    clocked.now += MINUTE;
    assert_eq!(clocked.vouched(|n| friend(1, &host(n))), 6);
}

#[test]
fn many_keys_in_one_network_have_a_quarter_of_all_vouchers() {
    let mut clocked = Clocked::new();
    assert_eq!(clocked.vouched(|n| stranger(n, "11.1.0.1")), 6);
    let neighbours = clocked.vouched(|n| stranger(n, &format!("11.1.{n}.2")));
    assert_eq!(neighbours, 0);
    assert_eq!(clocked.vouched(|n| stranger(n, "12.1.0.1")), 6);
}

#[test]
fn vouchers_in_vain_count_for_the_address_of_their_sender_and_for_nobody_else() {
    let mut clocked = Clocked::new();
    for number in 0..6 {
        let now = clocked.now;
        clocked
            .quotas
            .vouched_in_vain(stranger(number, "11.1.0.1"), now);
    }
    assert_eq!(clocked.vouched(|n| stranger(n, "11.1.0.1")), 0);
    assert_eq!(clocked.vouched(|n| stranger(n, "11.1.0.2")), 6);
    let everybody = clocked.vouched(|n| stranger(n, &host(256 + n)));
    assert_eq!(everybody, 6, "the share of strangers is full");
}

#[test]
fn vouchers_in_vain_have_a_bound_past_which_the_oldest_are_forgotten() {
    let mut clocked = Clocked::new();
    let now = clocked.now;
    let first = stranger(1, "11.1.0.1");
    for _ in 0..6 {
        clocked.quotas.vouched_in_vain(first, now);
    }
    for number in 0..limits::VOUCHERS_IN_VAIN_MAX {
        assert!(
            clocked
                .quotas
                .may_vouch(&stranger(2, "12.1.0.1"), now)
                .is_ok()
        );
        let other = stranger(3, &host(1_000 + number));
        clocked.quotas.vouched_in_vain(other, now);
    }
    assert_eq!(clocked.quotas.may_vouch(&first, now), Ok(()));
}

#[test]
fn strangers_leave_half_of_all_vouchers_to_friends() {
    let mut clocked = Clocked::new();
    assert_eq!(clocked.vouched(|n| stranger(n, &host(n))), 12);
    // In the network of one of the strangers, too.
    assert_eq!(clocked.vouched(|n| friend(200 + n / 6, &host(n % 6))), 12);
    let another = clocked.vouch(friend(250, "12.9.0.1"), 1);
    assert_eq!(another, Err(ProbeCode::RateLimited));
}

#[test]
fn a_voucher_whose_dial_is_refused_counts_for_nothing_and_its_nonce_is_not_used() {
    let mut clocked = Clocked::new();
    let (one, nonce) = (wanted(1, "11.1.0.1", 1320), Nonce::generate());
    let busy = clocked.quotas.begin(Proof::Voucher, &one, clocked.now);
    let sender = stranger(1, "12.1.0.1");
    for _ in 0..10 {
        let refused = clocked.quotas.vouched(sender, nonce, &one, clocked.now);
        assert_eq!(refused, Err(ProbeCode::Busy));
    }
    clocked.quotas.finish(Proof::Voucher, busy.unwrap());
    assert!(!clocked.quotas.is_seen(&nonce));
    let taken = clocked.quotas.vouched(sender, nonce, &one, clocked.now);
    assert!(taken.is_ok());
    assert!(clocked.quotas.is_seen(&nonce));
}

#[test]
fn a_nonce_is_forgotten_only_where_newer_ones_need_its_place() {
    let mut quotas = Quotas::new(Timing::REAL);
    let nonces: Vec<Nonce> = (0..limits::VOUCHER_NONCES_MAX)
        .map(|_| Nonce::generate())
        .collect();
    for nonce in &nonces {
        assert!(!quotas.is_seen(nonce));
        quotas.note_nonce(*nonce);
    }
    assert!(nonces.iter().all(|nonce| quotas.is_seen(nonce)));
    let newest = Nonce::generate();
    quotas.note_nonce(newest);
    let forgotten: Vec<&Nonce> = nonces.iter().filter(|of| !quotas.is_seen(of)).collect();
    assert_eq!(forgotten, [&nonces[0]]);
    assert!(quotas.is_seen(&newest));
}

#[test]
fn a_helper_is_given_three_vouchers_a_minute_for_one_asker() {
    let (mut quotas, now) = (Quotas::new(Timing::REAL), Instant::now());
    let household = |ip: &str| Household::of(ip.parse().unwrap());
    let one = household("11.1.0.1");
    let given = (0..10).filter(|_| quotas.relay(one, &key(3), now)).count();
    assert_eq!(given, 3);
    assert!(quotas.relay(one, &key(4), now), "another helper");
    assert!(quotas.relay(household("11.1.0.2"), &key(3), now));
    assert!(quotas.relay(one, &key(3), now + MINUTE));
}

#[test]
fn the_way_out_is_tried_six_times_a_minute() {
    let (mut quotas, now) = (Quotas::new(Timing::REAL), Instant::now());
    let tried = (0..50).filter(|_| quotas.control(now)).count();
    assert_eq!(tried, limits::CONTROL_DIALS_PER_MINUTE_MAX);
    assert!(quotas.control(now + MINUTE));
}
