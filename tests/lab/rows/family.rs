//! IPv6: alone, beside IPv4, translated, and local.

use mosaicd::reach::verdict::Verdict::{Firewalled, Local, Nat, Public, Translated, Unknown};

use super::{Expect, Row};
use crate::Outcome;
use crate::proof::{asks, expect, reached, shut};
use crate::scene::{Built, Prober, Scene, address};
use crate::shapes::{firewall, home, nat, public, routed};
use crate::world::{End, PUBLIC, PUBLIC_V6, World};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "21",
        "public IPv6 alone, open: closed by policy",
        six,
        prove_six,
        Expect {
            is_open: false,
            ..Expect::PUBLIC
        },
    ),
    Row::new(
        "21b",
        "public IPv6 alone, open, and the operator allows it",
        six_allowed,
        prove_six,
        Expect::PUBLIC,
    ),
    Row::new(
        "22",
        "public IPv6, stateful firewall",
        six_stateful,
        prove_six_stateful,
        Expect::closed(&[Firewalled]),
    ),
    Row::new(
        "23",
        "IPv4 behind NAT, IPv6 open",
        four_nat_six_open,
        prove_four_nat_six_open,
        Expect {
            is_open: false,
            ..Expect::PUBLIC
        }
        .endpoints(&[("21.7.0.2:", &[Nat]), ("[2600:77::2]:", &[Public])]),
    ),
    Row::new(
        "24",
        "IPv4 open, IPv6 behind a firewall",
        four_open_six_stateful,
        prove_four_open_six_stateful,
        Expect::PUBLIC.endpoints(&[("21.7.0.2:", &[Public]), ("[2600:77::2]:", &[Firewalled])]),
    ),
    Row::new(
        "25",
        "translated IPv6 prefix (NPTv6)",
        prefix,
        prove_prefix,
        Expect::closed(&[Translated]),
    ),
    Row::new(
        "26",
        "local IPv6 addresses alone",
        unique_local,
        prove_unique_local,
        Expect::closed(&[Local]),
    ),
    Row::new(
        "27",
        "a prober behind NAT64: its vote does not count",
        nat64,
        prove_nat64,
        Expect::closed(&[Unknown]),
    ),
    Row::new(
        "52",
        "one prober has no IPv6: absent, not against",
        one_without_six,
        prove_one_without_six,
        Expect::PUBLIC.endpoints(&[("21.7.0.2:", &[Public]), ("[2600:77::2]:", &[Public])]),
    ),
];

const ANY_V4: &str = "0.0.0.0:1320";

const ANY_V6: &str = "[::]:1320";

const V4: &str = "21.7.0.2:1320";

const V6: &str = "[2600:77::2]:1320";

/// The server listens on, and is tested over, IPv6 too. A prober's IPv6 side is a server of its
/// own: a key stands for one address.
fn dual(world: World) -> Scene {
    let mut scene = Scene::new(world, "s", ANY_V4);
    let six = address(ANY_V6);
    scene.server().listen.push(six);
    scene
        .probers
        .extend((1..=5).map(|number| Prober::honest(number, six)));
    scene
}

fn six_alone(world: World) -> Scene {
    Scene::new(world, "s", ANY_V6).sought_at(V6).found_at(V6)
}

fn six(mut world: World) -> Built {
    public(&mut world)?;
    world.at("s").ip("address del 21.7.0.2/24 dev eth0")?;
    Ok(six_alone(world))
}

fn six_allowed(world: World) -> Built {
    Ok(six(world)?.with("allow_ipv6_only = true"))
}

fn prove_six(scene: &Scene) -> Outcome {
    if scene.world.bind("s", V4).is_ok() {
        return Err("the server has IPv4".to_owned());
    }
    reached(&scene.world, V6, "s", V6)?;
    asks(&scene.world, "s", PUBLIC_V6, PUBLIC_V6)
}

fn six_stateful(mut world: World) -> Built {
    routed(&mut world, &firewall("", ""))?;
    Ok(six_alone(world))
}

fn prove_six_stateful(scene: &Scene) -> Outcome {
    shut(&scene.world, V6, "s", V6)?;
    asks(&scene.world, "s", PUBLIC_V6, PUBLIC_V6)
}

fn four_nat_six_open(mut world: World) -> Built {
    // The rules name IPv4 alone; IPv6 passes as if there were no router.
    let rules = nat(
        "",
        "meta nfproto ipv6 accept",
        "",
        "meta nfproto ipv4 masquerade",
    );
    home(&mut world, &rules)?;
    give_six(&world)?;
    let scene = dual(world).sought_at(V6);
    Ok(scene.door("s", "192.168.1.10:1320", false))
}

/// IPv6 addresses on both sides of a home router.
fn give_six(world: &World) -> Outcome {
    world
        .at("core")
        .ip("address add 2600:88::1/64 dev rtr nodad\n\
         route add 2600:77::/64 via 2600:88::2")?;
    world
        .at("rtr")
        .ip("address add 2600:88::2/64 dev wan nodad\n\
         address add 2600:77::1/64 dev lan nodad\n\
         route add default via 2600:88::1")?;
    // Neighbours must be found before anything else is.
    world
        .at("rtr")
        .nft("insert rule inet nat input meta l4proto ipv6-icmp accept")?;
    world
        .at("s")
        .ip("address add 2600:77::2/64 dev eth0 nodad\n\
         route add default via 2600:77::1")
}

