//! The client: a connection on which HELLO was said.

use std::sync::Arc;
use std::time::Duration;

use super::error::{ConnectError, RequestError, StreamEnd};
use super::operator::OperatorStream;
use super::raw::{RawConnection, RawStream};
use super::replies::{Results, Subscription};
use super::stream::Stream;
use super::submissions::Submissions;
use super::target::Target;
use crate::base::{Role, limits};
use crate::wire::{
    ClientMessage, EXTENSION_APP, Filter, InfoReply, PublicKey, Record, RedeemResult, Reference,
    ResultCode, SecretKey, ServerMessage,
};

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// The key to sign in with; without one the client is anonymous.
    pub identity: Option<SecretKey>,
    /// Whether to ask for the extension messages (INFO, roles).
    pub extensions: bool,
    /// Further applications to ask for in HELLO.
    pub applications: Vec<u32>,
    /// Longest wait for a handshake, for HELLO ACK, and for every reply that the server owes.
    pub timeout: Duration,
}

impl Default for Options {
    /// Anonymous, with the extension messages.
    fn default() -> Self {
        Self {
            identity: None,
            extensions: true,
            applications: Vec::new(),
            timeout: limits::CLIENT_TIMEOUT,
        }
    }
}

/// A connection to a server. Cheap to clone; all clones are one connection.
///
/// Submissions and INFO share the connection's first stream. Every GET, query and subscription has
/// a stream of its own, so that one whose records are not taken holds up nothing else.
///
/// Over TCP, where a connection is one stream, every further stream is a further connection to the
/// same server, with its own handshake and HELLO; all of them end with this one. Whoever has many
/// requests to make there puts them on one [`open_stream`](Self::open_stream).
///
/// The connection ends with [`close`](Self::close), or when the last clone, and the last stream
/// and result made from it, are dropped.
#[derive(Clone, Debug)]
pub struct Client {
    connection: RawConnection,
    main: Stream,
    /// What is asked for in HELLO.
    wanted: Arc<[u32]>,
    applications: Arc<[u32]>,
    timeout: Duration,
}

impl Client {
    /// Connects to `target` and says HELLO.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// Dropping the future gives up.
    ///
    /// # Source
    /// `mosaic-wire.md` sections 7 and 8.
    pub async fn connect(target: &Target, options: &Options) -> Result<Self, ConnectError> {
        let identity = options.identity.as_ref();
        let connection = RawConnection::connect(target, identity, options.timeout).await?;
        Self::greet(connection, options).await
    }

