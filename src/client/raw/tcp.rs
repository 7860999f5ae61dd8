//! Connections over TCP: TLS on a socket, and one stream on each.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use rustls::{CertificateError, ClientConfig, Error, OtherError};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::super::error::{ConnectError, RequestError, StreamEnd};
use super::halves::{ReceiveHalf, SendHalf};
use super::{Dial, Link, RawConnection};
use crate::identity::{self, CertificateFault, Channel, ChannelError, Identity, Peer, ServerTrust};
use crate::wire::PublicKey;

/// A connection whose stream may not have been taken yet.
#[derive(Debug)]
pub(super) struct Tcp {
    /// The one stream.
    stream: Mutex<Option<(SendHalf, ReceiveHalf)>>,
    siblings: Arc<Siblings>,
    dial: Dial,
    credentials: Credentials,
    local: SocketAddr,
}

/// Who we are, and the settings made from it.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    identity: Option<Identity>,
    config: Arc<ClientConfig>,
}

impl Credentials {
    /// Those with the settings `config`, which were made from `identity`.
    pub(super) fn new(identity: Option<Identity>, config: ClientConfig) -> Self {
        Self {
            identity,
            config: Arc::new(config),
        }
    }

    /// The same for the server with that key alone.
    fn for_server(&self, key: PublicKey) -> Result<Self, ConnectError> {
        let trust = ServerTrust::Exact(key);
        let config = identity::client_tls(trust, self.identity.as_ref())?;
        Ok(Self::new(self.identity.clone(), config))
    }
}

impl Tcp {
    /// Takes the stream.
    pub(super) fn open(&self) -> Result<(SendHalf, ReceiveHalf), RequestError> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.take().ok_or(RequestError::OneStream)
    }

    /// One more connection to the same server: to the same address, which must hold `key` again.
    pub(super) async fn sibling(&self, key: PublicKey) -> Result<RawConnection, ConnectError> {
        if self.siblings.open().is_closed {
            return Err(StreamEnd::Dropped.into());
        }
        let trust = ServerTrust::Exact(key);
        let credentials = match self.dial.trust {
            ServerTrust::Exact(_) => self.credentials.clone(),
            ServerTrust::Any => self.credentials.for_server(key)?,
        };
        let dial = Dial { trust, ..self.dial };
        connect(dial, credentials, Arc::clone(&self.siblings)).await
    }

    pub(super) const fn remote(&self) -> SocketAddr {
        self.dial.address
    }

    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Closes this connection and all its siblings.
    pub(super) fn close(&self) {
        self.siblings.close();
    }
}

/// The connections of one client, which are closed together.
#[derive(Debug, Default)]
pub(in super::super) struct Siblings(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    channels: Vec<Weak<Channel>>,
    is_closed: bool,
}

impl Siblings {
    fn add(&self, channel: &Arc<Channel>) -> Result<(), StreamEnd> {
        let mut open = self.open();
        if open.is_closed {
            return Err(StreamEnd::Dropped);
        }
        // Bounded by the streams that the caller holds.
        open.channels.retain(|channel| channel.strong_count() > 0);
        open.channels.push(Arc::downgrade(channel));
        Ok(())
    }

