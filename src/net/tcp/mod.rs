//! TLS over TCP: its sockets, its accept loop, its connections as the drivers see them.
//!
//! A connection has one stream, which is there from the start. Nothing but the end of the
//! connection can say that a half was abandoned, so there is no reset and no stop.
//!
//! There is no idle timeout: a subscriber may be silent for days, and TCP's own keep-alive, which
//! asks a silent peer's system and not its program, finds out who is gone. A slow reader is not
//! cut off; one that takes nothing at all for minutes is, as over QUIC.

mod accept;
mod carrier;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

pub(super) use self::accept::accept;
use super::error::NetError;
use crate::base::limits;
use crate::identity::Identity;

/// A listening socket, and what its handshakes need.
pub(super) struct Acceptor {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

/// Makes the acceptors of one listener, all of them with the same certificate.
pub(super) struct Acceptors {
    config: Arc<ServerConfig>,
}

impl Acceptors {
    /// For a listener that proves to be `identity`.
    ///
    /// # Errors
    /// [`NetError::Identity`].
    pub(super) fn of(identity: &Identity) -> Result<Self, NetError> {
        Ok(Self {
            config: Arc::new(identity.server_tls()?),
        })
    }

    /// Listens on `address`; returns the acceptor with the address it has now.
    ///
    /// # Errors
    /// What the system says, above all that the address is in use or not ours.
    pub(super) fn bind(&self, address: SocketAddr) -> io::Result<(SocketAddr, Acceptor)> {
        let listener = listen(address)?;
        let bound = listener.local_addr()?;
        let config = Arc::clone(&self.config);
        Ok((bound, Acceptor { listener, config }))
    }
}

/// An IPv6 socket takes IPv6 only, as for QUIC.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier process that are closing must not keep this one from its address.
    socket.set_reuse_address(true)?;
    // Those that are accepted inherit them. Left alone, the system gives one connection megabytes.
    socket.set_recv_buffer_size(limits::TCP_BUFFER_BYTES)?;
    socket.set_send_buffer_size(limits::TCP_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::TCP_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests;
