//! Who is at the other end of a connection.

use rustls::pki_types::CertificateDer;

use super::{IdentityError, certificate};
use crate::wire::PublicKey;

/// The key a peer has proved to hold: the key of the one certificate of a finished handshake.
///
/// A client's key is a *signing* key; [`Directory`](super::Directory) knows whom it speaks for. A
/// server's is its master key. Only this module makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerKey(PublicKey);

impl PeerKey {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.0
    }

    /// The key of a peer that a test invents.
    #[cfg(test)]
    pub(crate) const fn for_tests(key: PublicKey) -> Self {
        Self(key)
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A client that showed no certificate.
    Anonymous,
    /// A peer that proved to hold this key.
    Known(PeerKey),
}

impl Peer {
    /// The key the peer proved to hold, if any.
    #[must_use]
    pub const fn key(&self) -> Option<&PublicKey> {
        match self {
            Self::Anonymous => None,
            Self::Known(peer) => Some(peer.key()),
        }
    }
}

/// Who is at the other end of `connection`, which was made with this module's configurations.
///
/// For either side: a client reads the server's key this way.
///
/// # Errors
/// - [`IdentityError::ForeignConfiguration`]: the connection was made with other TLS code.
/// - [`IdentityError::Certificate`]: the certificate passed the handshake, but not the checks here;
///   the connection was made with another configuration than this module's.
///
/// # Source
/// `mosaic-wire.md` section 8: the key inside the certificate *is* the identity.
pub fn peer_of(connection: &quinn::Connection) -> Result<Peer, IdentityError> {
    let Some(identity) = connection.peer_identity() else {
        return Ok(Peer::Anonymous);
    };
    let chain = identity
        .downcast::<Vec<CertificateDer<'static>>>()
        .map_err(|_other| IdentityError::ForeignConfiguration)?;
    peer_of_chain(&chain)
}

/// Who showed the certificates `chain` in a finished handshake; for transports other than QUIC.
///
/// # Errors
/// [`IdentityError::Certificate`]: more than one certificate, or one that is not a Mosaic identity.
pub fn peer_of_chain(chain: &[CertificateDer<'_>]) -> Result<Peer, IdentityError> {
    match chain {
        [] => Ok(Peer::Anonymous),
        [end_entity, intermediates @ ..] => {
            let key = certificate::identity_of(end_entity, intermediates)?;
            Ok(Peer::Known(PeerKey(key)))
        }
    }
}
