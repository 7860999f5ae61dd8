//! Behind a translation that lets somebody in: forwarded ports, whole addresses, containers,
//! tunnels.

use mosaicd::reach::verdict::Verdict::{Forwarded, Nat, Proxied, Translated};

use super::{Expect, Row, Step};
use crate::Outcome;
use crate::proof::{asks, expect, prober, reached, shut};
use crate::scene::{Built, Scene, address};
use crate::shapes::{LAN, forward, home, nat};
use crate::world::{End, PUBLIC, World};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "11",
        "port forward",
        forwarded,
        prove_forwarded,
        Expect::closed(&[Forwarded]),
    ),
    Row::new(
        "12",
        "port forward from another port, which the URL names",
        other_port_with_url,
        prove_other_port,
        Expect::closed(&[Forwarded]),
    ),
    Row::new(
        "12b",
        "port forward from another port, which nobody names",
        other_port,
        prove_other_port,
        Expect::closed(&[Nat]),
    ),
    Row::new(
        "13",
        "DMZ host: everything inbound to the server",
        dmz,
        prove_dmz,
        Expect::closed(&[Translated]),
    ),
    Row::new(
        "14",
        "cloud 1:1 translation",
        one_to_one,
        prove_one_to_one,
        Expect::closed(&[Translated]),
    ),
    Row::new(
        "14b",
        "cloud 1:1 translation, which the operator accepts",
        one_to_one_accepted,
        prove_one_to_one,
        Expect {
            is_open: true,
            ..Expect::closed(&[Translated])
        },
    ),
    Row::new(
        "15",
        "cloud 1:1 translation, security group opens one port",
        one_to_one_one_port,
        prove_one_to_one_one_port,
        Expect::closed(&[Forwarded]),
    ),
    Row::new(
        "18",
        "mapped port, then the lease ends",
        leased,
        prove_leased,
        Expect::closed(&[Forwarded]),
    )
    .then(&[Step {
        what: "the lease ends",
        change: end_lease,
        expect: Expect::closed(&[Nat]),
        within_seconds: 900,
        for_seconds: 300,
        outside: None,
    }]),
    Row::new(
        "19",
        "container with a published port on a public host",
        container,
        prove_container,
        Expect::closed(&[Forwarded]),
    ),
    Row::new(
        "20",
        "forward that hides who sends",
        proxied,
        prove_proxied,
        Expect::closed(&[Proxied]),
    ),
    Row::new(
        "31",
        "address of a rented host, forwarded through a tunnel",
        tunnel,
        prove_tunnel,
        Expect::closed(&[Forwarded]),
    ),
    Row::new(
        "31b",
        "the same, and the rented host hides who sends",
        tunnel_proxied,
        prove_tunnel_proxied,
        Expect::closed(&[Proxied]),
    ),
];

const ANY: &str = "0.0.0.0:1320";

const DIALED: &str = "21.7.0.2:1320";

const BOUND: &str = "192.168.1.10:1320";

fn behind(mut world: World, prerouting: &str) -> Built {
    home(&mut world, &nat("", "", prerouting, "masquerade"))?;
    Ok(Scene::new(world, "s", ANY).found_at(BOUND))
}

fn forwarded(world: World) -> Built {
    behind(world, &forward(1320))
}

fn prove_forwarded(scene: &Scene) -> Outcome {
    reached(&scene.world, DIALED, "s", BOUND)?;
    shut(&scene.world, "21.7.0.2:1321", "s", "192.168.1.10:1321")?;
    asks(&scene.world, "s", LAN, PUBLIC)
}

fn other_port(world: World) -> Built {
    Ok(behind(world, &forward(5198))?.sought_at("21.7.0.2:5198"))
}

fn other_port_with_url(world: World) -> Built {
    Ok(other_port(world)?.with("urls = [\"mosaic://21.7.0.2:5198/\"]"))
}

fn prove_other_port(scene: &Scene) -> Outcome {
    reached(&scene.world, "21.7.0.2:5198", "s", BOUND)?;
    shut(&scene.world, DIALED, "s", BOUND)?;
    asks(&scene.world, "s", LAN, PUBLIC)
}

fn dmz(world: World) -> Built {
    behind(world, &format!("iifname wan dnat ip to {LAN}"))
}

fn prove_dmz(scene: &Scene) -> Outcome {
    reached(&scene.world, DIALED, "s", BOUND)?;
    reached(&scene.world, "21.7.0.2:40000", "s", "192.168.1.10:40000")?;
    asks(&scene.world, "s", LAN, PUBLIC)
}

/// Rules of a machine in a cloud: one public address is its own, all of it, and `filter` is asked
/// about what comes in.
fn cloud(filter: &str) -> String {
    format!(
        "table inet cloud {{
            chain forward {{
                type filter hook forward priority 0; policy drop;
                ct state established,related accept
                iifname lan accept
                {filter}
            }}
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                iifname wan ip daddr {PUBLIC} dnat ip to {LAN}
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                oifname wan ip saddr {LAN} snat ip to {PUBLIC}
            }}
        }}"
    )
}

fn one_to_one(mut world: World) -> Built {
    home(&mut world, &cloud("iifname wan accept"))?;
    Ok(Scene::new(world, "s", ANY).found_at(BOUND))
}

fn one_to_one_accepted(world: World) -> Built {
    Ok(one_to_one(world)?.with("accept_static_nat = [\"21.7.0.2\"]"))
}

