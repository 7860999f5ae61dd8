//! What a topology is proved to do before any server runs in it.

use std::net::{IpAddr, SocketAddr};

use crate::Outcome;
use crate::scene::address;
use crate::udp::Port;
use crate::world::{PROBERS, World, prober_v4, prober_v6};

/// Probers that a proof speaks with.
const NUMBERS: [usize; 3] = [1, 2, 3];

/// A port of prober `number`, in the family of `like`.
pub(crate) fn prober(world: &World, number: usize, like: SocketAddr) -> Outcome<Port> {
    let ip = if like.is_ipv4() {
        prober_v4(number)
    } else {
        format!("[{}]", prober_v6(number))
    };
    world.bind(PROBERS[number - 1], &format!("{ip}:0"))
}

/// Strangers who dial `dialed` reach `host` at `bound`, which sees who they are, and are answered.
pub(crate) fn reached(world: &World, dialed: &str, host: &str, bound: &str) -> Outcome {
    let (dialed, server) = (address(dialed), world.bind(host, bound)?);
    for number in NUMBERS {
        let stranger = prober(world, number, dialed)?;
        let seen = stranger.talks(dialed, &server)?;
        expect(seen, stranger.address(), "the source is kept")?;
    }
    Ok(())
}

/// Strangers who dial `dialed` do not reach `host` at `bound`.
pub(crate) fn shut(world: &World, dialed: &str, host: &str, bound: &str) -> Outcome {
    let (dialed, server) = (address(dialed), world.bind(host, bound)?);
    for number in NUMBERS {
        prober(world, number, dialed)?.is_lost(dialed, &server)?;
    }
    Ok(())
}

/// `host` can ask: what it sends from a fresh port of `from` is answered. The probers see it come
/// from `seen`.
pub(crate) fn asks(world: &World, host: &str, from: &str, seen: &str) -> Outcome {
    let seen: IpAddr = seen.parse().unwrap();
    let asker = world.bind(host, &with_port(from, 0))?;
    for number in NUMBERS {
        let other = prober(world, number, asker.address())?;
        let source = asker.talks(other.address(), &other)?;
        expect(source.ip(), seen, "the source that probers see")?;
    }
    Ok(())
}

/// Two things that must be the same.
pub(crate) fn expect<T: PartialEq + std::fmt::Debug>(is: T, should: T, what: &str) -> Outcome {
    if is == should {
        return Ok(());
    }
    Err(format!("{what}: {is:?}, not {should:?}"))
}

/// `ip:port`, with brackets where they belong.
pub(crate) fn with_port(ip: &str, port: u16) -> String {
    let ip: IpAddr = ip.parse().unwrap_or_else(|error| panic!("{ip}: {error}"));
    SocketAddr::new(ip, port).to_string()
}
