//! The equation of Ed25519ph as Mosaic reads it, for one signature and for many at once.
//!
//! Both forms multiply by the cofactor 8, after the sum. So a component of small order in R or A
//! never decides, and the two forms give the same answer on every input; without the cofactor a
//! batch would accept some crafted signatures at random.

use std::collections::HashMap;

use curve25519_dalek::{
    constants::ED25519_BASEPOINT_POINT,
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::{IsIdentity, VartimeMultiscalarMul},
};
use rand::Rng;
use sha2::digest::{FixedOutput, Update};

use super::VerifyError;
use crate::wire::{ContextHash, Hash64, PublicKey};

/// The point that `key` encodes.
///
/// # Errors
/// [`VerifyError::KeyOffCurve`].
pub(super) fn key_point(key: &PublicKey) -> Result<EdwardsPoint, VerifyError> {
    CompressedEdwardsY(*key.as_bytes())
        .decompress()
        .ok_or(VerifyError::KeyOffCurve)
}

/// A signature whose encodings passed, not yet decompressed: half of the cost of a check is ahead.
#[derive(Clone, Copy)]
pub(super) struct Encoded {
    point_bytes: [u8; 32],
    scalar: Scalar,
}

impl Encoded {
    /// Judges the encodings of S and R by their bytes alone.
    ///
    /// # Errors
    /// [`VerifyError::ScalarOutOfRange`], [`VerifyError::PointNotCanonical`].
    ///
    /// # Source
    /// `mosaic-wire.md` section 1: S in `0..L`, R canonical. R may be of small order.
    pub(super) fn new(signature: &[u8; 64]) -> Result<Self, VerifyError> {
        let (point_bytes, scalar_bytes) = halves(signature);
        let scalar = Option::from(Scalar::from_canonical_bytes(scalar_bytes))
            .ok_or(VerifyError::ScalarOutOfRange)?;
        if !is_canonical_point(&point_bytes) {
            return Err(VerifyError::PointNotCanonical);
        }
        Ok(Self {
            point_bytes,
            scalar,
        })
    }
}

/// What a signature claims about a key and a hash, ready for the equation.
pub(super) struct Claim {
    key: PublicKey,
    key_point: EdwardsPoint,
    point: EdwardsPoint,
    scalar: Scalar,
    challenge: Scalar,
}

impl Claim {
    /// Decompresses R and computes the challenge k.
    ///
    /// `key_point` is [`key_point`] of `key`; the caller may have it at hand.
    ///
    /// # Errors
    /// [`VerifyError::PointNotCanonical`]: R is not on the curve.
    pub(super) fn new(
        key: PublicKey,
        key_point: EdwardsPoint,
        hash: &Hash64,
        signature: Encoded,
    ) -> Result<Self, VerifyError> {
        let point = CompressedEdwardsY(signature.point_bytes)
            .decompress()
            .ok_or(VerifyError::PointNotCanonical)?;
        Ok(Self {
            challenge: challenge(&signature.point_bytes, &key, hash),
            key,
            key_point,
            point,
            scalar: signature.scalar,
        })
    }

    /// Whether `8·S·B = 8·R + 8·k·A`.
    pub(super) fn holds(&self) -> bool {
        let sum = EdwardsPoint::vartime_double_scalar_mul_basepoint(
            &self.challenge,
            &-self.key_point,
            &self.scalar,
        ) - self.point;
        sum.mul_by_cofactor().is_identity()
    }
}

/// Whether every claim holds; false is certain, true is wrong with a chance of 2^-128.
///
/// Sums up the equations, each times a random factor the signers could not foresee:
/// `8·(Σ z·R + Σ (z·k)·A - (Σ z·S)·B) = 0`. Terms of one key become one.
pub(super) fn all_hold(claims: &[&Claim]) -> bool {
    let mut factors = vec![[0; 16]; claims.len()];
    rand::rng().fill_bytes(factors.as_flattened_mut());

    let mut scalars = Vec::with_capacity(2 * claims.len() + 1);
    let mut points = Vec::with_capacity(2 * claims.len() + 1);
    let mut keys: HashMap<PublicKey, (Scalar, EdwardsPoint)> = HashMap::new();
    let mut base = Scalar::ZERO;
    for (claim, factor) in claims.iter().zip(factors) {
        let factor = Scalar::from(u128::from_le_bytes(factor));
        base -= factor * claim.scalar;
        scalars.push(factor);
        points.push(claim.point);
        keys.entry(claim.key)
            .or_insert((Scalar::ZERO, claim.key_point))
            .0 += factor * claim.challenge;
    }
    for (scalar, point) in keys.into_values() {
        scalars.push(scalar);
        points.push(point);
    }
    scalars.push(base);
    points.push(ED25519_BASEPOINT_POINT);
    EdwardsPoint::vartime_multiscalar_mul(scalars, points)
        .mul_by_cofactor()
        .is_identity()
}

/// `k = SHA512(dom2(1, "Mosaic") ‖ R ‖ A ‖ PH)` modulo L.
///
/// # Source
/// RFC 8032 section 5.1.7, with the bytes of R and A as they came.
fn challenge(point_bytes: &[u8; 32], key: &PublicKey, hash: &Hash64) -> Scalar {
    let mut hasher = ContextHash::default();
    hasher.update(point_bytes);
    hasher.update(key.as_bytes());
    hasher.update(hash.as_bytes());
    Scalar::from_bytes_mod_order_wide(&hasher.finalize_fixed().into())
}

/// R and S.
fn halves(signature: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (halves, _) = signature.as_chunks::<32>();
    match halves {
        [point, scalar] => (*point, *scalar),
        _ => unreachable!("64 bytes are two times 32"),
    }
}

/// Whether the bytes are the one canonical encoding of whatever they encode: `y < p`, and no sign
/// on `x = 0`. Whether that is on the curve is left to decompression.
///
/// Bytes are compared because compressing the point again would cost as much as decompressing it.
fn is_canonical_point(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    let inner_all = |value: u8| middle.iter().all(|byte| *byte == value);
    match (*low, *high & 0x7f) {
        (0xed.., 0x7f) if inner_all(0xff) => false,
        // x is 0 exactly where y is 1 or -1.
        (0x01, 0x00) if inner_all(0x00) => *high == 0x00,
        (0xec, 0x7f) if inner_all(0xff) => *high == 0x7f,
        _ => true,
    }
}
