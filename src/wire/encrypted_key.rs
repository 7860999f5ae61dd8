//! Secret keys behind a password.

use std::{fmt, str::FromStr};

use scrypt::Params;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::{
    human::{self, HumanError},
    key::SecretKey,
    layout::field,
};
use crate::base::limits;

/// Why a secret key cannot be encrypted, read or decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncryptedKeyError {
    /// The text is no printed encrypted secret key.
    #[error("not a printed encrypted secret key")]
    Text(#[from] HumanError),
    /// The first byte is a version that is not known.
    #[error("encrypted secret key of unknown version {0}")]
    Version(u8),
    /// The cost is 0, or over [`limits::ENCRYPTED_KEY_MAX_LOG_N`].
    #[error("cost 2^{0} of the encrypted secret key is out of range")]
    Cost(u8),
    /// The check bytes are wrong.
    #[error("wrong password")]
    Password,
}

/// A secret key that only its password opens.
///
/// | bytes    | field                                                                     |
/// |----------|---------------------------------------------------------------------------|
/// | `0`      | version, 1                                                                |
/// | `1`      | `log_n`: opening it takes 2^`log_n` rounds and KiB of memory              |
/// | `2..18`  | salt                                                                      |
/// | `18..58` | scrypt of the password XOR (seed, 4 random bytes, those XOR `b960a1e2`)   |
///
/// Printed as `mocryptsec0` and z-base-32. The password counts in Unicode's form NFKC, so that it
/// can be typed on any keyboard.
///
/// # Source
/// `mosaic-wire.md` section 9, "Encrypted secret key".
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EncryptedSecretKey([u8; LENGTH_BYTES]);

impl EncryptedSecretKey {
    /// The cost to choose where there is no reason for another: 256 MiB, and about a second.
    pub const DEFAULT_LOG_N: u8 = 18;

    /// Encrypts `secret`, with a random salt. Takes 2^`log_n` KiB of memory meanwhile.
    ///
    /// # Errors
    /// [`EncryptedKeyError::Cost`]: `log_n` is 0 or over [`limits::ENCRYPTED_KEY_MAX_LOG_N`].
    pub fn encrypt(
        secret: &SecretKey,
        password: &str,
        log_n: u8,
    ) -> Result<Self, EncryptedKeyError> {
        let salt: [u8; SALT_BYTES] = rand::random();
        let pad = pad(password, &salt, log_n)?;
        let random: [u8; 4] = rand::random();
        let mut check = CHECK;
        xor(&mut check, &random);
        let mut opened = Zeroizing::new([0; SEALED_BYTES]);
        let parts = secret.seed().iter().copied().chain(random).chain(check);
        for (to, from) in opened.iter_mut().zip(parts) {
            *to = from;
        }
        xor(&mut opened, &pad);
        let head = [VERSION, log_n].into_iter().chain(salt);
        let mut bytes = [0; LENGTH_BYTES];
        for (to, from) in bytes.iter_mut().zip(head.chain(*opened)) {
            *to = from;
        }
        Ok(Self(bytes))
    }

    /// Opens it. Takes 2^[`log_n`](Self::log_n) KiB of memory meanwhile.
    ///
    /// # Errors
    /// [`EncryptedKeyError::Password`]: the check bytes come out wrong.
    pub fn decrypt(&self, password: &str) -> Result<SecretKey, EncryptedKeyError> {
        let pad = pad(
            password,
            field::<2, SALT_BYTES, LENGTH_BYTES>(&self.0),
            self.log_n(),
        )?;
        let sealed = field::<18, SEALED_BYTES, LENGTH_BYTES>(&self.0);
        let mut opened = Zeroizing::new(*sealed);
        xor(&mut opened, &pad);
        let mut check = *field::<36, 4, SEALED_BYTES>(&opened);
        xor(&mut check, field::<32, 4, SEALED_BYTES>(&opened));
        if check == CHECK {
            Ok(SecretKey::from_seed(*field::<0, 32, SEALED_BYTES>(&opened)))
        } else {
            Err(EncryptedKeyError::Password)
        }
    }

    /// Checks 58 bytes.
    ///
    /// # Errors
    /// - [`EncryptedKeyError::Version`]: another version than 1.
    /// - [`EncryptedKeyError::Cost`]: a cost that is refused.
    pub fn from_bytes(bytes: &[u8; LENGTH_BYTES]) -> Result<Self, EncryptedKeyError> {
        let [version, log_n, ..] = *bytes;
        if version != VERSION {
            return Err(EncryptedKeyError::Version(version));
        }
        check_cost(log_n)?;
        Ok(Self(*bytes))
    }

    /// The 58 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; LENGTH_BYTES] {
        &self.0
    }

    /// Logarithm of the cost, 1 to [`limits::ENCRYPTED_KEY_MAX_LOG_N`].
    #[must_use]
    pub const fn log_n(&self) -> u8 {
        self.0[1]
    }
}

impl fmt::Display for EncryptedSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&human::encode(PREFIX, &self.0))
    }
}

impl fmt::Debug for EncryptedSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedSecretKey")
            .field("log_n", &self.log_n())
            .finish_non_exhaustive()
    }
}

