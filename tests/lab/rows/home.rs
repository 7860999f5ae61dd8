//! Behind a translation that opens nothing for good: home routers of every kind, carriers, a
//! private network that uses public addresses.

use mosaicd::reach::verdict::Verdict::{Forwarded, Nat};

use super::{Expect, Row, Step};
use crate::Outcome;
use crate::proof::{asks, expect, prober, reached, shut};
use crate::scene::{Built, Prober, Scene, Traffic, address};
use crate::shapes::{LAN, home, nat};
use crate::world::{End, PORT, PUBLIC, World, prober_v4};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "5",
        "port-restricted NAT (home router)",
        port_restricted,
        prove_port_restricted,
        Expect::closed(&[Nat]),
    ),
    Row::new(
        "6",
        "symmetric NAT",
        symmetric,
        prove_symmetric,
        Expect::closed(&[Nat]),
    ),
    Row::new(
        "7",
        "full cone, the port held open by outbound packets",
        full_cone,
        prove_full_cone,
        Expect::closed(&[Nat, Forwarded]),
    ),
    Row::new(
        "8",
        "NAT that lets contacted hosts in, per mapping",
        per_mapping,
        prove_per_mapping,
        Expect::closed(&[Nat]),
    ),
    Row::new(
        "9",
        "NAT that lets contacted hosts in, to any port",
        per_host,
        prove_per_host,
        Expect::closed(&[Nat]),
    ),
    Row::new(
        "16",
        "carrier's NAT, the server has 100.64/10",
        carrier,
        prove_carrier,
        Expect::closed(&[Nat]),
    ),
    Row::new(
        "17",
        "NAT behind NAT, only the inner one forwards",
        twice,
        prove_twice,
        Expect::closed(&[Nat]),
    ),
    Row::new(
        "38",
        "NAT, and inside it somebody else's public addresses",
        squatted,
        prove_squatted,
        Expect::closed(&[Nat]),
    ),
    Row::new(
        "39",
        "NAT, and a prober on the same LAN",
        neighbour,
        prove_neighbour,
        Expect::closed(&[Nat]),
    ),
    Row::new(
        "39c",
        "NAT, and a prober behind it that hairpins",
        hairpin,
        prove_hairpin,
        Expect::closed(&[Nat]),
    ),
    Row::new(
        "54",
        "full cone, left open by a program that ran before",
        stale,
        prove_stale,
        // While it is open, strangers do get in at this one port.
        Expect::closed(&[Nat, Forwarded]),
    )
    .then(&[Step {
        what: "the translation forgets it",
        change: forget,
        expect: Expect::closed(&[Nat]),
        within_seconds: 1_200,
        for_seconds: 300,
        outside: None,
    }]),
];

const ANY: &str = "0.0.0.0:1320";

const DIALED: &str = "21.7.0.2:1320";

const BOUND: &str = "192.168.1.10:1320";

/// Row 5; other rows begin with it.
pub(super) fn port_restricted(mut world: World) -> Built {
    home(&mut world, &nat("", "", "", "masquerade"))?;
    Ok(Scene::new(world, "s", ANY).found_at(BOUND))
}

pub(super) fn prove_port_restricted(scene: &Scene) -> Outcome {
    let world = &scene.world;
    shut(world, DIALED, "s", BOUND)?;
    asks(world, "s", LAN, PUBLIC)?;
    let server = world.bind("s", BOUND)?;
    let asked = prober(world, 1, server.address())?;
    let seen = server.talks(asked.address(), &asked)?;
    expect(seen, address(DIALED), "the mapping")?;
    prober(world, 1, server.address())?.is_lost(seen, &server)
}

fn symmetric(mut world: World) -> Built {
    home(&mut world, &nat("", "", "", "masquerade fully-random"))?;
    Ok(Scene::new(world, "s", ANY).found_at(BOUND))
}

