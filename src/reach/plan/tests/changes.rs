//! Verdicts that change: when they may, and when they must.

use std::{cell::Cell, rc::Rc};

use super::{
    world::{listener, settings},
    *,
};
use crate::{reach::evidence::Spontaneous, wire::ProbeCode};

/// A network that can be switched while time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    Open,
    Shut,
    /// Lets in whom the server contacted.
    Warm,
    /// Packets arrive for an inner address.
    Translated,
}

fn switched() -> (World, Rc<Cell<Switch>>) {
    let switch = Rc::new(Cell::new(Switch::Open));
    let at = Rc::clone(&switch);
    let world = World::new(six(), facts(&[SERVER])).network(move |dial| match at.get() {
        Switch::Open => open_network(dial),
        Switch::Shut => Fate::Silence,
        Switch::Warm if dial.is_cold => Fate::Silence,
        Switch::Warm => open_network(dial),
        Switch::Translated if dial.is_canary => Fate::Silence,
        Switch::Translated => Fate::arrives(ip("10.0.0.9"), dial.src),
    });
    (world, switch)
}

fn public() -> (World, Rc<Cell<Switch>>) {
    let (mut world, switch) = switched();
    world.wait_for(Verdict::Public, minutes(10));
    (world, switch)
}

fn set_manners(world: &mut World, manners: Manners) {
    for host in &mut world.hosts {
        host.manners = manners;
    }
}

fn stranger(world: &mut World, number: u8) {
    world.tell(Event::Spontaneous(Spontaneous {
        listener: ListenerId(0),
        remote: IpAddr::from([number, 1, 1, 1]),
        dst: Some(ip(SERVER)),
    }));
}

#[test]
fn a_server_opens_in_about_three_minutes_and_not_before_a_second_round() {
    let (mut world, _) = switched();
    let took = world.wait_for(Verdict::Public, minutes(10));
    let timing = Timing::REAL;
    assert!(took > timing.first_probe() + timing.probation(), "{took:?}");
    assert!(took < minutes(4), "{took:?}");
    let before: Vec<&str> = world
        .turns
        .iter()
        .map(|(_, turn)| turn.why.as_str())
        .collect();
    assert!(
        before
            .iter()
            .any(|why| why.contains("a second round follows")),
        "{before:?}"
    );
    let (last, closed) = world.turns.split_last().unwrap();
    assert!(
        closed
            .iter()
            .all(|(_, turn)| !turn.is_open && turn.endpoints.is_empty())
    );
    assert!(last.1.is_open);
    assert_eq!(last.1.endpoints, [socket(SERVER)]);
}

#[test]
fn strangers_are_asked_for_first_and_none_of_them_was_spoken_to() {
    let (world, _) = public();
    let first: Vec<_> = world.asks.iter().take(2).map(|(_, ask)| ask).collect();
    assert!(
        first.iter().all(|ask| ask.mode == ProbeMode::Cold),
        "{first:?}"
    );
    for ask in first {
        assert!(ask.avoid.contains(&ask.prober.key) || ask.avoid.is_empty());
        assert_eq!(ask.from, Some(ip(SERVER)));
        assert_eq!(ask.port, PORT);
    }
}

#[test]
fn one_good_round_is_not_enough() {
    let (mut world, switch) = switched();
    world.run(Duration::from_secs(100));
    assert!(world.report().why.contains("second round"));
    switch.set(Switch::Shut);
    world.run(minutes(30));
    assert!(!world.was_ever_open());
    assert_eq!(world.verdict(), Verdict::Firewalled);
}

#[test]
fn a_server_is_kept_open_by_single_probes_for_a_day() {
    let (mut world, _) = public();
    let asks = world.asks.len();
    world.run(minutes(24 * 60));
    assert!(
        world
            .turns
            .iter()
            .rev()
            .take(1)
            .all(|(_, turn)| turn.is_open)
    );
    assert_eq!(world.report().counters.demotions, 0);
    let asks = world.asks.len() - asks;
    assert!((288..2_500).contains(&asks), "{asks} probes in a day");
}

