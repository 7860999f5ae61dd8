//! A scene: a world, and who plays in it.

use std::net::SocketAddr;

use crate::Outcome;
use crate::world::{PORT, PROBERS, PUBLIC, World, prober_v4, prober_v6};

/// Everything about a row before anything is started.
pub(crate) struct Scene {
    pub(crate) world: World,
    /// The tested server, and behind it others that the row needs.
    pub(crate) servers: Vec<Server>,
    /// The servers that test it.
    pub(crate) probers: Vec<Prober>,
    /// Where a client outside looks for the server.
    pub(crate) outside: SocketAddr,
    /// Where one on the server's own host finds it.
    pub(crate) inside: SocketAddr,
    /// Further ways to the tested server, which may be shut while others are open.
    pub(crate) doors: Vec<Door>,
    /// What is sent beside the servers' own packets.
    pub(crate) traffic: Vec<Traffic>,
    /// Files in the folder of the tested server's configuration: name and text.
    pub(crate) files: Vec<(&'static str, String)>,
    /// Where something that speaks like Tor's control port listens on the server's host.
    pub(crate) tor_control: Option<SocketAddr>,
}

/// A server to start.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Where it runs.
    pub(crate) host: &'static str,
    /// Number of its key: two servers may have the same.
    pub(crate) key: u8,
    /// The addresses of its QUIC listeners.
    pub(crate) listen: Vec<SocketAddr>,
    /// The addresses of its TCP listeners.
    pub(crate) listen_tcp: Vec<SocketAddr>,
    /// Further lines of its `[reachability]` section.
    pub(crate) reachability: String,
}

/// A server that probes.
#[derive(Clone, Debug)]
pub(crate) struct Prober {
    /// Where it runs.
    pub(crate) host: &'static str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where others find it.
    pub(crate) known_at: SocketAddr,
    /// What it does when it is asked.
    pub(crate) behaviour: Behaviour,
    /// Whether the operator of the tested server pinned it.
    pub(crate) is_pinned: bool,
}

/// What a prober does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It is a `mosaicd witness`.
    Honest,
    /// It dials nobody and says that nothing came back.
    SaysNoResponse,
    /// It dials nobody and says that the listener took the nonce.
    SaysOk,
    /// It says that it has no time.
    Refuses,
    /// It dials this address instead and says that it dialed the right one.
    DialsInstead(SocketAddr),
}

/// One way to the tested server, and whether it leads to outbox, inbox and encryption.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// Where the client stands.
    pub(crate) host: &'static str,
    /// Where it connects to: an address, or a URL.
    pub(crate) target: String,
    pub(crate) is_open: bool,
}

/// Datagrams that are no server's, but leave from its port.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    /// The host that sends them.
    pub(crate) host: &'static str,
    /// From where.
    pub(crate) from: SocketAddr,
    /// To whom.
    pub(crate) to: Vec<SocketAddr>,
    /// Once before the server starts; otherwise again and again while it runs.
    pub(crate) is_over: bool,
}

impl Scene {
    /// A scene with one server on `host`, bound to `listen`, and five honest probers.
    pub(crate) fn new(world: World, host: &'static str, listen: &str) -> Self {
        let listen = address(listen);
        Self {
            world,
            servers: vec![Server {
                host,
                key: 1,
                listen: vec![listen],
                listen_tcp: Vec::new(),
                reachability: String::new(),
            }],
            probers: (1..=5)
                .map(|number| Prober::honest(number, listen))
                .collect(),
            outside: address(&format!("{PUBLIC}:{PORT}")),
            inside: if listen.ip().is_unspecified() {
                address(&format!("{PUBLIC}:{PORT}"))
            } else {
                listen
            },
            doors: Vec::new(),
            traffic: Vec::new(),
            files: Vec::new(),
            tor_control: None,
        }
    }

    /// The tested server.
    pub(crate) fn server(&mut self) -> &mut Server {
        self.servers.first_mut().unwrap()
    }

    /// Says where a client outside looks for the server, if that is not the usual place.
    pub(crate) fn sought_at(mut self, target: &str) -> Self {
        self.outside = address(target);
        self
    }

    /// Says at which of its own addresses the server's host finds it, if that is not the usual one.
    pub(crate) fn found_at(mut self, target: &str) -> Self {
        self.inside = address(target);
        self
    }

    /// Adds a way to the server.
    pub(crate) fn door(mut self, host: &'static str, target: &str, is_open: bool) -> Self {
        self.doors.push(Door {
            host,
            target: target.to_owned(),
            is_open,
        });
        self
    }

    /// Has the tested server listen for TLS over TCP too.
    pub(crate) fn with_tcp(mut self, listen: &str) -> Self {
        self.server().listen_tcp.push(address(listen));
        self
    }

    /// Adds a line to the `[reachability]` section of the tested server.
    pub(crate) fn with(mut self, line: &str) -> Self {
        let section = &mut self.server().reachability;
        section.push_str(line);
        section.push('\n');
        self
    }

    /// Has the probers with these numbers behave in that way.
    pub(crate) fn behaving(mut self, numbers: &[usize], behaviour: Behaviour) -> Self {
        for number in numbers {
            self.probers[number - 1].behaviour = behaviour;
        }
        self
    }

    /// Leaves the first `count` probers.
    pub(crate) fn probers_at_most(mut self, count: usize) -> Self {
        self.probers.truncate(count);
        self
    }

    /// Makes witnesses of all probers.
    pub(crate) fn pinned(mut self) -> Self {
        self.probers
            .iter_mut()
            .for_each(|prober| prober.is_pinned = true);
        self
    }
}

impl Prober {
    /// Prober `number` of the Internet, in the family of `listen`.
    pub(crate) fn honest(number: usize, listen: SocketAddr) -> Self {
        let ip = if listen.is_ipv4() {
            prober_v4(number)
        } else {
            format!("[{}]", prober_v6(number))
        };
        Self::on(PROBERS[number - 1], &format!("{ip}:{PORT}"))
    }

    /// An honest prober on `host`.
    pub(crate) fn on(host: &'static str, listen: &str) -> Self {
        let address = address(listen);
        Self {
            host,
            address,
            known_at: address,
            behaviour: Behaviour::Honest,
            is_pinned: false,
        }
    }
}

/// An address that a row was written with.
pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse()
        .unwrap_or_else(|error| panic!("{text} is no address: {error}"))
}

/// The result of building or proving a row.
pub(crate) type Built = Outcome<Scene>;
