//! Key pairs, signatures, and how keys are printed.

use std::{fmt, str::FromStr};

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::{
    SigningKey,
    hazmat::{ExpandedSecretKey, raw_sign},
};
use sha2::{
    Digest, Sha512,
    digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update},
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    hash::Hash64,
    human::{self, HumanError},
};

/// Why bytes or a text are not a usable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The same point has another, shorter encoding.
    #[error("key is not canonically encoded")]
    NotCanonical,
    /// One of the 8 points under which a signature can be good for any message.
    #[error("key is a point of small order")]
    SmallOrder,
    /// No point of the curve has that encoding.
    #[error("key is not a point of the curve")]
    OffCurve,
    /// The text is no printed key.
    #[error("not a printed key")]
    Text(#[from] HumanError),
}

/// The public half of a key pair: a user's or server's identity (*master key*), or a subkey.
///
/// 32 bytes, an ed25519 point, canonically encoded and not of small order. Whether it is on the
/// curve at all costs a square root, so only [`FromStr`] and the signature check ask.
///
/// Printed as `mopub0` and z-base-32, or for a server as `mosrv0`.
///
/// # Source
/// `mosaic-wire.md` section 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with those bytes, after both checks that can be made on bytes alone.
    ///
    /// # Errors
    /// - [`KeyError::NotCanonical`]: `y ≥ p`, or the sign bit is set where `x` is 0.
    /// - [`KeyError::SmallOrder`]: one of the 8 points of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let sign = bytes[31] & 0x80 != 0;
        let mut y = *bytes;
        y[31] &= 0x7f;
        let sign_of_zero = sign && SMALL_ORDER_Y_OF_X_ZERO.contains(&y);
        if !is_below_p(&y) || sign_of_zero {
            return Err(KeyError::NotCanonical);
        }
        if SMALL_ORDER_Y.contains(&y) || SMALL_ORDER_Y_OF_X_ZERO.contains(&y) {
            return Err(KeyError::SmallOrder);
        }
        Ok(Self(*bytes))
    }

    /// A key whose bytes went through [`from_bytes`](Self::from_bytes) before.
    pub(super) const fn from_checked(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether a point of the curve has this encoding. About 5 µs.
    #[must_use]
    pub fn is_on_curve(&self) -> bool {
        CompressedEdwardsY(self.0).decompress().is_some()
    }

    /// The key printed as a server's: `mosrv0` and 52 characters.
    #[must_use]
    pub fn to_server_string(&self) -> String {
        human::encode(SERVER_PREFIX, &self.0)
    }

    /// Reads a server's printed key.
    ///
    /// # Errors
    /// As [`FromStr`]: the text is no printed server key, or the key fails a check, on the curve
    /// included.
    pub fn from_server_str(text: &str) -> Result<Self, KeyError> {
        Self::from_text(SERVER_PREFIX, text)
    }

    fn from_text(prefix: &'static str, text: &str) -> Result<Self, KeyError> {
        let key = Self::from_bytes(&*human::decode(prefix, text)?)?;
        if key.is_on_curve() {
            Ok(key)
        } else {
            Err(KeyError::OffCurve)
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&human::encode(USER_PREFIX, &self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = human::encode("", &self.0);
        write!(f, "PublicKey({}…)", digits.get(..8).unwrap_or_default())
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_text(USER_PREFIX, text)
    }
}

/// The secret half of a key pair: a 32-byte seed, wiped from memory when dropped.
///
/// Printed as `mosec0` and z-base-32, only on demand: neither `Display` nor `Debug` shows it.
///
/// # Source
/// `mosaic-wire.md` section 1.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// A new key from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rand::fill(seed.as_mut_slice());
        Self(SigningKey::from_bytes(&seed))
    }

    /// The key of that seed. Every seed makes a key.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Self(SigningKey::from_bytes(&seed))
    }

    /// The 32-byte seed.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        // A seed's point is a multiple of the base point by a clamped scalar, which is never 0
        // modulo its order, so no seed gives a point of small order.
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// The printed key, `mosec0` and 52 characters, in memory that is wiped when dropped.
    #[must_use]
    pub fn to_printable(&self) -> Zeroizing<String> {
        Zeroizing::new(human::encode(SECRET_PREFIX, self.seed()))
    }

    /// Signs a hash with Ed25519ph under the context `Mosaic`; the same input gives the same bytes.
    ///
    /// # Source
    /// RFC 8032 section 5.1.6 with PH(M) = `hash`; `mosaic-wire.md` section 1.
    #[must_use]
    pub fn sign(&self, hash: &Hash64) -> Signature {
        let expanded = ExpandedSecretKey::from(self.seed());
        let public = self.0.verifying_key();
        Signature(raw_sign::<ContextHash>(&expanded, hash.as_bytes(), &public).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(hidden)")
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let seed = human::decode(SECRET_PREFIX, text)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }
}

