//! Plain UDP with which a topology is proved before any server runs in it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::netns::Netns;

/// A UDP socket in a namespace, bound to one address, so that what it receives was sent to that.
pub(crate) struct Port {
    socket: UdpSocket,
    host: String,
}

impl Port {
    /// Binds `address` in `host`; port 0 is a fresh one.
    pub(crate) fn bind(host: &Netns, address: &str) -> Outcome<Self> {
        let bound = host.enter(|| {
            let begin = Instant::now();
            let socket = loop {
                match UdpSocket::bind(address) {
                    // A process that another thread starts right now has our sockets for a moment.
                    Err(error) if is_in_use(&error) && begin.elapsed() < PATIENCE => {
                        sleep(Duration::from_millis(10));
                    }
                    bound => break bound?,
                }
            };
            socket.set_read_timeout(Some(Duration::from_millis(20)))?;
            std::io::Result::Ok(socket)
        })?;
        Ok(Self {
            socket: bound.map_err(|error| format!("{}: bind {address}: {error}", host.name()))?,
            host: host.name().to_owned(),
        })
    }

    /// The bound address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Sends something to `to`, to whatever effect.
    pub(crate) fn send(&self, to: SocketAddr) -> Outcome {
        self.put(&token(), to)
    }

    /// Sends to `to`; it must arrive at `at`. Returns the source address that `at` sees.
    pub(crate) fn reaches(&self, to: SocketAddr, at: &Self) -> Outcome<SocketAddr> {
        let token = token();
        self.put(&token, to)?;
        at.take(&token, PATIENCE)
            .ok_or_else(|| format!("{} -> {to} did not arrive at {}", self.say(), at.say()))
    }

    /// Sends to `to`; it must not arrive at `at`.
    pub(crate) fn is_lost(&self, to: SocketAddr, at: &Self) -> Outcome {
        let token = token();
        self.put(&token, to)?;
        match at.take(&token, SILENCE) {
            None => Ok(()),
            Some(from) => Err(format!(
                "{} -> {to} arrived at {} from {from}",
                self.say(),
                at.say()
            )),
        }
    }

    /// As [`reaches`](Self::reaches), and the answer of `at` comes back from `to`, as a handshake
    /// needs it.
    pub(crate) fn talks(&self, to: SocketAddr, at: &Self) -> Outcome<SocketAddr> {
        let seen = self.reaches(to, at)?;
        let from = at.reaches(seen, self)?;
        if from == to {
            return Ok(seen);
        }
        Err(format!(
            "{} sent to {to} and is answered by {from}",
            self.say()
        ))
    }

    /// As [`reaches`](Self::reaches), but the answer of `at` does not come back from `to`.
    pub(crate) fn talks_in_vain(&self, to: SocketAddr, at: &Self) -> Outcome {
        let seen = self.reaches(to, at)?;
        let answer = token();
        at.put(&answer, seen)?;
        match self.take(&answer, SILENCE) {
            Some(from) if from == to => Err(format!("{} -> {to} is answered", self.say())),
            _ => Ok(()),
        }
    }

    /// Sends `count` datagrams to `at`, one after the other, and counts those that do not arrive.
    pub(crate) fn count_lost(&self, at: &Self, count: usize) -> Outcome<usize> {
        let tokens: Vec<Vec<u8>> = (0..count).map(|_| token()).collect();
        let mut lost = 0;
        for token in &tokens {
            self.put(token, at.address())?;
            lost += usize::from(at.take(token, Duration::from_millis(2)).is_none());
        }
        Ok(lost)
    }

    fn say(&self) -> String {
        format!("{} {}", self.host, self.address())
    }

    fn put(&self, token: &[u8], to: SocketAddr) -> Outcome {
        match self.socket.send_to(token, to) {
            Ok(_) => Ok(()),
            // The error of an earlier datagram (ICMP), or the firewall's: this one counts as lost.
            Err(error) if LOST.contains(&error.kind()) => Ok(()),
            Err(error) => Err(format!("{}: send to {to}: {error}", self.say())),
        }
    }

    fn take(&self, token: &[u8], patience: Duration) -> Option<SocketAddr> {
        let deadline = Instant::now() + patience;
        let mut buffer = [0; 64];
        while Instant::now() < deadline {
            // A time-out, or an error that an earlier datagram met: the next one is waited for.
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            if buffer.get(..length) == Some(token) {
                return Some(from);
            }
        }
        None
    }
}

fn is_in_use(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::AddrInUse
}

/// A text that nothing else sends.
fn token() -> Vec<u8> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("lab {number}").into_bytes()
}

/// A packet between namespaces takes microseconds; a loaded machine may need longer to run us.
const PATIENCE: Duration = Duration::from_secs(5);

/// What has not arrived by then was dropped. Too short a wait could only miss that a topology lets
/// too much through.
const SILENCE: Duration = Duration::from_millis(120);

const LOST: [std::io::ErrorKind; 5] = [
    std::io::ErrorKind::ConnectionRefused,
    std::io::ErrorKind::PermissionDenied,
    std::io::ErrorKind::HostUnreachable,
    std::io::ErrorKind::NetworkUnreachable,
    std::io::ErrorKind::AddrNotAvailable,
];
