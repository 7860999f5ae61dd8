//! Handshakes that try a server out: what no well-behaved client shows, and what a server must
//! accept all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    date_time_ymd,
};
use rustls::client::{
    ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::ring::sign::{any_ecdsa_type, any_eddsa_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{ClientConfig, NamedGroup, SignatureAlgorithm, SignatureScheme};

use super::own::{Identity, ServerTrust};
use super::{IdentityError, TLS_NAME, tls};
use crate::wire::SecretKey;

/// What a client shows in a handshake that tries a server out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// A certificate in the form of the reference library: another subject, and a DNS entry that is
    /// no name. To be accepted.
    ReferenceForm,
    /// A certificate whose dates are long past. To be accepted.
    Outdated,
    /// Its own certificate, and somebody else's behind it.
    Chain,
    /// Somebody else's certificate; the handshake is signed with the client's own key.
    Foreign,
    /// A certificate of the client's key that another key signed.
    IssuedByAnother,
    /// A certificate of another algorithm than ed25519.
    OtherAlgorithm,
    /// No certificate, and another application protocol than Mosaic.
    OtherProtocol,
    /// No certificate; whatever the server gives to resume with is taken and looked at.
    Tickets,
}

/// How much early data (0-RTT) a server let a client send in a next handshake.
#[derive(Clone, Debug, Default)]
pub struct EarlyDataOffer(Arc<AtomicU32>);

impl EarlyDataOffer {
    /// In bytes; 0 as long as it offered none. Tickets may come with whatever the server sends
    /// after the handshake.
    #[must_use]
    pub fn bytes(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The TLS settings of that trial with the key `own`, and what the server offers in it.
///
/// # Errors
/// As [`Identity::server_tls`].
pub fn trial_tls(
    server: ServerTrust,
    trial: Trial,
    own: &SecretKey,
) -> Result<(ClientConfig, EarlyDataOffer), IdentityError> {
    let offer = EarlyDataOffer::default();
    let mut config = tls::client(server, None)?;
    match trial {
        Trial::OtherProtocol => config.alpn_protocols = vec![b"mosaic-conformance".to_vec()],
        Trial::Tickets => {
            config.resumption = Resumption::store(Arc::new(Tickets(offer.clone())));
            config.enable_early_data = true;
        }
        _ => config.client_auth_cert_resolver = Arc::new(Shown(shown(trial, own)?)),
    }
    Ok((config, offer))
}

/// Certificates and key of that trial.
fn shown(trial: Trial, own: &SecretKey) -> Result<Arc<CertifiedKey>, IdentityError> {
    let own = Identity::new(own.clone());
    let stranger = Identity::new(SecretKey::generate());
    let pkcs8 = own.pkcs8();
    let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
    let signing = any_eddsa_type(&pkcs8)?;
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &rcgen::PKCS_ED25519)?;
    let chain = match trial {
        Trial::ReferenceForm => {
            let names = [TLS_NAME.to_owned(), REFERENCE_NAME.to_owned()];
            vec![self_signed(CertificateParams::new(names)?, &key)?]
        }
        Trial::Outdated => {
            let mut params = params()?;
            params.not_before = date_time_ymd(1976, 1, 1);
            params.not_after = date_time_ymd(1977, 1, 1);
            vec![self_signed(params, &key)?]
        }
        Trial::Chain => [&own, &stranger]
            .map(Identity::certificate)
            .into_iter()
            .collect::<Result<_, _>>()?,
        Trial::Foreign => vec![stranger.certificate()?],
        Trial::IssuedByAnother => {
            let other = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
            let issued = params()?.signed_by(&key, &Issuer::new(params()?, other))?;
            vec![issued.der().clone()]
        }
        Trial::OtherAlgorithm => {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialized_der()));
            let signing = Arc::new(Insistent(any_ecdsa_type(&der)?));
            let chain = vec![self_signed(params()?, &key)?];
            return Ok(Arc::new(CertifiedKey::new(chain, signing)));
        }
        Trial::OtherProtocol | Trial::Tickets => Vec::new(),
    };
    Ok(Arc::new(CertifiedKey::new(chain, signing)))
}

fn params() -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::new([TLS_NAME.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, TLS_NAME);
    Ok(params)
}

fn self_signed(
    params: CertificateParams,
    key: &KeyPair,
) -> Result<CertificateDer<'static>, IdentityError> {
    Ok(params.self_signed(key)?.der().clone())
}

/// Shows the same whatever the server asks for.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A P-256 key that signs though the server asked for other algorithms.
#[derive(Debug)]
struct Insistent(Arc<dyn SigningKey>);

impl SigningKey for Insistent {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.0
            .choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

/// Notes what tickets allow, and keeps none.
#[derive(Debug)]
struct Tickets(EarlyDataOffer);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let bytes = ticket.max_early_data_size();
        self.0.0.fetch_max(bytes, Ordering::Relaxed);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// What the reference library writes as a DNS name.
const REFERENCE_NAME: &str = "IGNORE THE NAME, DETERMINE TRUST FROM THE KEY";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{CertificateFault, certificate};

    fn check(trial: Trial, expected: Result<(), CertificateFault>) {
        let own = SecretKey::from_seed([3; 32]);
        let shown = shown(trial, &own).unwrap();
        let (first, rest) = shown.cert.split_first().unwrap();
        let found = certificate::identity_of(first, rest);
        assert_eq!(found, expected.map(|()| own.public()), "{trial:?}");
    }

    #[test]
    fn each_trial_is_sound_or_breaks_the_one_rule_that_it_is_about() {
        check(Trial::ReferenceForm, Ok(()));
        check(Trial::Outdated, Ok(()));
        check(Trial::Chain, Err(CertificateFault::Chain));
        check(Trial::IssuedByAnother, Err(CertificateFault::SelfSignature));
        check(Trial::OtherAlgorithm, Err(CertificateFault::Algorithm));
    }
}