#[test]
fn what_is_too_old_counts_no_more() {
    let (mut world, _) = public();
    set_manners(&mut world, Manners::Refuses(ProbeCode::Busy));
    world.run(minutes(20));
    assert!(world.is_open(), "refusals are no votes");
    let took = world.wait_for(Verdict::Unknown, minutes(40));
    assert!(took <= minutes(15), "{took:?}");
    assert!(!world.is_open());
    assert!(
        world.report().why.contains("lately"),
        "{}",
        world.report().why
    );
    set_manners(&mut world, Manners::Honest);
    world.wait_for(Verdict::Public, minutes(30));
}

#[test]
fn strangers_traffic_stretches_what_was_proved_but_not_for_ever() {
    let (mut world, _) = public();
    set_manners(&mut world, Manners::Offline);
    for _ in 0..10 {
        world.run(minutes(5));
        stranger(&mut world, 40);
    }
    assert!(world.is_open(), "{:#?}", world.report());
    for _ in 0..4 {
        world.run(minutes(5));
        stranger(&mut world, 40);
    }
    assert!(!world.is_open());
}

#[test]
fn an_address_that_goes_closes_at_once_and_one_that_comes_is_tested() {
    let (mut world, _) = public();
    world.tell(Event::Facts(facts(&["192.168.1.7"])));
    assert!(!world.is_open());
    assert_eq!(world.verdict(), Verdict::Unknown);
    world.observe = Box::new(|from, _| from.unwrap_or(ip("41.8.0.2")));
    world.tell(Event::Facts(facts(&["41.8.0.2"])));
    world.wait_for(Verdict::Public, minutes(15));
    let (_, last) = world.turns.last().unwrap();
    assert_eq!(last.endpoints, [socket("41.8.0.2")]);
}

#[test]
fn an_interface_that_goes_down_a_route_that_goes_a_jump_and_a_lost_socket_close_at_once() {
    let mut down = facts(&[SERVER]);
    down.addresses
        .iter_mut()
        .for_each(|it| it.is_usable = false);
    let mut routeless = facts(&[SERVER]);
    routeless.route_v4 = false;
    for event in [
        Event::Facts(down),
        Event::Facts(routeless),
        Event::ClockJumped,
        Event::ListenerLost(ListenerId(0)),
    ] {
        let (mut world, _) = public();
        world.tell(event.clone());
        assert!(!world.is_open(), "{event:?}");
        assert_eq!(world.verdict(), Verdict::Unknown);
        let (_, last) = world.turns.last().unwrap();
        assert!(!last.is_open && last.endpoints.is_empty());
    }
}

#[test]
fn a_bound_address_that_is_gone_is_told_by_name() {
    let mut bound = settings(&six());
    bound.listeners = vec![listener(0, "21.7.0.2:1320", ProbeTransport::Quic)];
    let mut world = World::of(bound, six(), facts(&[SERVER]), 1);
    world.wait_for(Verdict::Public, minutes(10));
    world.tell(Event::Facts(facts(&["192.168.1.7"])));
    let why = world.report().why;
    assert!(why.contains("21.7.0.2 is on no usable interface"), "{why}");
}

#[test]
fn another_gateway_only_makes_the_server_look_again() {
    let (mut world, _) = public();
    let asks = world.asks.len();
    world.run(minutes(2));
    for number in 0..50 {
        let mut moved = facts(&[SERVER]);
        moved.gateways = vec![IpAddr::from([21, 7, 0, number])];
        world.tell(Event::Facts(moved));
        world.run(Duration::from_secs(1));
    }
    assert!(world.is_open());
    let asks = world.asks.len() - asks;
    assert!((5..=20).contains(&asks), "{asks} probes");
}

#[test]
fn evidence_of_an_earlier_address_is_not_taken_for_the_present_one() {
    let (mut world, _) = switched();
    world.run(Duration::from_secs(20));
    world.tell(Event::ClockJumped);
    assert!(world.report().endpoints[0].reached.is_empty());
    world.run(Duration::from_secs(4));
    let reached = world.report().endpoints[0].reached.len();
    assert!(
        reached <= 1,
        "what was asked before the jump counts: {reached}"
    );
}