    fn close(&self) {
        let mut open = self.open();
        open.is_closed = true;
        for channel in open.channels.drain(..) {
            if let Some(channel) = channel.upgrade() {
                channel.close();
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The half of a connection on which we speak.
#[derive(Debug)]
pub(in super::super) struct Sender(Half);

/// The half of a connection on which the server speaks.
#[derive(Debug)]
pub(in super::super) struct Receiver {
    half: Half,
    has_ended: bool,
}

#[derive(Debug)]
struct Half {
    channel: Arc<Channel>,
    siblings: Arc<Siblings>,
}

impl Half {
    fn end(&self, error: io::Error) -> StreamEnd {
        if self.siblings.open().is_closed {
            return StreamEnd::Dropped;
        }
        StreamEnd::Cut(Arc::new(error))
    }
}

impl Sender {
    /// Sends all of `chunks`.
    pub(super) async fn write_all(&mut self, chunks: &mut [Bytes]) -> Result<(), StreamEnd> {
        let Half { channel, .. } = &self.0;
        let writing = async {
            let mut left = chunks;
            loop {
                let sent = left.iter().take_while(|chunk| chunk.is_empty()).count();
                left = left.split_at_mut(sent).1;
                if left.is_empty() {
                    return channel.flush().await;
                }
                channel.write(left).await?;
            }
        };
        writing.await.map_err(|error| self.0.end(error))
    }

    pub(super) fn finish(&self) {
        self.0.channel.finish();
    }

    pub(super) fn reset(&self) {
        self.0.channel.abort();
    }
}

impl Drop for Sender {
    /// As over QUIC: a half that is dropped ends behind what was sent.
    fn drop(&mut self) {
        self.finish();
    }
}

impl Receiver {
    pub(super) async fn read(&mut self) -> Result<Option<Bytes>, StreamEnd> {
        match self.half.channel.read().await {
            Ok(bytes) if bytes.is_empty() => {
                self.has_ended = true;
                Ok(None)
            }
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => Err(self.half.end(error)),
        }
    }
}

impl Drop for Receiver {
    /// As over QUIC: the server learns that nothing it may still send is wanted. A subscription
    /// would otherwise stand there until something is sent on it.
    fn drop(&mut self) {
        if !self.has_ended {
            self.half.channel.forsake();
        }
    }
}

/// The two halves of `channel`.
pub(in super::super) fn split(
    channel: Arc<Channel>,
    siblings: Arc<Siblings>,
) -> (SendHalf, ReceiveHalf) {
    let sender = Sender(Half {
        channel: Arc::clone(&channel),
        siblings: Arc::clone(&siblings),
    });
    let receiver = Receiver {
        half: Half { channel, siblings },
        has_ended: false,
    };
    (SendHalf::Tcp(sender), ReceiveHalf::Tcp(receiver))
}

/// Tries one address.
pub(super) async fn attempt(
    dial: Dial,
    credentials: Credentials,
) -> Result<RawConnection, ConnectError> {
    connect(dial, credentials, Arc::default()).await
}

async fn connect(
    dial: Dial,
    credentials: Credentials,
    siblings: Arc<Siblings>,
) -> Result<RawConnection, ConnectError> {
    let address = dial.address;
    let shaking = shake_hands(dial, Arc::clone(&credentials.config));
    let handshake = timeout(dial.patience, shaking).await;
    let channel = handshake.map_err(|_| ConnectError::Timeout(address))??;
    let server_key = match channel.peer() {
        Peer::Known(key) => *key.key(),
        Peer::Anonymous => return Err(ConnectError::NoKey(address)),
    };
    let local = channel.local_address()?;
    let channel = Arc::new(channel);
    siblings.add(&channel)?;
    Ok(RawConnection {
        server_key,
        link: Link::Tcp(Arc::new(Tcp {
            stream: Mutex::new(Some(split(channel, Arc::clone(&siblings)))),
            siblings,
            dial,
            credentials,
            local,
        })),
    })
}

async fn shake_hands(dial: Dial, config: Arc<ClientConfig>) -> Result<Channel, ConnectError> {
    let Dial { address, trust, .. } = dial;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    if let Some(from) = dial.from {
        socket.bind((from, 0).into())?;
    }
    let connecting = socket.connect(address).await;
    let stream = connecting.map_err(|source| ConnectError::Unreachable { address, source })?;
    match (Channel::connect(stream, config).await, trust) {
        (Ok(channel), _) => Ok(channel),
        (Err(ChannelError::Handshake(error)), ServerTrust::Exact(expected))
            if is_other_key(&error) =>
        {
            Err(ConnectError::WrongKey { address, expected })
        }
        (Err(source), _) => Err(ConnectError::Channel { address, source }),
    }
}

/// Whether the handshake failed because the server holds another key than the one demanded.
fn is_other_key(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    match error {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(fault)))) => {
            fault.downcast_ref() == Some(&CertificateFault::OtherKey)
        }
        _ => false,
    }
}