fn prove_four_nat_six_open(scene: &Scene) -> Outcome {
    shut(&scene.world, V4, "s", "192.168.1.10:1320")?;
    asks(&scene.world, "s", "192.168.1.10", PUBLIC)?;
    prove_six(scene)
}

fn four_open_six_stateful(mut world: World) -> Built {
    routed(&mut world, &firewall("", "meta nfproto ipv4 accept"))?;
    Ok(dual(world).door("s", V6, false))
}

fn prove_four_open_six_stateful(scene: &Scene) -> Outcome {
    reached(&scene.world, V4, "s", V4)?;
    asks(&scene.world, "s", PUBLIC, PUBLIC)?;
    prove_six_stateful(scene)
}

fn prefix(mut world: World) -> Built {
    world.router("rtr")?;
    world.host("s")?;
    world.link(
        &End("rtr", "wan", &["2600:88::2/64"]),
        &End("core", "rtr", &["2600:88::1/64"]),
    )?;
    world.link(
        &End("rtr", "lan", &["fd00:1::1/64"]),
        &End("s", "eth0", &["fd00:1::2/64"]),
    )?;
    world
        .at("core")
        .ip("route add 2600:77::/64 via 2600:88::2")?;
    world.at("rtr").ip("route add default via 2600:88::1")?;
    world.at("s").ip("route add default via fd00:1::1")?;
    world.at("rtr").nft(
        "table ip6 nptv6 {
            chain prerouting {
                type nat hook prerouting priority dstnat;
                iifname wan dnat prefix to ip6 daddr map { 2600:77::/64 : fd00:1::/64 }
            }
            chain postrouting {
                type nat hook postrouting priority srcnat;
                oifname wan snat prefix to ip6 saddr map { fd00:1::/64 : 2600:77::/64 }
            }
        }",
    )?;
    Ok(six_alone(world)
        .found_at("[fd00:1::2]:1320")
        .with("allow_ipv6_only = true"))
}

fn prove_prefix(scene: &Scene) -> Outcome {
    reached(&scene.world, V6, "s", "[fd00:1::2]:1320")?;
    reached(&scene.world, "[2600:77::2]:1321", "s", "[fd00:1::2]:1321")?;
    asks(&scene.world, "s", "fd00:1::2", PUBLIC_V6)
}

fn unique_local(mut world: World) -> Built {
    public(&mut world)?;
    world.at("s").ip("address del 21.7.0.2/24 dev eth0\n\
         route del default via 2600:77::1\n\
         address del 2600:77::2/64 dev eth0\n\
         address add fd00:1::2/64 dev eth0 nodad")?;
    world
        .at("core")
        .ip("address add fd00:1::1/64 dev s nodad")?;
    Ok(six_alone(world).found_at("[fd00:1::2]:1320"))
}

fn prove_unique_local(scene: &Scene) -> Outcome {
    let world = &scene.world;
    shut(world, V6, "s", "[fd00:1::2]:1320")?;
    let server = world.bind("s", "[fd00:1::2]:0")?;
    let far = world.bind("p1", "[2600:1::2]:0")?;
    server.is_lost(far.address(), &far)
}

/// Two ordinary probers, and a third one that is an IPv4 host as NAT64 shows it.
fn nat64(world: World) -> Built {
    let scene = six(world)?;
    scene
        .world
        .at("core")
        .ip("route add 64:ff9b::/96 via 2600:3::2")?;
    scene
        .world
        .at("p3")
        .ip("address add 64:ff9b::d03:2/128 dev eth0 nodad\n\
         route replace default via 2600:3::1 src 64:ff9b::d03:2")?;
    let mut scene = scene
        .with("allow_ipv6_only = true")
        .probers_at_most(2)
        .pinned();
    scene
        .probers
        .push(Prober::on("p3", "[64:ff9b::d03:2]:1320"));
    Ok(scene)
}

fn prove_nat64(scene: &Scene) -> Outcome {
    let world = &scene.world;
    prove_six(scene)?;
    let server = world.bind("s", V6)?;
    let prober = world.bind("p3", "[64:ff9b::d03:2]:0")?;
    let seen = prober.talks(server.address(), &server)?;
    expect(seen, prober.address(), "the source in the NAT64 prefix")
}

/// The third prober has IPv4 alone, and is known by nothing else.
fn one_without_six(mut world: World) -> Built {
    public(&mut world)?;
    world.at("p3").ip("address del 2600:3::2/64 dev eth0")?;
    let mut scene = dual(world);
    // The others are as many as a quorum needs.
    scene
        .probers
        .retain(|prober| prober.host != "p3" || prober.address.is_ipv4());
    scene.probers.push(Prober::honest(6, address(ANY_V6)));
    Ok(scene)
}

fn prove_one_without_six(scene: &Scene) -> Outcome {
    let world = &scene.world;
    reached(world, V4, "s", V4)?;
    let server = world.bind("s", V6)?;
    world
        .bind("p1", "[2600:1::2]:0")?
        .talks(server.address(), &server)?;
    match world.bind("p3", "[2600:3::2]:0") {
        Err(_) => Ok(()),
        Ok(_) => Err("the third prober has IPv6".to_owned()),
    }
}