#[test]
fn a_firewall_that_closes_demotes_within_minutes_and_one_that_opens_promotes() {
    let (mut world, switch) = public();
    world.run(minutes(7));
    switch.set(Switch::Shut);
    let took = world.wait_for(Verdict::Firewalled, minutes(10));
    assert!(took <= minutes(9), "{took:?}");
    assert!(!world.is_open());
    world.run(minutes(30));
    switch.set(Switch::Open);
    let took = world.wait_for(Verdict::Public, minutes(30));
    assert!(took <= minutes(15), "{took:?}");
}

#[test]
fn a_translation_that_is_put_before_a_server_demotes_it() {
    let (mut world, switch) = public();
    switch.set(Switch::Translated);
    let end = minutes(10);
    let since = world.now;
    while world.is_open() && world.now - since < end {
        world.run(Duration::from_secs(10));
    }
    assert!(!world.is_open());
    world.run(minutes(30));
    assert_ne!(world.verdict(), Verdict::Public);
}

#[test]
fn a_translation_is_named_once_there_are_strangers_again() {
    for number in [5, 6] {
        for seed in 0..30 {
            let hosts = hosts(number);
            let is_translated = Rc::new(Cell::new(false));
            let at = Rc::clone(&is_translated);
            let mut world =
                World::of(settings(&hosts), hosts, facts(&[SERVER]), seed).network(move |dial| {
                    match at.get() {
                        true if dial.is_canary => Fate::Silence,
                        // The router translates; nothing changed on this machine.
                        true => Fate::arrives(ip(SERVER), dial.src),
                        false => open_network(dial),
                    }
                });
            world.wait_for(Verdict::Public, minutes(10));
            world.run(minutes(seed));
            is_translated.set(true);
            world.observe = Box::new(|_, _| ip("31.9.0.2"));
            // Six to the heartbeat, a round and its repetition, and five until contacts are
            // forgotten.
            let took = world.wait_for(Verdict::Forwarded, minutes(14));
            assert!(took > minutes(1), "{took:?}");
        }
    }
}

#[test]
fn a_nat_that_is_put_before_a_server_demotes_it() {
    let (mut world, switch) = public();
    world.observe = Box::new(|_, _| ip("31.9.0.2"));
    switch.set(Switch::Shut);
    let took = world.wait_for(Verdict::Nat, minutes(10));
    assert!(took <= minutes(9), "{took:?}");
}

#[test]
fn a_filter_that_keeps_strangers_out_is_noticed_while_others_get_in() {
    let (mut world, switch) = public();
    switch.set(Switch::Warm);
    world.wait_for(Verdict::Firewalled, minutes(100));
    assert!(!world.is_open());
}

#[test]
fn strangers_traffic_vetoes_a_demotion_for_a_while() {
    let run = |strangers: bool| {
        let (mut world, _) = public();
        set_manners(&mut world, Manners::LiesNegative);
        let since = world.now;
        while world.is_open() && world.now - since < minutes(60) {
            world.run(Duration::from_secs(15));
            if strangers {
                stranger(&mut world, 41);
                stranger(&mut world, 42);
            }
        }
        world.now - since
    };
    let (plain, vetoed) = (run(false), run(true));
    assert!(plain < minutes(9), "{plain:?}");
    assert!(vetoed >= plain + minutes(4), "{plain:?} {vetoed:?}");
    assert!(vetoed < minutes(20), "{vetoed:?}");
}

#[test]
fn a_server_that_changes_too_often_is_held_down() {
    let (mut world, switch) = public();
    for flip in 0..6 {
        switch.set(Switch::Shut);
        let since = world.now;
        while world.is_open() && world.now - since < minutes(20) {
            world.run(Duration::from_secs(10));
        }
        switch.set(Switch::Open);
        let took = world.wait_for(Verdict::Public, minutes(90));
        if flip == 5 {
            assert!(took > minutes(10), "{took:?}");
        }
    }
    let held = world
        .turns
        .iter()
        .any(|(_, turn)| turn.why.contains("stay reachable"));
    assert!(held, "{:#?}", world.turns);
}

#[test]
fn one_lost_dial_in_five_closes_nothing() {
    let mut number = 0_u32;
    let mut world = World::new(six(), facts(&[SERVER])).network(move |dial| {
        number += 1;
        if number.is_multiple_of(5) {
            Fate::Silence
        } else {
            open_network(dial)
        }
    });
    world.wait_for(Verdict::Public, minutes(60));
    for _ in 0..12 {
        world.run(minutes(15));
        assert!(world.is_open(), "{:#?}", world.report());
    }
}

