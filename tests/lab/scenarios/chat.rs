//! A server behind a NAT serves a chat to whoever can reach it, and nothing else.

use std::time::Duration;

use super::records::{Room, all_once, text};
use crate::Outcome;
use crate::cast::Player;
use crate::judge::Tried;
use crate::play::{Pace, settle};
use crate::rows;
use crate::scene::address;
use crate::stage::Stage;
use crate::world::World;

/// Plays it. Returns what was seen.
pub(super) fn run(scale: f64) -> Outcome<String> {
    let row = rows::named("39");
    let scene = (row.build)(World::internet("chat", scale)?)?;
    let mut stage = Stage::set(&scene, scale)?;
    let pace = Pace {
        scale,
        for_seconds: 450,
        shows: false,
    };
    let status = settle(&mut stage, &row, pace)?;
    let (folder, server) = (stage.folder(), "192.168.1.10:1320");
    let key = Player::Server(1).key().public().to_server_string();
    let room = Room {
        server: format!("{key}@{server}"),
        folder: &folder,
        role: &["--role", "application", "--app", "1"],
        kind: "chat",
        author: Player::User,
    };
    let near = scene.world.at("near");
    let subscriber = room.subscribe(near, LINES)?;
    let mut publisher = room.publish(near)?;
    (0..LINES).try_for_each(|number| publisher.say(&text(number)))?;
    publisher.finish()?;
    all_once(&subscriber, LINES, Duration::from_secs(30))?;
    let tried = Tried::from(&scene, folder.clone(), "near", address(server))?;
    tried.agrees(false, &["NAT"])?;
    Ok(format!(
        "{status}\n{LINES} lines of chat from a neighbour, each seen once; {tried}"
    ))
}

const LINES: usize = 50;
