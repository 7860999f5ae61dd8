//! The table of topologies: what each must be found to be.

use super::{
    world::{listener, settings},
    *,
};
use crate::{
    reach::evidence::{ProbeAnswer, Spontaneous},
    wire::ProbeCode,
};

const INSIDE: &str = "192.168.1.7";

fn behind_nat(network: impl FnMut(&Dial) -> Fate + 'static) -> World {
    World::new(six(), facts(&[INSIDE]))
        .behind(SERVER)
        .network(network)
}

fn forwarded(dial: &Dial) -> Fate {
    if dial.is_canary {
        Fate::Silence
    } else {
        Fate::arrives(ip(INSIDE), dial.src)
    }
}

fn translated(dial: &Dial) -> Fate {
    Fate::arrives(ip(INSIDE), dial.src)
}

#[test]
fn a_public_address_that_is_open_is_public() {
    World::new(six(), facts(&[SERVER])).check(Verdict::Public);
    World::new(hosts(5), facts(&[SERVER])).check(Verdict::Public);
}

#[test]
fn a_public_address_behind_a_firewall_is_firewalled() {
    World::new(six(), facts(&[SERVER]))
        .network(shut_network)
        .check(Verdict::Firewalled);
}

#[test]
fn a_firewall_that_lets_one_network_in_makes_a_server_partial() {
    World::new(six(), facts(&[SERVER]))
        .network(|dial| {
            if dial.src == ip("11.1.0.2") {
                open_network(dial)
            } else {
                Fate::Silence
            }
        })
        .check(Verdict::Partial);
}

#[test]
fn a_router_that_lets_nothing_in_is_nat() {
    behind_nat(shut_network).check(Verdict::Nat);
}

#[test]
fn a_router_that_shows_everybody_another_port_is_nat() {
    // Ports are never taken for candidates, so this is the case above; only addresses that differ
    // for each prober would leave the claim unknown, and that is a verdict too.
    let mut world = behind_nat(shut_network);
    world.observe = Box::new(|_, prober| match prober {
        IpAddr::V4(prober) => IpAddr::from([21, 7, prober.octets()[0], 2]),
        IpAddr::V6(_) => prober,
    });
    world.check(Verdict::Nat);
}

#[test]
fn a_hole_opened_by_the_listener_is_never_public() {
    behind_nat(forwarded).check(Verdict::Forwarded);
}

#[test]
fn a_router_that_lets_in_whom_the_server_contacted_is_nat() {
    behind_nat(|dial| {
        if dial.is_cold || dial.is_canary {
            Fate::Silence
        } else {
            translated(dial)
        }
    })
    .check(Verdict::Nat);
}

#[test]
fn a_filter_that_lets_in_whom_the_server_contacted_is_caught_by_strangers_alone() {
    for seed in 0..20 {
        let hosts = six();
        let mut world =
            World::of(settings(&hosts), hosts, facts(&[SERVER]), seed).network(|dial| {
                if dial.is_cold {
                    Fate::Silence
                } else {
                    open_network(dial)
                }
            });
        world.settle();
        world.run(minutes(60));
        assert_eq!(
            world.verdict(),
            Verdict::Firewalled,
            "{:#?}",
            world.report()
        );
        assert!(!world.was_ever_open());
    }
}

#[test]
fn a_forwarded_port_is_forwarded() {
    behind_nat(forwarded).check(Verdict::Forwarded);
}

#[test]
fn a_forwarded_port_of_another_number_is_found_by_the_configured_url() {
    let network = |dial: &Dial| match dial.dialed.port() {
        5198 => translated(dial),
        _ => Fate::Silence,
    };
    let mut configured = settings(&six());
    for (url, verdict) in [
        (None, Verdict::Nat),
        (Some("mosaic://21.7.0.2:5198/"), Verdict::Forwarded),
        (Some("mosaic://a.example:5198/"), Verdict::Forwarded),
        (Some("mosaictcp://21.7.0.2:5198/"), Verdict::Nat),
        (Some("mosaic://[2600:7::1]:5198/"), Verdict::Nat),
    ] {
        configured.urls = url.into_iter().map(|url| url.parse().unwrap()).collect();
        World::of(configured.clone(), six(), facts(&[INSIDE]), 1)
            .behind(SERVER)
            .network(network)
            .check(verdict);
    }
}

#[test]
fn a_translation_of_every_port_is_translated_and_closed() {
    behind_nat(translated).check(Verdict::Translated);
}

