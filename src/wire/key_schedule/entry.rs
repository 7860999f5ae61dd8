//! One entry of a key schedule: a key, what vouches for it, and what holds for it.

use thiserror::Error;

use super::SigningKeyState;
use crate::wire::{
    hash::Hash64,
    key::{KeyError, PublicKey, SecretKey, Signature},
    layout::field,
    time::{TimeError, Timestamp},
};

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EntryFault {
    /// The payload ends inside it.
    #[error("it ends too early")]
    Truncated,
    /// It is neither a subkey attestation nor an encryption key.
    #[error("unknown kind of entry {0}")]
    Kind(u8),
    /// Its length is not the one that its kind has.
    #[error("wrong length")]
    Length,
    /// There is no such marker.
    #[error("unknown marker {0:#x}")]
    Marker(u16),
    /// The marker is not for a key of this kind and algorithm.
    #[error("marker and key do not fit")]
    Mismatch,
    /// The marker demands a timestamp, and there is none.
    #[error("marker without a timestamp")]
    NoTimestamp,
    /// The timestamp is none.
    #[error("bad timestamp: {0}")]
    Timestamp(TimeError),
    /// The data do not start with the five bytes they must start with.
    #[error("data do not start as they must")]
    Magic,
    /// There is no such algorithm.
    #[error("unknown algorithm {0}")]
    Algorithm(u8),
    /// The length of the signature is not 64.
    #[error("signature of {0} bytes")]
    SignatureLength(u16),
    /// The subkey is no usable key.
    #[error("bad subkey: {0}")]
    Key(KeyError),
    /// The attestation is for another master key.
    #[error("attestation for another master key")]
    Master,
}

/// What holds for a listed key.
///
/// | value  | variant            | timestamp |
/// |--------|--------------------|-----------|
/// | `0x0`  | `ActiveSigning`    | ignored   |
/// | `0x1`  | `ActiveEncryption` | ignored   |
/// | `0x40` | `Revoked`          | required  |
/// | `0x41` | `RevokedFrom`      | required  |
/// | `0x4F` | `OutOfUse`         | optional  |
/// | `0x80` | `ActiveNostr`      | ignored   |
///
/// # Source
/// `mosaic-wire.md` section 9, "Markers".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMarker {
    /// It signs for the master.
    ActiveSigning,
    /// Messages to the master may be encrypted to it.
    ActiveEncryption,
    /// Since then it is known that no record signed by it is to be trusted.
    Revoked(Timestamp),
    /// Records signed by it are invalid if they were received, or are dated, after that.
    RevokedFrom(Timestamp),
    /// It is used no longer, since then if that is told; nothing is revoked.
    OutOfUse(Option<Timestamp>),
    /// It signs for the master on nostr.
    ActiveNostr,
}

impl KeyMarker {
    /// What it says of a signing key; `None` where it says nothing of signing records.
    pub(super) const fn signing_state(self) -> Option<SigningKeyState> {
        match self {
            Self::ActiveSigning => Some(SigningKeyState::Active),
            Self::Revoked(_) => Some(SigningKeyState::Revoked),
            Self::RevokedFrom(from) => Some(SigningKeyState::RevokedFrom(from)),
            Self::OutOfUse(_) => Some(SigningKeyState::OutOfUse),
            Self::ActiveEncryption | Self::ActiveNostr => None,
        }
    }

    fn from_parts(marker: u16, timestamp: Option<Timestamp>) -> Result<Self, EntryFault> {
        Ok(match marker {
            0x0 => Self::ActiveSigning,
            0x1 => Self::ActiveEncryption,
            0x40 => Self::Revoked(timestamp.ok_or(EntryFault::NoTimestamp)?),
            0x41 => Self::RevokedFrom(timestamp.ok_or(EntryFault::NoTimestamp)?),
            0x4F => Self::OutOfUse(timestamp),
            0x80 => Self::ActiveNostr,
            _ => return Err(EntryFault::Marker(marker)),
        })
    }

    const fn to_parts(self) -> (u16, Timestamp) {
        match self {
            Self::ActiveSigning => (0x0, Timestamp::MIN),
            Self::ActiveEncryption => (0x1, Timestamp::MIN),
            Self::Revoked(at) => (0x40, at),
            Self::RevokedFrom(from) => (0x41, from),
            Self::OutOfUse(Some(since)) => (0x4F, since),
            Self::OutOfUse(None) => (0x4F, Timestamp::MIN),
            Self::ActiveNostr => (0x80, Timestamp::MIN),
        }
    }

