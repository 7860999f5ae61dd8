//! A connection over TCP and its one stream, as the drivers see them.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::base::limits::CLOSE_TIMEOUT;
use crate::identity::{Channel, IdentityError, Peer};
use crate::net::link::{Broken, Carrier, LinkReader, LinkWriter};
use crate::wire::ResultCode;

/// A connection after its handshake.
pub(super) struct Tcp {
    channel: Arc<Channel>,
    remote: SocketAddr,
    local_ip: Option<IpAddr>,
    /// The stream, until it is taken.
    stream: Option<(Reader, Writer)>,
    /// Closed once both halves of the stream are dropped.
    halves: watch::Sender<()>,
}

/// The half on which the peer speaks.
pub(super) struct Reader {
    channel: Arc<Channel>,
    #[expect(dead_code, reason = "held for its drop, which ends the connection")]
    held: watch::Receiver<()>,
}

/// The half on which we speak.
pub(super) struct Writer {
    channel: Arc<Channel>,
    #[expect(dead_code, reason = "held for its drop, which ends the connection")]
    held: watch::Receiver<()>,
}

/// The stream of the connection has ended, and there is no other.
#[derive(Debug, Error)]
#[error("its stream has ended")]
pub(super) struct Over;

impl Tcp {
    pub(super) fn new(channel: Channel, remote: SocketAddr) -> Self {
        let channel = Arc::new(channel);
        let (halves, held) = watch::channel(());
        let reader = Reader {
            channel: Arc::clone(&channel),
            held: held.clone(),
        };
        let writer = Writer {
            channel: Arc::clone(&channel),
            held,
        };
        Self {
            local_ip: channel.local_address().ok().map(|local| local.ip()),
            channel,
            remote,
            stream: Some((reader, writer)),
            halves,
        }
    }
}

impl Carrier for Tcp {
    type Reader = Reader;
    type Writer = Writer;
    type Over = Over;

    fn peer(&self) -> Result<Peer, IdentityError> {
        Ok(self.channel.peer())
    }

    fn remote(&self) -> SocketAddr {
        self.remote
    }

    fn local_ip(&self) -> Option<IpAddr> {
        self.local_ip
    }

    fn raise_bounds(&self) {
        // The one stream has the same bounds for everybody.
    }

    async fn accept(&mut self) -> Result<(Reader, Writer), Over> {
        if let Some(stream) = self.stream.take() {
            return Ok(stream);
        }
        // Cancel safe: it only looks.
        self.halves.closed().await;
        Err(Over)
    }

    fn close(&self, _: ResultCode) {
        self.channel.close();
    }
}

impl LinkReader for Reader {
    async fn read(&mut self, chunks: &mut [Bytes]) -> Result<usize, Broken> {
        // Cancel safe, as the channel promises.
        let bytes = self.channel.read().await.map_err(gone)?;
        match chunks.first_mut() {
            Some(chunk) if !bytes.is_empty() => {
                *chunk = bytes;
                Ok(1)
            }
            Some(_) | None => Ok(0),
        }
    }

    async fn broken(&mut self) -> Broken {
        self.channel.broken().await;
        Broken::Gone
    }

    fn stop(&mut self, _: ResultCode) {
        // TCP has no word for it. The peer finds its window closed.
    }
}

impl LinkWriter for Writer {
    async fn write(&mut self, chunks: &mut [Bytes]) -> Result<(), Broken> {
        // Cancel safe, as the channel promises.
        self.channel.write(chunks).await.map_err(gone)
    }

    fn finish(&mut self) {
        self.channel.finish();
    }

    fn reset(&mut self, _: ResultCode) {
        // There is no way to break off one half of it.
        self.channel.abort();
    }

    fn ended(&self) -> impl Future<Output = Result<(), Broken>> + Send + 'static {
        let channel = Arc::clone(&self.channel);
        async move {
            // The driver asks for this beside everything else it waits for, which is what pushes
            // out bytes that were taken and found no room yet.
            channel.delivered().await.map_err(gone)?;
            // The system has it all. That the peer has it, nothing says but that it hangs up.
            let hung_up = timeout(CLOSE_TIMEOUT, channel.drained()).await;
            if hung_up.is_err() {
                tracing::debug!("the peer did not hang up in time");
            }
            Ok(())
        }
    }
}

/// Whatever goes wrong with one half of a TCP connection goes wrong with all of it. An end that
/// was not said inside TLS is such a thing: what came before it may not be all.
fn gone(error: io::Error) -> Broken {
    tracing::debug!(%error, "a connection broke");
    Broken::Gone
}