/// One port of the server is another one for each whom it sends to.
fn prove_symmetric(scene: &Scene) -> Outcome {
    let world = &scene.world;
    shut(world, DIALED, "s", BOUND)?;
    asks(world, "s", LAN, PUBLIC)?;
    let server = world.bind("s", "192.168.1.10:0")?;
    let mut ports = Vec::new();
    for number in 1..=3 {
        let asked = prober(world, number, server.address())?;
        ports.push(server.talks(asked.address(), &asked)?.port());
    }
    ports.sort_unstable();
    ports.dedup();
    // That two of three random ports are the same is possible, once in ten thousand runs.
    expect(ports.len() > 1, true, "ports differ by destination")
}

/// Rows 7 and 54: whatever port was used to send from is open to everybody for a while.
fn cone(mut world: World, lifetime: &str) -> Built {
    let sets =
        format!("set open {{ type inet_service; flags dynamic,timeout; timeout {lifetime}; }}");
    // Answers do not keep a port open, or it would never be forgotten while it is tested.
    let forward = "iifname lan ct state new udp sport 1-65535 update @open { udp sport }";
    let prerouting = format!("iifname wan udp dport @open dnat ip to {LAN}");
    home(&mut world, &nat(&sets, forward, &prerouting, "masquerade"))?;
    world.at("s").ip("address add 192.168.1.11/24 dev eth0")?;
    Ok(Scene::new(world, "s", BOUND))
}

/// The server's listener never dials, so another program keeps its port open; the translation
/// does not look at who sends.
fn full_cone(world: World) -> Built {
    let lifetime = world.lived(240);
    let mut scene = cone(world, &lifetime)?;
    scene.traffic.push(Traffic {
        host: "s",
        from: address("192.168.1.11:1320"),
        to: vec![address("31.9.0.2:9")],
        is_over: false,
    });
    Ok(scene)
}

fn prove_full_cone(scene: &Scene) -> Outcome {
    let world = &scene.world;
    shut(world, DIALED, "s", BOUND)?;
    asks(world, "s", LAN, PUBLIC)?;
    let opener = world.bind("s", "192.168.1.11:1320")?;
    opener.send(address("31.9.0.2:9"))?;
    // Strangers get in, and see nothing of the translation.
    reached(world, DIALED, "s", BOUND)?;
    shut(world, "21.7.0.2:1321", "s", "192.168.1.10:1321")
}

fn stale(world: World) -> Built {
    let mut scene = cone(world, "1h")?;
    scene.traffic.push(Traffic {
        host: "s",
        from: address(BOUND),
        to: vec![address("31.9.0.2:9")],
        is_over: true,
    });
    Ok(scene)
}

fn prove_stale(scene: &Scene) -> Outcome {
    let world = &scene.world;
    shut(world, DIALED, "s", BOUND)?;
    let before = world.bind("s", BOUND)?;
    before.send(address("31.9.0.2:9"))?;
    drop(before);
    reached(world, DIALED, "s", BOUND)?;
    forget(scene)?;
    shut(world, DIALED, "s", BOUND)
}

fn forget(scene: &Scene) -> Outcome {
    // For good: a last packet of a connection that the router forgot, too, would open the port again.
    let rules = "flush chain inet nat prerouting\nflush set inet nat open";
    scene.world.at("rtr").nft(rules)
}

/// Two probers are contacted from the server's port: no more than could lie. The others are not.
fn keep_contact(scene: &mut Scene) {
    scene.traffic.push(Traffic {
        host: "s",
        from: address("192.168.1.11:1320"),
        to: (1..=2)
            .map(|number| address(&format!("{}:{PORT}", prober_v4(number))))
            .collect(),
        is_over: false,
    });
}

fn per_mapping(mut world: World) -> Built {
    let sets = format!(
        "set contacted {{
            type ipv4_addr . inet_service; flags dynamic,timeout; timeout {};
        }}",
        world.lived(240)
    );
    let forward = "iifname lan meta l4proto udp update @contacted { ip daddr . udp sport }";
    let prerouting = format!("iifname wan ip saddr . udp dport @contacted dnat ip to {LAN}");
    home(&mut world, &nat(&sets, forward, &prerouting, "masquerade"))?;
    world.at("s").ip("address add 192.168.1.11/24 dev eth0")?;
    let mut scene = Scene::new(world, "s", BOUND);
    keep_contact(&mut scene);
    Ok(scene)
}

