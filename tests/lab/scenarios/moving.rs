//! A client behind a NAT follows a public server while its mapping is dropped, and comes back with
//! another port, then with another address.

use std::thread::sleep;
use std::time::Duration;

use super::records::{Room, all_once, text};
use crate::Outcome;
use crate::cast::Player;
use crate::play::{Pace, settle};
use crate::proof::expect;
use crate::rows;
use crate::scene::address;
use crate::stage::Stage;
use crate::world::{End, World};

/// Plays it. Returns what was seen.
pub(super) fn run(scale: f64) -> Outcome<String> {
    let row = rows::named("1");
    let mut scene = (row.build)(World::internet("moving", scale)?)?;
    add_client(&mut scene.world)?;
    let moves = prove(&scene.world)?;
    let mut stage = Stage::set(&scene, scale)?;
    let pace = Pace {
        scale,
        for_seconds: 0,
        shows: false,
    };
    settle(&mut stage, &row, pace)?;
    let folder = stage.folder();
    let key = Player::Server(1).key().public().to_server_string();
    let room = Room {
        server: format!("{key}@{}", scene.outside),
        folder: &folder,
        role: &["--role", "outbox"],
        kind: "microblog",
        author: Player::User,
    };
    let mut subscriber = room.subscribe(scene.world.at("c"), RECORDS)?;
    let mut publisher = room.publish(scene.world.at("cli"))?;
    for number in 0..RECORDS {
        publisher.say(&text(number))?;
        match number {
            50 => move_to(&scene.world, FIRST)?,
            200 => move_to(&scene.world, SECOND)?,
            350 => move_to(&scene.world, SECOND)?,
            _ => {}
        }
        sleep(Duration::from_millis(150));
    }
    publisher.finish()?;
    let seen = sources(&scene.world)?;
    all_once(&subscriber, RECORDS, Duration::from_secs(90))?;
    subscriber.check().err().map_or(Ok(()), |ended| {
        expect(
            ended.contains("exit status: 0"),
            true,
            "the subscriber is content",
        )
    })?;
    Ok(format!(
        "{moves}\n{RECORDS} records were published while the subscriber moved; each arrived once\n\
         the server saw it at {}",
        seen.join(", ")
    ))
}

const RECORDS: usize = 500;

/// The router's address and gateway, before and after it moves.
type Place = [&'static str; 2];

const FIRST: Place = ["24.4.0.2", "24.4.0.1"];

const SECOND: Place = ["25.5.0.2", "25.5.0.1"];

fn add_client(world: &mut World) -> Outcome {
    world.router("gate")?;
    world.host("c")?;
    world.link(
        &End("gate", "wan", &["24.4.0.2/24"]),
        &End("core", "gate", &["24.4.0.1/24", "25.5.0.1/24"]),
    )?;
    world.link(
        &End("gate", "lan", &["192.168.1.1/24"]),
        &End("c", "eth0", &["192.168.1.10/24"]),
    )?;
    world.at("core").nft(
        "table inet gauge {
            set sources { type ipv4_addr . inet_service; flags dynamic; }
            chain forward {
                type filter hook forward priority 0;
                iifname gate udp dport 1320 add @sources { ip saddr . udp sport }
            }
        }",
    )?;
    world.at("gate").ip("route add default via 24.4.0.1")?;
    world.at("c").ip("route add default via 192.168.1.1")?;
    world
        .at("gate")
        .nft(&crate::shapes::nat("", "", "", "masquerade fully-random"))
}

/// Takes the router's address away, which ends every mapping, and gives it one again.
fn move_to(world: &World, [own, gateway]: Place) -> Outcome {
    world.at("gate").ip(&format!(
        "address flush dev wan\n\
         address add {own}/24 dev wan\n\
         route add default via {gateway}"
    ))
}

/// Addresses and ports from which the client's network spoke to the server.
fn sources(world: &World) -> Outcome<Vec<String>> {
    let listed = world
        .at("core")
        .listed(&["set", "inet", "gauge", "sources"])?;
    let objects = listed["nftables"].as_array().cloned().unwrap_or_default();
    let elements = objects
        .iter()
        .find_map(|object| object["set"]["elem"].as_array());
    let seen: Vec<String> = elements
        .into_iter()
        .flatten()
        .map(|element| {
            format!(
                "{}:{}",
                element["concat"][0].as_str().unwrap_or("?"),
                element["concat"][1]
            )
        })
        .collect();
    // One before and one after each of three moves.
    expect(
        seen.len() >= 4,
        true,
        &format!("the client moved: {seen:?}"),
    )?;
    Ok(seen)
}

/// A client's one port is seen at another port after a move, and at another address too.
fn prove(world: &World) -> Outcome<String> {
    let client = world.bind("c", "192.168.1.10:0")?;
    let far = world.bind("cli", "31.9.0.2:4000")?;
    let to = address("31.9.0.2:4000");
    let mut seen = vec![client.talks(to, &far)?];
    for place in [FIRST, SECOND, FIRST] {
        move_to(world, place)?;
        // The kernel forgets the mappings a moment later.
        sleep(Duration::from_millis(300));
        seen.push(client.talks(to, &far)?);
    }
    for pair in seen.windows(2) {
        expect(
            pair[0] == pair[1],
            false,
            "the mapping after a move is the old one",
        )?;
    }
    let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
    Ok(format!(
        "one port of the client was seen as {}",
        seen.join(", then ")
    ))
}
