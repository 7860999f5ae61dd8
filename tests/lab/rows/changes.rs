//! What changes while the server runs.

use mosaicd::reach::verdict::Verdict::{Firewalled, Forwarded, Local, Nat, Public, Unknown};

use super::{Expect, Row, Step, public};
use crate::Outcome;
use crate::proof::{asks, prober, reached, shut};
use crate::scene::{Built, Scene};
use crate::shapes::{firewall, routed};
use crate::udp::Port;
use crate::world::{PUBLIC, World};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "41",
        "the address is removed, and comes back",
        public::open,
        prove_removed,
        Expect::PUBLIC,
    )
    .then(&[
        Step {
            what: "address removed",
            change: remove,
            expect: Expect::closed(&[Unknown, Local]),
            within_seconds: AT_ONCE,
            for_seconds: 300,
            outside: None,
        },
        Step {
            what: "address back",
            change: bring_back,
            expect: Expect::PUBLIC,
            within_seconds: PROMOTION,
            for_seconds: 300,
            outside: None,
        },
    ]),
    Row::new(
        "42",
        "the address changes to one of another network",
        renumberable,
        prove_renumbered,
        Expect::PUBLIC,
    )
    .then(&[
        Step {
            what: "renumbered",
            change: renumber,
            expect: Expect::closed(&[Unknown, Local, Firewalled]),
            within_seconds: AT_ONCE,
            for_seconds: 0,
            outside: None,
        },
        Step {
            what: "the new address is tested",
            change: nothing,
            expect: Expect::PUBLIC.endpoints(&[("23.3.0.2:", &[Public])]),
            within_seconds: PROMOTION,
            for_seconds: 300,
            outside: Some("23.3.0.2:1320"),
        },
    ]),
    Row::new(
        "43",
        "a translation comes between, nothing local changes",
        before_router,
        prove_translated,
        Expect::PUBLIC,
    )
    .then(&[Step {
        what: "translated",
        change: translate,
        expect: Expect::closed(&[Nat, Forwarded]),
        within_seconds: DEMOTION,
        for_seconds: 600,
        outside: Some("22.8.0.2:1320"),
    }]),
    Row::new(
        "44",
        "a firewall closes",
        before_router,
        prove_closed,
        Expect::PUBLIC,
    )
    .then(&[CLOSED]),
    Row::new(
        "45",
        "a firewall closes, and opens again",
        before_router,
        prove_reopened,
        Expect::PUBLIC,
    )
    .then(&[
        CLOSED,
        Step {
            what: "firewall opened",
            change: open,
            expect: Expect::PUBLIC,
            within_seconds: PROMOTION,
            for_seconds: 300,
            outside: None,
        },
    ]),
    Row::new(
        "46",
        "packets lost, both ways, as much as makes a dial in ten fail",
        lossy,
        prove_lossy,
        Expect::PUBLIC,
    )
    .then(&[Step {
        what: "an hour goes by",
        change: nothing,
        expect: Expect::PUBLIC,
        within_seconds: AT_ONCE,
        for_seconds: 3_600,
        outside: None,
    }]),
];

/// Facts that the machine knows by itself take no vote; a minute, shortened, is two seconds.
const AT_ONCE: u32 = 60;

/// A retry of at most five minutes, two rounds with the probation between them, and as much again
/// for dials, whose time is not shortened below what a network needs.
const PROMOTION: u32 = 1_200;

/// Six minutes to the heartbeat that notices, a round, its repetition, and their dials.
const DEMOTION: u32 = 1_200;

const CLOSED: Step = Step {
    what: "firewall closed",
    change: close,
    expect: Expect::closed(&[Firewalled]),
    within_seconds: DEMOTION,
    for_seconds: 300,
    outside: None,
};

const ANY: &str = "0.0.0.0:1320";

const BOUND: &str = "21.7.0.2:1320";

#[expect(clippy::unnecessary_wraps, reason = "a change of a step")]
fn nothing(_: &Scene) -> Outcome {
    Ok(())
}

fn remove(scene: &Scene) -> Outcome {
    scene.world.at("s").ip("address del 21.7.0.2/24 dev eth0")
}

fn bring_back(scene: &Scene) -> Outcome {
    scene.world.at("s").ip("address add 21.7.0.2/24 dev eth0\n\
         route add default via 21.7.0.1")
}

