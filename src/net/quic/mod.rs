//! QUIC: its settings and sockets, its accept loop, its connections and streams as the drivers see
//! them.

mod accept;
mod carrier;

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, TokioRuntime, TransportConfig, VarInt};

pub(super) use self::accept::accept;
use super::error::NetError;
use super::socket;
use crate::base::limits;
use crate::identity::Identity;
use crate::wire::ResultCode;

/// Makes the endpoints of one listener, all of them with the same certificate and keys.
pub(super) struct Endpoints {
    endpoint: quinn::EndpointConfig,
    server: quinn::ServerConfig,
}

impl Endpoints {
    /// For a listener that proves to be `identity`.
    ///
    /// # Errors
    /// [`NetError::Identity`].
    pub(super) fn of(identity: &Identity) -> Result<Self, NetError> {
        Ok(Self {
            endpoint: identity.endpoint_config(),
            server: server_config(identity.server_crypto()?),
        })
    }

    /// Binds an endpoint to `address`; returns it with the address it has now.
    ///
    /// # Errors
    /// What the system says, above all that the address is in use or not ours.
    pub(super) fn bind(&self, address: SocketAddr) -> std::io::Result<(SocketAddr, Endpoint)> {
        let socket = socket::bind(address)?;
        let bound = socket.local_addr()?;
        let endpoint = Endpoint::new(
            self.endpoint.clone(),
            Some(self.server.clone()),
            socket,
            Arc::new(TokioRuntime),
        )?;
        Ok((bound, endpoint))
    }
}

/// The settings of a listener whose certificate and checks are in `crypto`.
///
/// A connection starts with an anonymous peer's bounds, which are raised when it shows a key.
fn server_config(crypto: Arc<QuicServerConfig>) -> quinn::ServerConfig {
    let mut config = quinn::ServerConfig::with_crypto(crypto);
    config
        .transport_config(Arc::new(transport_config()))
        .migration(true)
        .max_incoming(limits::INCOMING_MAX)
        .incoming_buffer_size(limits::INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(limits::INCOMING_BUFFERS_MAX_BYTES);
    config
}

fn transport_config() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(limits::ANONYMOUS_STREAMS_MAX.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(limits::STREAM_RECEIVE_WINDOW_BYTES.into())
        .receive_window(limits::CONNECTION_RECEIVE_WINDOW_BYTES.into())
        .send_window(limits::CONNECTION_SEND_WINDOW_BYTES)
        .max_idle_timeout(limits::IDLE_TIMEOUT.try_into().ok())
        // Clients keep their NAT mappings open themselves; ten thousand keep-alives of ours would
        // cost packets and hold up nothing but the idle timeout.
        .keep_alive_interval(None)
        .datagram_receive_buffer_size(None)
        // Pages of results and coalesced pushes span several packets.
        .enable_segmentation_offload(true);
    config
}

const _: () = assert!(
    limits::IDLE_TIMEOUT.as_millis() < 1 << 62,
    "the idle timeout fits a QUIC integer"
);

/// The application error code with which a stream or connection is ended.
pub(super) fn error_code(result: ResultCode) -> VarInt {
    VarInt::from_u32(result.as_u8().into())
}

const _: () = assert!((limits::KNOWN_STREAMS_MAX as u64) < VarInt::MAX.into_inner());