#[test]
fn an_accepted_translation_opens_with_strangers_canaries_and_two_rounds() {
    let mut accepting = settings(&six());
    accepting.accept_static_nat = vec![ip(SERVER)];
    let mut world = World::of(accepting.clone(), six(), facts(&[INSIDE]), 1)
        .behind(SERVER)
        .network(translated);
    world.settle();
    assert!(world.is_open(), "{:#?}", world.report());
    assert_eq!(world.verdict(), Verdict::Translated);
    assert!(world.report().why.contains("the operator accepts"));
    assert_eq!(world.turns.last().unwrap().1.endpoints, [socket(SERVER)]);
    world.run(minutes(180));
    assert!(world.is_open(), "{:#?}", world.report());

    let mut other = accepting.clone();
    other.accept_static_nat = vec![ip("21.7.0.3")];
    World::of(other, six(), facts(&[INSIDE]), 1)
        .behind(SERVER)
        .network(translated)
        .check(Verdict::Translated);
    World::of(accepting, six(), facts(&[INSIDE]), 1)
        .behind(SERVER)
        .network(forwarded)
        .check(Verdict::Forwarded);
}

#[test]
fn an_address_of_a_carriers_nat_is_not_global() {
    World::new(six(), facts(&["100.64.3.4"]))
        .behind(SERVER)
        .network(shut_network)
        .check(Verdict::Nat);
}

#[test]
fn peers_that_all_come_from_the_gateway_are_proxied() {
    behind_nat(|_| Fate::arrives(ip(INSIDE), ip("192.168.1.1"))).check(Verdict::Proxied);
    behind_nat(|_| Fate::arrives(ip(INSIDE), ip("127.0.0.1"))).check(Verdict::Proxied);
}

fn dual_hosts() -> Vec<Host> {
    let v6 = (1..=6_u8).map(|number| {
        let ip = ip(&format!("2600:{number}::2"));
        Host::new(number, ip)
    });
    six().into_iter().chain(v6).collect()
}

const SERVER_V6: &str = "2600:77::2";

fn dual(v4: &'static str, v4_open: bool, v6_open: bool) -> World {
    let mut dual = settings(&dual_hosts());
    dual.listeners = vec![
        listener(0, "0.0.0.0:1320", ProbeTransport::Quic),
        listener(1, "[::]:1320", ProbeTransport::Quic),
    ];
    let mut world = World::of(dual, dual_hosts(), facts(&[v4, SERVER_V6]), 1);
    world.observe = Box::new(|_, prober| ip(if prober.is_ipv4() { SERVER } else { SERVER_V6 }));
    world.network(move |dial| {
        let is_open = if dial.src.is_ipv4() { v4_open } else { v6_open };
        if is_open {
            open_network(dial)
        } else {
            Fate::Silence
        }
    })
}

#[test]
fn each_family_has_its_own_verdict() {
    let mut world = dual(SERVER, true, true);
    world.settle();
    let report = world.report();
    assert!(report.listeners.iter().all(|it| it.is_open), "{report:#?}");

    let mut world = dual(INSIDE, false, true);
    world.settle();
    let report = world.report();
    assert_eq!(report.listeners[0].verdict, Verdict::Nat);
    assert_eq!(report.listeners[1].verdict, Verdict::Public);
    assert!(!report.listeners[1].is_open, "IPv6 alone");
    assert!(report.listeners[1].why.contains("allow_ipv6_only"));

    let mut world = dual(SERVER, true, false);
    world.settle();
    let report = world.report();
    assert!(report.listeners[0].is_open);
    assert_eq!(report.listeners[1].verdict, Verdict::Firewalled);
    assert!(!report.listeners[1].is_open);
}

#[test]
fn a_server_that_ipv6_alone_reaches_opens_only_if_it_may() {
    let hosts: Vec<Host> = dual_hosts().into_iter().skip(6).collect();
    for may in [false, true] {
        let mut v6 = settings(&hosts);
        v6.listeners = vec![listener(0, "[::]:1320", ProbeTransport::Quic)];
        v6.allow_ipv6_only = may;
        let mut world = World::of(v6, hosts.clone(), facts(&[SERVER_V6]), 1);
        world.observe = Box::new(|_, _| ip(SERVER_V6));
        world.settle();
        assert_eq!(world.verdict(), Verdict::Public);
        assert_eq!(world.is_open(), may);
    }
}

