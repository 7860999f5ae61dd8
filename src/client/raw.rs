//! A connection and its streams as they are: for tests, for measuring how a server answers what
//! no well-behaved client sends, and as the ground that [`Client`](super::Client) stands on.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Endpoint, IdleTimeout, TransportConfig, VarInt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::{ConnectError, RequestError, ServerFault, StreamEnd};
use super::target::Target;
use crate::base::limits;
use crate::identity::{self, CertificateFault, Identity, Peer, ServerTrust, TLS_NAME};
use crate::wire::{Direction, Frame, FrameReader, PublicKey, SecretKey, ServerMessage};

/// A QUIC connection on which nothing was said yet. Cheap to clone; all clones are one connection.
#[derive(Clone, Debug)]
pub struct RawConnection {
    endpoint: Endpoint,
    connection: quinn::Connection,
    server_key: PublicKey,
}

impl RawConnection {
    /// Completes a handshake with `target`, as `identity` or anonymously.
    ///
    /// Every address of the host is tried: each next one joins in as soon as those before it have
    /// failed, and at the latest after [`CLIENT_ADDRESS_HEAD_START`](limits::CLIENT_ADDRESS_HEAD_START);
    /// the first that answers wins. Each has `patience` for its handshake.
    ///
    /// # Errors
    /// Of several failed addresses, a wrong key is reported before everything else.
    ///
    /// # Cancel safety
    /// Dropping the future gives up; the server may have seen a handshake.
    pub async fn connect(
        target: &Target,
        identity: Option<&SecretKey>,
        patience: Duration,
    ) -> Result<Self, ConnectError> {
        let identity = identity.cloned().map(Identity::new);
        let crypto = identity::client_crypto(*target.trust(), identity.as_ref())?;
        let mut config = quinn::ClientConfig::new(crypto);
        config.transport_config(Arc::new(transport()));
        let mut attempts = JoinSet::new();
        let mut waiting = target.resolve().await?.into_iter();
        let mut failure = None;
        loop {
            if let Some(address) = waiting.next() {
                let trust = *target.trust();
                attempts.spawn(attempt(address, config.clone(), trust, patience));
            }
            match first_end(&mut attempts, waiting.len() > 0).await {
                Ended::Connected(connection) => return Ok(connection),
                Ended::Failed(error) => failure = Some(worse(failure, error)),
                Ended::NotYet => {}
                Ended::NoneLeft => {
                    let host = || ConnectError::NoAddress(target.host().to_owned());
                    return Err(failure.unwrap_or_else(host));
                }
            }
        }
    }

    /// Opens a bidirectional stream; waits while the server allows no further one.
    ///
    /// # Errors
    /// The connection is gone.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn open(&self) -> Result<RawStream, RequestError> {
        let (send, receive) = self.connection.open_bi().await?;
        Ok(RawStream::new(send, receive))
    }

    /// The key that the server proved to hold.
    #[must_use]
    pub const fn server_key(&self) -> PublicKey {
        self.server_key
    }

    /// The QUIC connection itself.
    #[must_use]
    pub const fn quic(&self) -> &quinn::Connection {
        &self.connection
    }

    /// Closes the connection and waits until the server was told, or three round trips have passed.
    ///
    /// # Cancel safety
    /// Dropping the future does not keep the connection open.
    pub async fn close(&self) {
        self.connection.close(VarInt::from_u32(0), b"");
        self.endpoint.wait_idle().await;
    }
}

/// A bidirectional stream: bytes go out as given, messages come in parsed.
#[derive(Debug)]
pub struct RawStream {
    send: quinn::SendStream,
    receive: quinn::RecvStream,
    frames: FrameReader,
}

impl RawStream {
    fn new(send: quinn::SendStream, receive: quinn::RecvStream) -> Self {
        Self {
            send,
            receive,
            frames: FrameReader::new(Direction::ToClient),
        }
    }

