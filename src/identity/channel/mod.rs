//! TLS over TCP: a handshake, and then one stream of bytes each way, whose halves are used apart.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{ALPN, IdentityError, Peer, TLS_NAME, peer_of_chain};
use crate::base::limits;

/// Why there is no channel.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The connection broke, or the handshake failed.
    #[error("the handshake failed")]
    Handshake(#[from] io::Error),
    /// The other end speaks another protocol, or does not say which.
    #[error("the other end does not speak mosaic")]
    Protocol,
    /// The other end showed something else than a Mosaic identity.
    #[error("the other end has no valid identity")]
    Identity(#[from] IdentityError),
}

/// A TCP connection after its TLS handshake: one stream of bytes each way.
///
/// The end of a half is said inside TLS (*close_notify*). A connection that is cut without it is
/// broken, not ended: whoever sits between the two could have cut it anywhere.
///
/// Every method takes `&self`, so that the halves can be used side by side; but at most one task
/// may read at a time, and one write.
pub struct Channel {
    socket: Arc<TcpStream>,
    peer: Peer,
    state: Mutex<State>,
}

struct State {
    tls: TlsStream<Io>,
    /// What broke the reading half behind bytes that were still good.
    failure: Option<io::Error>,
    writing: Writing,
}

/// How far our half has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    Open,
    /// It ends behind what is on its way; nothing more is written.
    Finishing,
    Finished,
}

