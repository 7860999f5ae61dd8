//! Our own identity: a key pair, and the certificates and TLS settings made from it.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::{
    crypto::ring::sign::any_eddsa_type,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use super::{IdentityError, TLS_NAME, tls};
use crate::wire::{PublicKey, SecretKey};

/// A key pair with which this process proves who it is: a server's master key, or a client's
/// signing key.
#[derive(Clone, Debug)]
pub struct Identity(SecretKey);

impl Identity {
    /// The identity of that key.
    #[must_use]
    pub const fn new(key: SecretKey) -> Self {
        Self(key)
    }

    /// The public half, which peers know us by.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.0.public()
    }

    /// The secret half.
    #[must_use]
    pub const fn secret(&self) -> &SecretKey {
        &self.0
    }

    /// The settings of a QUIC listener that proves to be this identity.
    ///
    /// # Errors
    /// As [`server_tls`](Self::server_tls).
    pub fn server_crypto(&self) -> Result<Arc<QuicServerConfig>, IdentityError> {
        // `QuicServerConfig::try_from` leaves 0-RTT off; its other constructors switch it on.
        Ok(Arc::new(QuicServerConfig::try_from(self.server_tls()?)?))
    }

    /// The TLS settings behind [`server_crypto`](Self::server_crypto), for other transports.
    ///
    /// TLS 1.3 alone, ALPN `mosaic`. Clients are asked for a certificate and may do without. No
    /// tickets, no sessions kept, no 0-RTT.
    ///
    /// # Errors
    /// - [`IdentityError::Making`]: the certificate could not be made.
    /// - [`IdentityError::Tls`], [`IdentityError::Quic`]: the settings do not fit the TLS library.
    pub fn server_tls(&self) -> Result<rustls::ServerConfig, IdentityError> {
        tls::server(self.certified_key()?)
    }

    /// The key with a new certificate for it.
    pub(super) fn certified_key(&self) -> Result<Arc<CertifiedKey>, IdentityError> {
        let pkcs8 = self.pkcs8();
        let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
        let certificate = certificate_for(&pkcs8)?;
        let key = any_eddsa_type(&pkcs8)?;
        Ok(Arc::new(CertifiedKey::new(vec![certificate], key)))
    }

    /// A new certificate for the key.
    pub(super) fn certificate(&self) -> Result<CertificateDer<'static>, IdentityError> {
        certificate_for(&PrivatePkcs8KeyDer::from(self.pkcs8().as_slice()))
    }

    /// The seed as PKCS #8, RFC 8410 section 7: the form the TLS libraries read.
    pub(super) fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&PKCS8_PREFIX, self.0.seed().as_slice()].concat())
    }
}

/// The settings of a QUIC client that accepts `server`, and proves to be `identity` if there is one.
///
/// # Errors
/// As [`Identity::server_tls`].
pub fn client_crypto(
    server: ServerTrust,
    identity: Option<&Identity>,
) -> Result<Arc<QuicClientConfig>, IdentityError> {
    let config = client_tls(server, identity)?;
    Ok(Arc::new(QuicClientConfig::try_from(config)?))
}

/// The TLS settings behind [`client_crypto`], for other transports. Connect to [`TLS_NAME`].
///
/// # Errors
/// As [`Identity::server_tls`].
pub fn client_tls(
    server: ServerTrust,
    identity: Option<&Identity>,
) -> Result<rustls::ClientConfig, IdentityError> {
    let key = identity.map(Identity::certified_key).transpose()?;
    tls::client(server, key)
}

/// Which server a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTrust {
    /// The one with this master key.
    Exact(PublicKey),
    /// Any that proves to hold its key. For first use alone: the caller reads the key with
    /// [`peer_of`](super::peer_of) and must ask or remember.
    Any,
}

/// Makes a self-signed certificate with subject and only DNS name `mosaic`.
///
/// # Source
/// `mosaic-wire.md` section 8. Dates are those of `rcgen`, 1975 to 4096: nobody looks at them.
fn certificate_for(
    pkcs8: &PrivatePkcs8KeyDer<'_>,
) -> Result<CertificateDer<'static>, IdentityError> {
    let key = KeyPair::from_pkcs8_der_and_sign_algo(pkcs8, &rcgen::PKCS_ED25519)?;
    let mut params = CertificateParams::new([TLS_NAME.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, TLS_NAME);
    Ok(params.self_signed(&key)?.der().clone())
}

/// Everything of a PKCS #8 version 1 Ed25519 key before its seed.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

#[cfg(test)]
mod tests {
    use x509_parser::{extensions::GeneralName, prelude::*};

    use super::*;
    use crate::identity::certificate;

    #[test]
    fn our_certificate_names_mosaic_alone_and_holds_our_key() {
        let identity = Identity::new(SecretKey::from_seed([7; 32]));
        let certified = identity.certified_key().unwrap();
        let [der] = certified.cert.as_slice() else {
            panic!("one certificate");
        };
        assert_eq!(certificate::identity_of(der, &[]), Ok(identity.public()));
        certified.keys_match().unwrap();

        let (rest, parsed) = X509Certificate::from_der(der).unwrap();
        assert!(rest.is_empty());
        assert_eq!(parsed.subject().to_string(), "CN=mosaic");
        assert_eq!(parsed.issuer().to_string(), "CN=mosaic");
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names, [GeneralName::DNSName("mosaic")]);
    }

    #[test]
    fn two_certificates_of_one_key_are_one_identity() {
        let identity = Identity::new(SecretKey::from_seed([8; 32]));
        let keys: Vec<_> = (0..2)
            .map(|_| identity.certified_key().unwrap())
            .map(|certified| certificate::identity_of(certified.end_entity_cert().unwrap(), &[]))
            .collect();
        assert_eq!(keys, [Ok(identity.public()), Ok(identity.public())]);
    }
}
