//! The door before the listener: what every connection passes on its way in, whatever it speaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tokio::time::Instant;
use tracing::error;

use super::connection::Shared;
use super::services::{Admission, Services};
use super::signals::Watch;
use crate::base::limits::HANDSHAKES_MAX;
use crate::session::{Seat, Settings};
use crate::wire::{ProbeTransport, Timestamp};

/// What every connection passes on its way in, whichever socket it came to.
pub(super) struct Door {
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    /// Connections so far; the next one's number.
    count: AtomicU64,
}

/// One listening socket, as its connections see it.
#[derive(Debug)]
pub(super) struct Place {
    /// Its place among those that were bound together.
    pub(super) socket: usize,
    /// What is spoken there.
    pub(super) transport: ProbeTransport,
    /// The address it is bound to.
    pub(super) address: SocketAddr,
    pub(super) settings: Arc<Settings>,
    pub(super) local_settings: Option<Arc<Settings>>,
}

/// Why a connection attempt is turned away before its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwelcome {
    /// Its address is banned, and enough of the banned were told so just now.
    Banned,
    /// Its address began too many handshakes lately, or has too many in flight.
    TooFast,
}

/// What a connection was given on its way in.
pub(super) struct Entry {
    pub(super) shared: Arc<Shared>,
    pub(super) place: Arc<Place>,
    /// Number of the connection, never used twice.
    pub(super) number: u64,
    pub(super) signals: Watch,
    /// Its share of the connections that may be open.
    pub(super) permit: OwnedSemaphorePermit,
}

impl Door {
    pub(super) fn new(services: Services) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(services.connections_max)),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            shared: Arc::new(Shared::new(services)),
            count: AtomicU64::new(0),
        }
    }

    /// Looks at the address, which has proved itself, before a handshake is begun with it. Returns
    /// its share of the handshakes of that address; a banned peer that is let in to be told so has
    /// none.
    ///
    /// # Errors
    /// [`Unwelcome`].
    pub(super) fn welcome(&self, remote: SocketAddr) -> Result<Option<Seat>, Unwelcome> {
        let Admission { bans, rates } = self.shared.admission();
        let now = Instant::now().into_std();
        let ip = remote.ip().to_canonical();
        if bans.of_ip(ip, Timestamp::now()).is_some() {
            let is_told = rates.may_tell_banned(now);
            return if is_told {
                Ok(None)
            } else {
                Err(Unwelcome::Banned)
            };
        }
        let seat = rates.handshake(ip, now);
        seat.map(Some).ok_or(Unwelcome::TooFast)
    }

    /// A share of the connections that may be open, if there is one left.
    pub(super) fn connection(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connections).try_acquire_owned().ok()
    }

    /// A share of the handshakes that may be in flight, if there is one left.
    pub(super) fn handshake(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.handshakes).try_acquire_owned().ok()
    }

    /// Lets a connection in, which has its share of those that may be open.
    pub(super) fn entry(
        &self,
        place: &Arc<Place>,
        signals: &Watch,
        permit: OwnedSemaphorePermit,
    ) -> Entry {
        Entry {
            shared: Arc::clone(&self.shared),
            place: Arc::clone(place),
            number: self.count.fetch_add(1, Ordering::Relaxed),
            signals: signals.fresh(),
            permit,
        }
    }
}

impl Place {
    /// The settings of a connection; those for local peers where it `is_local` and there are any.
    pub(super) fn settings_for(&self, is_local: bool) -> &Arc<Settings> {
        match &self.local_settings {
            Some(settings) if is_local => settings,
            Some(_) | None => &self.settings,
        }
    }
}

/// Traces the panic of a connection's task.
pub(super) fn trace_panic(joined: Result<(), JoinError>) {
    if let Err(error) = joined {
        error!(%error, "a connection panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::Behind;

    #[test]
    fn only_local_peers_get_the_settings_for_them_where_there_are_any() {
        let settings = Behind::new().settings;
        let local = Arc::new((*settings).clone());
        let place = |local_settings| Place {
            socket: 0,
            transport: ProbeTransport::Tcp,
            address: "127.0.0.1:1".parse().unwrap(),
            settings: Arc::clone(&settings),
            local_settings,
        };
        let with = place(Some(Arc::clone(&local)));
        assert!(Arc::ptr_eq(with.settings_for(true), &local));
        assert!(Arc::ptr_eq(with.settings_for(false), &settings));
        assert!(Arc::ptr_eq(place(None).settings_for(true), &settings));
    }
}
