//! The accept loop of one TCP socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use super::Acceptor;
use super::carrier::Tcp;
use crate::base::limits::{HANDSHAKE_TIMEOUT, TCP_ACCEPT_PAUSE, TCP_HANDSHAKES_MAX};
use crate::identity::Channel;
use crate::net::connection;
use crate::net::door::{Door, Place, trace_panic};
use crate::net::error::NetError;
use crate::net::signals::Watch;
use crate::session::Seat;

/// What the connections of one socket share.
struct Gateway {
    config: Arc<ServerConfig>,
    place: Arc<Place>,
    door: Arc<Door>,
    /// Of the handshakes that the door allows, those that this socket may have.
    handshakes: Arc<Semaphore>,
}

/// The shares of one handshake.
struct Handshake {
    _door: OwnedSemaphorePermit,
    _socket: OwnedSemaphorePermit,
    _address: Option<Seat>,
}

/// The accept loop of one socket; it owns the tasks of its connections.
pub(in crate::net) async fn accept(
    acceptor: Acceptor,
    place: Arc<Place>,
    door: Arc<Door>,
    mut signals: Watch,
) -> Result<(), NetError> {
    let Acceptor { listener, config } = acceptor;
    let gateway = Gateway {
        config,
        place,
        door,
        handshakes: Arc::new(Semaphore::new(TCP_HANDSHAKES_MAX)),
    };
    let mut connections = JoinSet::new();
    let mut rests_until: Option<Instant> = None;
    loop {
        tokio::select! {
            // Cancel safe: a connection that was not taken stays in the backlog.
            accepted = listener.accept(), if rests_until.is_none() => match accepted {
                Ok((socket, remote)) => gateway.admit(socket, remote, &signals, &mut connections),
                Err(error) => rests_until = rest(&error, gateway.place.address),
            },
            () = sleep_until(rests_until.unwrap_or_else(Instant::now)), if rests_until.is_some() => {
                rests_until = None;
            }
            Some(joined) = connections.join_next() => trace_panic(joined),
            () = signals.stopping() => break,
        }
    }
    // From here on the system refuses new connections by itself.
    drop(listener);
    while let Some(joined) = connections.join_next().await {
        trace_panic(joined);
    }
    Ok(())
}

/// How long to leave the backlog alone after an error. One connection that was given up while it
/// waited there is no reason to; where the system has no more sockets or memory, asking again at
/// once would only keep a processor busy.
fn rest(error: &io::Error, address: SocketAddr) -> Option<Instant> {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        debug!(%address, %error, "a connection was gone before it was accepted");
        return None;
    }
    warn!(%address, %error, "connections cannot be accepted for now");
    Some(Instant::now() + TCP_ACCEPT_PAUSE)
}

impl Gateway {
    /// Decides about one connection. Its source address has proved itself by TCP's own handshake.
    /// One that there is no place for is closed, which its peer sees.
    fn admit(
        &self,
        socket: TcpStream,
        remote: SocketAddr,
        signals: &Watch,
        connections: &mut JoinSet<()>,
    ) {
        let seat = match self.door.welcome(remote) {
            Ok(seat) => seat,
            Err(why) => {
                debug!(?why, "a connection is turned away");
                return;
            }
        };
        let Some(permit) = self.door.connection() else {
            debug!("too many connections");
            return;
        };
        let Some(handshake) = self.handshake(seat) else {
            debug!("too many handshakes");
            return;
        };
        let entry = self.door.entry(&self.place, signals, permit);
        let mut signals = signals.fresh();
        let config = Arc::clone(&self.config);
        connections.spawn(async move {
            let connected = tokio::select! {
                connected = shake_hands(socket, config, entry.number, handshake) => connected,
                () = signals.stopping() => None,
            };
            if let Some(channel) = connected {
                connection::serve(Tcp::new(channel, remote), entry).await;
            }
        });
    }

    fn handshake(&self, seat: Option<Seat>) -> Option<Handshake> {
        let socket = Arc::clone(&self.handshakes).try_acquire_owned().ok()?;
        Some(Handshake {
            _door: self.door.handshake()?,
            _socket: socket,
            _address: seat,
        })
    }
}

/// The connection, if its handshake succeeds in time. `_handshake` is its share of the handshakes
/// in flight.
async fn shake_hands(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    number: u64,
    _handshake: Handshake,
) -> Option<Channel> {
    match timeout(HANDSHAKE_TIMEOUT, Channel::accept(socket, config)).await {
        Ok(Ok(channel)) => Some(channel),
        Ok(Err(error)) => {
            debug!(number, %error, "a handshake failed");
            None
        }
        Err(_elapsed) => {
            debug!(number, "a handshake took too long");
            None
        }
    }
}
