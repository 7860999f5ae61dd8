//! What the probers are: liars, absent, too few, all of one network, or neighbours.

use mosaicd::reach::verdict::Verdict::{Firewalled, Nat, Unknown};

use super::{Expect, Row, Step, home, public};
use crate::Outcome;
use crate::proof::{asks, expect, prober, reached, shut};
use crate::scene::{Behaviour, Built, Prober, Scene, address};
use crate::shapes::{firewall, routed};
use crate::world::{End, PUBLIC, World};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "39b",
        "stateful firewall, and a prober inside of it",
        inside,
        prove_inside,
        Expect::closed(&[Firewalled]),
    ),
    Row::new(
        "47",
        "two of five probers say that nothing came back",
        negative_liars,
        public::prove_open,
        Expect::PUBLIC,
    ),
    Row::new(
        "48",
        "two of five probers say that a NATed server answered",
        positive_liars,
        home::prove_port_restricted,
        Expect::closed(&[Nat]),
    ),
    Row::new(
        "49",
        "every prober refuses",
        refusing,
        public::prove_open,
        Expect::closed(&[Unknown]),
    ),
    Row::new(
        "49b",
        "every prober falls silent later: kept until it is too old",
        public::open,
        prove_silenced,
        Expect::PUBLIC,
    )
    .then(&[
        Step {
            what: "probers cut off",
            change: cut_off,
            expect: Expect::PUBLIC,
            within_seconds: 60,
            for_seconds: 600,
            outside: None,
        },
        Step {
            what: "their word is too old",
            change: nothing,
            expect: Expect::closed(&[Unknown]),
            within_seconds: 4_000,
            for_seconds: 300,
            outside: None,
        },
    ]),
    Row::new(
        "50",
        "no prober",
        none,
        public::prove_open,
        Expect::closed(&[Unknown]),
    ),
    Row::new(
        "50b",
        "one prober, pinned",
        one,
        public::prove_open,
        Expect::closed(&[Unknown]),
    ),
    Row::new(
        "50c",
        "two probers, pinned",
        two,
        public::prove_open,
        Expect::closed(&[Unknown]),
    ),
    Row::new(
        "50d",
        "three probers, pinned: a young network",
        three,
        public::prove_open,
        Expect::PUBLIC,
    ),
    Row::new(
        "51",
        "six probers in one network",
        sybils,
        prove_sybils,
        Expect::closed(&[Unknown]),
    ),
    Row::new(
        "53",
        "outbound dropped on the way, inbound open",
        outbound_dropped,
        prove_outbound_dropped,
        Expect::closed(&[Unknown]),
    ),
    Row::new(
        "53b",
        "outbound refused by the server's own firewall, inbound open",
        outbound_refused,
        prove_outbound_dropped,
        Expect::closed(&[Unknown]),
    ),
    Row::new(
        "55",
        "one prober dials another address of the server",
        wrong_address,
        prove_wrong_address,
        Expect::PUBLIC,
    ),
];

const ANY: &str = "0.0.0.0:1320";

const BOUND: &str = "21.7.0.2:1320";

#[expect(clippy::unnecessary_wraps, reason = "a change of a step")]
fn nothing(_: &Scene) -> Outcome {
    Ok(())
}

/// A prober with a public address in the server's own network, which the firewall is not between.
fn inside(mut world: World) -> Built {
    routed(&mut world, &firewall("", "iifname lan2 accept"))?;
    world.host("near")?;
    world.link(
        &End("rtr", "lan2", &[]),
        &End("near", "eth0", &["21.7.0.20/24"]),
    )?;
    // The router answers for each of the two to the other.
    world.at("rtr").ip("route add 21.7.0.20/32 dev lan2")?;
    world.at("rtr").sysctls(&[
        ("net/ipv4/conf/lan/proxy_arp", "1"),
        ("net/ipv4/conf/lan2/proxy_arp", "1"),
    ])?;
    world.at("near").ip("route add default via 21.7.0.1")?;
    let mut scene = Scene::new(world, "s", ANY);
    scene
        .probers
        .insert(0, Prober::on("near", "21.7.0.20:1320"));
    Ok(scene)
}

fn prove_inside(scene: &Scene) -> Outcome {
    let world = &scene.world;
    shut(world, BOUND, "s", BOUND)?;
    asks(world, "s", PUBLIC, PUBLIC)?;
    let server = world.bind("s", BOUND)?;
    let near = world.bind("near", "21.7.0.20:0")?;
    let seen = near.talks(server.address(), &server)?;
    expect(seen, near.address(), "the neighbour's address")
}

