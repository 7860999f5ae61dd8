//! A connection and its streams as they are: for tests, for measuring how a server answers what
//! no well-behaved client sends, and as the ground that [`Client`](super::Client) stands on.

mod halves;
mod quic;
mod tcp;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(super) use self::halves::{ReceiveHalf, SendHalf};
use self::quic::Quic;
pub(super) use self::tcp::split;
use self::tcp::{Credentials, Tcp};
use super::error::{ConnectError, RequestError, ServerFault, StreamEnd};
use super::target::Target;
use crate::base::limits;
use crate::identity::{self, EarlyDataOffer, Identity, ServerTrust, Trial};
use crate::wire::{Direction, Frame, FrameReader, PublicKey, SecretKey, ServerMessage, Transport};

/// A connection on which nothing was said yet. Cheap to clone; all clones are one connection.
///
/// Over QUIC it has as many streams as the server allows. Over TCP it has one.
#[derive(Clone, Debug)]
pub struct RawConnection {
    link: Link,
    server_key: PublicKey,
}

#[derive(Clone, Debug)]
enum Link {
    Quic(Quic),
    Tcp(Arc<Tcp>),
}

/// One attempt: where to, where from, and who must be there.
#[derive(Clone, Copy, Debug)]
struct Dial {
    address: SocketAddr,
    from: Option<IpAddr>,
    trust: ServerTrust,
    patience: Duration,
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
        Self::connect_from(target, identity, None, patience).await
    }

    /// As [`connect`](Self::connect), from a socket bound to `from` and a free port. Addresses of
    /// the other family are then not tried.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`ConnectError::NoAddressFor`] where no address is of the
    /// family of `from`, [`ConnectError::Socket`] where `from` is no address of this machine.
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn connect_from(
        target: &Target,
        identity: Option<&SecretKey>,
        from: Option<IpAddr>,
        patience: Duration,
    ) -> Result<Self, ConnectError> {
        let identity = identity.cloned().map(Identity::new);
        let config = identity::client_tls(*target.trust(), identity.as_ref())?;
        Self::connect_with(target, identity, config, from, patience).await
    }

    /// As [`connect`](Self::connect), with a handshake that tries the server out. A server judges
    /// a client's certificate after the handshake is complete for the client: whether it accepted
    /// one shows in whether it answers.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn connect_for_trial(
        target: &Target,
        trial: Trial,
        own: &SecretKey,
        patience: Duration,
    ) -> Result<(Self, EarlyDataOffer), ConnectError> {
        let (config, offer) = identity::trial_tls(*target.trust(), trial, own)?;
        let connecting = Self::connect_with(target, None, config, None, patience);
        Ok((connecting.await?, offer))
    }

    async fn connect_with(
        target: &Target,
        identity: Option<Identity>,
        config: rustls::ClientConfig,
        from: Option<IpAddr>,
        patience: Duration,
    ) -> Result<Self, ConnectError> {
        let dial = |address| Dial {
            address,
            from,
            trust: *target.trust(),
            patience,
        };
        match target.transport() {
            Transport::Quic => {
                let config = quic::config(config)?;
                let attempt = |address| quic::attempt(dial(address), config.clone());
                race(target, from, attempt).await
            }
            Transport::Tcp => {
                let credentials = Credentials::new(identity, config);
                let attempt = |address| tcp::attempt(dial(address), credentials.clone());
                race(target, from, attempt).await
            }
            unknown @ Transport::WebSocket => Err(ConnectError::Unsupported(unknown)),
        }
    }

    /// Opens a bidirectional stream; waits while the server allows no further one.
    ///
    /// # Errors
    /// The connection is gone; [`RequestError::OneStream`] where it has no further stream.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn open(&self) -> Result<RawStream, RequestError> {
        let (send, receive) = match &self.link {
            Link::Quic(quic) => {
                let (send, receive) = quic.connection.open_bi().await?;
                (SendHalf::Quic(send), ReceiveHalf::Quic(receive))
            }
            Link::Tcp(tcp) => tcp.open()?,
        };
        Ok(RawStream::new(send, receive))
    }

    /// Where a connection has one stream only: one more connection to the same server, which is
    /// closed with this one. `None` where this one can have more streams.
    pub(super) async fn sibling(&self) -> Option<Result<Self, ConnectError>> {
        match &self.link {
            Link::Quic(_) => None,
            Link::Tcp(tcp) => Some(tcp.sibling(self.server_key).await),
        }
    }

    /// The key that the server proved to hold.
    #[must_use]
    pub const fn server_key(&self) -> PublicKey {
        self.server_key
    }

    /// The QUIC connection itself; `None` over another transport.
    #[must_use]
    pub const fn quic(&self) -> Option<&quinn::Connection> {
        match &self.link {
            Link::Quic(quic) => Some(&quic.connection),
            Link::Tcp(_) => None,
        }
    }

    /// The address of the server.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        match &self.link {
            Link::Quic(quic) => quic.connection.remote_address(),
            Link::Tcp(tcp) => tcp.remote(),
        }
    }

    /// The address of this machine that the server is spoken to from. Where a UDP socket is bound
    /// to none, it is the one that the system would choose now; nothing is sent to find that out.
    #[must_use]
    pub fn local_ip(&self) -> Option<IpAddr> {
        match &self.link {
            Link::Quic(quic) => quic.local_ip(),
            Link::Tcp(tcp) => Some(tcp.local().ip()),
        }
    }

    /// Closes the connection. Over QUIC, waits until the server was told, or three round trips have
    /// passed; over TCP the system sees to that.
    ///
    /// # Cancel safety
    /// Dropping the future does not keep the connection open.
    pub async fn close(&self) {
        match &self.link {
            Link::Quic(quic) => quic.close().await,
            Link::Tcp(tcp) => tcp.close(),
        }
    }
}

