//! More than one way, or more than one machine: uplinks, tunnels, balancers, addresses that are
//! somebody else's.

use mosaicd::reach::verdict::Verdict::{Conflict, Firewalled, Nat, Partial, Public};

use super::{Expect, Row};
use crate::Outcome;
use crate::proof::{asks, expect, prober, reached, shut};
use crate::scene::{Built, Scene, Server, address};
use crate::shapes::public;
use crate::world::{End, PUBLIC, World};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "28",
        "two uplinks, replies leave by the right one",
        two_uplinks,
        prove_two_uplinks,
        Expect::PUBLIC,
    ),
    Row::new(
        "28b",
        "two uplinks, replies leave by the wrong one",
        wrong_uplink,
        prove_wrong_uplink,
        // Others see another address than the one on the interface, as with row 38.
        Expect::closed(&[Nat, Firewalled]),
    ),
    Row::new(
        "28c",
        "two uplinks, only the listener's replies leave by the wrong one",
        wrong_replies,
        prove_wrong_replies,
        Expect::closed(&[Firewalled]),
    ),
    Row::new(
        "29",
        "default route through a VPN, inbound beside it",
        vpn,
        prove_vpn,
        Expect::PUBLIC,
    ),
    Row::new(
        "30",
        "public address routed through a tunnel",
        routed_tunnel,
        prove_routed_tunnel,
        Expect::PUBLIC,
    ),
    Row::new(
        "30b",
        "public address, and beside it one that leads nowhere",
        dead_address,
        prove_dead_address,
        Expect::PUBLIC.endpoints(&[("21.7.0.2:", &[Public])]),
    ),
    Row::new(
        "32",
        "balancer before two servers with one key",
        balancer,
        prove_balancer,
        Expect::closed(&[Conflict]),
    ),
    Row::new(
        "33",
        "one address on two hosts, which hold the same key",
        anycast_same_key,
        prove_anycast,
        Expect::closed(&[Conflict, Partial]),
    ),
    Row::new(
        "33b",
        "one address on two hosts, one of which has no server",
        anycast,
        prove_anycast,
        Expect::closed(&[Partial]),
    ),
    Row::new(
        "34",
        "the configured URL is another server's",
        stale_url,
        prove_stale_url,
        Expect::PUBLIC.endpoints(&[("24.4.0.2", &[Conflict])]),
    ),
];

const ANY: &str = "0.0.0.0:1320";

const BOUND: &str = "21.7.0.2:1320";

/// A second way to the Internet, which translates: interface `second` of the server, whose
/// address there is 10.9.0.2 and shows as 22.8.0.2.
fn second_uplink(world: &mut World) -> Outcome {
    world.router("rtr")?;
    world.link(
        &End("rtr", "wan", &["22.8.0.2/24"]),
        &End("core", "rtr", &["22.8.0.1/24"]),
    )?;
    world.link(
        &End("rtr", "lan", &["10.9.0.1/24"]),
        &End("s", "second", &["10.9.0.2/24"]),
    )?;
    world.at("rtr").ip("route add default via 22.8.0.1")?;
    world.at("rtr").nft(
        "table inet nat {
            chain input {
                type filter hook input priority 0;
                iifname wan ct state established,related accept
                iifname wan drop
            }
            chain postrouting {
                type nat hook postrouting priority srcnat;
                oifname wan masquerade
            }
        }",
    )?;
    world.at("s").ip("route replace default via 10.9.0.1")
}

fn wrong_uplink(mut world: World) -> Built {
    public(&mut world)?;
    second_uplink(&mut world)?;
    Ok(Scene::new(world, "s", BOUND))
}

/// What has the public address as its source leaves by the public uplink.
const BY_SOURCE: &str = "rule add from 21.7.0.2 lookup 100\n\
     route add default via 21.7.0.1 dev eth0 table 100";

fn two_uplinks(world: World) -> Built {
    let scene = wrong_uplink(world)?;
    scene.world.at("s").ip(BY_SOURCE)?;
    Ok(scene)
}

fn prove_two_uplinks(scene: &Scene) -> Outcome {
    reached(&scene.world, BOUND, "s", BOUND)?;
    asks(&scene.world, "s", PUBLIC, PUBLIC)?;
    asks(&scene.world, "s", "10.9.0.2", "22.8.0.2")
}