#[test]
fn a_translated_ipv6_prefix_is_not_public() {
    let hosts: Vec<Host> = dual_hosts().into_iter().skip(6).collect();
    let mut v6 = settings(&hosts);
    v6.listeners = vec![listener(0, "[::]:1320", ProbeTransport::Quic)];
    v6.allow_ipv6_only = true;
    let mut world = World::of(v6, hosts, facts(&["2600:99::2"]), 1);
    world.observe = Box::new(|_, _| ip(SERVER_V6));
    world
        .network(|dial| Fate::arrives(ip("2600:99::2"), dial.src))
        .check(Verdict::Translated);
}

#[test]
fn an_address_that_only_neighbours_know_is_local() {
    let mut v6 = settings(&[]);
    v6.listeners = vec![listener(0, "[::]:1320", ProbeTransport::Quic)];
    for addresses in [&["fd00::7"][..], &["fe80::7"], &[]] {
        World::of(v6.clone(), Vec::new(), facts(addresses), 1).check(Verdict::Local);
    }
}

#[test]
fn a_prober_behind_nat64_has_no_vote() {
    let mut hosts = six();
    hosts[5].ip = ip("64:ff9b::c01:2");
    let mut world = World::new(hosts, facts(&[SERVER]));
    world.check(Verdict::Public);
    let asked = world
        .asks
        .iter()
        .any(|(_, ask)| ask.prober.address.contains("64:ff9b"));
    assert!(!asked, "it is of the other family, and not global");
}

#[test]
fn an_egress_that_differs_is_warned_of() {
    let mut world = World::new(six(), facts(&[SERVER]));
    world.observe = Box::new(|_, prober| {
        ip(if prober == ip("11.1.0.2") {
            "31.9.0.2"
        } else {
            SERVER
        })
    });
    world.settle();
    assert_eq!(world.verdict(), Verdict::Public);
    let warnings = world.report().warnings;
    assert!(
        warnings[0].contains("leave by another address"),
        "{warnings:?}"
    );
}

#[test]
fn several_instances_behind_one_address_are_a_conflict() {
    for seed in 0..10 {
        let hosts = six();
        let mut turn = 0;
        let mut world =
            World::of(settings(&hosts), hosts, facts(&[SERVER]), seed).network(move |dial| {
                turn += 1;
                if turn % 2 == 0 {
                    Fate::OtherInstance
                } else {
                    open_network(dial)
                }
            });
        world.run(minutes(60));
        assert_eq!(world.verdict(), Verdict::Conflict, "{:#?}", world.report());
    }
}

#[test]
fn an_address_that_others_answer_at_is_a_conflict() {
    World::new(six(), facts(&[SERVER]))
        .network(|_| Fate::WrongKey)
        .check(Verdict::Conflict);
    World::new(six(), facts(&[SERVER]))
        .network(|_| Fate::OtherInstance)
        .check(Verdict::Conflict);
}

#[test]
fn a_configured_url_of_another_machine_is_a_conflict_unless_something_else_is_proved() {
    let mut configured = settings(&six());
    configured.urls = vec!["mosaic://31.9.0.2/".parse().unwrap()];
    let mut world = World::of(configured.clone(), six(), facts(&[INSIDE]), 1)
        .behind(SERVER)
        .network(shut_network);
    world.url = Box::new(|_| UrlFinding::WrongKey(ip("31.9.0.2")));
    world.run(minutes(60));
    assert_eq!(world.verdict(), Verdict::Conflict, "{:#?}", world.report());
    assert!(world.report().why.contains("31.9.0.2"));

    let mut world = World::of(configured, six(), facts(&[SERVER]), 1);
    world.url = Box::new(|_| UrlFinding::WrongKey(ip("31.9.0.2")));
    world.run(minutes(60));
    assert!(world.is_open());
    assert_eq!(world.report().urls[0].verdict, Verdict::Conflict);
    assert!(!world.report().warnings.is_empty());
}

#[test]
fn a_listener_on_loopback_is_local_or_an_onion_and_never_asks() {
    let mut loopback = settings(&six());
    loopback.listeners = vec![listener(0, "127.0.0.1:1320", ProbeTransport::Tcp)];
    let mut world = World::of(loopback.clone(), six(), facts(&[SERVER]), 1);
    world.check(Verdict::Local);
    assert!(world.asks.is_empty());
    for sign in [
        OnionSign::Url("mosaictcp://abc.onion/".to_owned()),
        OnionSign::ControlPort(ListenerId(0)),
        OnionSign::LoopbackPeers(ListenerId(0)),
        OnionSign::Torrc {
            file: "/etc/tor/torrc".to_owned(),
            listener: ListenerId(0),
        },
    ] {
        let mut world = World::of(loopback.clone(), six(), facts(&[SERVER]), 1);
        world.tell(Event::Signs(vec![sign]));
        world.check(Verdict::Onion);
    }
}

