//! Limits on a clock moved by hand.

use proptest::prelude::*;

use super::*;
use crate::base::limits::{RATE_EVICTION_LOOKS_MAX, RATE_READ_ROWS};
use crate::wire::SecretKey;

/// Ten submissions a second, thirty at once; two connections.
const RULES: RateRules = RateRules {
    handshakes_per_second: 2,
    streams_per_second: 10,
    submissions_per_second: 10,
    submissions_burst: 30,
    bytes_per_second: 1_000,
    query_rows_per_second: 100,
    burst_seconds: 2,
    connections: 2,
    user_factor: 2,
    loopback_factor: 5,
};

const HOME: &str = "203.0.113.7";
const ELSEWHERE: &str = "203.0.113.8";

struct World {
    rates: Arc<Rates>,
    now: Instant,
    patience: Patience,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            rates: Arc::new(Rates::new(RULES, now)),
            now,
            patience: Patience::default(),
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn submit(&self, asker: &Asker) -> Verdict {
        let limit = Limit::Submissions;
        self.rates.take(limit, asker, 1, &self.patience, self.now)
    }

    /// How many of `tries` are let through.
    fn submissions(&self, asker: &Asker, tries: usize) -> usize {
        let passes = |_: &usize| self.submit(asker) == Verdict::Pass;
        (0..tries).filter(passes).count()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed([seed; 32]).public()
}

fn anonymous(address: &str) -> Asker {
    Asker {
        address: ip(address),
        key: None,
        is_user: false,
    }
}

fn stranger(seed: u8, address: &str) -> Asker {
    Asker {
        key: Some(key(seed)),
        ..anonymous(address)
    }
}

fn user(seed: u8, address: &str) -> Asker {
    Asker {
        is_user: true,
        ..stranger(seed, address)
    }
}

#[test]
fn past_the_burst_an_address_has_its_rate_and_no_more() {
    let mut world = World::new();
    assert_eq!(world.submissions(&anonymous(HOME), 100), 30);
    for _ in 0..20 {
        world.pass(100);
        assert_eq!(world.submissions(&anonymous(HOME), 5), 1);
    }
    world.pass(60_000);
    assert_eq!(world.submissions(&anonymous(HOME), 100), 30);
}

#[test]
fn fresh_keys_give_strangers_no_more_than_their_address_has() {
    let world = World::new();
    let passed: usize = (0..100)
        .map(|seed| world.submissions(&stranger(seed, HOME), 5))
        .sum();
    assert_eq!(passed, 30);
    assert_eq!(world.submissions(&anonymous(HOME), 5), 0);
}

#[test]
fn a_stranger_who_moves_keeps_what_was_used_of_its_key() {
    let world = World::new();
    assert_eq!(world.submissions(&stranger(1, HOME), 100), 30);
    assert_eq!(world.submissions(&stranger(1, ELSEWHERE), 100), 0);
    assert_eq!(world.submissions(&stranger(2, ELSEWHERE), 100), 30);
}

#[test]
fn a_flood_of_strangers_leaves_a_user_at_the_same_address_alone() {
    let world = World::new();
    assert_eq!(world.submissions(&anonymous(HOME), 1_000), 30);
    assert_eq!(world.submissions(&user(1, HOME), 1_000), 60);
    assert_eq!(world.submissions(&user(2, HOME), 1_000), 60);
}

#[test]
fn the_users_of_one_address_together_have_what_some_of_them_may_use() {
    let world = World::new();
    let passed: usize = (0..100)
        .map(|seed| world.submissions(&user(seed, HOME), 100))
        .sum();
    assert_eq!(passed, 60 * 8);
    assert_eq!(world.submissions(&user(200, ELSEWHERE), 100), 60);
}

#[test]
fn what_is_refused_on_one_account_is_charged_on_none() {
    let mut world = World::new();
    assert_eq!(world.submissions(&anonymous(HOME), 100), 30);
    assert_eq!(world.submissions(&stranger(1, HOME), 100), 0);
    assert_eq!(world.submissions(&stranger(1, ELSEWHERE), 100), 30);
    world.pass(1_000);
    assert_eq!(world.submissions(&anonymous(HOME), 100), 10);
}

#[test]
fn ipv6_networks_of_64_bits_are_one_address() {
    let world = World::new();
    assert_eq!(world.submissions(&anonymous("2001:db8::1"), 100), 30);
    assert_eq!(world.submissions(&anonymous("2001:db8::2:1"), 100), 0);
    assert_eq!(world.submissions(&anonymous("2001:db8:0:1::1"), 100), 30);
}

#[test]
fn bytes_are_never_refused_and_their_sender_is_made_to_wait() {
    let mut world = World::new();
    let asker = anonymous(HOME);
    let spend = |world: &World, units| {
        let rates = &world.rates;
        rates.spend(Limit::Bytes, &asker, units, world.now)
    };
    assert_eq!(spend(&world, 2_000), Duration::ZERO);
    assert_eq!(spend(&world, 500), Duration::from_millis(500));
    world.pass(400);
    assert_eq!(spend(&world, 0), Duration::from_millis(100));
    world.pass(100);
    assert_eq!(spend(&world, 0), Duration::ZERO);
    assert_eq!(spend(&world, u32::MAX), RATE_DEBT_MAX);
    let delayed = &world.rates.counters().of(Limit::Bytes).delayed;
    assert_eq!(delayed.load(std::sync::atomic::Ordering::Relaxed), 3);
}

#[test]
fn handshakes_in_flight_and_connections_are_counted_until_they_are_dropped() {
    let mut world = World::new();
    let handshake = |world: &World| world.rates.handshake(ip(HOME), world.now);
    let in_flight: Vec<Seat> = (0..4).map_while(|_| handshake(&world)).collect();
    assert_eq!(in_flight.len(), 4, "two seconds' worth");
    assert!(handshake(&world).is_none());
    world.pass(60_000);
    let mut in_flight = in_flight;
    while let Some(seat) = handshake(&world) {
        in_flight.push(seat);
        world.pass(1_000);
    }
    let most = usize::try_from(crate::base::limits::ADDRESS_HANDSHAKES_MAX).unwrap();
    assert_eq!(in_flight.len(), most);
    in_flight.pop();
    assert!(handshake(&world).is_some());

    let connect = |asker: &Asker| world.rates.connection(asker, world.now);
    let first = connect(&anonymous(HOME)).unwrap();
    let _second = connect(&stranger(1, HOME)).unwrap();
    assert!(connect(&anonymous(HOME)).is_none());
    assert!(connect(&anonymous(ELSEWHERE)).is_some(), "another address");
    let seat = connect(&user(2, HOME));
    assert!(seat.is_some(), "a user is not counted with the strangers");
    drop(first);
    assert!(connect(&anonymous(HOME)).is_some());
}

#[test]
fn only_a_client_that_goes_on_far_over_its_rate_is_to_be_closed() {
    // Ten times the rate: closed within a minute.
    let mut world = World::new();
    let asker = anonymous(HOME);
    let mut closed_after = None;
    for tenth in 0..600 {
        world.pass(100);
        let verdicts: Vec<_> = (0..10).map(|_| world.submit(&asker)).collect();
        if verdicts.contains(&Verdict::FarTooFast) {
            closed_after = Some(tenth);
            break;
        }
    }
    assert!(
        closed_after.is_some_and(|tenths| tenths > 100),
        "{closed_after:?}"
    );
    // Three times: refused for ever, and never closed.
    let mut world = World::new();
    for _ in 0..6_000 {
        world.pass(100);
        for _ in 0..3 {
            assert_ne!(world.submit(&asker), Verdict::FarTooFast);
        }
    }
}

#[test]
fn rules_that_are_set_hold_at_once_and_the_same_ones_change_nothing() {
    let world = World::new();
    let asker = anonymous(HOME);
    assert_eq!(world.submissions(&asker, 100), 30);
    world.rates.set(RULES);
    assert_eq!(world.submissions(&asker, 100), 0);
    world.rates.set(RateRules {
        submissions_burst: 5,
        ..RULES
    });
    assert_eq!(world.submissions(&asker, 100), 5);
    world.rates.set(RateRules::NONE);
    assert_eq!(world.submissions(&asker, 100), 100);
    assert!(world.rates.handshake(ip(HOME), world.now).is_some());
    assert!(world.rates.connection(&asker, world.now).is_some());
}

#[test]
fn a_flood_of_fresh_addresses_does_not_give_a_busy_one_its_allowance_back() {
    let world = World::new();
    assert_eq!(world.submissions(&anonymous(HOME), 100), 30);
    let addresses = u32::try_from(2 * RATE_ENTRIES_MAX).unwrap();
    for number in 0..addresses {
        let asker = Asker {
            address: IpAddr::from(number.to_be_bytes()),
            ..anonymous(HOME)
        };
        world.submit(&asker);
    }
    assert!(world.rates.entries() <= RATE_ENTRIES_MAX);
    assert_eq!(world.submissions(&anonymous(HOME), 100), 0);
}

#[test]
fn one_request_is_counted_on_one_account_though_room_for_an_own_one_is_found_meanwhile() {
    let world = World::new();
    let places = u32::try_from(RATE_ENTRIES_MAX).unwrap();
    let asker = |number: u32| Asker {
        address: IpAddr::from(number.to_be_bytes()),
        ..anonymous(HOME)
    };
    // All are busy but one, which is behind those that are looked at first.
    let idle = u32::try_from(RATE_EVICTION_LOOKS_MAX).unwrap() + 8;
    for number in 0..places {
        let units = u32::from(number != idle);
        let limit = Limit::Submissions;
        world.rates.spend(limit, &asker(number), units, world.now);
    }
    let (first, second) = (asker(places), asker(places + 1));
    assert_eq!(world.submit(&first), Verdict::Pass, "on the common account");
    assert_eq!(world.submissions(&first, 100), 30, "on its own");
    assert_eq!(world.submissions(&second, 100), 29, "on the common one");
}

proptest! {
    #[test]
    fn whoever_asks_and_however_often_an_address_gets_its_burst_and_rate_at_the_most(
        steps in proptest::collection::vec((0_u64..300, 0_u8..4, 0_usize..40), 1..100),
    ) {
        let mut world = World::new();
        let (mut millis, mut strangers, mut users) = (0, 0, 0);
        for (pause, who, tries) in steps {
            world.pass(pause);
            millis += pause;
            match who {
                0 => strangers += world.submissions(&anonymous(HOME), tries),
                1 | 2 => strangers += world.submissions(&stranger(who, HOME), tries),
                _ => users += world.submissions(&user(who, HOME), tries),
            }
            let allowed = |factor: u64| usize::try_from(factor * (3_000 + millis) / 100).unwrap();
            prop_assert!(strangers <= allowed(1));
            prop_assert!(users <= allowed(2));
        }
        world.pass(101);
        prop_assert_eq!(world.submissions(&user(9, HOME), 1), 1, "nobody is starved");
    }
}

#[test]
fn a_household_registers_so_many_users_in_an_hour_whatever_others_do() {
    let mut world = World::new();
    let registered = |world: &World, address: &str, tries: usize| {
        let registers = |_: &usize| world.rates.may_register(ip(address), world.now);
        (0..tries).filter(registers).count()
    };
    assert_eq!(registered(&world, HOME, 100), 20);
    assert_eq!(registered(&world, ELSEWHERE, 100), 20);
    assert_eq!(registered(&world, "127.0.0.1", 200), 100);
    assert_eq!(registered(&world, "2001:db8::1", 12), 12);
    assert_eq!(registered(&world, "2001:db8::2", 12), 8, "one network");
    world.pass(3 * 60 * 1_000);
    assert_eq!(registered(&world, HOME, 100), 1);
    world.pass(60 * 60 * 1_000);
    assert_eq!(registered(&world, HOME, 100), 20);
    world.rates.set(RateRules::NONE);
    assert_eq!(registered(&world, HOME, 100), 100);
}

#[test]
fn more_than_the_burst_passes_where_nothing_was_used_lately_and_is_made_good() {
    let mut world = World::new();
    let asker = stranger(1, HOME);
    let take = |world: &World, units| {
        let limit = Limit::Submissions;
        let rates = &world.rates;
        rates.take(limit, &asker, units, &world.patience, world.now) == Verdict::Pass
    };
    assert!(take(&world, 100), "ten seconds' worth");
    for _ in 0..7 {
        assert!(!take(&world, 1));
        world.pass(1_000);
    }
    world.pass(100);
    assert!(take(&world, 1));
    assert!(!take(&world, 1));
    world.pass(2_900);
    assert!(!take(&world, 31), "a little is missing");
    world.pass(200);
    assert!(take(&world, u32::MAX));
    world.pass(30_000);
    assert!(!take(&world, 1), "no more is owed than that");
    world.pass(100);
    assert!(take(&world, 1));
}

#[test]
fn a_read_fits_into_the_smallest_rate() {
    let mut world = World::new();
    world.rates.set(RateRules {
        query_rows_per_second: 1,
        burst_seconds: 1,
        ..RULES
    });
    let asker = anonymous(HOME);
    let read = |world: &World| {
        let (limit, rows) = (Limit::QueryRows, RATE_READ_ROWS);
        world
            .rates
            .take(limit, &asker, rows, &world.patience, world.now)
    };
    assert_eq!(read(&world), Verdict::Pass);
    assert_eq!(read(&world), Verdict::TooFast);
    world.pass(10_000);
    assert_eq!(read(&world), Verdict::Pass);
}