fn prove_one_to_one(scene: &Scene) -> Outcome {
    prove_dmz(scene)?;
    let world = &scene.world;
    let server = world.bind("s", "192.168.1.10:47111")?;
    let asked = prober(world, 1, server.address())?;
    let seen = server.talks(asked.address(), &asked)?;
    expect(seen, address("21.7.0.2:47111"), "the mapping")
}

fn one_to_one_one_port(mut world: World) -> Built {
    home(&mut world, &cloud("iifname wan udp dport 1320 accept"))?;
    Ok(Scene::new(world, "s", ANY).found_at(BOUND))
}

fn prove_one_to_one_one_port(scene: &Scene) -> Outcome {
    prove_forwarded(scene)
}

fn leased(world: World) -> Built {
    let scene = behind(world, "")?;
    // A chain of its own, so that the lease can end by itself.
    scene.world.at("rtr").nft(&format!(
        "table inet lease {{
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                {}
            }}
        }}",
        forward(1320)
    ))?;
    Ok(scene)
}

fn end_lease(scene: &Scene) -> Outcome {
    scene.world.at("rtr").nft("delete table inet lease")
}

fn prove_leased(scene: &Scene) -> Outcome {
    prove_forwarded(scene)?;
    end_lease(scene)?;
    shut(&scene.world, DIALED, "s", BOUND)
}

fn container(mut world: World) -> Built {
    world.router("rtr")?;
    world.host("s")?;
    world.link(
        &End("rtr", "eth0", &["21.7.0.2/24"]),
        &End("core", "rtr", &["21.7.0.1/24"]),
    )?;
    world.link(
        &End("rtr", "docker0", &["172.17.0.1/16"]),
        &End("s", "eth0", &["172.17.0.2/16"]),
    )?;
    world.at("rtr").ip("route add default via 21.7.0.1")?;
    world.at("s").ip("route add default via 172.17.0.1")?;
    world.at("rtr").nft(
        "table ip nat {
            chain PREROUTING {
                type nat hook prerouting priority dstnat;
                fib daddr type local udp dport 1320 dnat to 172.17.0.2:1320
            }
            chain POSTROUTING {
                type nat hook postrouting priority srcnat;
                ip saddr 172.17.0.0/16 oifname != docker0 masquerade
            }
        }
        table ip filter {
            chain FORWARD {
                type filter hook forward priority 0; policy drop;
                oifname docker0 ct state established,related accept
                iifname docker0 accept
                oifname docker0 ip daddr 172.17.0.2 udp dport 1320 accept
            }
        }",
    )?;
    Ok(Scene::new(world, "s", ANY).found_at("172.17.0.2:1320"))
}

fn prove_container(scene: &Scene) -> Outcome {
    reached(&scene.world, DIALED, "s", "172.17.0.2:1320")?;
    shut(&scene.world, "21.7.0.2:1321", "s", "172.17.0.2:1321")?;
    asks(&scene.world, "s", "172.17.0.2", PUBLIC)
}

/// What goes to the server appears to come from the router.
const HIDE: &str = "add rule inet nat postrouting oifname lan masquerade";

fn proxied(world: World) -> Built {
    let scene = forwarded(world)?;
    scene.world.at("rtr").nft(HIDE)?;
    Ok(scene)
}

/// Strangers get in, and the server sees `gateway` instead of them.
fn hidden(scene: &Scene, bound: &str, gateway: &str) -> Outcome {
    let world = &scene.world;
    let (dialed, server) = (address(DIALED), world.bind("s", bound)?);
    for number in 1..=3 {
        let seen = prober(world, number, dialed)?.talks(dialed, &server)?;
        expect(seen.ip(), gateway.parse().unwrap(), "who the server sees")?;
    }
    Ok(())
}

fn prove_proxied(scene: &Scene) -> Outcome {
    hidden(scene, BOUND, "192.168.1.1")?;
    asks(&scene.world, "s", LAN, PUBLIC)
}

/// As [`home`], but the router is a rented host and the LAN a tunnel.
fn tunnel(mut world: World) -> Built {
    let forward = "iifname wan udp dport 1320 dnat ip to 10.8.0.2";
    home(&mut world, &nat("", "", forward, "masquerade"))?;
    world.at("rtr").ip("address add 10.8.0.1/24 dev lan")?;
    world.at("s").ip("link set dev eth0 down\n\
         link set dev eth0 name wg0\n\
         link set dev wg0 up\n\
         address flush dev wg0\n\
         address add 10.8.0.2/24 dev wg0\n\
         route add default via 10.8.0.1")?;
    Ok(Scene::new(world, "s", ANY).found_at("10.8.0.2:1320"))
}

fn prove_tunnel(scene: &Scene) -> Outcome {
    reached(&scene.world, DIALED, "s", "10.8.0.2:1320")?;
    shut(&scene.world, "21.7.0.2:1321", "s", "10.8.0.2:1321")?;
    asks(&scene.world, "s", "10.8.0.2", PUBLIC)
}

fn tunnel_proxied(world: World) -> Built {
    let scene = tunnel(world)?;
    scene.world.at("rtr").nft(HIDE)?;
    Ok(scene)
}

fn prove_tunnel_proxied(scene: &Scene) -> Outcome {
    hidden(scene, "10.8.0.2:1320", "10.8.0.1")?;
    asks(&scene.world, "s", "10.8.0.2", PUBLIC)
}