fn prove_per_mapping(scene: &Scene) -> Outcome {
    let world = &scene.world;
    shut(world, DIALED, "s", BOUND)?;
    asks(world, "s", LAN, PUBLIC)?;
    // The proof above asked from other ports, which opened nothing on this one.
    shut(world, DIALED, "s", BOUND)?;
    let asked = prober(world, 1, address(BOUND))?;
    world
        .bind("s", "192.168.1.11:1320")?
        .send(asked.address())?;
    let server = world.bind("s", BOUND)?;
    let dialed = address(DIALED);
    prober(world, 1, dialed)?.talks(dialed, &server)?;
    prober(world, 2, dialed)?.is_lost(dialed, &server)
}

fn per_host(mut world: World) -> Built {
    let sets = format!(
        "set contacted {{ type ipv4_addr; flags dynamic,timeout; timeout {}; }}",
        world.lived(240)
    );
    let forward = "iifname lan meta l4proto udp update @contacted { ip daddr }";
    let prerouting = format!("iifname wan meta l4proto udp ip saddr @contacted dnat ip to {LAN}");
    home(&mut world, &nat(&sets, forward, &prerouting, "masquerade"))?;
    Ok(Scene::new(world, "s", ANY).found_at(BOUND))
}

fn prove_per_host(scene: &Scene) -> Outcome {
    let world = &scene.world;
    shut(world, DIALED, "s", BOUND)?;
    let dialed = address(DIALED);
    let asked = prober(world, 1, dialed)?;
    world.bind("s", "192.168.1.10:0")?.send(asked.address())?;
    let server = world.bind("s", BOUND)?;
    prober(world, 1, dialed)?.talks(dialed, &server)?;
    prober(world, 2, dialed)?.is_lost(dialed, &server)
}

fn carrier(mut world: World) -> Built {
    home(&mut world, &nat("", "", "", "masquerade"))?;
    world.at("rtr").ip("address add 100.64.7.1/24 dev lan")?;
    world.at("s").ip("address flush dev eth0\n\
         address add 100.64.7.10/24 dev eth0\n\
         route add default via 100.64.7.1")?;
    Ok(Scene::new(world, "s", ANY).found_at("100.64.7.10:1320"))
}

fn prove_carrier(scene: &Scene) -> Outcome {
    shut(&scene.world, DIALED, "s", "100.64.7.10:1320")?;
    asks(&scene.world, "s", "100.64.7.10", PUBLIC)
}

fn twice(mut world: World) -> Built {
    home(&mut world, &nat("", "", "", "masquerade"))?;
    // The inner router takes the place of the server, which moves behind it.
    world.router("inner")?;
    world.at("s").ip("link del dev eth0")?;
    world.link(
        &End("rtr", "lan", &["100.64.7.1/24"]),
        &End("inner", "wan", &["100.64.7.10/24"]),
    )?;
    world.link(
        &End("inner", "lan", &["192.168.1.1/24"]),
        &End("s", "eth0", &["192.168.1.10/24"]),
    )?;
    world.at("inner").ip("route add default via 100.64.7.1")?;
    world.at("s").ip("route add default via 192.168.1.1")?;
    let forwarded = crate::shapes::forward(PORT);
    world
        .at("inner")
        .nft(&nat("", "", &forwarded, "masquerade"))?;
    Ok(Scene::new(world, "s", ANY).found_at(BOUND))
}

/// The inner router does as it was told, and it is of no use.
fn prove_twice(scene: &Scene) -> Outcome {
    let world = &scene.world;
    shut(world, DIALED, "s", BOUND)?;
    asks(world, "s", LAN, PUBLIC)?;
    let server = world.bind("s", BOUND)?;
    let between = world.bind("rtr", "100.64.7.1:0")?;
    between.talks(address("100.64.7.10:1320"), &server)?;
    Ok(())
}

