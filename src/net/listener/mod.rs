//! The listener: an endpoint for each address, and the door before it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, Incoming, TokioRuntime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, error};

use super::connection::{self, Shared};
use super::error::NetError;
use super::quic::{error_code, server_config};
use super::services::Services;
use super::signals::{Control, Watch};
use super::socket;
use crate::base::limits::{ENDPOINT_IDLE_TIMEOUT, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX};
use crate::wire::ResultCode;

/// Accepts QUIC connections on one or more addresses, and serves them.
///
/// [`bind`](Self::bind) opens the sockets, [`run`](Self::run) serves until its
/// [`control`](Self::control) says [`shutdown`](Control::shutdown).
pub struct Listener {
    endpoints: Vec<(SocketAddr, Endpoint)>,
    door: Arc<Door>,
    control: Control,
}

/// What every connection passes on its way in, whichever address it came to.
struct Door {
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    /// Connections so far; the next one's number.
    count: AtomicU64,
}

impl Listener {
    /// Binds every address; none may be missing. Must be called within a tokio runtime.
    ///
    /// An IPv6 address takes IPv6 only. `endpoint` and `crypto` come from the server's identity, as
    /// [`Identity::endpoint_config`](crate::identity::Identity::endpoint_config) and
    /// [`Identity::server_crypto`](crate::identity::Identity::server_crypto) make them.
    ///
    /// # Errors
    /// - [`NetError::NoAddress`]: there is nothing to bind.
    /// - [`NetError::Bind`]: an address is in use, or not ours.
    pub fn bind(
        addresses: &[SocketAddr],
        endpoint: &EndpointConfig,
        crypto: Arc<QuicServerConfig>,
        services: Services,
    ) -> Result<Self, NetError> {
        if addresses.is_empty() {
            return Err(NetError::NoAddress);
        }
        let config = server_config(crypto);
        let endpoints = addresses.iter().map(|address| {
            open(*address, endpoint, &config).map_err(|source| NetError::Bind {
                address: *address,
                source,
            })
        });
        Ok(Self {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            door: Arc::new(Door {
                connections: Arc::new(Semaphore::new(services.connections_max)),
                handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
                shared: Arc::new(Shared::new(services)),
                count: AtomicU64::new(0),
            }),
            control: Control::new(),
        })
    }

    /// The bound addresses, in the order they were given, with the ports the system chose.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.endpoints.iter().map(|(address, _)| *address)
    }

    /// A handle that stops the listener while it runs.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until [`Control::shutdown`], and returns when every connection has ended, every task
    /// was joined, and peers had time to hear of it. Without it, it returns only on an error.
    ///
    /// # Cancel safety
    /// Dropping the future drops every connection without a word to its peer.
    ///
    /// # Errors
    /// [`NetError::SocketLost`], [`NetError::Panicked`]: an address is not served any more. The
    /// other addresses are shut down first.
    pub async fn run(self) -> Result<(), NetError> {
        let mut loops = JoinSet::new();
        let mut addresses = Vec::new();
        for (address, endpoint) in self.endpoints {
            let (door, signals) = (Arc::clone(&self.door), self.control.watch());
            let task = loops.spawn(accept(address, endpoint, door, signals));
            addresses.push((task.id(), address));
        }
        let mut outcome = Ok(());
        while let Some(joined) = loops.join_next().await {
            let result = joined.unwrap_or_else(|error| {
                let mut addresses = addresses.iter();
                let address = addresses.find(|(id, _)| *id == error.id());
                match address {
                    Some((_, address)) => Err(NetError::Panicked { address: *address }),
                    None => Ok(()),
                }
            });
            if result.is_err() {
                self.control.shutdown();
                outcome = outcome.and(result);
            }
        }
        outcome
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.endpoints.iter().map(|(address, _)| address))
            .finish()
    }
}

fn open(
    address: SocketAddr,
    endpoint: &EndpointConfig,
    config: &quinn::ServerConfig,
) -> std::io::Result<(SocketAddr, Endpoint)> {
    let socket = socket::bind(address)?;
    let bound = socket.local_addr()?;
    let endpoint = Endpoint::new(
        endpoint.clone(),
        Some(config.clone()),
        socket,
        Arc::new(TokioRuntime),
    )?;
    Ok((bound, endpoint))
}

/// The accept loop of one endpoint; it owns the tasks of its connections.
async fn accept(
    address: SocketAddr,
    endpoint: Endpoint,
    door: Arc<Door>,
    mut signals: Watch,
) -> Result<(), NetError> {
    let mut connections = JoinSet::new();
    let outcome = loop {
        tokio::select! {
            // Cancel safe: an attempt that was not taken stays with the endpoint.
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => door.admit(incoming, &signals, &mut connections),
                None => break Err(NetError::SocketLost { address }),
            },
            Some(joined) = connections.join_next() => trace_panic(joined),
            () = signals.stopping() => break Ok(()),
        }
    };
    // From here on the endpoint refuses new connections by itself.
    endpoint.set_server_config(None);
    while let Some(joined) = connections.join_next().await {
        trace_panic(joined);
    }
    endpoint.close(error_code(ResultCode::ShuttingDown), &[]);
    if timeout(ENDPOINT_IDLE_TIMEOUT, endpoint.wait_idle())
        .await
        .is_err()
    {
        debug!(%address, "peers did not acknowledge the end in time");
    }
    outcome
}

impl Door {
    /// Decides about one attempt to connect. Nothing is done for a source address that has not
    /// proved itself but to ask it for the proof, which costs us one packet and no memory.
    fn admit(self: &Arc<Self>, incoming: Incoming, signals: &Watch, connections: &mut JoinSet<()>) {
        if !incoming.remote_address_validated() {
            // An error hands the attempt back where it bears a proof, which was just ruled out.
            drop(incoming.retry());
            return;
        }
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            debug!("too many connections");
            incoming.refuse();
            return;
        };
        let Ok(handshake) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            // No answer: the peer asks again by itself in a moment, when there may be room.
            debug!("too many handshakes");
            incoming.ignore();
            return;
        };
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        let mut signals = signals.fresh();
        connections.spawn(async move {
            let connected = tokio::select! {
                connected = shake_hands(incoming, number, handshake) => connected,
                () = signals.stopping() => None,
            };
            if let Some(quic) = connected {
                connection::serve(quic, number, shared, signals, permit).await;
            }
        });
    }
}

/// The connection, if its handshake succeeds in time. `_handshake` is its share of the handshakes
/// in flight.
async fn shake_hands(
    incoming: Incoming,
    number: u64,
    _handshake: OwnedSemaphorePermit,
) -> Option<quinn::Connection> {
    let connecting = match incoming.accept() {
        Ok(connecting) => connecting,
        Err(error) => {
            debug!(number, %error, "a connection could not be accepted");
            return None;
        }
    };
    match timeout(HANDSHAKE_TIMEOUT, connecting).await {
        Ok(Ok(quic)) => Some(quic),
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

fn trace_panic(joined: Result<(), tokio::task::JoinError>) {
    if let Err(error) = joined {
        error!(%error, "a connection panicked");
    }
}

#[cfg(test)]
mod tests;