impl Channel {
    /// Shakes hands as a client. `config` is what [`client_tls`](super::client_tls) made.
    ///
    /// # Errors
    /// [`ChannelError`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    pub async fn connect(
        socket: TcpStream,
        config: Arc<ClientConfig>,
    ) -> Result<Self, ChannelError> {
        let name = ServerName::try_from(TLS_NAME).map_err(io::Error::other)?;
        let (socket, io) = prepare(socket)?;
        let mut tls = TlsConnector::from(config).connect(name, io).await?;
        tls.get_mut().1.set_buffer_limit(SEND_BUFFER);
        Self::new(socket, tls.into())
    }

    /// Shakes hands as a server. `config` is what
    /// [`Identity::server_tls`](super::Identity::server_tls) made.
    ///
    /// # Errors
    /// [`ChannelError`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    pub async fn accept(
        socket: TcpStream,
        config: Arc<ServerConfig>,
    ) -> Result<Self, ChannelError> {
        let (socket, io) = prepare(socket)?;
        let mut tls = TlsAcceptor::from(config).accept(io).await?;
        tls.get_mut().1.set_buffer_limit(SEND_BUFFER);
        Self::new(socket, tls.into())
    }

    fn new(socket: Arc<TcpStream>, tls: TlsStream<Io>) -> Result<Self, ChannelError> {
        let (_, session) = tls.get_ref();
        // TLS itself lets a peer pass that names no protocol at all; QUIC does not.
        if session.alpn_protocol() != Some(ALPN) {
            return Err(ChannelError::Protocol);
        }
        let peer = peer_of_chain(session.peer_certificates().unwrap_or_default())?;
        Ok(Self {
            socket,
            peer,
            state: Mutex::new(State {
                tls,
                failure: None,
                writing: Writing::Open,
            }),
        })
    }

    /// Who is at the other end.
    #[must_use]
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// The address of this end.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next bytes, at most about [`limits::STREAM_READ_BYTES`]; none once the other end has
    /// said that it sends no more.
    ///
    /// # Errors
    /// The connection broke, or was cut off: [`io::ErrorKind::UnexpectedEof`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn read(&self) -> io::Result<Bytes> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut state = self.state();
        if let Some(failure) = state.failure.take() {
            return Poll::Ready(Err(failure));
        }
        if state.writing == Writing::Finishing {
            // What `finish` had no room for goes on here. An error shows in the reading, too.
            drop(state.poll_finish(cx));
        }
        // No buffer is kept while nothing comes: most connections are idle most of the time.
        let mut read = BytesMut::new();
        while read.len() < limits::STREAM_READ_BYTES {
            let taken = match Pin::new(&mut state.tls).poll_fill_buf(cx) {
                Poll::Ready(Ok([])) => break,
                Poll::Ready(Ok(bytes)) => {
                    read.extend_from_slice(bytes);
                    bytes.len()
                }
                Poll::Ready(Err(error)) if read.is_empty() => return Poll::Ready(Err(error)),
                Poll::Ready(Err(error)) => {
                    state.failure = Some(error);
                    break;
                }
                Poll::Pending if read.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            };
            Pin::new(&mut state.tls).consume(taken);
        }
        Poll::Ready(Ok(read.freeze()))
    }

    /// Waits until something of `chunks` can be taken, and takes as much as there is room for:
    /// chunks that were taken whole are left empty, one that was taken in part keeps its rest.
    ///
    /// What was taken may wait here until [`flush`](Self::flush) is called, or more is written.
    ///
    /// # Errors
    /// The connection broke, or our half has ended.
    ///
    /// # Cancel safety
    /// Cancel safe: a future that is dropped before it is ready took nothing.
    pub async fn write(&self, chunks: &mut [Bytes]) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(cx, chunks)).await
    }

    fn poll_write(&self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.writing != Writing::Open {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut taken = {
            let mut slices = [IoSlice::new(&[]); limits::STREAM_WRITE_CHUNKS_MAX];
            for (slice, chunk) in slices.iter_mut().zip(&*chunks) {
                *slice = IoSlice::new(chunk);
            }
            ready!(Pin::new(&mut state.tls).poll_write_vectored(cx, &slices))?
        };
        for chunk in chunks {
            let of_this = taken.min(chunk.len());
            chunk.advance(of_this);
            taken -= of_this;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until the system has taken all that was written.
    ///
    /// # Errors
    /// The connection broke.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self.state().tls).poll_flush(cx)).await
    }

    /// Ends our half: what was written, and the word that it is all, go out as far as there is room
    /// now. [`read`](Self::read) and [`finished`](Self::finished) see to the rest.
    pub fn finish(&self) {
        let mut state = self.state();
        state.io().waits = false;
        // Where this fails, the connection is broken, which the next call tells.
        drop(state.poll_finish(&mut Context::from_waker(Waker::noop())));
        state.io().waits = true;
    }

    /// Ends our half and waits until the system has taken all of it.
    ///
    /// # Errors
    /// The connection broke.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn finished(&self) -> io::Result<()> {
        poll_fn(|cx| self.state().poll_finish(cx)).await
    }

    /// Sends on whatever was written and waits here, until our half has ended and the system has
    /// taken all of it. To be asked for by the task that writes, beside all else that it waits for.
    ///
    /// # Errors
    /// The connection broke.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn delivered(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.writing == Writing::Open {
                ready!(Pin::new(&mut state.tls).poll_flush(cx))?;
                // There will be more.
                return Poll::Pending;
            }
            state.poll_finish(cx)
        })
        .await
    }

    /// Waits until the other end has closed the connection, and throws away what still comes: a
    /// socket that is closed over unread bytes takes back the last words that were written to it.
    /// Nothing can be read afterwards.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn drained(&self) {
        let mut rubbish = [0; DRAIN_BYTES];
        while self.socket.readable().await.is_ok() {
            match self.socket.try_read(&mut rubbish) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Waits until the connection breaks, without reading. An orderly end is none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn broken(&self) {
        // An error means that the runtime goes down.
        self.socket.ready(Interest::ERROR).await.ok();
    }

    /// Ends the connection both ways, with a word to the other end where there is room for it.
    /// Whoever reads or writes is told.
    pub fn close(&self) {
        self.finish();
        self.abort();
    }

    /// Says that nothing more is wanted of the other end: when this end is dropped, the other one
    /// learns so at once, by a reset, and not from the first thing that it sends in vain. What the
    /// system has not sent by then is lost.
    pub fn forsake(&self) {
        // It fails where the connection is gone already.
        self.socket.set_zero_linger().ok();
    }

    /// Cuts the connection off: the other end learns that it is broken.
    pub fn abort(&self) {
        self.state().writing = Writing::Finished;
        // It fails where the connection is gone already.
        SockRef::from(&*self.socket).shutdown(Shutdown::Both).ok();
    }

    /// What is under the lock is valid between any two calls, so a panic elsewhere is no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writing != Writing::Finished {
            self.writing = Writing::Finishing;
            ready!(Pin::new(&mut self.tls).poll_shutdown(cx))?;
            self.writing = Writing::Finished;
        }
        Poll::Ready(Ok(()))
    }

    fn io(&mut self) -> &mut Io {
        self.tls.get_mut().0
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("socket", &self.socket)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Sets what every connection of ours has: small messages leave at once, and the system finds out
/// by itself that the other end is gone, for nothing of ours is said on an idle connection.
///
/// There is no limit on how long the other end may leave what was sent unread: one that reads
/// slowly is not cut off. One that is gone with bytes on their way to it is given up when the
/// system's retransmissions end, which takes about a quarter of an hour.
fn prepare(socket: TcpStream) -> io::Result<(Arc<TcpStream>, Io)> {
    socket.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(limits::KEEP_ALIVE_INTERVAL)
        .with_interval(PROBE_INTERVAL)
        .with_retries(PROBES);
    SockRef::from(&socket).set_tcp_keepalive(&keep_alive)?;
    let socket = Arc::new(socket);
    let io = Io {
        socket: Arc::clone(&socket),
        waits: true,
    };
    Ok((socket, io))
}

/// The socket as TLS sees it.
struct Io {
    socket: Arc<TcpStream>,
    /// Whether a write that finds no room is to be woken when there is some. A caller that will
    /// not wait must not take the place of one that does.
    waits: bool,
}

impl Io {
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.waits {
                ready!(self.socket.poll_write_ready(cx))?;
            }
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.waits {
                        return Poll::Pending;
                    }
                }
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            match self.socket.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |socket| socket.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.socket).shutdown(Shutdown::Write))
    }
}

/// The other end is asked that often whether it is there, once it was silent for
/// [`limits::KEEP_ALIVE_INTERVAL`].
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// So many questions without an answer end the connection: after as long as QUIC's idle timeout.
const PROBES: u32 = 4;

const _: () = assert!(
    limits::KEEP_ALIVE_INTERVAL.as_secs() + PROBE_INTERVAL.as_secs() * PROBES as u64
        == limits::IDLE_TIMEOUT.as_secs()
);

const SEND_BUFFER: Option<usize> = Some(limits::TLS_SEND_BUFFER_BYTES);

/// Read at a time where nobody wants what comes.
const DRAIN_BYTES: usize = 4 << 10;

#[cfg(test)]
mod tests;
