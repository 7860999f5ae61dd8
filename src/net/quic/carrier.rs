//! A QUIC connection and its streams, as the drivers see them.

use std::future::{Future, pending};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use quinn::{ConnectionError, ReadError, ResetError, StoppedError, WriteError};

use super::error_code;
use crate::base::limits::KNOWN_STREAMS_MAX;
use crate::identity::{IdentityError, Peer, peer_of};
use crate::net::link::{Broken, Carrier, LinkReader, LinkWriter};
use crate::wire::ResultCode;

impl Carrier for quinn::Connection {
    type Reader = quinn::RecvStream;
    type Writer = quinn::SendStream;
    type Over = ConnectionError;

    fn peer(&self) -> Result<Peer, IdentityError> {
        peer_of(self)
    }

    fn remote(&self) -> SocketAddr {
        self.remote_address()
    }

    fn local_ip(&self) -> Option<IpAddr> {
        quinn::Connection::local_ip(self)
    }

    fn raise_bounds(&self) {
        self.set_max_concurrent_bi_streams(KNOWN_STREAMS_MAX.into());
    }

    async fn accept(&mut self) -> Result<(Self::Reader, Self::Writer), ConnectionError> {
        // Cancel safe: a stream that was not taken stays with the connection.
        let (writer, reader) = self.accept_bi().await?;
        Ok((reader, writer))
    }

    fn close(&self, result: ResultCode) {
        // The code is for people who look at packets.
        quinn::Connection::close(self, error_code(result), &[]);
    }
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

    fn reset(&mut self, code: ResultCode) {
        // An error means that the stream has ended already.
        drop(quinn::SendStream::reset(self, error_code(code)));
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
