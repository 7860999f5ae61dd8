//! QUIC: the transport's settings, and its streams as the driver sees them.

use std::future::{Future, pending};
use std::sync::Arc;

use bytes::Bytes;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{ReadError, ResetError, StoppedError, TransportConfig, VarInt, WriteError};

use super::link::{Broken, LinkReader, LinkWriter};
use crate::base::limits;
use crate::wire::ResultCode;

/// The settings of a listener whose certificate and checks are in `crypto`.
///
/// A connection starts with an anonymous peer's bounds, which are raised when it shows a key.
pub(super) fn server_config(crypto: Arc<QuicServerConfig>) -> quinn::ServerConfig {
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

impl LinkReader for quinn::RecvStream {
    async fn read(&mut self, chunks: &mut [Bytes]) -> Result<usize, Broken> {
        // Cancel safe: quinn takes chunks out of the stream only in the poll that is ready.
        match self.read_chunks(chunks).await {
            Ok(filled) => Ok(filled.unwrap_or(0)),
            Err(ReadError::Reset(_)) => Err(Broken::Reset),
            Err(_) => Err(Broken::Gone),
        }
    }

    async fn broken(&mut self) -> Broken {
        // Cancel safe: it only looks at the stream's state.
        match self.received_reset().await {
            Ok(Some(_)) => Broken::Reset,
            // Everything the peer had to say is here, so it has nothing left to abandon.
            Ok(None) => pending().await,
            Err(ResetError::ConnectionLost(_) | ResetError::ZeroRttRejected) => Broken::Gone,
        }
    }

    fn stop(&mut self, code: ResultCode) {
        // An error means that the stream has ended already, which is all that is wanted.
        drop(quinn::RecvStream::stop(self, error_code(code)));
    }
}

impl LinkWriter for quinn::SendStream {
    async fn write(&mut self, chunks: &mut [Bytes]) -> Result<(), Broken> {
        // `write_chunks`, not `write_all_chunks`: it is cancel safe, since it returns at the first
        // progress and changes `chunks` only in the poll that is ready. It copies nothing.
        match self.write_chunks(chunks).await {
            Ok(_) => Ok(()),
            Err(WriteError::Stopped(_)) => Err(Broken::Stopped),
            Err(_) => Err(Broken::Gone),
        }
    }

    fn finish(&mut self) {
        // An error means that the stream was finished or stopped already.
        drop(quinn::SendStream::finish(self));
    }

    fn ended(&self) -> impl Future<Output = Result<(), Broken>> + Send + 'static {
        let stopped = self.stopped();
        async move {
            match stopped.await {
                Ok(None) => Ok(()),
                Ok(Some(_)) => Err(Broken::Stopped),
                Err(StoppedError::ConnectionLost(_) | StoppedError::ZeroRttRejected) => {
                    Err(Broken::Gone)
                }
            }
        }
    }
}