#[test]
fn a_recheck_looks_at_everything_again_and_then_is_settled() {
    let (mut world, switch) = public();
    world.run(minutes(3));
    let asks = world.asks.len();
    let now = world.now;
    world.plan.recheck(now);
    world.tell(Event::Deadline);
    assert!(!world.plan.is_settled(world.now));
    world.settle();
    assert!(world.asks.len() >= asks + 5);
    assert!(world.is_open());

    switch.set(Switch::Shut);
    world.run(minutes(20));
    assert_eq!(world.verdict(), Verdict::Firewalled);
    switch.set(Switch::Open);
    let now = world.now;
    world.plan.recheck(now);
    world.tell(Event::Deadline);
    world.settle();
    assert_eq!(world.verdict(), Verdict::Public, "{:#?}", world.report());
}

#[test]
fn two_transports_share_the_strangers() {
    let mut both = settings(&six());
    both.listeners = vec![
        listener(0, "0.0.0.0:1320", ProbeTransport::Quic),
        listener(1, "0.0.0.0:1320", ProbeTransport::Tcp),
    ];
    let mut world = World::of(both, six(), facts(&[SERVER]), 3);
    world.settle();
    let report = world.report();
    assert!(report.listeners.iter().all(|it| it.is_open), "{report:#?}");
    let took = world.elapsed();
    assert!(took < minutes(15), "{took:?}");
}

#[test]
fn names_of_probers_are_enough() {
    let hosts = six();
    let mut named = settings(&hosts);
    let addresses: Vec<String> = named.probers.iter().map(|it| it.address.clone()).collect();
    for (number, prober) in named.probers.iter_mut().enumerate() {
        prober.address = format!("prober{number}.example:1320");
    }
    let mut world = World::of(named, Vec::new(), LocalFacts::default(), 1);
    world.hosts = hosts;
    world.names = addresses
        .into_iter()
        .enumerate()
        .map(|(number, address)| (format!("prober{number}.example:1320"), address))
        .collect();
    world.tell(Event::Facts(facts(&[SERVER])));
    world.check(Verdict::Public);
}

#[test]
fn a_report_is_plain_data() {
    let (world, _) = public();
    let report = serde_json::to_value(world.report()).unwrap();
    assert_eq!(report["verdict"], "PUBLIC");
    assert_eq!(report["listeners"][0]["transport"], "quic");
    assert_eq!(report["listeners"][0]["is_open"], true);
    assert_eq!(report["endpoints"][0]["endpoint"], "21.7.0.2:1320");
    assert!(
        report["probers"][0]["key"]
            .as_str()
            .unwrap()
            .starts_with("mopub0")
    );
    assert!(report["time_scale"].is_null());
}

#[test]
fn a_laboratory_sees_the_same_verdicts_in_a_thirtieth_of_the_time() {
    for seed in 0..20 {
        let mut fast = settings(&six());
        fast.timing = Timing::scaled(1.0 / 30.0).unwrap();
        let mut world = World::of(fast.clone(), six(), facts(&[SERVER]), seed);
        let took = world.wait_for(Verdict::Public, minutes(1));
        assert!(took > fast.timing.probation(), "{took:?}");
        world.run(minutes(10));
        assert!(world.is_open(), "{:#?}", world.turns);
        assert!(world.report().time_scale.is_some());

        let mut world = World::of(fast.clone(), six(), facts(&[SERVER]), seed).network(|dial| {
            if dial.is_cold {
                Fate::Silence
            } else {
                open_network(dial)
            }
        });
        world.run(minutes(2));
        assert_eq!(
            world.verdict(),
            Verdict::Firewalled,
            "{:#?}",
            world.report()
        );
        assert!(!world.was_ever_open());

        let mut world = World::of(fast, six(), facts(&["10.0.0.7"]), seed)
            .behind(SERVER)
            .network(|dial| Fate::arrives(ip("10.0.0.7"), dial.src));
        world.wait_for(Verdict::Translated, minutes(2));
    }
}
