//! Dial-backs over TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::super::raw;
use super::talk::{self, Dialer};
use super::{CatcherError, Caught};
use crate::base::limits;
use crate::identity::{Channel, Identity};

/// The settings of the handshakes.
pub(super) fn config(identity: &Identity) -> Result<Arc<ServerConfig>, CatcherError> {
    Ok(Arc::new(identity.server_tls()?))
}

/// An IPv6 socket takes IPv6 alone, as those of a listener do.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A port on which a connection is still closing is as fresh as any.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Listens to whoever connects, until the catcher is dropped.
pub(super) async fn run(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    caught: mpsc::Sender<Caught>,
) {
    let mut open = JoinSet::new();
    loop {
        let has_room = open.len() < limits::CATCHER_CONNECTIONS_MAX;
        tokio::select! {
            // Both are cancel safe.
            accepted = listener.accept(), if has_room => match accepted {
                Ok((socket, remote)) => {
                    let heard = listen(socket, remote, Arc::clone(&config), caught.clone());
                    open.spawn(timeout(limits::CATCHER_TIMEOUT, heard));
                }
                Err(error) => {
                    debug!(%error, "a dial-back could not be accepted");
                    sleep(limits::TCP_ACCEPT_PAUSE).await;
                }
            },
            Some(_) = open.join_next() => {}
        }
    }
}

async fn listen(
    socket: TcpStream,
    remote: SocketAddr,
    config: Arc<ServerConfig>,
    caught: mpsc::Sender<Caught>,
) {
    if let Err(error) = hear(socket, remote, config, caught).await {
        debug!(error, "no dial-back");
    }
}

async fn hear(
    socket: TcpStream,
    remote: SocketAddr,
    config: Arc<ServerConfig>,
    caught: mpsc::Sender<Caught>,
) -> Result<(), &'static str> {
    let channel = Channel::accept(socket, config).await;
    let channel = Arc::new(channel.map_err(|_| "the handshake failed")?);
    let dialer = Dialer {
        remote,
        dst: channel.local_address().ok().map(|local| local.ip()),
        key: channel.peer().key().copied(),
    };
    let halves = raw::split(Arc::clone(&channel), Arc::default());
    let heard = talk::hear(halves, dialer, &caught).await;
    // To let go of the connection would take back what is on its way. The dialer closes it once it
    // has its answer.
    timeout(limits::CLOSE_TIMEOUT, channel.drained()).await.ok();
    heard
}

/// Connections that wait to be accepted: as many as are listened to.
const BACKLOG: i32 = 8;
