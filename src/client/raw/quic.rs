//! Connections over QUIC.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, IdleTimeout, TransportConfig, VarInt};
use tokio::time::timeout;

use super::super::error::{ConnectError, StreamEnd};
use super::{Dial, Link, RawConnection};
use crate::base::limits;
use crate::identity::{self, CertificateFault, IdentityError, Peer, ServerTrust, TLS_NAME};

/// A connection, and the endpoint that was made for it.
#[derive(Clone, Debug)]
pub(super) struct Quic {
    pub(super) endpoint: Endpoint,
    pub(super) connection: quinn::Connection,
}

impl Quic {
    /// Closes the connection and waits until the server was told, or three round trips have passed.
    pub(super) async fn close(&self) {
        self.connection.close(VarInt::from_u32(0), b"");
        self.endpoint.wait_idle().await;
    }

    /// The address it is spoken from, or would be now.
    pub(super) fn local_ip(&self) -> Option<IpAddr> {
        let bound = self.endpoint.local_addr().ok()?.ip();
        if !bound.is_unspecified() {
            return Some(bound);
        }
        // Connecting a UDP socket sends nothing; it asks the system for a route.
        let socket = std::net::UdpSocket::bind((bound, 0)).ok()?;
        socket.connect(self.connection.remote_address()).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    }
}

/// The settings of a connection with those of its TLS.
pub(super) fn config(tls: rustls::ClientConfig) -> Result<ClientConfig, ConnectError> {
    let crypto = QuicClientConfig::try_from(tls).map_err(IdentityError::from)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport()));
    Ok(config)
}

/// Tries one address.
pub(super) async fn attempt(
    dial: Dial,
    config: ClientConfig,
) -> Result<RawConnection, ConnectError> {
    let Dial { address, trust, .. } = dial;
    let any = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let endpoint = Endpoint::client((dial.from.unwrap_or(any), 0).into())?;
    let failed = |source| ConnectError::Handshake { address, source };
    let connecting = endpoint
        .connect_with(config, address, TLS_NAME)
        .map_err(|source| ConnectError::Dial { address, source })?;
    let connection = match timeout(dial.patience, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(source)) => match (is_other_key(&source), trust) {
            (true, ServerTrust::Exact(expected)) => {
                return Err(ConnectError::WrongKey { address, expected });
            }
            _ => return Err(failed(source)),
        },
        Err(_) => return Err(ConnectError::Timeout(address)),
    };
    match identity::peer_of(&connection)? {
        Peer::Known(key) => Ok(RawConnection {
            server_key: *key.key(),
            link: Link::Quic(Quic {
                endpoint,
                connection,
            }),
        }),
        Peer::Anonymous => Err(ConnectError::NoKey(address)),
    }
}

/// Whether the handshake failed because the server holds another key than the one demanded.
///
/// QUIC hands on the text of a TLS error only, so the text has to tell.
fn is_other_key(error: &quinn::ConnectionError) -> bool {
    let fault = CertificateFault::OtherKey;
    match error {
        quinn::ConnectionError::TransportError(error) => {
            let said = |text: String| error.reason.contains(&text);
            said(fault.to_string()) || said(format!("{fault:?}"))
        }
        _ => false,
    }
}

/// How the client's end of a connection behaves.
///
/// Servers open no streams, so none are allowed; the windows are what a fast server may fill while
/// the caller looks the other way.
fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(limits::CLIENT_STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(limits::CLIENT_CONNECTION_WINDOW_BYTES))
        .keep_alive_interval(Some(limits::KEEP_ALIVE_INTERVAL))
        .max_idle_timeout(IdleTimeout::try_from(limits::IDLE_TIMEOUT).ok());
    config
}

/// The next bytes of a stream, at most [`limits::STREAM_READ_BYTES`]; `None` at its end.
pub(in super::super) async fn read(
    receive: &mut quinn::RecvStream,
) -> Result<Option<Bytes>, StreamEnd> {
    match receive.read_chunk(limits::STREAM_READ_BYTES, true).await {
        Ok(chunk) => Ok(chunk.map(|chunk| chunk.bytes)),
        Err(quinn::ReadError::ConnectionLost(error)) => Err(StreamEnd::Lost(error)),
        Err(_) => Err(StreamEnd::Ended),
    }
}

/// Why nothing can be written any more.
pub(in super::super) fn write_end(error: quinn::WriteError) -> StreamEnd {
    match error {
        quinn::WriteError::ConnectionLost(error) => StreamEnd::Lost(error),
        _ => StreamEnd::Ended,
    }
}
