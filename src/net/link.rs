//! What the driver of a stream needs of a transport: one reliable byte stream each way.

use std::future::Future;

use bytes::Bytes;
use thiserror::Error;

use crate::wire::ResultCode;

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
    /// The whole connection is gone.
    #[error("the connection is gone")]
    Gone,
}
