//! The certificate parser against certificates that are almost right.

use ed25519_dalek::{Signer, SigningKey};
use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use rustls::pki_types::CertificateDer;

use super::{
    CertificateFault, Identity,
    certificate::{identity_of, key_of},
};
use crate::{
    base::limits,
    wire::{KeyError, PublicKey, SecretKey, testing::hex},
};

fn check(der: &[u8], expected: Result<PublicKey, CertificateFault>) {
    let der = CertificateDer::from(der);
    assert_eq!(identity_of(&der, &[]), expected, "{:02x?}", der.as_ref());
}

fn own() -> (PublicKey, Vec<u8>) {
    let identity = Identity::new(SecretKey::from_seed([1; 32]));
    let certified = identity.certified_key().unwrap();
    let der = certified.end_entity_cert().unwrap().to_vec();
    (identity.public(), der)
}

/// One element of DER with the shortest length.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap();
    let [high, low] = len.to_be_bytes();
    let header = match len {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&header, content].concat()
}

/// A certificate made by hand, each part of which a test may change before it is signed.
struct ByHand {
    version: Vec<u8>,
    serial: Vec<u8>,
    inner_algorithm: Vec<u8>,
    outer_algorithm: Vec<u8>,
    key_algorithm: Vec<u8>,
    key: Vec<u8>,
    key_unused_bits: u8,
    behind_key: Vec<u8>,
    signature_unused_bits: u8,
}

impl ByHand {
    fn new() -> Self {
        let algorithm = hex("300506032b6570");
        Self {
            version: hex("a003020102"),
            serial: hex("020101"),
            inner_algorithm: algorithm.clone(),
            outer_algorithm: algorithm.clone(),
            key_algorithm: algorithm,
            key: signing_key().verifying_key().to_bytes().to_vec(),
            key_unused_bits: 0,
            behind_key: Vec::new(),
            signature_unused_bits: 0,
        }
    }