fn negative_liars(world: World) -> Built {
    Ok(public::open(world)?.behaving(&[1, 2], Behaviour::SaysNoResponse))
}

fn positive_liars(world: World) -> Built {
    Ok(home::port_restricted(world)?.behaving(&[1, 2], Behaviour::SaysOk))
}

fn refusing(world: World) -> Built {
    Ok(public::open(world)?.behaving(&[1, 2, 3, 4, 5], Behaviour::Refuses))
}

fn cut_off(scene: &Scene) -> Outcome {
    scene.world.at("core").nft(
        "table inet cut {
            chain forward {
                type filter hook forward priority 0;
                ip saddr { 11.1.0.2, 12.2.0.2, 13.3.0.2, 14.4.0.2, 15.5.0.2, 16.6.0.2 } drop
            }
        }",
    )
}

fn prove_silenced(scene: &Scene) -> Outcome {
    public::prove_open(scene)?;
    cut_off(scene)?;
    let world = &scene.world;
    let asker = world.bind("s", "21.7.0.2:0")?;
    for number in 1..=5 {
        let silent = prober(world, number, asker.address())?;
        asker.talks_in_vain(silent.address(), &silent)?;
    }
    Ok(())
}

fn none(world: World) -> Built {
    Ok(public::open(world)?.probers_at_most(0))
}

fn one(world: World) -> Built {
    Ok(public::open(world)?.probers_at_most(1).pinned())
}

fn two(world: World) -> Built {
    Ok(public::open(world)?.probers_at_most(2).pinned())
}

fn three(world: World) -> Built {
    Ok(public::open(world)?.probers_at_most(3).pinned())
}

/// Every prober is one more address of the first one's network.
const SYBILS: [&str; 6] = [
    "11.1.0.2:1320",
    "11.1.0.3:1320",
    "11.1.1.4:1320",
    "11.1.2.5:1320",
    "11.1.3.6:1320",
    "11.1.4.7:1320",
];

fn sybils(world: World) -> Built {
    let mut scene = public::open(world)?;
    scene
        .world
        .at("core")
        .ip("address add 11.1.0.1/16 dev p1")?;
    for sybil in &SYBILS[1..] {
        let ip = sybil.trim_end_matches(":1320");
        scene
            .world
            .at("p1")
            .ip(&format!("address add {ip}/16 dev eth0"))?;
    }
    scene.probers = SYBILS.into_iter().map(|at| Prober::on("p1", at)).collect();
    Ok(scene)
}

fn prove_sybils(scene: &Scene) -> Outcome {
    let world = &scene.world;
    let server = world.bind("s", BOUND)?;
    for sybil in SYBILS {
        let sybil = world.bind("p1", sybil)?;
        let seen = sybil.talks(server.address(), &server)?;
        expect(seen, sybil.address(), "the sybil's address")?;
    }
    Ok(())
}

fn outbound_dropped(mut world: World) -> Built {
    routed(
        &mut world,
        "table inet filter {
            chain forward {
                type filter hook forward priority 0;
                ct state established,related accept
                iifname lan meta l4proto udp drop
            }
        }",
    )?;
    Ok(Scene::new(world, "s", ANY))
}

fn outbound_refused(world: World) -> Built {
    let scene = public::open(world)?;
    scene.world.at("s").nft(
        "table inet filter {
            chain output {
                type filter hook output priority 0;
                ct state established,related accept
                oifname eth0 meta l4proto udp drop
            }
        }",
    )?;
    Ok(scene)
}

fn prove_outbound_dropped(scene: &Scene) -> Outcome {
    let world = &scene.world;
    reached(world, BOUND, "s", BOUND)?;
    let asker = world.bind("s", "21.7.0.2:0")?;
    let far = prober(world, 1, asker.address())?;
    asker.is_lost(far.address(), &far)
}

/// The first prober stands on a second network of the server too, and dials it there.
fn wrong_address(world: World) -> Built {
    let mut scene = public::open(world)?;
    let world = &mut scene.world;
    world.link(
        &End("s", "eth1", &["192.168.1.10/24"]),
        &End("p1", "eth1", &["192.168.1.20/24"]),
    )?;
    let instead = Behaviour::DialsInstead(address("192.168.1.10:1320"));
    Ok(scene.behaving(&[1], instead))
}

fn prove_wrong_address(scene: &Scene) -> Outcome {
    public::prove_open(scene)?;
    let world = &scene.world;
    let server = world.bind("s", "192.168.1.10:1320")?;
    let liar = world.bind("p1", "192.168.1.20:0")?;
    liar.talks(server.address(), &server)?;
    Ok(())
}