fn squatted(mut world: World) -> Built {
    home(&mut world, &nat("", "", "", "masquerade"))?;
    world.at("rtr").ip("address add 11.9.0.1/24 dev lan")?;
    world.at("s").ip("address flush dev eth0\n\
         address add 11.9.0.2/24 dev eth0\n\
         route add default via 11.9.0.1")?;
    Ok(Scene::new(world, "s", ANY).found_at("11.9.0.2:1320"))
}

fn prove_squatted(scene: &Scene) -> Outcome {
    shut(&scene.world, DIALED, "s", "11.9.0.2:1320")?;
    shut(&scene.world, "11.9.0.2:1320", "s", "11.9.0.2:1320")?;
    asks(&scene.world, "s", "11.9.0.2", PUBLIC)
}

fn neighbour(mut world: World) -> Built {
    home(&mut world, &nat("", "", "", "masquerade"))?;
    lan_prober(&mut world)?;
    let mut scene = Scene::new(world, "s", ANY).found_at(BOUND);
    scene
        .probers
        .insert(0, Prober::on("near", "192.168.1.20:1320"));
    Ok(scene)
}

/// A host on the server's own LAN, which is a bridge on the router then.
fn lan_prober(world: &mut World) -> Outcome {
    world.host("near")?;
    world.link(
        &End("rtr", "lan2", &[]),
        &End("near", "eth0", &["192.168.1.20/24"]),
    )?;
    // The router answers for each of the two to the other.
    world.at("rtr").ip("route add 192.168.1.20/32 dev lan2")?;
    world.at("rtr").sysctls(&[
        ("net/ipv4/conf/lan/proxy_arp", "1"),
        ("net/ipv4/conf/lan2/proxy_arp", "1"),
    ])?;
    world.at("near").ip("route add default via 192.168.1.1")?;
    world
        .at("rtr")
        .nft("add rule inet nat forward iifname lan2 accept")
}

fn prove_neighbour(scene: &Scene) -> Outcome {
    prove_port_restricted(scene)?;
    let world = &scene.world;
    let server = world.bind("s", BOUND)?;
    let near = world.bind("near", "192.168.1.20:0")?;
    let seen = near.talks(server.address(), &server)?;
    expect(seen, near.address(), "the neighbour's address")
}

/// As the neighbour, and the router sends back in what its own network sends to its public
/// address, with that address as the source: each of the two sees the other there.
fn hairpin(world: World) -> Built {
    let mut scene = neighbour(world)?;
    scene.world.at("rtr").nft(
        "table ip hairpin {
            chain prerouting {
                type nat hook prerouting priority dstnat;
                iifname lan2 ip daddr 21.7.0.2 udp dport 1320 dnat to 192.168.1.10
                iifname lan ip daddr 21.7.0.2 udp dport 1330 dnat to 192.168.1.20:1320
            }
            chain postrouting {
                type nat hook postrouting priority srcnat;
                oifname { lan, lan2 } ip saddr 192.168.1.0/24 ct status dnat snat to 21.7.0.2
            }
        }",
    )?;
    scene.probers[0].known_at = address("21.7.0.2:1330");
    Ok(scene)
}

fn prove_hairpin(scene: &Scene) -> Outcome {
    prove_port_restricted(scene)?;
    let world = &scene.world;
    let (server, near) = (
        world.bind("s", BOUND)?,
        world.bind("near", "192.168.1.20:1320")?,
    );
    let asker = world.bind("s", "192.168.1.10:0")?;
    let asks = asker.talks(address("21.7.0.2:1330"), &near)?;
    expect(asks.ip(), PUBLIC.parse().unwrap(), "who the prober sees")?;
    let dialer = world.bind("near", "192.168.1.20:0")?;
    let dials = dialer.talks(address(DIALED), &server)?;
    expect(dials.ip(), PUBLIC.parse().unwrap(), "who the server sees")
}