    /// Whether a key of that sort can have this marker. A secp256k1 key may be marked as signing,
    /// though nothing here takes its signatures.
    const fn fits(self, key: &ListedKey) -> bool {
        match (self, key) {
            (Self::ActiveSigning, ListedKey::Signing(_))
            | (Self::ActiveEncryption, ListedKey::Encryption(_))
            | (Self::Revoked(_) | Self::RevokedFrom(_) | Self::OutOfUse(_), _) => true,
            (Self::ActiveNostr, ListedKey::Signing(attestation)) => {
                matches!(attestation.algorithm, SigningAlgorithm::Secp256k1)
            }
            (Self::ActiveNostr, ListedKey::Encryption(key)) => {
                matches!(key.algorithm, EncryptionAlgorithm::Secp256k1)
            }
            (Self::ActiveSigning, ListedKey::Encryption(_))
            | (Self::ActiveEncryption, ListedKey::Signing(_)) => false,
        }
    }
}

/// A key that a schedule lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedKey {
    /// Entry kind 1: a key that signs, with what it says of its master.
    Signing(Attestation),
    /// Entry kind 2: a key that cannot sign.
    Encryption(EncryptionKey),
}

impl ListedKey {
    /// The 32 bytes of the key, as its subkey tag names it.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        match self {
            Self::Signing(attestation) => attestation.subkey_bytes(),
            Self::Encryption(key) => &key.key,
        }
    }
}

/// Algorithm of a subkey that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// As every key that signs records.
    Ed25519,
    /// A nostr key. Its signatures are not checked here.
    Secp256k1,
}

/// Algorithm of a subkey that encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncryptionAlgorithm {
    /// X25519.
    X25519,
    /// A nostr key.
    Secp256k1,
}

/// A key to which messages are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncryptionKey {
    /// How it encrypts.
    pub algorithm: EncryptionAlgorithm,
    /// The public key, unchecked.
    pub key: [u8; 32],
}

/// The statement of a subkey that it belongs to a master key, signed by the subkey.
///
/// | bytes     | field                                         |
/// |-----------|-----------------------------------------------|
/// | `0..5`    | `2c 28 98 f5 8b`                              |
/// | `5`       | algorithm: 0 ed25519, 1 secp256k1             |
/// | `6..8`    | length of the signature, u16 LE, 64           |
/// | `8..40`   | subkey                                        |
/// | `40..72`  | master key                                    |
/// | `72..136` | signature by the subkey over the first 72     |
///
/// An ed25519 subkey signs as records are signed: Ed25519ph over the 64-byte hash of the 72 bytes.
///
/// # Source
/// `mosaic-wire.md` section 9, "Attestation"; the scheme is that of its section 1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Attestation {
    algorithm: SigningAlgorithm,
    bytes: [u8; ATTESTATION_BYTES],
}

impl Attestation {
    /// The statement of an ed25519 subkey that it belongs to `master`.
    #[must_use]
    pub fn sign(subkey: &SecretKey, master: PublicKey) -> Self {
        let mut signed = [0; SIGNED_BYTES];
        let [l0, l1] = SIGNATURE_LENGTH.to_le_bytes();
        put(
            &mut signed,
            [
                &ATTESTATION_MAGIC,
                &[0, l0, l1],
                subkey.public().as_bytes().as_slice(),
                master.as_bytes(),
            ],
        );
        let signature = subkey.sign(&Hash64::of(&signed));
        let mut bytes = [0; ATTESTATION_BYTES];
        put(&mut bytes, [signed.as_slice(), signature.as_bytes()]);
        Self {
            algorithm: SigningAlgorithm::Ed25519,
            bytes,
        }
    }

    /// How the subkey signs.
    #[must_use]
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// The subkey's 32 bytes, whatever its algorithm.
    #[must_use]
    pub const fn subkey_bytes(&self) -> &[u8; 32] {
        field::<8, 32, ATTESTATION_BYTES>(&self.bytes)
    }