/// An Ed25519ph signature: R (32 bytes), then S (32 bytes). Holds any bytes; `verify` judges them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// The signature with those bytes, unchecked.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(")?;
        for byte in self.0.iter().take(8) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}

/// SHA-512 that starts behind `dom2(1, "Mosaic")`: with it plain Ed25519 over a pre-hash is
/// Ed25519ph, for signer and verifier alike.
///
/// # Source
/// RFC 8032 sections 2 (dom2) and 5.1.
#[derive(Clone)]
pub struct ContextHash(Sha512);

impl Default for ContextHash {
    fn default() -> Self {
        Self(Sha512::new_with_prefix(DOM2))
    }
}

impl HashMarker for ContextHash {}

impl OutputSizeUser for ContextHash {
    type OutputSize = <Sha512 as OutputSizeUser>::OutputSize;
}

impl Update for ContextHash {
    fn update(&mut self, data: &[u8]) {
        Update::update(&mut self.0, data);
    }
}

impl FixedOutput for ContextHash {
    fn finalize_into(self, out: &mut Output<Self>) {
        FixedOutput::finalize_into(self.0, out);
    }
}

/// Whether `y`, little-endian and without the sign bit, is below p = 2^255 - 19.
fn is_below_p(y: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = y;
    *high < 0x7f || *low < 0xed || middle.iter().any(|byte| *byte != 0xff)
}

const USER_PREFIX: &str = "mopub0";
const SERVER_PREFIX: &str = "mosrv0";
const SECRET_PREFIX: &str = "mosec0";

/// `dom2(F = 1, C = "Mosaic")`.
const DOM2: &[u8] = b"SigEd25519 no Ed25519 collisions\x01\x06Mosaic";

/// y of the points of small order whose x is 0: 1 (the identity) and -1 (order 2).
const SMALL_ORDER_Y_OF_X_ZERO: [[u8; 32]; 2] = [
    *b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    *b"\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
];

