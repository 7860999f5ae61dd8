//! What changes around a server without being about it, and what is left of former claims.

use std::{cell::Cell, rc::Rc};

use super::{world::settings, *};

const INSIDE: &str = "192.168.1.7";

/// The facts while containers come and go.
fn with_containers(minute: u64, addresses: &[&str]) -> LocalFacts {
    let bridge = format!("172.17.0.{}", minute % 200 + 1);
    let veth = format!("fe80::{minute:x}:1");
    let mut all = addresses.to_vec();
    all.extend([bridge.as_str(), &veth]);
    facts(&all)
}

#[test]
fn containers_that_come_and_go_neither_close_a_server_nor_keep_one_from_opening() {
    for number in [5, 6] {
        for seed in 0..5 {
            let hosts = hosts(number);
            let first = with_containers(0, &[SERVER]);
            let mut world = World::of(settings(&hosts), hosts, first, seed);
            for minute in 1..400 {
                world.run(minutes(1));
                world.tell(Event::Facts(with_containers(minute, &[SERVER])));
                assert!(minute < 20 || world.is_open(), "{:#?}", world.turns);
            }
            assert_eq!(world.report().counters.demotions, 0, "{:#?}", world.turns);
        }
    }
}

#[test]
fn containers_that_come_and_go_cost_no_probes() {
    let mut world = World::new(six(), facts(&[SERVER]));
    world.wait_for(Verdict::Public, minutes(10));
    world.run(Duration::from_secs(20));
    let asks = world.asks.len();
    for minute in 0..30 {
        world.tell(Event::Facts(with_containers(minute, &[SERVER])));
        world.run(Duration::from_secs(1));
    }
    assert!(world.asks.len() <= asks + 1);
}

#[test]
fn changes_do_not_shorten_the_wait_for_strangers() {
    // Whom the server asks is no stranger for five minutes, so that changes every few seconds
    // would leave none.
    let lets_in = Rc::new(Cell::new(false));
    let is_in = Rc::clone(&lets_in);
    let mut world = World::new(six(), facts(&[SERVER])).network(move |dial| {
        if is_in.get() || !dial.is_cold {
            open_network(dial)
        } else {
            Fate::Silence
        }
    });
    world.run(minutes(2));
    lets_in.set(true);
    let endpoint = &world.plan.tracked[&(ListenerId(0), Some(ip(SERVER)))];
    let until = endpoint.strangers_at.unwrap();
    assert!(until > world.now && endpoint.next_round >= until);
    let asks = world.asks.len();
    let mut number = 0;
    while world.now + Duration::from_secs(10) < until {
        number += 1;
        let mut moved = facts(&[SERVER]);
        moved.gateways = vec![IpAddr::from([21, 7, 1, number])];
        world.tell(Event::Facts(moved));
        world.run(Duration::from_secs(7));
    }
    assert!(number > 5);
    assert_eq!(world.asks.len(), asks);
    world.wait_for(Verdict::Public, minutes(15));
}

#[test]
fn an_accepted_translation_that_became_a_forwarded_port_is_closed() {
    for seed in 0..10 {
        let is_forwarded = Rc::new(Cell::new(false));
        let at = Rc::clone(&is_forwarded);
        let mut accepting = settings(&six());
        accepting.accept_static_nat = vec![ip(SERVER)];
        let mut world = World::of(accepting, six(), facts(&[INSIDE]), seed)
            .behind(SERVER)
            .network(move |dial| {
                if at.get() && dial.is_canary {
                    Fate::Silence
                } else {
                    Fate::arrives(ip(INSIDE), dial.src)
                }
            });
        world.run(minutes(30));
        assert!(world.is_open());
        is_forwarded.set(true);
        world.wait_for(Verdict::Forwarded, minutes(180));
        world.run(minutes(180));
        assert!(!world.is_open());
        assert_eq!(world.report().counters.demotions, 1);
        is_forwarded.set(false);
        world.run(minutes(120));
        assert!(world.is_open(), "{:#?}", world.report());
    }
}

#[test]
fn a_short_loss_of_fresh_ports_closes_no_accepted_translation() {
    let mut accepting = settings(&six());
    accepting.accept_static_nat = vec![ip(SERVER)];
    let lost = Rc::new(Cell::new(0));
    let count = Rc::clone(&lost);
    let is_bad = Rc::new(Cell::new(false));
    let bad = Rc::clone(&is_bad);
    let mut world = World::of(accepting, six(), facts(&[INSIDE]), 1)
        .behind(SERVER)
        .network(move |dial| {
            if bad.get() && dial.is_canary && count.get() < 3 {
                count.set(count.get() + 1);
                Fate::Silence
            } else {
                Fate::arrives(ip(INSIDE), dial.src)
            }
        });
    world.run(minutes(30));
    assert!(world.is_open());
    is_bad.set(true);
    world.run(minutes(180));
    assert_eq!(lost.get(), 3);
    assert!(world.is_open());
    assert_eq!(world.report().counters.demotions, 0, "{:#?}", world.turns);
}

#[test]
fn an_endpoint_that_was_held_down_once_is_settled_when_its_wait_is_over() {
    let mut world = World::new(six(), facts(&[SERVER])).network(shut_network);
    world.run(minutes(30));
    assert!(world.plan.is_settled(world.now));
    let soon = world.now + minutes(10);
    let key = (ListenerId(0), Some(ip(SERVER)));
    world.plan.tracked.get_mut(&key).unwrap().hold_until = Some(soon);
    world.run(minutes(60));
    assert_eq!(world.verdict(), Verdict::Firewalled);
    assert!(world.plan.is_settled(world.now));
    assert_eq!(world.plan.tracked[&key].hold_until, None);
}

#[test]
fn what_was_asked_for_an_endpoint_that_went_is_not_taken_for_the_one_that_came() {
    // One of these has as many resets as questions, so that the counts could be mistaken.
    for resets in 0..6 {
        let mut world = World::new(six(), facts(&[SERVER]));
        for _ in 0..resets {
            world.tell(Event::ClockJumped);
        }
        world.run_to_first_ask();
        world.run(Duration::from_secs(1));
        world.tell(Event::Facts(facts(&[INSIDE])));
        world.tell(Event::Facts(facts(&[SERVER])));
        world.run(Duration::from_millis(1_500));
        let endpoint = &world.report().endpoints[0];
        assert_eq!(endpoint.endpoint, socket(SERVER).to_string());
        assert!(endpoint.reached.is_empty(), "{resets}: {endpoint:#?}");
    }
}

#[test]
fn the_network_of_a_former_address_is_not_ours() {
    let mut hosts = six();
    hosts.push(Host::new(7, ip("21.7.9.9")));
    let mut world = World::new(hosts, facts(&[INSIDE]))
        .behind(SERVER)
        .network(shut_network);
    world.run(minutes(30));
    let state = |world: &World| world.report().probers[6].state.clone();
    assert_eq!(state(&world), "in our own network");
    world.observe = Box::new(|_, _| ip("31.9.0.2"));
    world.run(minutes(60));
    assert_eq!(state(&world), "usable");
}