    /// The subkey, where it is an ed25519 key.
    #[must_use]
    pub fn subkey(&self) -> Option<PublicKey> {
        match self.algorithm {
            SigningAlgorithm::Ed25519 => Some(PublicKey::from_checked(self.subkey_bytes())),
            SigningAlgorithm::Secp256k1 => None,
        }
    }

    /// The master key.
    #[must_use]
    pub const fn master_bytes(&self) -> &[u8; 32] {
        field::<40, 32, ATTESTATION_BYTES>(&self.bytes)
    }

    /// What is signed.
    #[must_use]
    pub const fn signed_bytes(&self) -> &[u8; SIGNED_BYTES] {
        field::<0, SIGNED_BYTES, ATTESTATION_BYTES>(&self.bytes)
    }

    /// The signature.
    #[must_use]
    pub const fn signature(&self) -> Signature {
        Signature::from_bytes(*field::<72, 64, ATTESTATION_BYTES>(&self.bytes))
    }

    fn parse(bytes: &[u8; ATTESTATION_BYTES], master: PublicKey) -> Result<Self, EntryFault> {
        if field::<0, 5, ATTESTATION_BYTES>(bytes) != &ATTESTATION_MAGIC {
            return Err(EntryFault::Magic);
        }
        let algorithm = match bytes[5] {
            0 => SigningAlgorithm::Ed25519,
            1 => SigningAlgorithm::Secp256k1,
            other => return Err(EntryFault::Algorithm(other)),
        };
        let length = u16::from_le_bytes(*field::<6, 2, ATTESTATION_BYTES>(bytes));
        if length != SIGNATURE_LENGTH {
            return Err(EntryFault::SignatureLength(length));
        }
        let attestation = Self {
            algorithm,
            bytes: *bytes,
        };
        if algorithm == SigningAlgorithm::Ed25519 {
            PublicKey::from_bytes(attestation.subkey_bytes()).map_err(EntryFault::Key)?;
        }
        if attestation.master_bytes() != master.as_bytes() {
            return Err(EntryFault::Master);
        }
        Ok(attestation)
    }
}

impl std::fmt::Debug for Attestation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attestation")
            .field("algorithm", &self.algorithm)
            .field("subkey", &self.subkey())
            .finish_non_exhaustive()
    }
}

/// One key of a schedule.
///
/// | bytes   | field                                            |
/// |---------|--------------------------------------------------|
/// | `0`     | 1: subkey attestation, 2: encryption key         |
/// | `1`     | zero, ignored                                    |
/// | `2..4`  | length of the entry, these 16 bytes included, u16 LE |
/// | `4..6`  | marker, u16 LE                                   |
/// | `6..8`  | zero, ignored                                    |
/// | `8..16` | timestamp of the marker; 0 is none               |
/// | `16..`  | [`Attestation`] or encryption key                |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    marker: KeyMarker,
    key: ListedKey,
}

impl KeyEntry {
    /// An entry in the schedule of `master`.
    pub(super) fn new(
        marker: KeyMarker,
        key: ListedKey,
        master: PublicKey,
    ) -> Result<Self, EntryFault> {
        if let ListedKey::Signing(attestation) = &key
            && attestation.master_bytes() != master.as_bytes()
        {
            return Err(EntryFault::Master);
        }
        if marker.fits(&key) {
            Ok(Self { marker, key })
        } else {
            Err(EntryFault::Mismatch)
        }
    }