/// y of the other points of small order: 0 (order 4), and two of order 8; each with both signs of x.
const SMALL_ORDER_Y: [[u8; 32]; 3] = [
    *b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
];

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::testing::{array, bytes, vectors};

    const P: &str = "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";

    #[test]
    fn every_key_of_the_vectors_is_printed_and_read_back() {
        for key in vectors()["keys"].as_array().unwrap() {
            let text = |name: &str| key[name].as_str().unwrap().to_owned();
            let secret: SecretKey = text("secret").parse().unwrap();
            assert_eq!(secret.seed(), &array(&key["secret_hex"]));
            assert_eq!(secret.public().as_bytes(), &array(&key["public_hex"]));
            assert_eq!(*secret.to_printable(), text("secret"));
            let public: PublicKey = text("public").parse().unwrap();
            assert_eq!(public, secret.public());
            assert_eq!(public.to_string(), text("public"));
            assert_eq!(public.to_server_string(), text("server_printable"));
            let server = PublicKey::from_server_str(&text("server_printable"));
            assert_eq!(server, Ok(public));
        }
    }

    #[test]
    fn signing_reproduces_the_signatures_of_the_vectors() {
        for case in vectors()["signatures"].as_array().unwrap() {
            let keys = vectors()["keys"].as_array().unwrap();
            let key = keys.iter().find(|key| key["public"] == case["public"]);
            let secret = SecretKey::from_seed(array(&key.unwrap()["secret_hex"]));
            let hash = Hash64::of(&bytes(&case["data_hex"]));
            let expected: [u8; 64] = array(&case["signature_hex"]);
            assert_eq!(secret.sign(&hash).as_bytes(), &expected);
        }
    }

    #[test]
    fn every_point_of_small_order_is_refused() {
        for point in EIGHT_TORSION {
            let bytes = point.compress().to_bytes();
            assert_eq!(PublicKey::from_bytes(&bytes), Err(KeyError::SmallOrder));
        }
    }

    #[test]
    fn an_encoding_that_is_not_the_canonical_one_is_refused() {
        let p: [u8; 32] = array(&P.into());
        for above in 0..19 {
            for sign in [0, 0x80] {
                let mut bytes = p;
                bytes[0] += above;
                bytes[31] |= sign;
                assert_eq!(PublicKey::from_bytes(&bytes), Err(KeyError::NotCanonical));
            }
        }
        for mut bytes in SMALL_ORDER_Y_OF_X_ZERO {
            bytes[31] |= 0x80;
            assert_eq!(PublicKey::from_bytes(&bytes), Err(KeyError::NotCanonical));
        }
    }

    #[test]
    fn a_key_off_the_curve_is_found_where_a_person_types_it() {
        let mut off = [0; 32];
        off[0] = 2;
        let key = PublicKey::from_bytes(&off).unwrap();
        assert!(!key.is_on_curve());
        assert_eq!(
            key.to_string().parse::<PublicKey>(),
            Err(KeyError::OffCurve)
        );
    }

    #[test]
    fn the_kinds_of_printed_keys_are_not_mixed_up() {
        let secret = SecretKey::from_seed([7; 32]);
        let public = secret.public();
        assert!(secret.to_printable().parse::<PublicKey>().is_err());
        assert!(public.to_server_string().parse::<PublicKey>().is_err());
        assert!(public.to_string().parse::<SecretKey>().is_err());
        assert!(PublicKey::from_server_str(&public.to_string()).is_err());
    }

    #[test]
    fn a_secret_is_not_in_its_debug_text() {
        let secret = SecretKey::generate();
        let digits = secret.to_printable();
        let shown = format!("{secret:?}");
        assert!(!shown.contains(digits.strip_prefix(SECRET_PREFIX).unwrap()));
        assert_ne!(secret.seed(), SecretKey::generate().seed());
    }

    #[test]
    fn signatures_agree_with_the_independent_prehash_verification_of_dalek() {
        let secret = SecretKey::from_seed([9; 32]);
        let hash = Hash64::of(b"anything");
        let signature = ed25519_dalek::Signature::from_bytes(secret.sign(&hash).as_bytes());
        let verdict =
            secret
                .0
                .verify_prehashed(Fixed(*hash.as_bytes()), Some(b"Mosaic"), &signature);
        assert!(verdict.is_ok());
    }

    /// A digest whose outcome is given; only its end is used.
    #[derive(Clone)]
    struct Fixed([u8; 64]);

    impl Default for Fixed {
        fn default() -> Self {
            Self([0; 64])
        }
    }

    impl HashMarker for Fixed {}

    impl OutputSizeUser for Fixed {
        type OutputSize = <Sha512 as OutputSizeUser>::OutputSize;
    }

    impl Update for Fixed {
        fn update(&mut self, _: &[u8]) {}
    }

    impl FixedOutput for Fixed {
        fn finalize_into(self, out: &mut Output<Self>) {
            out.copy_from_slice(&self.0);
        }
    }

    proptest! {
        #[test]
        fn the_checks_on_bytes_agree_with_the_arithmetic(bytes: [u8; 32]) {
            let point = CompressedEdwardsY(bytes).decompress();
            if let Some(point) = point {
                let good = point.compress().to_bytes() == bytes && !point.is_small_order();
                prop_assert_eq!(PublicKey::from_bytes(&bytes).is_ok(), good);
            }
        }

        #[test]
        fn the_public_key_of_any_seed_passes_the_checks(seed: [u8; 32]) {
            let public = SecretKey::from_seed(seed).public();
            prop_assert_eq!(PublicKey::from_bytes(public.as_bytes()), Ok(public));
        }
    }
}
