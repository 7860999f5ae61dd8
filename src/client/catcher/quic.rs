//! Dial-backs over QUIC.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{
    Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::super::raw::{ReceiveHalf, SendHalf};
use super::talk::{self, Dialer};
use super::{CatcherError, Caught};
use crate::base::limits;
use crate::identity::{self, Identity};

/// One stream, on which next to nothing may come in.
pub(super) fn config(identity: &Identity) -> Result<ServerConfig, CatcherError> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(limits::CATCHER_MAX_BYTES.into())
        .receive_window(limits::CATCHER_MAX_BYTES.into())
        .max_idle_timeout(limits::CATCHER_TIMEOUT.try_into().ok());
    let mut config = ServerConfig::with_crypto(identity.server_crypto()?);
    config
        .transport_config(Arc::new(transport))
        // A dialer that changes its address shows nothing about the one it had.
        .migration(false)
        .max_incoming(limits::CATCHER_CONNECTIONS_MAX)
        .incoming_buffer_size(limits::CATCHER_MAX_BYTES.into())
        .incoming_buffer_size_total(limits::CATCHER_INCOMING_MAX_BYTES);
    Ok(config)
}

/// An IPv6 socket takes IPv6 alone, as those of a listener do.
pub(super) fn bind(address: SocketAddr, config: ServerConfig) -> io::Result<Endpoint> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Endpoint::new(
        EndpointConfig::default(),
        Some(config),
        socket.into(),
        Arc::new(TokioRuntime),
    )
}

/// Listens to whoever connects, until the catcher is dropped.
pub(super) async fn run(endpoint: Endpoint, caught: mpsc::Sender<Caught>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            // Both are cancel safe.
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { return };
                if open.len() < limits::CATCHER_CONNECTIONS_MAX {
                    open.spawn(timeout(limits::CATCHER_TIMEOUT, listen(incoming, caught.clone())));
                } else {
                    // An answer would go to an address that nobody has proved.
                    incoming.ignore();
                }
            }
            Some(_) = open.join_next() => {}
        }
    }
}

async fn listen(incoming: Incoming, caught: mpsc::Sender<Caught>) {
    if let Err(error) = hear(incoming, caught).await {
        debug!(error, "no dial-back");
    }
}

async fn hear(incoming: Incoming, caught: mpsc::Sender<Caught>) -> Result<(), &'static str> {
    let connection = incoming.await.map_err(|_| "the handshake failed")?;
    let peer = identity::peer_of(&connection).map_err(|_| "it has no valid identity")?;
    let dialer = Dialer {
        remote: connection.remote_address(),
        dst: connection.local_ip(),
        key: peer.key().copied(),
    };
    let stream = connection.accept_bi().await;
    let (send, receive) = stream.map_err(|_| "it opened no stream")?;
    let halves = (SendHalf::Quic(send), ReceiveHalf::Quic(receive));
    let heard = talk::hear(halves, dialer, &caught).await;
    // To let go of the connection would take back what is on its way. The dialer closes it once it
    // has its answer.
    timeout(limits::CLOSE_TIMEOUT, connection.closed())
        .await
        .ok();
    heard
}
