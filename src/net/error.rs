//! What goes wrong on our side of the network.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use crate::identity::IdentityError;

/// Why the listener cannot start, or had to stop.
#[derive(Debug, Error)]
pub enum NetError {
    /// No address to listen on was given.
    #[error("there is no address to listen on")]
    NoAddress,
    /// An address could not be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No certificate could be made from the listener's identity.
    #[error("cannot prepare the listener's identity")]
    Identity(#[from] IdentityError),
    /// The socket of a running listener failed; its connections are lost.
    #[error("the socket of {address} failed")]
    SocketLost {
        /// The address it was bound to.
        address: SocketAddr,
    },
    /// The accept loop of an address panicked.
    #[error("the accept loop of {address} panicked")]
    Panicked {
        /// The address it was bound to.
        address: SocketAddr,
    },
}
