//! What can go wrong between a client and a server, sorted by who is at fault.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use thiserror::Error;

use crate::identity::{ChannelError, IdentityError, VerifyError};
use crate::wire::{FrameError, MessageError, PublicKey, RecordError, ResultCode, Transport};

/// The server broke the protocol.
#[derive(Clone, Debug, Error)]
pub enum ServerFault {
    /// Bytes that are no message.
    #[error("the server sent bytes that are no message")]
    Frame(#[from] FrameError),
    /// A message whose content does not parse.
    #[error("the server sent a message that does not parse")]
    Message(#[from] MessageError),
    /// HELLO ACK chose a version that was not offered.
    #[error("the server chose protocol version {0}, which was not offered")]
    Version(u16),
    /// An extension reply that does not decode.
    #[error("the server sent an extension reply that does not decode")]
    Extension,
}

/// Why a stream ended. Every request that waits on it gets the same answer.
///
/// Whether a submission that waits was stored is then unknown.
#[derive(Clone, Debug, Error)]
pub enum StreamEnd {
    /// The connection is gone.
    #[error("the connection was lost")]
    Lost(#[from] quinn::ConnectionError),
    /// The TCP connection broke, or was cut off before the server had ended it.
    #[error("the connection was cut off")]
    Cut(#[source] Arc<io::Error>),
    /// The server said CLOSING.
    #[error("the server is closing: {0}")]
    Closing(ResultCode),
    /// The server ended or reset the stream without a word.
    #[error("the server ended the stream")]
    Ended,
    /// The server answered UNRECOGNIZED, after which a stream is of no use.
    #[error("the server does not know a message that was sent to it")]
    Unrecognized,
    /// The server broke the protocol.
    #[error("the server broke the protocol")]
    Fault(#[from] ServerFault),
    /// This side dropped the stream.
    #[error("the stream was closed on this side")]
    Dropped,
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name could not be looked up.
    #[error("cannot resolve {host}")]
    Resolve {
        /// The host as given.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The name has no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The name has no address of the family of the address to connect from.
    #[error("{host} has no address that {from} can connect to")]
    NoAddressFor {
        /// The host as given.
        host: String,
        /// The address to connect from.
        from: IpAddr,
    },
    /// The transport is one that this client does not speak.
    #[error("{} is not supported", _0.scheme())]
    Unsupported(Transport),
    /// This machine gives no socket.
    #[error("cannot open a socket")]
    Socket(#[from] io::Error),
    /// Our own key or certificate.
    #[error("cannot prepare the handshake")]
    Identity(#[from] IdentityError),
    /// The address is one that nothing can be sent to, such as port 0.
    #[error("cannot connect to {address}")]
    Dial {
        /// The address that was tried.
        address: SocketAddr,
        /// What QUIC said.
        source: quinn::ConnectError,
    },
    /// No handshake within the time allowed.
    #[error("{0} does not answer")]
    Timeout(SocketAddr),
    /// The handshake failed.
    #[error("{address} did not complete the handshake")]
    Handshake {
        /// The address that was tried.
        address: SocketAddr,
        /// What QUIC or TLS said.
        source: quinn::ConnectionError,
    },
    /// No connection over TCP: the system or the other end says so.
    #[error("cannot reach {address}")]
    Unreachable {
        /// The address that was tried.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There was a connection over TCP, and the handshake on it failed.
    #[error("{address} did not complete the handshake")]
    Channel {
        /// The address that was tried.
        address: SocketAddr,
        /// What TLS said.
        source: ChannelError,
    },
    /// The server holds another key than the one demanded.
    #[error("the server at {address} does not hold the key {}", expected.to_server_string())]
    WrongKey {
        /// The address that was tried.
        address: SocketAddr,
        /// The key it should hold.
        expected: PublicKey,
    },
    /// The server completed the handshake without a certificate.
    #[error("{0} showed no key")]
    NoKey(SocketAddr),
    /// The stream ended before HELLO ACK.
    #[error("no greeting")]
    Greeting(#[from] StreamEnd),
    /// HELLO ACK did not come within the time allowed.
    #[error("the server does not answer HELLO")]
    NoGreeting,
    /// HELLO was refused, or the server closed instead of answering it.
    #[error("the server refused: {0}")]
    Refused(ResultCode),
}

/// Why a request has no answer of its own. What a server answers, refusals included, is no error.
#[derive(Clone, Debug, Error)]
pub enum RequestError {
    /// The stream ended first.
    #[error("no answer")]
    End(#[from] StreamEnd),
    /// No reply within the time allowed.
    #[error("the server owes a reply and does not send it")]
    Timeout,
    /// The server did not grant the extension messages.
    #[error("the server does not speak the extension messages")]
    NoExtensions,
    /// ROLE OPEN or INFO was refused.
    #[error("refused: {result}{}", why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default())]
    Refused {
        /// The code.
        result: ResultCode,
        /// The server's words, for people; escape them before a terminal shows them.
        why: Option<String>,
    },
    /// The connection is one over TCP, whose only stream was opened before.
    #[error("a connection over TCP has one stream only")]
    OneStream,
    /// As many requests are open on this stream as [`limits`](crate::base::limits) allows:
    /// `STREAM_QUERIES_MAX` queries, `CLIENT_SUBMISSIONS_MAX` submissions.
    #[error("too many requests are open on this stream")]
    TooManyOpen,
}

impl From<ConnectError> for RequestError {
    /// For a stream that needs a connection of its own.
    fn from(error: ConnectError) -> Self {
        let broken = match error {
            ConnectError::Greeting(end) => return Self::End(end),
            ConnectError::Refused(result) => return Self::End(StreamEnd::Closing(result)),
            ConnectError::Timeout(_) | ConnectError::NoGreeting => return Self::Timeout,
            ConnectError::Unreachable { source, .. } | ConnectError::Socket(source) => source,
            other => io::Error::other(other),
        };
        Self::End(StreamEnd::Cut(Arc::new(broken)))
    }
}

impl From<quinn::ConnectionError> for RequestError {
    fn from(error: quinn::ConnectionError) -> Self {
        Self::End(StreamEnd::Lost(error))
    }
}

/// Why a record that a server sent is not handed on.
#[derive(Clone, Debug, Error)]
pub enum RecordFault {
    /// The bytes are no record.
    #[error("it is no record")]
    Malformed(#[from] RecordError),
    /// Hash or signature is wrong.
    #[error("it does not verify")]
    Unverified(#[from] VerifyError),
    /// It is a good record that the request did not ask for.
    #[error("it was not asked for")]
    NotAsked,
}