/// Packets come in, and their answers come from the other uplink's address.
fn prove_wrong_uplink(scene: &Scene) -> Outcome {
    let world = &scene.world;
    let server = world.bind("s", BOUND)?;
    for number in 1..=3 {
        let stranger = prober(world, number, server.address())?;
        stranger.talks_in_vain(server.address(), &server)?;
    }
    asks(world, "s", PUBLIC, "22.8.0.2")
}

/// Somebody wanted to send by the public uplink what asks, and forgot what answers.
fn wrong_replies(world: World) -> Built {
    let scene = two_uplinks(world)?;
    let wrong = "rule add from 21.7.0.2 ipproto udp sport 1320 lookup main priority 50";
    scene.world.at("s").ip(wrong)?;
    Ok(scene)
}

fn prove_wrong_replies(scene: &Scene) -> Outcome {
    let world = &scene.world;
    asks(world, "s", PUBLIC, PUBLIC)?;
    let server = world.bind("s", BOUND)?;
    let stranger = prober(world, 1, server.address())?;
    stranger.talks_in_vain(server.address(), &server)
}

/// A second interface has an address that looks like one of the Internet and that nobody routes
/// here: a network of containers, or a tunnel.
fn dead_address(mut world: World) -> Built {
    public(&mut world)?;
    world.host("inner")?;
    world.link(
        &End("s", "docker0", &["25.9.1.1/24"]),
        &End("inner", "eth0", &["25.9.1.2/24"]),
    )?;
    Ok(Scene::new(world, "s", ANY))
}

fn prove_dead_address(scene: &Scene) -> Outcome {
    let world = &scene.world;
    prove_routed_tunnel(scene)?;
    shut(world, "25.9.1.1:1320", "s", "25.9.1.1:1320")?;
    let asker = world.bind("s", "25.9.1.1:0")?;
    let far = prober(world, 1, asker.address())?;
    asker.talks_in_vain(far.address(), &far)
}

/// As two uplinks, but bound to every address, so that the server must choose the right one.
fn vpn(world: World) -> Built {
    let mut scene = two_uplinks(world)?;
    scene.server().listen = vec![address(ANY)];
    Ok(scene)
}

fn prove_vpn(scene: &Scene) -> Outcome {
    prove_two_uplinks(scene)
}

fn routed_tunnel(mut world: World) -> Built {
    world.router("rtr")?;
    world.host("s")?;
    world.link(
        &End("rtr", "eth0", &["22.8.0.2/24"]),
        &End("core", "rtr", &["22.8.0.1/24"]),
    )?;
    world.link(
        &End("rtr", "wg0", &["10.8.0.1/24"]),
        &End("s", "wg0", &["10.8.0.2/24", "21.7.0.2/32"]),
    )?;
    world.at("core").ip("route add 21.7.0.2/32 via 22.8.0.2")?;
    world.at("rtr").ip("route add default via 22.8.0.1\n\
         route add 21.7.0.2/32 via 10.8.0.2")?;
    world
        .at("s")
        .ip("route add default via 10.8.0.1 src 21.7.0.2")?;
    Ok(Scene::new(world, "s", ANY))
}

fn prove_routed_tunnel(scene: &Scene) -> Outcome {
    reached(&scene.world, BOUND, "s", BOUND)?;
    asks(&scene.world, "s", PUBLIC, PUBLIC)
}

/// Two servers with one key on a network of their own, and a balancer that has the address. The
/// tested server gets one new flow in two.
fn balancer(mut world: World) -> Built {
    world.router("rtr")?;
    world.host("s")?;
    world.host("s2")?;
    world.link(
        &End("rtr", "wan", &["21.7.0.2/24"]),
        &End("core", "rtr", &["21.7.0.1/24"]),
    )?;
    world.link(
        &End("rtr", "lan", &["10.7.1.1/24"]),
        &End("s", "eth0", &["10.7.1.2/24"]),
    )?;
    world.link(
        &End("rtr", "lan2", &["10.7.2.1/24"]),
        &End("s2", "eth0", &["10.7.2.2/24"]),
    )?;
    world.at("rtr").ip("route add default via 21.7.0.1")?;
    world.at("s").ip("route add default via 10.7.1.1")?;
    world.at("s2").ip("route add default via 10.7.2.1")?;
    world.at("rtr").nft(
        "table ip balancer {
            chain input {
                type filter hook input priority 0;
                iifname wan ct state established,related accept
                iifname wan drop
            }
            chain prerouting {
                type nat hook prerouting priority dstnat;
                iifname wan udp dport 1320 dnat to numgen inc mod 2 map { 0 : 10.7.1.2, 1 : 10.7.2.2 }
            }
            chain postrouting {
                type nat hook postrouting priority srcnat;
                oifname wan masquerade
            }
        }",
    )?;
    let mut scene = Scene::new(world, "s", ANY).found_at("10.7.1.2:1320");
    scene.servers.push(same_key("s2"));
    Ok(scene)
}