#[test]
fn an_onion_beside_a_public_listener_neither_helps_nor_harms() {
    let mut both = settings(&six());
    both.listeners = vec![
        listener(0, "0.0.0.0:1320", ProbeTransport::Quic),
        listener(1, "127.0.0.1:1320", ProbeTransport::Tcp),
    ];
    let mut world = World::of(both, six(), facts(&[SERVER]), 1);
    let url = OnionSign::Url("mosaictcp://abc.onion/".to_owned());
    world.tell(Event::Signs(vec![url]));
    world.check(Verdict::Public);
    let report = world.report();
    assert_eq!(report.listeners[1].verdict, Verdict::Onion);
    assert!(!report.listeners[1].is_open);
}

#[test]
fn public_space_used_inside_a_nat_is_nat() {
    World::new(six(), facts(&["11.9.0.2"]))
        .behind(SERVER)
        .network(shut_network)
        .check(Verdict::Nat);
    World::new(six(), facts(&["41.9.0.2"]))
        .behind(SERVER)
        .network(|dial| Fate::arrives(ip("41.9.0.2"), dial.src))
        .check(Verdict::Translated);
}

#[test]
fn probers_next_door_have_no_vote() {
    // In our own network, on our own LAN, and ourselves.
    let mut hosts = hosts(3);
    for (number, address) in [(7, "21.7.9.9"), (8, "192.168.1.9"), (9, SERVER)] {
        hosts.push(Host::new(number, ip(address)));
    }
    let mut world = World::new(hosts, facts(&[SERVER]));
    world.check(Verdict::Unknown);
    assert!(world.asks.is_empty(), "three networks are too few");
}

#[test]
fn a_machine_that_dials_itself_shows_nothing() {
    // Whoever dials, the kernel delivers it from our own address.
    World::new(six(), facts(&[SERVER]))
        .network(|_| Fate::arrives(ip(SERVER), ip(SERVER)))
        .check(Verdict::Unknown);
}

#[test]
fn two_of_five_that_lie_do_not_close_a_public_server() {
    for (place, seed) in (0..4).flat_map(|place| (0..5).map(move |seed| (place, seed))) {
        let mut hosts = hosts(5);
        hosts[place].manners = Manners::LiesNegative;
        hosts[place + 1].manners = Manners::LiesNegative;
        let mut world = World::of(settings(&hosts), hosts, facts(&[SERVER]), seed);
        world.wait_for(Verdict::Public, minutes(60));
        world.run(minutes(300));
        assert_eq!(world.verdict(), Verdict::Public, "{:#?}", world.report());
        let closed = world.turns.iter().rposition(|(_, turn)| !turn.is_open);
        let opened = world.turns.iter().position(|(_, turn)| turn.is_open);
        assert!(closed < opened, "it was closed again: {:#?}", world.turns);
    }
}

#[test]
fn two_of_five_that_say_ok_do_not_open_a_server_behind_nat() {
    let mut hosts = hosts(5);
    hosts[1].manners = Manners::LiesPositive;
    hosts[3].manners = Manners::LiesPositive;
    World::new(hosts, facts(&[INSIDE]))
        .behind(SERVER)
        .network(shut_network)
        .check(Verdict::Nat);
}

#[test]
fn refusals_and_silence_are_no_votes() {
    for manners in [
        Manners::Refuses(ProbeCode::RateLimited),
        Manners::Refuses(ProbeCode::Busy),
        Manners::Refuses(ProbeCode::PortRefused),
        Manners::Offline,
        Manners::Silent,
    ] {
        let hosts: Vec<Host> = six().into_iter().map(|host| host.with(manners)).collect();
        World::new(hosts, facts(&[SERVER])).check(Verdict::Unknown);
    }
}

#[test]
fn failures_of_probers_whose_own_way_out_is_unproved_are_no_votes() {
    let hosts: Vec<Host> = six()
        .into_iter()
        .map(|it| it.with(Manners::NoControl))
        .collect();
    World::new(hosts, facts(&[SERVER]))
        .network(shut_network)
        .check(Verdict::Unknown);
}

