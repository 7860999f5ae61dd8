//! What is needed of a transport: connections, and reliable byte streams each way.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use thiserror::Error;

use crate::identity::{IdentityError, Peer};
use crate::wire::ResultCode;

/// A connection whose handshake is over.
pub(super) trait Carrier: Send + Sync + 'static {
    /// The half of a stream on which the peer speaks.
    type Reader: LinkReader + 'static;
    /// The half of a stream on which we speak.
    type Writer: LinkWriter + 'static;
    /// Why there are no more streams.
    type Over: fmt::Display + Send;

    /// Who the peer proved to be.
    ///
    /// # Errors
    /// The peer's certificate is not an identity.
    fn peer(&self) -> Result<Peer, IdentityError>;

    /// Where the peer is at this moment. Also to be asked when the connection is gone.
    fn remote(&self) -> SocketAddr;

    /// The local address that the peer reached, where the system tells.
    fn local_ip(&self) -> Option<IpAddr>;

    /// Raises the bounds of an anonymous peer, with which every connection starts, to those of one
    /// that showed a key.
    fn raise_bounds(&self);

    /// Waits for the next stream that the peer opens.
    ///
    /// # Cancel safety
    /// Must be cancel safe.
    fn accept(
        &mut self,
    ) -> impl Future<Output = Result<(Self::Reader, Self::Writer), Self::Over>> + Send;

    /// Ends the connection; what was not delivered yet is lost.
    fn close(&self, result: ResultCode);
}

/// The half on which the peer speaks.
pub(super) trait LinkReader: Send {
    /// Waits for bytes and puts them into `chunks` from the front on. Returns how many chunks were
    /// filled; none means that the peer will send no more.
    ///
    /// # Cancel safety
    /// Must be cancel safe: a future that is dropped before it is ready took nothing.
    fn read(&mut self, chunks: &mut [Bytes]) -> impl Future<Output = Result<usize, Broken>> + Send;

    /// Waits until the peer abandons its half, without reading; for good if that cannot happen
    /// any more.
    ///
    /// # Cancel safety
    /// Must be cancel safe.
    fn broken(&mut self) -> impl Future<Output = Broken> + Send;

    /// Tells the peer that nothing more is read, and drops what is buffered.
    fn stop(&mut self, code: ResultCode);
}

/// The half on which we speak.
pub(super) trait LinkWriter: Send {
    /// Waits until something of `chunks` can be taken, and takes as much as there is room for:
    /// chunks that were taken whole are left empty, one that was taken in part keeps its rest.
    ///
    /// # Cancel safety
    /// Must be cancel safe: a future that is dropped before it is ready took nothing.
    fn write(&mut self, chunks: &mut [Bytes]) -> impl Future<Output = Result<(), Broken>> + Send;

    /// Says that nothing more comes; what was written is still delivered.
    fn finish(&mut self);

    /// Breaks this half off: what was not delivered yet is dropped, and the peer can tell that it
    /// was not the end.
    fn reset(&mut self, code: ResultCode);

    /// Waits until there is no use in this half any more, or, after [`finish`](Self::finish),
    /// until the peer has everything. The future stands on its own, so that the driver keeps one
    /// for the life of the stream.
    fn ended(&self) -> impl Future<Output = Result<(), Broken>> + Send + 'static;
}

/// The peer gave the stream up, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Broken {
    /// The peer abandoned its half.
    #[error("the peer reset the stream")]
    Reset,
    /// The peer wants nothing more of our half.
    #[error("the peer stopped the stream")]
    Stopped,
    /// The peer takes nothing of what waits for it.
    #[error("the peer takes nothing of what waits for it")]
    Stalled,
    /// The whole connection is gone.
    #[error("the connection is gone")]
    Gone,
}
