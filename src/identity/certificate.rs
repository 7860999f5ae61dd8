//! Certificates as Mosaic identities: a key, and the proof that its holder made the certificate.
//!
//! Names, dates, serial numbers and extensions mean nothing here and are stepped over. What is
//! looked at is read as strict DER, and nothing may be left over.

use ed25519_dalek::{Signature, VerifyingKey};
use rustls::pki_types::CertificateDer;
use thiserror::Error;

use super::der::{NotDer, Reader};
use crate::{
    base::limits,
    wire::{KeyError, PublicKey},
};

/// Why a peer's certificates are not a Mosaic identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertificateFault {
    /// More than one certificate. TLS proves the key of the first alone; the rest are foreign.
    #[error("more than one certificate")]
    Chain,
    /// Larger than any self-signed certificate has reason to be.
    #[error("certificate is too large")]
    TooLarge,
    /// Not the strict encoding of a certificate, or something follows it.
    #[error("certificate is not valid der")]
    Der,
    /// The key, or one of the two signature algorithms named, is not Ed25519.
    #[error("certificate is not an ed25519 one")]
    Algorithm,
    /// The key is not one that Mosaic allows.
    #[error("key of the certificate is not allowed")]
    Key(#[source] KeyError),
    /// The certificate is not signed by its own key.
    #[error("certificate is not signed by its own key")]
    SelfSignature,
    /// The identity is sound, but not the one that was asked for.
    #[error("the server has another key than the expected one")]
    OtherKey,
}

impl From<NotDer> for CertificateFault {
    fn from(_: NotDer) -> Self {
        Self::Der
    }
}

/// The key that `end_entity` holds, if it stands alone and is signed by that key.
///
/// # Errors
/// The first [`CertificateFault`] that was found.
///
/// # Source
/// `mosaic-wire.md` section 8.
pub(super) fn identity_of(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<PublicKey, CertificateFault> {
    if !intermediates.is_empty() {
        return Err(CertificateFault::Chain);
    }
    let outline = Outline::parse(end_entity)?;
    outline.check_self_signature()?;
    Ok(outline.key)
}

/// The key that `end_entity` holds. Whether it is signed by that key was checked before.
///
/// # Errors
/// The first [`CertificateFault`] that was found.
pub(super) fn key_of(end_entity: &CertificateDer<'_>) -> Result<PublicKey, CertificateFault> {
    Ok(Outline::parse(end_entity)?.key)
}

/// What of a certificate means anything here.
struct Outline<'a> {
    key: PublicKey,
    signed: &'a [u8],
    signature: [u8; 64],
}

impl<'a> Outline<'a> {
    /// Reads `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }`.
    fn parse(der: &'a [u8]) -> Result<Self, CertificateFault> {
        if der.len() > limits::CERTIFICATE_MAX_BYTES {
            return Err(CertificateFault::TooLarge);
        }
        let mut outer = Reader::new(der);
        let certificate = outer.element(SEQUENCE)?;
        outer.end()?;

        let mut fields = Reader::new(certificate.content);
        let signed = fields.element(SEQUENCE)?;
        check_algorithm(&mut fields)?;
        let signature = bit_string(&mut fields)?;
        fields.end()?;

        let key = key_in_signed_part(signed.content)?;
        let signature = signature.try_into().map_err(|_| CertificateFault::Der)?;
        Ok(Self {
            key,
            signed: signed.whole,
            signature,
        })
    }

    /// The strict, cofactorless check of TLS certificates, not the one of Mosaic records.
    fn check_self_signature(&self) -> Result<(), CertificateFault> {
        let key = VerifyingKey::from_bytes(self.key.as_bytes())
            .map_err(|_| CertificateFault::Key(KeyError::OffCurve))?;
        key.verify_strict(self.signed, &Signature::from_bytes(&self.signature))
            .map_err(|_| CertificateFault::SelfSignature)
    }
}

/// Walks through `TBSCertificate`, RFC 5280 section 4.1, to the key.
fn key_in_signed_part(content: &[u8]) -> Result<PublicKey, CertificateFault> {
    let mut fields = Reader::new(content);
    if let Some(version) = fields.optional(VERSION)? {
        // v2 or v3; v1 is the default and must not be written out.
        if !matches!(version.content, [0x02, 0x01, 1..=2]) {
            return Err(CertificateFault::Der);
        }
    }
    let _serial = fields.element(INTEGER)?;
    check_algorithm(&mut fields)?;
    let _issuer = fields.element(SEQUENCE)?;
    let _validity = fields.element(SEQUENCE)?;
    let _subject = fields.element(SEQUENCE)?;
    let mut key_info = Reader::new(fields.element(SEQUENCE)?.content);
    for unread in [ISSUER_ID, SUBJECT_ID, EXTENSIONS] {
        fields.optional(unread)?;
    }
    fields.end()?;

    check_algorithm(&mut key_info)?;
    let key = bit_string(&mut key_info)?;
    key_info.end()?;
    let key = key.try_into().map_err(|_| CertificateFault::Der)?;
    PublicKey::from_bytes(key).map_err(CertificateFault::Key)
}

/// Reads an `AlgorithmIdentifier` that must say Ed25519 and nothing more.
fn check_algorithm(fields: &mut Reader<'_>) -> Result<(), CertificateFault> {
    if fields.element(SEQUENCE)?.content == ED25519 {
        Ok(())
    } else {
        Err(CertificateFault::Algorithm)
    }
}

/// Reads a `BIT STRING` of whole bytes.
fn bit_string<'a>(fields: &mut Reader<'a>) -> Result<&'a [u8], CertificateFault> {
    match fields.element(BIT_STRING)?.content {
        [0, bytes @ ..] => Ok(bytes),
        _ => Err(CertificateFault::Der),
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const ISSUER_ID: u8 = 0x81;
const SUBJECT_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;

/// The object identifier 1.3.101.112 without parameters, RFC 8410 section 3.
const ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];