    fn der(&self) -> Vec<u8> {
        let bits = element(3, &[&[self.key_unused_bits], &self.key[..]].concat());
        let key_info = element(0x30, &[&self.key_algorithm[..], &bits].concat());
        let name = element(0x30, &[]);
        let signed = element(
            0x30,
            &[
                &self.version,
                &self.serial,
                &self.inner_algorithm,
                &name,
                &element(0x30, &[]),
                &name,
                &key_info,
                &self.behind_key,
            ]
            .map(Vec::as_slice)
            .concat(),
        );
        let signature = signing_key().sign(&signed).to_bytes();
        let bits = element(3, &[&[self.signature_unused_bits], &signature[..]].concat());
        element(0x30, &[&signed[..], &self.outer_algorithm, &bits].concat())
    }
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

fn by_hand_with(change: impl FnOnce(&mut ByHand)) -> Vec<u8> {
    let mut certificate = ByHand::new();
    change(&mut certificate);
    certificate.der()
}

#[test]
fn the_reference_certificates_are_their_keys() {
    let text = include_str!("../../tests/vectors/reference-certificates.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    let certificates = vectors["certificates"].as_array().unwrap();
    assert_eq!(certificates.len(), 3);
    for entry in certificates {
        let public = entry["public"].as_str().unwrap().parse().unwrap();
        check(
            &hex(entry["certificate_der_hex"].as_str().unwrap()),
            Ok(public),
        );
    }
}

#[test]
fn no_changed_cut_or_lengthened_certificate_is_an_identity() {
    let (key, der) = own();
    check(&der, Ok(key));
    let refused = |der: &[u8]| identity_of(&CertificateDer::from(der), &[]).is_err();
    for at in 0..der.len() {
        assert!(refused(&der[..at]), "cut at {at}");
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[at] ^= 1 << bit;
            assert!(refused(&changed), "bit {bit} of byte {at}");
        }
    }
    check(&[&der[..], &[0]].concat(), Err(CertificateFault::Der));
    check(&[&der[..], &der].concat(), Err(CertificateFault::Der));
}

#[test]
fn a_certificate_in_company_is_refused() {
    let (_, der) = own();
    let der = CertificateDer::from(der);
    let chain = [der.clone()];
    assert_eq!(identity_of(&der, &chain), Err(CertificateFault::Chain));
}

#[test]
fn names_dates_and_extensions_are_not_looked_at() {
    let key = PublicKey::from_bytes(&signing_key().verifying_key().to_bytes()).unwrap();
    check(&ByHand::new().der(), Ok(key));
    for version in ["", "a003020101"] {
        check(&by_hand_with(|it| it.version = hex(version)), Ok(key));
    }
    for behind_key in [
        "81020007",
        "82020007",
        "a3023000",
        "810200078202000aa3023000",
    ] {
        check(&by_hand_with(|it| it.behind_key = hex(behind_key)), Ok(key));
    }
}

#[test]
fn the_outline_must_be_strict() {
    let der = Err(CertificateFault::Der);
    for version in [
        "a003020100",
        "a003020103",
        "a00402020002",
        "a003020102a003020102",
    ] {
        check(&by_hand_with(|it| it.version = hex(version)), der);
    }
    for behind_key in ["0500", "a3023000a3023000", "a302300081020007"] {
        check(&by_hand_with(|it| it.behind_key = hex(behind_key)), der);
    }
    check(&by_hand_with(|it| it.serial.clear()), der);
    check(&by_hand_with(|it| it.key_unused_bits = 1), der);
    check(&by_hand_with(|it| it.signature_unused_bits = 7), der);
}

#[test]
fn every_algorithm_named_must_be_ed25519_without_parameters() {
    let algorithm = Err(CertificateFault::Algorithm);
    for other in [
        "300506032b656e",                 // X25519
        "300506032b6571",                 // Ed448
        "300706032b65700500",             // Ed25519 with the parameter NULL
        "300d06092a864886f70d0101010500", // RSA
        "300d06092a864886f70d01010b0500", // RSA with SHA-256
    ] {
        check(
            &by_hand_with(|it| it.inner_algorithm = hex(other)),
            algorithm,
        );
        check(
            &by_hand_with(|it| it.outer_algorithm = hex(other)),
            algorithm,
        );
        check(&by_hand_with(|it| it.key_algorithm = hex(other)), algorithm);
    }
    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let params = CertificateParams::new(["mosaic".to_owned()]).unwrap();
    check(params.self_signed(&p256).unwrap().der(), algorithm);
}

#[test]
fn keys_that_mosaic_does_not_allow_are_refused() {
    let mut off_curve = vec![0; 32];
    off_curve[0] = 2;
    let keys = [
        (vec![0; 32], KeyError::SmallOrder),
        (vec![0xff; 32], KeyError::NotCanonical),
        (off_curve, KeyError::OffCurve),
    ];
    for (key, fault) in keys {
        let der = by_hand_with(|it| it.key = key);
        check(&der, Err(CertificateFault::Key(fault)));
    }
    for len in [0, 31, 33, 64] {
        let der = by_hand_with(|it| it.key = vec![9; len]);
        check(&der, Err(CertificateFault::Der));
    }
}

#[test]
fn a_certificate_that_another_key_signed_is_refused() {
    let [subject, issuer] = [0, 1].map(|_| KeyPair::generate_for(&PKCS_ED25519).unwrap());
    let params = CertificateParams::new(["mosaic".to_owned()]).unwrap();
    let issuer = Issuer::new(params.clone(), issuer);
    let der = params.signed_by(&subject, &issuer).unwrap().der().to_vec();
    check(&der, Err(CertificateFault::SelfSignature));
    // The key alone is readable; it is never asked for before the check above.
    assert!(key_of(&CertificateDer::from(der)).is_ok());
}

#[test]
fn a_huge_certificate_is_not_even_read() {
    let padding = element(0xa3, &vec![0; limits::CERTIFICATE_MAX_BYTES]);
    let der = by_hand_with(|it| it.behind_key = padding);
    check(&der, Err(CertificateFault::TooLarge));
}
