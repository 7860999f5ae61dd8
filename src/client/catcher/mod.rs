//! An acceptor for dial-backs on a port of its own: what a server tests a fresh port with, and a
//! tester its machine.

mod quic;
mod talk;
mod tcp;

use std::io;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::base::limits;
use crate::identity::{Identity, IdentityError};
use crate::wire::{Dialback, ProbeTransport, PublicKey, SecretKey};

/// Waits for dial-backs on a port of its own, and does nothing else there.
///
/// It sends nothing before it is spoken to. Whoever says HELLO and DIALBACK is [`Caught`]; whoever
/// says something else is dropped. At most
/// [`CATCHER_CONNECTIONS_MAX`](limits::CATCHER_CONNECTIONS_MAX) are listened to at a time, each for
/// [`CATCHER_TIMEOUT`](limits::CATCHER_TIMEOUT) and
/// [`CATCHER_MAX_BYTES`](limits::CATCHER_MAX_BYTES).
///
/// Dropping it closes the port.
#[derive(Debug)]
pub struct Catcher {
    address: SocketAddr,
    caught: mpsc::Receiver<Caught>,
    task: JoinHandle<()>,
}

/// Why there is no catcher.
#[derive(Debug, Error)]
pub enum CatcherError {
    /// The address is in use, or not this machine's.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Our own key or certificate.
    #[error("cannot prepare the handshake")]
    Identity(#[from] IdentityError),
}

/// A dial-back that waits for its answer. Dropping it ends its connection without one.
#[derive(Debug)]
pub struct Caught {
    /// Who dialed, as the handshake proved it; IPv4 is written as IPv4.
    pub remote: SocketAddr,
    /// The local address that was dialed; `None` where the system does not tell.
    pub dst: Option<IpAddr>,
    /// The key that the dialer proved, if it showed one.
    pub dialer: Option<PublicKey>,
    /// What it said.
    pub dialback: Dialback,
    answer: oneshot::Sender<Answer>,
}

/// What is answered to a dial-back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Ack,
    Reject,
}

impl Catcher {
    /// Listens on `address`, whose port may be 0 for any free one, and proves to be `identity`.
    ///
    /// An IPv6 address takes IPv6 alone. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`CatcherError`].
    pub fn bind(
        address: SocketAddr,
        transport: ProbeTransport,
        identity: &SecretKey,
    ) -> Result<Self, CatcherError> {
        let identity = Identity::new(identity.clone());
        let (sender, caught) = mpsc::channel(limits::CATCHER_CONNECTIONS_MAX);
        let failed = |source| CatcherError::Bind { address, source };
        let (address, task) = match transport {
            ProbeTransport::Quic => {
                let config = quic::config(&identity)?;
                let endpoint = quic::bind(address, config).map_err(failed)?;
                let address = endpoint.local_addr().map_err(failed)?;
                (address, tokio::spawn(quic::run(endpoint, sender)))
            }
            ProbeTransport::Tcp => {
                let config = tcp::config(&identity)?;
                let listener = tcp::bind(address).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                (address, tokio::spawn(tcp::run(listener, config, sender)))
            }
        };
        Ok(Self {
            address,
            caught,
            task,
        })
    }

    /// The address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next dial-back. Waits for ever where none comes.
    ///
    /// # Cancel safety
    /// Cancel safe: a dial-back is taken only in the poll that is ready.
    pub async fn next(&mut self) -> Caught {
        match self.caught.recv().await {
            Some(caught) => caught,
            // The socket broke, so nothing will ever arrive.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Catcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Caught {
    /// Answers that the nonce is known. The dialer may be gone already.
    pub fn ack(self) {
        self.answer.send(Answer::Ack).ok();
    }

    /// Answers that the nonce is not known. The dialer may be gone already.
    pub fn reject(self) {
        self.answer.send(Answer::Reject).ok();
    }
}

#[cfg(test)]
mod tests;
