//! The port that a server is asked to dial.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::args::ProbeCommand;
use super::super::error::CliError;
use crate::base::limits;
use crate::client::{Catcher, CatcherError, Caught};
use crate::reach::canary;
use crate::wire::{ProbeMode, ProbeTransport, SecretKey, Transport};

/// The port that is to be dialed, in both families as far as this machine has them: which one the
/// server sees is known only when it was asked.
pub(super) struct Ports {
    pub(super) port: u16,
    v4: Option<Catcher>,
    v6: Option<Catcher>,
}

impl Ports {
    /// Without a port of the user's it is Mosaic's own, for a server dials few different ones; or
    /// another, where that is taken or was perhaps sent from.
    pub(super) fn open(command: &ProbeCommand, identity: &SecretKey) -> Result<Self, CliError> {
        let on = |port| Self::on(port, command.transport, identity);
        let mut opened = match (command.port, command.mode) {
            (Some(port), _) => return on(port.get()),
            (None, ProbeMode::Canary) => on(canary::random_port()),
            (None, ProbeMode::Direct | ProbeMode::Cold) => on(Transport::Quic.default_port()),
        };
        for _ in 0..limits::CANARY_TRIES_MAX {
            match opened {
                Err(CliError::Listen(CatcherError::Bind { ref source, .. }))
                    if source.kind() == io::ErrorKind::AddrInUse => {}
                opened => return opened,
            }
            opened = on(canary::random_port());
        }
        opened
    }

    fn on(port: u16, transport: ProbeTransport, identity: &SecretKey) -> Result<Self, CliError> {
        let bind = |ip: IpAddr| Catcher::bind(SocketAddr::new(ip, port), transport, identity);
        let v4 = bind(Ipv4Addr::UNSPECIFIED.into());
        let v6 = bind(Ipv6Addr::UNSPECIFIED.into());
        let (v4, v6) = match (v4, v6) {
            (Ok(v4), v6) => (Some(v4), family(v6)?),
            (v4, Ok(v6)) => (family(v4)?, Some(v6)),
            (Err(error), Err(_)) => return Err(error.into()),
        };
        Ok(Self { port, v4, v6 })
    }

    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Caught {
        tokio::select! {
            caught = next(&mut self.v4) => caught,
            caught = next(&mut self.v6) => caught,
        }
    }
}

/// The port in one family, where the other has it; `None` where the machine has no such family.
fn family(bound: Result<Catcher, CatcherError>) -> Result<Option<Catcher>, CatcherError> {
    match bound {
        Err(CatcherError::Bind { ref source, .. }) if source.kind() != io::ErrorKind::AddrInUse => {
            Ok(None)
        }
        bound => bound.map(Some),
    }
}

async fn next(catcher: &mut Option<Catcher>) -> Caught {
    match catcher {
        Some(catcher) => catcher.next().await,
        None => std::future::pending().await,
    }
}
