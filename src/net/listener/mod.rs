//! The listener: its sockets, and the accept loop of each.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::Endpoint;
use tokio::task::JoinSet;

use super::door::{Door, Place};
use super::error::NetError;
use super::quic::{self, Endpoints};
use super::services::Services;
use super::signals::{Control, Watch};
use super::tcp::{self, Acceptors};
use crate::identity::Identity;
use crate::session::Settings;
use crate::wire::ProbeTransport;

/// Accepts connections on one or more sockets, and serves them.
///
/// [`bind`](Self::bind) opens the sockets, [`run`](Self::run) serves until its
/// [`control`](Self::control) says [`shutdown`](Control::shutdown).
pub struct Listener {
    sockets: Vec<Bound>,
    door: Arc<Door>,
    control: Control,
}

/// A socket to listen on. Each has a gate of its own, in its settings: whether it can be reached
/// says nothing about the others.
#[derive(Clone, Debug)]
pub struct Socket {
    /// The address to bind. An IPv6 address takes IPv6 only.
    pub address: SocketAddr,
    /// What is spoken there.
    pub transport: ProbeTransport,
    /// The gate and the rules of its connections.
    pub settings: Arc<Settings>,
    /// Those of connections that [`Probing::is_local`](super::Probing::is_local), where they differ:
    /// the visitors of an onion service come in so, whatever is known of the socket's addresses.
    pub local_settings: Option<Arc<Settings>>,
}

/// A socket that is bound.
struct Bound {
    place: Arc<Place>,
    acceptor: Acceptor,
}

/// What takes the connections of a socket, by its transport.
enum Acceptor {
    Quic(Endpoint),
    Tcp(tcp::Acceptor),
}

impl Listener {
    /// Binds every socket; none may be missing. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// - [`NetError::NoAddress`]: there is nothing to bind.
    /// - [`NetError::Identity`]: no certificate can be made from the identity.
    /// - [`NetError::Bind`]: an address is in use, or not ours.
    pub fn bind(
        sockets: &[Socket],
        identity: &Identity,
        services: Services,
    ) -> Result<Self, NetError> {
        if sockets.is_empty() {
            return Err(NetError::NoAddress);
        }
        let binders = Binders {
            quic: Endpoints::of(identity)?,
            tcp: Acceptors::of(identity)?,
        };
        let bound = sockets.iter().enumerate();
        let bound = bound.map(|(place, socket)| Bound::new(place, socket, &binders));
        Ok(Self {
            sockets: bound.collect::<Result<_, _>>()?,
            door: Arc::new(Door::new(services)),
            control: Control::new(),
        })
    }

    /// The bound addresses, in the order they were given, with the ports the system chose.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|bound| bound.place.address)
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
        for bound in self.sockets {
            let address = bound.place.address;
            let (door, signals) = (Arc::clone(&self.door), self.control.watch());
            let task = loops.spawn(bound.accept(door, signals));
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
        f.debug_list().entries(self.addresses()).finish()
    }
}

/// What makes acceptors, for each transport.
struct Binders {
    quic: Endpoints,
    tcp: Acceptors,
}

impl Bound {
    fn new(place: usize, socket: &Socket, binders: &Binders) -> Result<Self, NetError> {
        let Socket {
            address,
            transport,
            ref settings,
            ref local_settings,
        } = *socket;
        let failed = |source| NetError::Bind { address, source };
        let (address, acceptor) = match transport {
            ProbeTransport::Quic => {
                let (address, endpoint) = binders.quic.bind(address).map_err(failed)?;
                (address, Acceptor::Quic(endpoint))
            }
            ProbeTransport::Tcp => {
                let (address, acceptor) = binders.tcp.bind(address).map_err(failed)?;
                (address, Acceptor::Tcp(acceptor))
            }
        };
        let place = Arc::new(Place {
            socket: place,
            transport,
            address,
            settings: Arc::clone(settings),
            local_settings: local_settings.clone(),
        });
        Ok(Self { place, acceptor })
    }

    /// The accept loop of this socket; it owns the tasks of its connections.
    async fn accept(self, door: Arc<Door>, signals: Watch) -> Result<(), NetError> {
        match self.acceptor {
            Acceptor::Quic(endpoint) => quic::accept(endpoint, self.place, door, signals).await,
            Acceptor::Tcp(acceptor) => tcp::accept(acceptor, self.place, door, signals).await,
        }
    }
}

#[cfg(test)]
mod tests;
