//! TLS settings of servers that are too trusting.

use std::sync::Arc;

use mosaicd::identity::Identity;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ServerSessionMemoryCache;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

/// Settings of a server that lets clients offer early data.
pub(super) fn offer_early_data(tls: &mut ServerConfig) {
    tls.session_storage = ServerSessionMemoryCache::new(64);
    tls.send_tls13_tickets = 2;
    tls.max_early_data_size = u32::MAX;
}

/// Settings of a server that believes whatever certificate it is shown.
pub(super) fn believing(identity: &Identity) -> ServerConfig {
    let honest = identity.server_tls().unwrap();
    let mut tls = ServerConfig::builder_with_provider(Arc::clone(honest.crypto_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Believer))
        .with_cert_resolver(Arc::clone(&honest.cert_resolver));
    tls.alpn_protocols = honest.alpn_protocols;
    tls
}

#[derive(Debug)]
struct Believer;

impl ClientCertVerifier for Believer {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ]
    }
}
