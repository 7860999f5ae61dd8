//! A simulated world: probers with their manners, a network, and a clock that is moved by hand.

mod changes;
mod churn;
mod random;
mod rows;
mod world;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use self::world::{Dial, Fate, Host, Manners, World};
use super::*;
use crate::reach::evidence::LocalAddress;

const SERVER: &str = "21.7.0.2";
const PORT: u16 = 1320;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn socket(text: &str) -> SocketAddr {
    SocketAddr::new(ip(text), PORT)
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Six honest witnesses in as many networks.
fn six() -> Vec<Host> {
    (1..=6_u8)
        .map(|number| Host::new(number, IpAddr::from([10 + number, number, 0, 2])))
        .collect()
}

fn hosts(number: usize) -> Vec<Host> {
    six().into_iter().take(number).collect()
}

fn facts(addresses: &[&str]) -> LocalFacts {
    let mut all = vec!["127.0.0.1", "::1"];
    all.extend(addresses);
    LocalFacts {
        addresses: all
            .into_iter()
            .map(|text| LocalAddress {
                ip: ip(text),
                interface: "eth0".to_owned(),
                is_usable: true,
            })
            .collect(),
        route_v4: true,
        route_v6: true,
        gateways: Vec::new(),
    }
}

/// Everything sent to the server's address arrives there.
fn open_network(dial: &Dial) -> Fate {
    Fate::arrives(dial.dialed.ip(), dial.src)
}

/// Nothing arrives.
fn shut_network(_: &Dial) -> Fate {
    Fate::Silence
}