    /// Says HELLO on a connection on which nothing was said yet.
    ///
    /// # Errors
    /// [`ConnectError::Greeting`], [`ConnectError::NoGreeting`] or [`ConnectError::Refused`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    pub async fn greet(connection: RawConnection, options: &Options) -> Result<Self, ConnectError> {
        let raw = connection.open().await.map_err(|error| match error {
            RequestError::End(end) => end,
            _ => StreamEnd::Dropped,
        })?;
        let main = Stream::start(raw, options.timeout);
        let mut wanted = options.applications.clone();
        if options.extensions && !wanted.contains(&EXTENSION_APP) {
            wanted.push(EXTENSION_APP);
        }
        let applications = main.hello(wanted.clone()).await?;
        Ok(Self {
            connection,
            main,
            wanted: wanted.into(),
            applications: applications.into(),
            timeout: options.timeout,
        })
    }

    /// Hands in `record` and waits for the result; see [`Stream::submit`].
    ///
    /// # Errors
    /// As [`Stream::submit`].
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the record: it may still be stored.
    pub async fn submit(&self, record: &Record) -> Result<ResultCode, RequestError> {
        self.main.submit(record).await
    }

    /// Hands records in without waiting for each one's result; see [`Stream::submit_many`].
    #[must_use]
    pub fn submit_many(&self, window: usize) -> Submissions {
        self.main.submit_many(window)
    }

    /// Asks for the records that `references` name, on a stream of its own; see [`Stream::get`].
    ///
    /// # Errors
    /// As [`Stream::get`] and [`open_stream`](Self::open_stream).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn get(&self, references: Vec<Reference>) -> Result<Results, RequestError> {
        self.open_stream().await?.get(references).await
    }

    /// Asks for the stored records that pass `filter`, on a stream of its own; see
    /// [`Stream::query`].
    ///
    /// # Errors
    /// As [`Stream::query`] and [`open_stream`](Self::open_stream).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn query(&self, filter: Filter, limit: u16) -> Result<Results, RequestError> {
        self.open_stream().await?.query(filter, limit).await
    }

    /// Asks for the records that pass `filter`, stored ones and then new ones, on a stream of its
    /// own; see [`Stream::subscribe`].
    ///
    /// # Errors
    /// As [`Stream::subscribe`] and [`open_stream`](Self::open_stream).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn subscribe(
        &self,
        filter: Filter,
        limit: u16,
    ) -> Result<Subscription, RequestError> {
        self.open_stream().await?.subscribe(filter, limit).await
    }

    /// Asks what the server is and serves.
    ///
    /// # Errors
    /// [`RequestError::NoExtensions`] where the server did not grant them; otherwise as
    /// [`Stream::info`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn info(&self) -> Result<InfoReply, RequestError> {
        self.need_extensions()?;
        self.main.info().await
    }

    /// Redeems an invitation, so that the master of this client's key becomes a user. A refusal is a
    /// result like any other.
    ///
    /// # Errors
    /// As [`info`](Self::info). After a lost connection it is unknown whether the invitation was used.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the request.
    pub async fn redeem(&self, code: &str) -> Result<RedeemResult, RequestError> {
        self.need_extensions()?;
        self.main.redeem(code).await
    }

    /// Opens one more stream; waits while the server allows no further one.
    ///
    /// # Errors
    /// - [`RequestError::End`]: the connection is gone, or over TCP there is no further one.
    /// - [`RequestError::Timeout`]: the server allows no further stream.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn open_stream(&self) -> Result<Stream, RequestError> {
        // A future with a handshake in it is large, and over QUIC there is none.
        if let Some(sibling) = Box::pin(self.connection.sibling()).await {
            let stream = Stream::start(sibling?.open().await?, self.timeout);
            stream.hello(self.wanted.to_vec()).await?;
            return Ok(stream);
        }
        let opening = tokio::time::timeout(self.timeout, self.connection.open());
        let raw = opening.await.map_err(|_| RequestError::Timeout)??;
        Ok(Stream::start(raw, self.timeout))
    }

    /// Opens one more stream that speaks for itself, on a connection on which HELLO was said.
    ///
    /// # Errors
    /// As [`open_stream`](Self::open_stream).
    pub(super) async fn raw_stream(&self) -> Result<RawStream, RequestError> {
        let Some(sibling) = Box::pin(self.connection.sibling()).await else {
            let opening = tokio::time::timeout(self.timeout, self.connection.open());
            return opening.await.map_err(|_| RequestError::Timeout)?;
        };
        let mut raw = sibling?.open().await?;
        let hello = ClientMessage::Hello {
            version: 0,
            apps: self.wanted.to_vec(),
        };
        raw.send(hello.encode()).await?;
        let answer = tokio::time::timeout(self.timeout, raw.receive());
        match answer.await.map_err(|_| RequestError::Timeout)?? {
            Some(ServerMessage::HelloAck {
                result: ResultCode::Success,
                ..
            }) => Ok(raw),
            Some(ServerMessage::HelloAck { result, .. } | ServerMessage::Closing { result }) => {
                Err(StreamEnd::Closing(result).into())
            }
            Some(_) | None => Err(StreamEnd::Ended.into()),
        }
    }

    /// Longest wait for what the server owes.
    pub(super) const fn patience(&self) -> Duration {
        self.timeout
    }

    /// Opens a stream and binds it to `role`: what goes over it is judged by that role alone.
    /// `app` names the application, with [`Role::Application`] only.
    ///
    /// # Errors
    /// [`RequestError::Refused`] with the server's reason, [`RequestError::NoExtensions`], or as
    /// [`open_stream`](Self::open_stream).
    ///
    /// # Cancel safety
    /// Cancel safe.
    ///
    /// # Source
    /// `extensions.md`, "A stream belongs to a role".
    pub async fn open_role(&self, role: Role, app: Option<u32>) -> Result<Stream, RequestError> {
        self.need_extensions()?;
        let stream = self.open_stream().await?;
        stream.bind(role, app).await?;
        Ok(stream)
    }

    /// Opens a stream on which the server takes orders from its operator.
    ///
    /// # Errors
    /// [`RequestError::Refused`] where this client's key is no operator's,
    /// [`RequestError::NoExtensions`], or as [`open_stream`](Self::open_stream).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn operator(&self) -> Result<OperatorStream, RequestError> {
        self.need_extensions()?;
        OperatorStream::sign_in(self.lone_stream(None).await?).await
    }

    /// The stream of a caller that needs no other, bound to `role` if there is one. Over TCP it is
    /// the connection's own, so that there is no further connection.
    ///
    /// # Errors
    /// As [`open_role`](Self::open_role).
    pub(super) async fn lone_stream(
        &self,
        role: Option<(Role, Option<u32>)>,
    ) -> Result<Stream, RequestError> {
        let stream = match self.connection.quic() {
            Some(_) => self.open_stream().await?,
            None => self.main.clone(),
        };
        if let Some((role, app)) = role {
            self.need_extensions()?;
            stream.bind(role, app).await?;
        }
        Ok(stream)
    }

    /// The first stream of the connection.
    #[must_use]
    pub const fn main_stream(&self) -> &Stream {
        &self.main
    }

    /// The key that the server proved to hold.
    #[must_use]
    pub const fn server_key(&self) -> PublicKey {
        self.connection.server_key()
    }

    /// The applications that the server granted in HELLO ACK.
    #[must_use]
    pub fn applications(&self) -> &[u32] {
        &self.applications
    }

    /// Whether the server granted the extension messages.
    #[must_use]
    pub fn has_extensions(&self) -> bool {
        self.applications.contains(&EXTENSION_APP)
    }

    /// The connection underneath, for streams that speak for themselves.
    #[must_use]
    pub const fn raw(&self) -> &RawConnection {
        &self.connection
    }

    /// Closes the connection and waits until the server was told, or three round trips have passed.
    ///
    /// # Cancel safety
    /// Dropping the future does not keep the connection open.
    pub async fn close(&self) {
        self.connection.close().await;
    }

    fn need_extensions(&self) -> Result<(), RequestError> {
        if self.has_extensions() {
            Ok(())
        } else {
            Err(RequestError::NoExtensions)
        }
    }
}
