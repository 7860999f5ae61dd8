//! The accept loop of one QUIC endpoint.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Endpoint, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::error_code;
use crate::base::limits::{ENDPOINT_IDLE_TIMEOUT, HANDSHAKE_TIMEOUT};
use crate::net::connection;
use crate::net::door::{Door, Place, Unwelcome, trace_panic};
use crate::net::error::NetError;
use crate::net::signals::Watch;
use crate::session::Seat;
use crate::wire::ResultCode;

/// The accept loop of one endpoint; it owns the tasks of its connections.
pub(in crate::net) async fn accept(
    endpoint: Endpoint,
    place: Arc<Place>,
    door: Arc<Door>,
    mut signals: Watch,
) -> Result<(), NetError> {
    let address = place.address;
    let mut connections = JoinSet::new();
    let outcome = loop {
        tokio::select! {
            // Cancel safe: an attempt that was not taken stays with the endpoint.
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => admit(incoming, &place, &door, &signals, &mut connections),
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
    close(&endpoint, address).await;
    outcome
}

/// Ends what is left of the endpoint's connections, and gives peers time to hear of it.
async fn close(endpoint: &Endpoint, address: SocketAddr) {
    endpoint.close(error_code(ResultCode::ShuttingDown), &[]);
    if timeout(ENDPOINT_IDLE_TIMEOUT, endpoint.wait_idle())
        .await
        .is_err()
    {
        debug!(%address, "peers did not acknowledge the end in time");
    }
}

/// Decides about one attempt to connect. Nothing is done for a source address that has not
/// proved itself but to ask it for the proof, which costs us one packet and no memory.
fn admit(
    incoming: Incoming,
    place: &Arc<Place>,
    door: &Door,
    signals: &Watch,
    connections: &mut JoinSet<()>,
) {
    if !incoming.remote_address_validated() {
        // An error hands the attempt back where it bears a proof, which was just ruled out.
        drop(incoming.retry());
        return;
    }
    let seat = match door.welcome(incoming.remote_address()) {
        Ok(seat) => seat,
        Err(Unwelcome::Banned) => {
            incoming.ignore();
            return;
        }
        Err(Unwelcome::TooFast) => {
            debug!("too many handshakes of one address");
            incoming.refuse();
            return;
        }
    };
    let Some(permit) = door.connection() else {
        debug!("too many connections");
        incoming.refuse();
        return;
    };
    let Some(handshake) = door.handshake() else {
        // No answer: the peer asks again by itself in a moment, when there may be room.
        debug!("too many handshakes");
        incoming.ignore();
        return;
    };
    let shares = (handshake, seat);
    let entry = door.entry(place, signals, permit);
    let mut signals = signals.fresh();
    connections.spawn(async move {
        let connected = tokio::select! {
            connected = shake_hands(incoming, entry.number, shares) => connected,
            () = signals.stopping() => None,
        };
        if let Some(quic) = connected {
            connection::serve(quic, entry).await;
        }
    });
}

/// The connection, if its handshake succeeds in time. `_shares` are its shares of the handshakes in
/// flight, of all and of its address.
async fn shake_hands(
    incoming: Incoming,
    number: u64,
    _shares: (OwnedSemaphorePermit, Option<Seat>),
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
