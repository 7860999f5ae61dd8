//! What is counted over time, on a clock moved by hand.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::base::limits;
use crate::reach::service::quotas::{Household, Quotas, Wanted};
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
        let household = self.quotas.begin(&wanted, self.now)?;
        self.quotas.finish(household);
        Ok(())
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
    format!("11.{}.{}.1", number / 256, number % 256)
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
    let under_way = clocked.quotas.begin(&one, clocked.now).unwrap();
    assert_eq!(clocked.probe(one), Err(ProbeCode::Busy));
    assert_eq!(clocked.probe(wanted(1, "11.1.0.2", 1320)), Ok(()));
    clocked.quotas.finish(under_way);
    assert_eq!(clocked.probe(one), Ok(()));
}

#[test]
fn sixteen_probes_are_under_way_at_a_time() {
    let mut clocked = Clocked::new();
    let begin = |clocked: &mut Clocked, number: usize| {
        let seed = u8::try_from(number).unwrap();
        let wanted = wanted(seed, &host(number), 1320);
        clocked.quotas.begin(&wanted, clocked.now)
    };
    for number in 0..limits::PROBES_AT_ONCE_MAX {
        begin(&mut clocked, number).unwrap();
    }
    assert_eq!(begin(&mut clocked, 100), Err(ProbeCode::Busy));
    clocked
        .quotas
        .finish(Household::of(host(3).parse().unwrap()));
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
    let under_way = clocked.quotas.begin(&one, clocked.now).unwrap();
    for port in 2_000..2_100 {
        assert_eq!(
            clocked.probe(wanted(1, "11.1.0.1", port)),
            Err(ProbeCode::Busy)
        );
    }
    clocked.quotas.finish(under_way);
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
fn a_prober_has_six_vouchers_a_minute_and_all_together_twenty() {
    let (mut quotas, now) = (Quotas::new(Timing::REAL), Instant::now());
    let taken = |quotas: &mut Quotas, seed, now| {
        (0..50)
            .filter(|_| quotas.voucher(&key(seed), now).is_ok())
            .count()
    };
    assert_eq!(
        taken(&mut quotas, 1, now),
        limits::VOUCHERS_PER_KEY_PER_MINUTE_MAX
    );
    let others: usize = (2..10).map(|seed| taken(&mut quotas, seed, now)).sum();
    assert_eq!(
        others + limits::VOUCHERS_PER_KEY_PER_MINUTE_MAX,
        limits::VOUCHERS_PER_MINUTE_MAX
    );
    assert_eq!(quotas.voucher(&key(20), now), Err(ProbeCode::RateLimited));
    assert_eq!(quotas.voucher(&key(20), now + MINUTE), Ok(()));
}

#[test]
fn a_nonce_is_remembered_for_longer_than_any_voucher_can_be_taken() {
    let (mut quotas, now) = (Quotas::new(Timing::REAL), Instant::now());
    let nonce = Nonce::generate();
    assert!(!quotas.is_seen(&nonce, now));
    quotas.note_nonce(nonce, now).unwrap();
    // Issued by a clock that is a minute ahead, and tolerated for a minute after it has expired.
    let longest = Timing::REAL.nonce_ttl() + 2 * limits::VOUCHER_CLOCK_TOLERANCE;
    assert!(quotas.is_seen(&nonce, now + longest));
    assert!(!quotas.is_seen(&nonce, now + 2 * longest));
}

#[test]
fn no_voucher_is_taken_whose_nonce_cannot_be_remembered() {
    let (mut quotas, now) = (Quotas::new(Timing::REAL), Instant::now());
    for _ in 0..limits::VOUCHER_NONCES_MAX {
        quotas.note_nonce(Nonce::generate(), now).unwrap();
    }
    assert_eq!(
        quotas.note_nonce(Nonce::generate(), now),
        Err(ProbeCode::Busy)
    );
    let later = now + Duration::from_secs(600);
    assert_eq!(quotas.note_nonce(Nonce::generate(), later), Ok(()));
}

#[test]
fn the_way_out_is_tried_six_times_a_minute() {
    let (mut quotas, now) = (Quotas::new(Timing::REAL), Instant::now());
    let tried = (0..50).filter(|_| quotas.control(now)).count();
    assert_eq!(tried, limits::CONTROL_DIALS_PER_MINUTE_MAX);
    assert!(quotas.control(now + MINUTE));
}
