//! A fresh port that never sent a packet: what reaches it was not let in because of one.

use std::net::{IpAddr, SocketAddr};

use crate::base::limits;
use crate::client::{Catcher, CatcherError, Caught};
use crate::wire::{ProbeTransport, SecretKey};

/// A fresh port, and the dial-backs that reach it. Dropping it closes the port.
///
/// Where a dial-back to it arrives, every port of the address is passed on to this machine; where
/// none does, that shows nothing.
///
/// # Source
/// `reachability.md` section (d.2), evidence D3.
#[derive(Debug)]
pub struct Canary(Catcher);

impl Canary {
    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.0.port()
    }

    /// The next dial-back, which the caller answers. Waits for ever where none comes.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Caught {
        self.0.next().await
    }
}

/// Opens a canary on `ip`, which may be the wildcard of its family, that proves to be `identity`.
///
/// # Errors
/// [`CatcherError`]; where no port is free, that of the last one tried.
pub fn open(
    ip: IpAddr,
    transport: ProbeTransport,
    identity: &SecretKey,
) -> Result<Canary, CatcherError> {
    let on = |port| Catcher::bind(SocketAddr::new(ip, port), transport, identity).map(Canary);
    let mut tries_left = limits::CANARY_TRIES_MAX;
    loop {
        let opened = on(random_port());
        tries_left -= 1;
        match opened {
            Err(CatcherError::Bind { ref source, .. })
                if source.kind() == std::io::ErrorKind::AddrInUse && tries_left > 0 => {}
            opened => return opened,
        }
    }
}

/// A port for a canary, which may be taken.
///
/// It is one of those that systems do not give to programs which ask for any: the hole that some
/// other program's connection left in a NAT or a firewall is not at one of them.
#[must_use]
pub fn random_port() -> u16 {
    rand::random_range(PORTS)
}

/// Below the range from which Linux and others give ports to programs that connect, which begins at
/// 32768, and above those that services are known by.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

const _: () = assert!(limits::CANARY_TRIES_MAX > 0);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::client::{RawConnection, ServerTrust, Target};
    use crate::wire::{Body, ClientMessage, Dialback, EXTENSION_APP, Nonce, ProbeMode};

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn key() -> SecretKey {
        SecretKey::from_seed([1; 32])
    }

    #[tokio::test]
    async fn a_canary_is_on_a_port_that_no_connecting_program_had() {
        let canary = open(LOOPBACK, ProbeTransport::Quic, &key()).unwrap();
        assert!(PORTS.contains(&canary.port()));
    }

    #[tokio::test]
    async fn canaries_do_not_share_a_port() {
        let one = open(LOOPBACK, ProbeTransport::Quic, &key()).unwrap();
        let other = open(LOOPBACK, ProbeTransport::Quic, &key()).unwrap();
        assert_ne!(one.port(), other.port());
    }

    #[tokio::test]
    async fn an_address_of_another_machine_has_no_canary_here() {
        let elsewhere = Ipv4Addr::new(192, 0, 2, 1).into();
        let error = open(elsewhere, ProbeTransport::Quic, &key()).unwrap_err();
        assert!(matches!(error, CatcherError::Bind { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_dialback_reaches_a_canary_on_the_wildcard_address() {
        let any = Ipv4Addr::UNSPECIFIED.into();
        let mut canary = open(any, ProbeTransport::Quic, &key()).unwrap();
        let dialed = SocketAddr::new(LOOPBACK, canary.port());
        let target = Target::from((dialed, ServerTrust::Exact(key().public())));
        let connecting = RawConnection::connect(&target, None, limits::CLIENT_TIMEOUT);
        let connection = connecting.await.unwrap();
        let mut stream = connection.open().await.unwrap();
        let hello = ClientMessage::Hello {
            version: 0,
            apps: vec![EXTENSION_APP],
        };
        let dialback = Dialback {
            nonce: Nonce::from_bytes([3; 16]),
            mode: ProbeMode::Canary,
            dialed,
        };
        stream.send(hello.encode()).await.unwrap();
        stream.send(dialback.encode(1)).await.unwrap();
        let caught = canary.next().await;
        assert_eq!(caught.dialback, dialback);
        assert_eq!(caught.dst, Some(LOOPBACK));
    }
}
