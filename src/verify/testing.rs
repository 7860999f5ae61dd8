//! Signatures and records as an attacker would make them, who knows every secret scalar.

use bytes::Bytes;
use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
    edwards::EdwardsPoint,
    scalar::Scalar,
};
use sha2::digest::{FixedOutput, Update};

use crate::wire::{ContextHash, Hash64, Kind, PublicKey, Record, RecordBuilder, SecretKey};

/// Everything that goes into a signature: `A = a·B + T`, `R = r·B + U`, with T and U of small order.
#[derive(Clone, Copy)]
pub(super) struct Forgery {
    pub(super) key_scalar: Scalar,
    pub(super) key_torsion: EdwardsPoint,
    pub(super) nonce_scalar: Scalar,
    pub(super) nonce_torsion: EdwardsPoint,
}

impl Forgery {
    /// Scalars from `seed`; T and U are these multiples of a point of order 8.
    pub(super) fn new(seed: u64, key_torsion: usize, nonce_torsion: usize) -> Self {
        Self {
            key_scalar: scalar(seed, b"key"),
            key_torsion: EIGHT_TORSION[key_torsion],
            nonce_scalar: scalar(seed, b"nonce"),
            nonce_torsion: EIGHT_TORSION[nonce_torsion],
        }
    }

    pub(super) fn key_point(&self) -> EdwardsPoint {
        self.key_scalar * ED25519_BASEPOINT_POINT + self.key_torsion
    }

    pub(super) fn key_bytes(&self) -> [u8; 32] {
        self.key_point().compress().0
    }

    pub(super) fn nonce_point(&self) -> EdwardsPoint {
        self.nonce_scalar * ED25519_BASEPOINT_POINT + self.nonce_torsion
    }

    pub(super) fn sign(&self, hash: &Hash64) -> [u8; 64] {
        let nonce = self.nonce_point().compress().0;
        self.sign_with(&nonce, challenge(&nonce, &self.key_bytes(), hash))
    }

    /// Signs with other bytes for R, and whatever challenge.
    pub(super) fn sign_with(&self, nonce: &[u8; 32], challenge: Scalar) -> [u8; 64] {
        let scalar = self.nonce_scalar + challenge * self.key_scalar;
        joined(nonce, scalar.as_bytes())
    }

    /// A record by and of this key.
    pub(super) fn record(&self, seed: u64) -> Record {
        let mut bytes = record_bytes(seed);
        bytes[64..96].copy_from_slice(&self.key_bytes());
        bytes[96..128].copy_from_slice(&self.key_bytes());
        sealed(bytes, |hash| self.sign(hash))
    }
}

/// `signature` with L added to S: the same equation, another encoding. Only for S below
/// 2^256 - L, which is every S below L.
pub(super) fn with_scalar_plus_order(signature: &[u8; 64], times: u8) -> [u8; 64] {
    let mut out = *signature;
    for _ in 0..times {
        let mut carry = 0;
        for (byte, order) in out[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_eq!(carry, 0, "S must stay below 2^256");
    }
    out
}

/// k over any bytes, canonical or not.
pub(super) fn challenge(nonce: &[u8; 32], key: &[u8; 32], hash: &Hash64) -> Scalar {
    let mut hasher = ContextHash::default();
    hasher.update(nonce);
    hasher.update(key);
    hasher.update(hash.as_bytes());
    Scalar::from_bytes_mod_order_wide(&hasher.finalize_fixed().into())
}

pub(super) fn joined(nonce: &[u8; 32], scalar: &[u8; 32]) -> [u8; 64] {
    [*nonce, *scalar].concat().try_into().unwrap()
}

pub(super) fn key(seed: u64) -> SecretKey {
    SecretKey::from_seed(
        *Hash64::of(&seed.to_le_bytes())
            .as_bytes()
            .first_chunk()
            .unwrap(),
    )
}

/// An ordinary valid record by author `seed`.
pub(super) fn valid_record(author: u64, text: &str) -> Record {
    let author = key(author);
    RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
        .payload(text.as_bytes().to_vec())
        .sign(&author)
        .unwrap()
}

/// `record` with one byte of S changed, its ID still right.
pub(super) fn with_wrong_signature(record: &Record) -> Record {
    let mut bytes = record.bytes().to_vec();
    let at = bytes.len() - 32;
    bytes[at] ^= 1;
    Record::parse(Bytes::from(bytes)).unwrap()
}

/// The record of these bytes with the ID and the signature made anew.
pub(super) fn sealed(mut bytes: Vec<u8>, sign: impl Fn(&Hash64) -> [u8; 64]) -> Record {
    let end = bytes.len() - 64;
    let hash = Hash64::of(&bytes[48..end]);
    bytes[8..48].copy_from_slice(&hash.as_bytes()[..40]);
    bytes[end..].copy_from_slice(&sign(&hash));
    Record::parse(Bytes::from(bytes)).unwrap()
}

pub(super) fn record_bytes(seed: u64) -> Vec<u8> {
    valid_record(seed, "as an attacker would have it")
        .bytes()
        .to_vec()
}

/// A key that is canonical, not of small order, and not on the curve.
pub(super) fn key_off_curve() -> PublicKey {
    (2..)
        .map(|y| PublicKey::from_bytes(&small(y)).unwrap())
        .find(|key| !key.is_on_curve())
        .unwrap()
}

pub(super) fn small(y: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = y;
    bytes
}

fn scalar(seed: u64, label: &[u8]) -> Scalar {
    let hash = Hash64::of(&[&seed.to_le_bytes(), label].concat());
    Scalar::from_bytes_mod_order_wide(hash.as_bytes())
}

/// L = 2^252 + 27742317777372353535851937790883648493, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