fn prove_removed(scene: &Scene) -> Outcome {
    public::prove_open(scene)?;
    remove(scene)?;
    shut(&scene.world, BOUND, "s", ANY)?;
    bring_back(scene)?;
    public::prove_open(scene)
}

fn renumberable(world: World) -> Built {
    let scene = public::open(world)?;
    scene.world.at("core").ip("address add 23.3.0.1/24 dev s")?;
    Ok(scene)
}

fn renumber(scene: &Scene) -> Outcome {
    scene.world.at("s").ip("address del 21.7.0.2/24 dev eth0\n\
         address add 23.3.0.2/24 dev eth0\n\
         route add default via 23.3.0.1")
}

fn prove_renumbered(scene: &Scene) -> Outcome {
    public::prove_open(scene)?;
    renumber(scene)?;
    shut(&scene.world, BOUND, "s", ANY)?;
    reached(&scene.world, "23.3.0.2:1320", "s", "23.3.0.2:1320")?;
    asks(&scene.world, "s", "23.3.0.2", "23.3.0.2")
}

/// A public server behind a router that does nothing yet.
fn before_router(mut world: World) -> Built {
    routed(&mut world, "table inet nothing { }")?;
    Ok(Scene::new(world, "s", ANY))
}

/// The provider takes the network away and has its router translate: the port is forwarded, so
/// dial-backs still arrive, but at an address that nobody dialed.
fn translate(scene: &Scene) -> Outcome {
    scene.world.at("core").ip("route del 21.7.0.0/24")?;
    scene.world.at("rtr").nft(
        "table ip nat {
            chain input {
                type filter hook input priority 0;
                iifname wan ct state established,related accept
                iifname wan drop
            }
            chain prerouting {
                type nat hook prerouting priority dstnat;
                iifname wan ip daddr 22.8.0.2 udp dport 1320 dnat to 21.7.0.2
            }
            chain postrouting {
                type nat hook postrouting priority srcnat;
                oifname wan masquerade
            }
        }",
    )
}

fn prove_translated(scene: &Scene) -> Outcome {
    public::prove_open(scene)?;
    translate(scene)?;
    shut(&scene.world, BOUND, "s", BOUND)?;
    reached(&scene.world, "22.8.0.2:1320", "s", BOUND)?;
    asks(&scene.world, "s", PUBLIC, "22.8.0.2")
}

fn close(scene: &Scene) -> Outcome {
    scene.world.at("rtr").nft(&firewall("", ""))
}

fn open(scene: &Scene) -> Outcome {
    scene.world.at("rtr").nft("delete table inet firewall")
}

fn prove_closed(scene: &Scene) -> Outcome {
    public::prove_open(scene)?;
    close(scene)?;
    shut(&scene.world, BOUND, "s", BOUND)?;
    asks(&scene.world, "s", PUBLIC, PUBLIC)
}

fn prove_reopened(scene: &Scene) -> Outcome {
    prove_closed(scene)?;
    open(scene)?;
    public::prove_open(scene)
}

/// A fifth of all packets is lost where time is not shortened. Where it is, a dial has time for one
/// retransmission instead of two, but retransmissions take as long as ever; there a tenth makes as
/// many dials fail, one in ten.
fn lossy(mut world: World) -> Built {
    let percent = if world.has_full_time() { 20 } else { 10 };
    let rules = format!(
        "table inet loss {{
            chain forward {{
                type filter hook forward priority 0;
                numgen random mod 100 < {percent} drop
            }}
        }}"
    );
    routed(&mut world, &rules)?;
    Ok(Scene::new(world, "s", ANY))
}

/// Of three hundred packets each way, some are lost and most are not.
fn prove_lossy(scene: &Scene) -> Outcome {
    let world = &scene.world;
    let server = world.bind("s", BOUND)?;
    let stranger = prober(world, 1, server.address())?;
    few_lost(&stranger, &server)?;
    few_lost(&server, &stranger)
}

fn few_lost(from: &Port, to: &Port) -> Outcome {
    let lost = from.count_lost(to, 300)?;
    // The odds of leaving this range are below one in a hundred million.
    if (4..=120).contains(&lost) {
        return Ok(());
    }
    Err(format!("of 300 packets {lost} were lost"))
}
