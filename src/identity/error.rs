//! What can go wrong with identities.

use thiserror::Error;

use super::CertificateFault;

/// Why an identity cannot be used or a peer's cannot be told.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The peer's certificates are no Mosaic identity.
    #[error("the peer's certificate is not a Mosaic identity")]
    Certificate(#[from] CertificateFault),
    /// The connection's TLS is not this module's, so nothing is known about its peer.
    #[error("the connection was not made with a Mosaic configuration")]
    ForeignConfiguration,
    /// No certificate could be made from our own key.
    #[error("cannot make a certificate")]
    Making(#[from] rcgen::Error),
    /// The TLS library refused our certificate or settings.
    #[error("cannot set up tls")]
    Tls(#[from] rustls::Error),
    /// The TLS settings lack the cipher suite that every QUIC connection starts with.
    #[error("cannot set up quic over tls")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}