/// Another server with the key of the tested one.
fn same_key(host: &'static str) -> Server {
    Server {
        host,
        key: 1,
        listen: vec![address(ANY)],
        listen_tcp: Vec::new(),
        reachability: String::new(),
    }
}

fn prove_balancer(scene: &Scene) -> Outcome {
    let world = &scene.world;
    asks(world, "s", "10.7.1.2", PUBLIC)?;
    asks(world, "s2", "10.7.2.2", PUBLIC)?;
    let (one, other) = (
        world.bind("s", "10.7.1.2:1320")?,
        world.bind("s2", "10.7.2.2:1320")?,
    );
    let dialed = address(BOUND);
    prober(world, 1, dialed)?.talks(dialed, &one)?;
    prober(world, 2, dialed)?.talks(dialed, &other)?;
    prober(world, 3, dialed)?.talks(dialed, &one)?;
    Ok(())
}

/// One address on two hosts: who dials the port from the networks of the first two probers comes
/// to the tested server, everybody else to the other host. What answers to other ports of the
/// address comes to the tested server.
fn anycast(mut world: World) -> Built {
    world.host("s")?;
    world.host("s2")?;
    world.link(
        &End("core", "s", &["21.8.1.1/24"]),
        &End("s", "eth0", &["21.8.1.2/24", "21.7.0.2/32"]),
    )?;
    world.link(
        &End("core", "s2", &["21.8.2.1/24"]),
        &End("s2", "eth0", &["21.8.2.2/24", "21.7.0.2/32"]),
    )?;
    world
        .at("s")
        .ip("route add default via 21.8.1.1 src 21.7.0.2")?;
    world
        .at("s2")
        .ip("route add default via 21.8.2.1 src 21.7.0.2")?;
    let mut routes = "route add 21.7.0.2/32 via 21.8.1.2\n\
         route add 21.7.0.2/32 via 21.8.2.2 table 100\n"
        .to_owned();
    for network in ["13.3.0.0/16", "14.4.0.0/16", "15.5.0.0/16", "16.6.0.0/16"] {
        routes +=
            &format!("rule add from {network} to 21.7.0.2 ipproto udp dport 1320 lookup 100\n");
    }
    world.at("core").ip(&routes)?;
    Ok(Scene::new(world, "s", BOUND))
}

fn anycast_same_key(world: World) -> Built {
    let mut scene = anycast(world)?;
    scene.servers.push(Server {
        listen: vec![address(BOUND)],
        ..same_key("s2")
    });
    Ok(scene)
}

fn prove_anycast(scene: &Scene) -> Outcome {
    let world = &scene.world;
    asks(world, "s", PUBLIC, PUBLIC)?;
    let (one, other) = (world.bind("s", BOUND)?, world.bind("s2", BOUND)?);
    let dialed = address(BOUND);
    for number in 1..=5 {
        let home = if number <= 2 { &one } else { &other };
        let seen = prober(world, number, dialed)?.talks(dialed, home)?;
        expect(seen.is_ipv4(), true, "the family")?;
    }
    Ok(())
}

/// The server is public, and its operator forgot that it had another address once.
fn stale_url(mut world: World) -> Built {
    public(&mut world)?;
    world.leaf(
        "other",
        ["24.4.0.2", "24.4.0.1"],
        ["2600:44::2", "2600:44::1"],
    )?;
    let mut scene = Scene::new(world, "s", ANY).with("urls = [\"mosaic://24.4.0.2:1320/\"]");
    scene.servers.push(Server {
        key: 2,
        ..same_key("other")
    });
    Ok(scene)
}

fn prove_stale_url(scene: &Scene) -> Outcome {
    reached(&scene.world, BOUND, "s", BOUND)?;
    reached(&scene.world, "24.4.0.2:1320", "other", "24.4.0.2:1320")?;
    shut(&scene.world, "24.4.0.2:1320", "s", BOUND)?;
    asks(&scene.world, "s", PUBLIC, PUBLIC)
}