    /// Sends `bytes` as they are; waits while the server does not read.
    ///
    /// # Errors
    /// The server stopped reading the stream, or the connection is gone.
    ///
    /// # Cancel safety
    /// Not cancel safe: a part may have been sent.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), StreamEnd> {
        self.send.write_chunk(bytes).await.map_err(write_end)
    }

    /// Ends the sending half: the server sees the end of the stream after what was sent.
    pub fn finish(&mut self) {
        // An error here means that the half has ended already.
        self.send.finish().ok();
    }

    /// Breaks the sending half off: what was sent and not received yet may be lost.
    pub fn reset(&mut self) {
        self.send.reset(VarInt::from_u32(0)).ok();
    }

    /// The next message, or `None` where the server ended the stream in order. The data of a BLOB
    /// are passed over.
    ///
    /// # Errors
    /// [`StreamEnd::Fault`] for bytes that are no message; otherwise how the stream broke.
    ///
    /// # Cancel safety
    /// Cancel safe: no byte is lost.
    pub async fn receive(&mut self) -> Result<Option<ServerMessage>, StreamEnd> {
        loop {
            match self.frames.next().map_err(ServerFault::from)? {
                Some(Frame::Message(message)) => {
                    let message = ServerMessage::parse(&message).map_err(ServerFault::from)?;
                    return Ok(Some(message));
                }
                Some(Frame::BlobData { .. }) => continue,
                None => {}
            }
            match read(&mut self.receive).await? {
                Some(bytes) => self.frames.push(bytes),
                None => {
                    self.frames.finish().map_err(ServerFault::from)?;
                    return Ok(None);
                }
            }
        }
    }

    /// The QUIC halves, for the task of a [`Stream`](super::Stream).
    pub(super) fn into_halves(self) -> (quinn::SendStream, quinn::RecvStream) {
        (self.send, self.receive)
    }
}

/// The next bytes of a stream, at most [`limits::STREAM_READ_BYTES`]; `None` at its end.
pub(super) async fn read(receive: &mut quinn::RecvStream) -> Result<Option<Bytes>, StreamEnd> {
    match receive.read_chunk(limits::STREAM_READ_BYTES, true).await {
        Ok(chunk) => Ok(chunk.map(|chunk| chunk.bytes)),
        Err(quinn::ReadError::ConnectionLost(error)) => Err(StreamEnd::Lost(error)),
        Err(_) => Err(StreamEnd::Ended),
    }
}

/// Why nothing can be written any more.
pub(super) fn write_end(error: quinn::WriteError) -> StreamEnd {
    match error {
        quinn::WriteError::ConnectionLost(error) => StreamEnd::Lost(error),
        _ => StreamEnd::Ended,
    }
}

enum Ended {
    Connected(RawConnection),
    Failed(ConnectError),
    NotYet,
    NoneLeft,
}

/// The first attempt that ends, or `NotYet` when it is time for the next address.
async fn first_end(
    attempts: &mut JoinSet<Result<RawConnection, ConnectError>>,
    more: bool,
) -> Ended {
    let ended = if more {
        match timeout(limits::CLIENT_ADDRESS_HEAD_START, attempts.join_next()).await {
            Ok(ended) => ended,
            Err(_) => return Ended::NotYet,
        }
    } else {
        attempts.join_next().await
    };
    match ended {
        Some(Ok(Ok(connection))) => Ended::Connected(connection),
        Some(Ok(Err(error))) => Ended::Failed(error),
        // Nothing aborts an attempt, so its task can only have panicked; pass that on.
        Some(Err(join)) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Ended::NotYet,
        },
        None => Ended::NoneLeft,
    }
}

/// Of two failures, the one that tells the caller more: a wrong key, then the first.
fn worse(kept: Option<ConnectError>, new: ConnectError) -> ConnectError {
    match (kept, new) {
        (None, new) | (Some(_), new @ ConnectError::WrongKey { .. }) => new,
        (Some(kept), _) => kept,
    }
}

async fn attempt(
    address: SocketAddr,
    config: quinn::ClientConfig,
    trust: ServerTrust,
    patience: Duration,
) -> Result<RawConnection, ConnectError> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let endpoint = Endpoint::client(any)?;
    let failed = |source| ConnectError::Handshake { address, source };
    let connecting = endpoint
        .connect_with(config, address, TLS_NAME)
        .map_err(|source| ConnectError::Dial { address, source })?;
    let connection = match timeout(patience, connecting).await {
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
            endpoint,
            connection,
            server_key: *key.key(),
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