/// A bidirectional stream: bytes go out as given, messages come in parsed.
#[derive(Debug)]
pub struct RawStream {
    send: SendHalf,
    receive: ReceiveHalf,
    frames: FrameReader,
}

impl RawStream {
    fn new(send: SendHalf, receive: ReceiveHalf) -> Self {
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
        self.send.write_all(&mut [bytes]).await
    }

    /// Ends the sending half: the server sees the end of the stream after what was sent.
    pub fn finish(&mut self) {
        self.send.finish();
    }

    /// Breaks the sending half off: what was sent and not received yet may be lost. Over TCP that is
    /// the whole connection.
    pub fn reset(&mut self) {
        self.send.reset();
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
            match self.receive_frame().await? {
                Some(Frame::Message(message)) => {
                    let message = ServerMessage::parse(&message).map_err(ServerFault::from)?;
                    return Ok(Some(message));
                }
                Some(Frame::BlobData { .. }) => {}
                None => return Ok(None),
            }
        }
    }

    /// The next message or piece of a BLOB as the server sent it, or `None` where the server ended
    /// the stream in order.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    ///
    /// # Cancel safety
    /// Cancel safe: no byte is lost.
    pub async fn receive_frame(&mut self) -> Result<Option<Frame>, StreamEnd> {
        loop {
            if let Some(frame) = self.frames.next().map_err(ServerFault::from)? {
                return Ok(Some(frame));
            }
            match self.receive.read().await? {
                Some(bytes) => self.frames.push(bytes),
                None => {
                    self.frames.finish().map_err(ServerFault::from)?;
                    return Ok(None);
                }
            }
        }
    }

    /// The halves, for the task of a [`Stream`](super::Stream).
    pub(super) fn into_halves(self) -> (SendHalf, ReceiveHalf) {
        (self.send, self.receive)
    }
}

/// Tries the addresses of `target` as [`RawConnection::connect`] says.
async fn race<F>(
    target: &Target,
    from: Option<IpAddr>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<RawConnection, ConnectError>
where
    F: Future<Output = Result<RawConnection, ConnectError>> + Send + 'static,
{
    let mut attempts = JoinSet::new();
    let mut waiting = target.resolve_for(from).await?.into_iter();
    let mut failure = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(attempt(address));
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
