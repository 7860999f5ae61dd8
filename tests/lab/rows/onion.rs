//! Loopback and onion services.

use mosaicd::reach::verdict::Verdict::{Local, Onion, Public};

use super::{Expect, Row, public};
use crate::Outcome;
use crate::proof::{reached, shut};
use crate::scene::{Built, Scene, address};
use crate::world::World;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "35",
        "bound to loopback, no Tor",
        loopback,
        prove_loopback,
        Expect::closed(&[Local]),
    ),
    Row::new(
        "36",
        "onion service by its URL",
        onion_url,
        prove_loopback,
        Expect::closed(&[Onion]),
    ),
    Row::new(
        "36b",
        "onion service by the torrc",
        onion_torrc,
        prove_loopback,
        Expect::closed(&[Onion]),
    ),
    Row::new(
        "36c",
        "onion service by Tor's control port",
        onion_control,
        prove_loopback,
        Expect::closed(&[Onion]),
    ),
    Row::new(
        "37",
        "onion URL beside a public endpoint",
        mirror,
        public::prove_open,
        Expect::PUBLIC.endpoints(&[("21.7.0.2:", &[Public]), ("tcp ", &[Onion])]),
    ),
];

const LOOPBACK: &str = "127.0.0.1:1320";

const LOOPBACK_TCP: &str = "mosaictcp://127.0.0.1:1320/";

/// A name of the right form; nobody is there.
const ONION: &str =
    "mosaictcp://2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:1320/";

/// A public machine, so that nothing but the bind address keeps the server from being reached.
fn loopback(world: World) -> Built {
    let mut scene = public::open(world)?;
    scene.server().listen = vec![address(LOOPBACK)];
    Ok(scene.found_at(LOOPBACK))
}

/// The machine is reached; what is bound to loopback is not.
fn prove_loopback(scene: &Scene) -> Outcome {
    reached(&scene.world, "21.7.0.2:1320", "s", "21.7.0.2:1320")?;
    shut(&scene.world, "21.7.0.2:1320", "s", LOOPBACK)
}

/// Tor carries TCP, so an onion service has a TCP listener.
fn service(world: World) -> Built {
    let scene = loopback(world)?.with_tcp(LOOPBACK);
    Ok(scene.door("s", LOOPBACK_TCP, false))
}

fn onion_url(world: World) -> Built {
    Ok(service(world)?.with(&format!("urls = [\"{ONION}\"]")))
}

fn onion_torrc(world: World) -> Built {
    let mut scene = service(world)?.with("torrc = [\"torrc\"]");
    scene.files.push((
        "torrc",
        "SocksPort 0\n\
         HiddenServiceDir /var/lib/tor/mosaic\n\
         HiddenServicePort 1320 127.0.0.1:1320\n"
            .to_owned(),
    ));
    Ok(scene)
}

fn onion_control(world: World) -> Built {
    let mut scene = service(world)?.with("tor_control = \"127.0.0.1:9051\"");
    scene.tor_control = Some(address("127.0.0.1:9051"));
    Ok(scene)
}

fn mirror(world: World) -> Built {
    let scene = public::open(world)?
        .with_tcp(LOOPBACK)
        .with(&format!("urls = [\"{ONION}\"]"));
    Ok(scene.door("s", LOOPBACK_TCP, false))
}