#[test]
fn too_few_probers_make_no_verdict_and_the_sentence_says_how_many_are_missing() {
    for number in 0..5 {
        let mut world = World::new(hosts(number), facts(&[SERVER]));
        world.check(Verdict::Unknown);
        let why = world.report().why;
        assert!(why.contains(&format!("{number} network")), "{why}");
        assert!(why.contains("5 needed"), "{why}");
    }
}

#[test]
fn three_probers_suffice_if_one_of_them_is_pinned() {
    let mut three = hosts(3);
    three[1] = three[1].clone().pinned();
    World::new(three.clone(), facts(&[SERVER])).check(Verdict::Public);
    World::new(three.clone(), facts(&[SERVER]))
        .network(shut_network)
        .check(Verdict::Firewalled);
    World::new(three.clone(), facts(&[INSIDE]))
        .behind(SERVER)
        .network(shut_network)
        .check(Verdict::Nat);
    three.pop();
    World::new(three, facts(&[SERVER])).check(Verdict::Unknown);
}

#[test]
fn six_probers_of_one_network_are_one() {
    let hosts: Vec<Host> = (1..=6_u8)
        .map(|number| Host::new(number, IpAddr::from([11, 1, number, 2])))
        .collect();
    World::new(hosts, facts(&[SERVER])).check(Verdict::Unknown);
}

#[test]
fn unasked_traffic_alone_never_promotes() {
    let hosts: Vec<Host> = six()
        .into_iter()
        .map(|it| it.with(Manners::Offline))
        .collect();
    let mut world = World::new(hosts, facts(&[SERVER]));
    for number in 30..120 {
        world.run(Duration::from_secs(20));
        world.tell(Event::Spontaneous(Spontaneous {
            listener: ListenerId(0),
            remote: IpAddr::from([number, 1, 1, 1]),
            dst: Some(ip(SERVER)),
        }));
    }
    assert_eq!(world.verdict(), Verdict::Unknown);
    assert!(!world.was_ever_open());
}

#[test]
fn a_prober_that_dials_another_address_of_ours_changes_nothing_and_is_left_alone() {
    let mut hosts = six();
    hosts[0].manners = Manners::DialsOther(ip("192.168.9.9"));
    let mut world = World::new(hosts, facts(&[SERVER, "192.168.9.9"]));
    world.settle();
    assert_eq!(world.verdict(), Verdict::Public);
    world.run(minutes(300));
    assert!(world.is_open());
    let state = &world.report().probers[0].state;
    assert!(state.starts_with("left alone"), "{state}");
}

#[test]
fn a_dial_back_at_an_address_that_the_system_does_not_tell_is_no_proof() {
    let mut world = World::new(six(), facts(&[SERVER]));
    world.run(Duration::from_secs(2));
    let (_, ask) = world.asks[0].clone();
    world.tell(Event::Dialback(Dialback {
        probe: ask.probe,
        at: crate::reach::evidence::DialbackSocket::Listener(ListenerId(0)),
        remote: socket("31.9.0.2"),
        dst: None,
        dialer: None,
        is_cold: true,
        mode: ProbeMode::Cold,
        dialed: socket(SERVER),
    }));
    world.tell(Event::Ended(
        ask.probe,
        ProbeEnd {
            prober_ip: Some(ip("11.1.0.2")),
            observed: None,
            answer: ProbeAnswer::Unusable,
        },
    ));
    let endpoint = &world.report().endpoints[0];
    assert!(endpoint.reached.is_empty());
    assert_eq!(endpoint.discarded.len(), 1);
}

#[test]
fn liars_that_make_strangers_up_never_demote_a_public_server() {
    for seed in 0..150 {
        let mut three = hosts(3);
        three[0] = three[0].clone().pinned();
        three[1].manners = Manners::LiesNegative;
        let mut five = hosts(5);
        five[1].manners = Manners::LiesNegative;
        five[3].manners = Manners::LiesNegative;
        for hosts in [three, five] {
            let mut world = World::of(settings(&hosts), hosts, facts(&[SERVER]), seed);
            world.wait_for(Verdict::Public, minutes(90));
            world.run(minutes(24 * 60));
            let is_filter_told = world
                .turns
                .windows(2)
                .any(|turns| turns[0].1.is_open && turns[1].1.verdict == Verdict::Firewalled);
            assert!(!is_filter_told, "seed {seed}: {:#?}", world.turns);
        }
    }
}