    /// What holds for the key.
    #[must_use]
    pub const fn marker(&self) -> KeyMarker {
        self.marker
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &ListedKey {
        &self.key
    }

    /// The key, where it is an ed25519 signing key.
    #[must_use]
    pub fn signing_key(&self) -> Option<PublicKey> {
        match &self.key {
            ListedKey::Signing(attestation) => attestation.subkey(),
            ListedKey::Encryption(_) => None,
        }
    }

    /// Reads the entry that `payload` starts with, and tells what is behind it.
    pub(super) fn parse(payload: &[u8], master: PublicKey) -> Result<(Self, &[u8]), EntryFault> {
        let head: &[u8; HEAD_BYTES] = payload.first_chunk().ok_or(EntryFault::Truncated)?;
        let length = usize::from(u16::from_le_bytes(*field::<2, 2, HEAD_BYTES>(head)));
        let (entry, behind) = payload
            .split_at_checked(length)
            .ok_or(EntryFault::Truncated)?;
        let data = entry.get(HEAD_BYTES..).ok_or(EntryFault::Length)?;
        let key = match head[0] {
            1 => {
                let data = data.try_into().map_err(|_| EntryFault::Length)?;
                ListedKey::Signing(Attestation::parse(data, master)?)
            }
            2 => {
                let data = data.try_into().map_err(|_| EntryFault::Length)?;
                ListedKey::Encryption(parse_encryption_key(data)?)
            }
            other => return Err(EntryFault::Kind(other)),
        };
        let timestamp = Timestamp::from_bytes(*field::<8, 8, HEAD_BYTES>(head))
            .map_err(EntryFault::Timestamp)?;
        let marker = KeyMarker::from_parts(
            u16::from_le_bytes(*field::<4, 2, HEAD_BYTES>(head)),
            Some(timestamp).filter(|it| *it != Timestamp::MIN),
        )?;
        Ok((Self::new(marker, key, master)?, behind))
    }

    /// Appends the entry's bytes.
    pub(super) fn write(&self, payload: &mut Vec<u8>) {
        let (kind, length) = match self.key {
            ListedKey::Signing(_) => (1, ATTESTATION_ENTRY_LENGTH),
            ListedKey::Encryption(_) => (2, ENCRYPTION_ENTRY_LENGTH),
        };
        let (marker, timestamp) = self.marker.to_parts();
        let [l0, l1] = length.to_le_bytes();
        let [m0, m1] = marker.to_le_bytes();
        payload.extend_from_slice(&[kind, 0, l0, l1, m0, m1, 0, 0]);
        payload.extend_from_slice(&timestamp.to_bytes());
        match &self.key {
            ListedKey::Signing(attestation) => payload.extend_from_slice(&attestation.bytes),
            ListedKey::Encryption(key) => {
                let algorithm = match key.algorithm {
                    EncryptionAlgorithm::X25519 => 0,
                    EncryptionAlgorithm::Secp256k1 => 1,
                };
                payload.extend_from_slice(&ENCRYPTION_MAGIC);
                payload.extend_from_slice(&[algorithm, 0, 0]);
                payload.extend_from_slice(&key.key);
            }
        }
    }
}

fn parse_encryption_key(bytes: &[u8; ENCRYPTION_BYTES]) -> Result<EncryptionKey, EntryFault> {
    if field::<0, 5, ENCRYPTION_BYTES>(bytes) != &ENCRYPTION_MAGIC {
        return Err(EntryFault::Magic);
    }
    let algorithm = match bytes[5] {
        0 => EncryptionAlgorithm::X25519,
        1 => EncryptionAlgorithm::Secp256k1,
        other => return Err(EntryFault::Algorithm(other)),
    };
    Ok(EncryptionKey {
        algorithm,
        key: *field::<8, 32, ENCRYPTION_BYTES>(bytes),
    })
}

/// Fills `block` with the parts, one after the other.
fn put<const PARTS: usize>(block: &mut [u8], parts: [&[u8]; PARTS]) {
    for (to, from) in block.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
}

const ATTESTATION_MAGIC: [u8; 5] = [0x2c, 0x28, 0x98, 0xf5, 0x8b];
const ENCRYPTION_MAGIC: [u8; 5] = [0xd6, 0xda, 0xf0, 0xbd, 0x33];

const HEAD_BYTES: usize = 16;
const SIGNED_BYTES: usize = 72;
const ATTESTATION_BYTES: usize = 136;
const ENCRYPTION_BYTES: usize = 40;

const SIGNATURE_LENGTH: u16 = 64;
const ATTESTATION_ENTRY_LENGTH: u16 = 152;
const ENCRYPTION_ENTRY_LENGTH: u16 = 56;

const _: () = assert!(SIGNED_BYTES + SIGNATURE_LENGTH as usize == ATTESTATION_BYTES);
const _: () = assert!(HEAD_BYTES + ATTESTATION_BYTES == ATTESTATION_ENTRY_LENGTH as usize);
const _: () = assert!(HEAD_BYTES + ENCRYPTION_BYTES == ENCRYPTION_ENTRY_LENGTH as usize);