impl FromStr for EncryptedSecretKey {
    type Err = EncryptedKeyError;

    fn from_str(text: &str) -> Result<Self, EncryptedKeyError> {
        Self::from_bytes(&*human::decode(PREFIX, text)?)
    }
}

/// What the password stands for.
fn pad(
    password: &str,
    salt: &[u8; SALT_BYTES],
    log_n: u8,
) -> Result<Zeroizing<[u8; SEALED_BYTES]>, EncryptedKeyError> {
    check_cost(log_n)?;
    let params = Params::new(log_n, 8, 1).map_err(|_| EncryptedKeyError::Cost(log_n))?;
    let password = normalized(password);
    let mut pad = Zeroizing::new([0; SEALED_BYTES]);
    scrypt::scrypt(password.as_bytes(), salt, &params, pad.as_mut_slice())
        .map_err(|_| EncryptedKeyError::Cost(log_n))?;
    Ok(pad)
}

/// The password in form NFKC. Measured first: a text that grows would leave copies in memory.
fn normalized(password: &str) -> Zeroizing<String> {
    let length_bytes = password.nfkc().map(char::len_utf8).sum();
    let mut normalized = Zeroizing::new(String::with_capacity(length_bytes));
    normalized.extend(password.nfkc());
    normalized
}

const fn check_cost(log_n: u8) -> Result<(), EncryptedKeyError> {
    if matches!(log_n, 1..=limits::ENCRYPTED_KEY_MAX_LOG_N) {
        Ok(())
    } else {
        Err(EncryptedKeyError::Cost(log_n))
    }
}

/// In place, so that no copy of a secret is left behind.
fn xor<const N: usize>(left: &mut [u8; N], right: &[u8; N]) {
    for (to, with) in left.iter_mut().zip(right) {
        *to ^= with;
    }
}

const PREFIX: &str = "mocryptsec0";
const VERSION: u8 = 1;
const CHECK: [u8; 4] = [0xb9, 0x60, 0xa1, 0xe2];
const SALT_BYTES: usize = 16;
const SEALED_BYTES: usize = 40;
const LENGTH_BYTES: usize = 58;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::vectors;

    #[test]
    fn the_keys_of_the_vectors_open_with_their_passwords_only() {
        for case in vectors()["encrypted_secret_keys"].as_array().unwrap() {
            let text = case["encrypted"].as_str().unwrap();
            let key: EncryptedSecretKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(u64::from(key.log_n()), case["log_n"].as_u64().unwrap());
            let password = case["password"].as_str().unwrap();
            let opened = key.decrypt(password).unwrap();
            let secret = case["secret"].as_str().unwrap();
            assert_eq!(opened.to_printable().as_str(), secret);
            let wrong = key.decrypt(&format!("{password}.")).unwrap_err();
            assert_eq!(wrong, EncryptedKeyError::Password);
        }
    }

    #[test]
    fn a_key_comes_back_from_its_encryption_however_the_password_is_typed() {
        let secret = SecretKey::from_seed([7; 32]);
        // One letter with its accent, or a letter and an accent; a ligature, or two letters.
        let key = EncryptedSecretKey::encrypt(&secret, "p\u{e4}ss\u{fb01}", 1).unwrap();
        let opened = key.decrypt("pa\u{308}ssfi").unwrap();
        assert_eq!(opened.seed(), secret.seed());
        let other = EncryptedSecretKey::encrypt(&secret, "p\u{e4}ss\u{fb01}", 1).unwrap();
        assert_ne!(key.as_bytes()[2..], other.as_bytes()[2..]);
    }

    #[test]
    fn a_cost_out_of_range_is_refused_before_it_is_paid() {
        let secret = SecretKey::from_seed([7; 32]);
        let good = EncryptedSecretKey::encrypt(&secret, "", 1).unwrap();
        for log_n in [0, 23, 63, 64, 255] {
            let refused = EncryptedSecretKey::encrypt(&secret, "", log_n);
            assert_eq!(refused, Err(EncryptedKeyError::Cost(log_n)));
            let mut bytes = *good.as_bytes();
            bytes[1] = log_n;
            let refused = EncryptedSecretKey::from_bytes(&bytes);
            assert_eq!(refused, Err(EncryptedKeyError::Cost(log_n)));
        }
    }

    #[test]
    fn another_version_and_another_text_are_refused() {
        let secret = SecretKey::from_seed([7; 32]);
        let good = EncryptedSecretKey::encrypt(&secret, "", 1).unwrap();
        let mut bytes = *good.as_bytes();
        bytes[0] = 2;
        let refused = EncryptedSecretKey::from_bytes(&bytes);
        assert_eq!(refused, Err(EncryptedKeyError::Version(2)));
        let text = secret.to_printable();
        assert!(matches!(
            text.parse::<EncryptedSecretKey>(),
            Err(EncryptedKeyError::Text(_))
        ));
    }

    #[test]
    fn the_trace_of_a_key_does_not_show_it() {
        let secret = SecretKey::from_seed([7; 32]);
        let key = EncryptedSecretKey::encrypt(&secret, "", 1).unwrap();
        assert_eq!(format!("{key:?}"), "EncryptedSecretKey { log_n: 1, .. }");
    }
}
