//! A public IPv4 address on the server's own interface: open, filtered, filtered in ways that only
//! some see.

use mosaicd::reach::verdict::Verdict::{Firewalled, Partial, Public};

use super::{Expect, Row};
use crate::Outcome;
use crate::proof::{asks, prober, reached, shut};
use crate::scene::{Built, Prober, Scene};
use crate::shapes::{firewall, public, routed};
use crate::world::{PUBLIC, World};

pub(super) const ROWS: &[Row] = &[
    Row::new("1", "public IPv4, open", open, prove_open, Expect::PUBLIC),
    Row::new(
        "1b",
        "public IPv4, open, over TCP too",
        open_tcp,
        prove_open,
        Expect::PUBLIC.endpoints(&[("quic 21.7.0.2:", &[Public]), ("tcp 21.7.0.2:", &[Public])]),
    ),
    Row::new(
        "1c",
        "public IPv4, open, the TCP port dropped",
        tcp_dropped,
        prove_open,
        Expect::PUBLIC.endpoints(&[
            ("quic 21.7.0.2:", &[Public]),
            ("tcp 21.7.0.2:", &[Firewalled]),
        ]),
    ),
    Row::new(
        "2",
        "public IPv4, the port is dropped",
        port_dropped,
        prove_port_dropped,
        Expect::closed(&[Firewalled]),
    ),
    Row::new(
        "3",
        "public IPv4, stateful firewall",
        stateful,
        prove_stateful,
        Expect::closed(&[Firewalled]),
    ),
    Row::new(
        "4",
        "public IPv4, open to one network",
        one_network,
        prove_one_network,
        Expect::closed(&[Partial, Firewalled]),
    ),
    Row::new(
        "10",
        "public IPv4, open to hosts that were contacted",
        contacted,
        prove_contacted,
        Expect::closed(&[Firewalled]),
    ),
    Row::new(
        "40",
        "port dropped, and the server dials itself",
        self_dial,
        prove_self_dial,
        Expect::closed(&[Firewalled]),
    ),
];

const ANY: &str = "0.0.0.0:1320";

const BOUND: &str = "21.7.0.2:1320";

/// Row 1; other rows begin with it.
pub(super) fn open(mut world: World) -> Built {
    public(&mut world)?;
    Ok(Scene::new(world, "s", ANY))
}

pub(super) fn prove_open(scene: &Scene) -> Outcome {
    reached(&scene.world, BOUND, "s", BOUND)?;
    asks(&scene.world, "s", PUBLIC, PUBLIC)
}

const TCP: &str = "mosaictcp://21.7.0.2:1320/";

fn open_tcp(world: World) -> Built {
    Ok(open(world)?.with_tcp(ANY).door("cli", TCP, true))
}

fn tcp_dropped(world: World) -> Built {
    let scene = open(world)?.with_tcp(ANY).door("s", TCP, false);
    scene.world.at("s").nft(
        "table inet filter {
            chain input {
                type filter hook input priority 0;
                iifname eth0 tcp dport 1320 drop
            }
        }",
    )?;
    Ok(scene)
}

fn port_dropped(world: World) -> Built {
    let scene = open(world)?;
    scene.world.at("s").nft(
        "table inet filter {
            chain input {
                type filter hook input priority 0;
                iifname eth0 udp dport 1320 drop
            }
        }",
    )?;
    Ok(scene)
}

fn prove_port_dropped(scene: &Scene) -> Outcome {
    shut(&scene.world, BOUND, "s", BOUND)?;
    reached(&scene.world, "21.7.0.2:1321", "s", "21.7.0.2:1321")?;
    asks(&scene.world, "s", PUBLIC, PUBLIC)
}

fn stateful(mut world: World) -> Built {
    routed(&mut world, &firewall("", ""))?;
    Ok(Scene::new(world, "s", ANY))
}

/// Nobody gets in, but whoever the server's own port has sent something to: what misleads a
/// server whose probers answer to the port they were asked from.
fn prove_stateful(scene: &Scene) -> Outcome {
    let world = &scene.world;
    shut(world, BOUND, "s", BOUND)?;
    asks(world, "s", PUBLIC, PUBLIC)?;
    let server = world.bind("s", BOUND)?;
    let contacted = prober(world, 1, server.address())?;
    server.talks(contacted.address(), &contacted)?;
    contacted.reaches(server.address(), &server)?;
    prober(world, 1, server.address())?.is_lost(server.address(), &server)
}

fn one_network(mut world: World) -> Built {
    let rules = firewall("", "iifname wan ip saddr 11.1.0.0/16 accept");
    routed(&mut world, &rules)?;
    Ok(Scene::new(world, "s", ANY))
}

fn prove_one_network(scene: &Scene) -> Outcome {
    let world = &scene.world;
    let server = world.bind("s", BOUND)?;
    prober(world, 1, server.address())?.talks(server.address(), &server)?;
    for number in 2..=5 {
        prober(world, number, server.address())?.is_lost(server.address(), &server)?;
    }
    asks(world, "s", PUBLIC, PUBLIC)
}

fn contacted(mut world: World) -> Built {
    let sets = format!(
        "set contacted {{ type ipv4_addr; flags dynamic,timeout; timeout {}; }}",
        world.lived(240)
    );
    let rules = "iifname lan meta l4proto udp update @contacted { ip daddr }
        iifname wan ip saddr @contacted accept";
    routed(&mut world, &firewall(&sets, rules))?;
    Ok(Scene::new(world, "s", ANY))
}

/// A host that was sent something, from whatever port, gets in to every port; no other does.
fn prove_contacted(scene: &Scene) -> Outcome {
    let world = &scene.world;
    shut(world, BOUND, "s", BOUND)?;
    let server = world.bind("s", BOUND)?;
    let asked = prober(world, 1, server.address())?;
    world.bind("s", "21.7.0.2:0")?.send(asked.address())?;
    prober(world, 1, server.address())?.talks(server.address(), &server)?;
    prober(world, 2, server.address())?.is_lost(server.address(), &server)
}

fn self_dial(world: World) -> Built {
    let mut scene = port_dropped(world)?;
    scene.probers.push(Prober::on("s", "21.7.0.2:1321"));
    Ok(scene)
}

/// The kernel delivers what the server sends to its own address without the interface that the
/// firewall looks at.
fn prove_self_dial(scene: &Scene) -> Outcome {
    prove_port_dropped(scene)?;
    let server = scene.world.bind("s", BOUND)?;
    let own = scene.world.bind("s", "21.7.0.2:0")?;
    own.talks(server.address(), &server)?;
    Ok(())
}
