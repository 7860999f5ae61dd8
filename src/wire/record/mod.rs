//! Records: everything that is stored. Read here; made in `record_builder.rs`.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use thiserror::Error;

use super::{
    human::{self, HumanError},
    key::{KeyError, PublicKey},
    kind::{Kind, KindError},
    layout::{field, padded},
    reference::{Address, RecordId},
    tag::{Tag, Tags},
    time::{TimeError, Timestamp},
};
use crate::base::limits;

/// Which rule a record breaks. One variant a rule of `mosaic-wire.md` section 4; hash and signature
/// are judged by `verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Fewer bytes than a header has.
    #[error("record of {len_bytes} bytes is too short")]
    TooShort {
        /// Length of the record.
        len_bytes: usize,
    },
    /// More bytes than a record may have.
    #[error("record of {len_bytes} bytes is too long")]
    TooLong {
        /// Length of the record.
        len_bytes: usize,
    },
    /// The parts that the header announces do not add up to the record's length.
    #[error("record has {len_bytes} bytes, its header announces {announced_bytes}")]
    Length {
        /// Length of the record.
        len_bytes: usize,
        /// Length of header, padded tags, payload and signature.
        announced_bytes: usize,
    },
    /// A signature of another length than ed25519's 64 bytes.
    #[error("record has a signature of {len_bytes} bytes")]
    SignatureLength {
        /// Length of the signature.
        len_bytes: usize,
    },
    /// A signature scheme that is not in use.
    #[error("record has an unknown signature scheme")]
    SignatureScheme,
    /// A flag without a meaning is set.
    #[error("record has a reserved flag set")]
    ReservedFlags,
    /// The timestamp has its first bit set.
    #[error("record's timestamp")]
    Timestamp(#[from] TimeError),
    /// The ID starts with another timestamp than the signed one.
    #[error("record's id has another timestamp than the record")]
    TimestampsDiffer,
    /// The address nonce has its first bit clear.
    #[error("record's address nonce has its first bit clear")]
    NonceBit,
    /// The kind is not allowed.
    #[error("record's kind")]
    Kind(#[from] KindError),
    /// The author's key is not allowed.
    #[error("record's author key")]
    AuthorKey(#[source] KeyError),
    /// The signing key is not allowed.
    #[error("record's signing key")]
    SigningKey(#[source] KeyError),
    /// The text is no printed record.
    #[error("not a printed record")]
    Text(#[from] HumanError),
}

/// A record as a view of its bytes: nothing is copied, every field is found where it lies.
///
/// | bytes      | field                                                                   |
/// |------------|-------------------------------------------------------------------------|
/// | `0..48`    | [`RecordId`]                                                            |
/// | `48..96`   | [`Address`]: nonce, kind, author's master key                           |
/// | `96..128`  | signing key                                                             |
/// | `128..136` | [`Timestamp`]                                                           |
/// | `136..144` | [`RecordFlags`]                                                         |
/// | `144..152` | lengths of tags (u16), signature (u16), payload (u32), little-endian    |
/// | `152..`    | tags, payload, signature, each padded to 8                              |
///
/// There is one only if every check of section 4 passed, but for hash and signature.
///
/// # Source
/// `mosaic-wire.md` section 4.
#[derive(Clone, Copy)]
pub struct RecordRef<'a> {
    bytes: &'a [u8],
    header: &'a [u8; HEADER_BYTES],
    tags: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8; SIGNATURE_BYTES],
}

impl<'a> RecordRef<'a> {
    /// Reads a record and checks all of it but hash and signature. The bytes are the record exactly,
    /// nothing behind it.
    ///
    /// Tags that are malformed are no error, for the specification names none: [`Tags`] ends there.
    ///
    /// # Errors
    /// The first rule of [`RecordError`] that it breaks, in the order of that list.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let record = Self::split(bytes)?;
        record.check_flags()?;
        record.check_timestamps()?;
        record.check_address()?;
        PublicKey::from_bytes(record.signer_bytes()).map_err(RecordError::SigningKey)?;
        Ok(record)
    }

    /// The whole record.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> RecordId {
        RecordId::from_checked(self.field::<0, 48>())
    }

    /// The name of the group it belongs to.
    #[must_use]
    pub const fn address(&self) -> Address {
        Address::from_checked(self.field::<48, 48>())
    }

    /// The nonce of its address.
    #[must_use]
    pub const fn nonce(&self) -> [u8; 8] {
        *self.field::<48, 8>()
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        Kind::from_checked(*self.kind_bytes())
    }

    /// The author's master key.
    #[must_use]
    pub const fn author(&self) -> PublicKey {
        PublicKey::from_checked(self.author_bytes())
    }

    /// The key that signed it: the author's, or a subkey of theirs.
    #[must_use]
    pub const fn signer(&self) -> PublicKey {
        PublicKey::from_checked(self.signer_bytes())
    }

    /// When it was made, says the author.
    #[must_use]
    pub const fn timestamp(&self) -> Timestamp {
        Timestamp::from_checked(*self.timestamp_bytes())
    }

    /// Its flags.
    #[must_use]
    pub const fn flags(&self) -> RecordFlags {
        RecordFlags(self.flag_bytes()[0])
    }

    /// Its tags, up to the first malformed one.
    #[must_use]
    pub const fn tags(&self) -> Tags<'a> {
        Tags::new(self.tags)
    }

    /// The tags as they lie there, without padding.
    #[must_use]
    pub const fn tag_bytes(&self) -> &'a [u8] {
        self.tags
    }

    /// The payload, without padding.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The signature.
    #[must_use]
    pub const fn signature(&self) -> &'a [u8; 64] {
        self.signature
    }

    /// What is hashed and signed: address to padded payload.
    #[must_use]
    pub fn signed_bytes(&self) -> &'a [u8] {
        let end = self.bytes.len() - SIGNATURE_BYTES;
        self.bytes.get(ID_BYTES..end).unwrap_or_default()
    }

    /// The keys that its notify tags name, in their order.
    pub fn notifies(&self) -> impl Iterator<Item = PublicKey> + use<'a> {
        self.tags().filter_map(|tag: Tag<'a>| tag.notify_key())
    }

    /// Finds the parts. Everything fits, nothing is left over; no value was looked at.
    fn split(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let len_bytes = bytes.len();
        if len_bytes > limits::RECORD_MAX_BYTES {
            return Err(RecordError::TooLong { len_bytes });
        }
        let (header, rest) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(RecordError::TooShort { len_bytes })?;
        let lengths = Lengths::read(field::<144, 8, HEADER_BYTES>(header));
        let announced_bytes = lengths.record_bytes();
        if announced_bytes != len_bytes {
            return Err(RecordError::Length {
                len_bytes,
                announced_bytes,
            });
        }
        if lengths.signature != SIGNATURE_BYTES {
            return Err(RecordError::SignatureLength {
                len_bytes: lengths.signature,
            });
        }
        // The sum above says that every part is there, so this error is never seen.
        let overrun = RecordError::TooShort { len_bytes };
        let (tags, rest) = split_padded(rest, lengths.tags).ok_or(overrun)?;
        let (payload, rest) = split_padded(rest, lengths.payload).ok_or(overrun)?;
        let (signature, _) = rest.split_first_chunk().ok_or(overrun)?;
        Ok(Self {
            bytes,
            header,
            tags,
            payload,
            signature,
        })
    }

    fn check_flags(&self) -> Result<(), RecordError> {
        let [flags, reserved_1, reserved_2, ..] = *self.flag_bytes();
        if flags & FLAG_SCHEME != 0 {
            return Err(RecordError::SignatureScheme);
        }
        let is_reserved = flags & !(FLAG_ZSTD | FLAG_FROM_AUTHOR) != 0;
        if is_reserved || reserved_1 != 0 || reserved_2 != 0 {
            return Err(RecordError::ReservedFlags);
        }
        Ok(())
    }

    fn check_timestamps(&self) -> Result<(), RecordError> {
        Timestamp::from_bytes(*self.timestamp_bytes())?;
        if self.field::<0, 8>() == self.timestamp_bytes() {
            Ok(())
        } else {
            Err(RecordError::TimestampsDiffer)
        }
    }

    fn check_address(&self) -> Result<(), RecordError> {
        if self.field::<48, 1>()[0] & 0x80 == 0 {
            return Err(RecordError::NonceBit);
        }
        Kind::from_bytes(*self.kind_bytes())?;
        PublicKey::from_bytes(self.author_bytes()).map_err(RecordError::AuthorKey)?;
        Ok(())
    }

    const fn kind_bytes(&self) -> &'a [u8; 8] {
        self.field::<56, 8>()
    }

    const fn author_bytes(&self) -> &'a [u8; 32] {
        self.field::<64, 32>()
    }

    const fn signer_bytes(&self) -> &'a [u8; 32] {
        self.field::<96, 32>()
    }

    const fn timestamp_bytes(&self) -> &'a [u8; 8] {
        self.field::<128, 8>()
    }

    const fn flag_bytes(&self) -> &'a [u8; 8] {
        self.field::<136, 8>()
    }

    const fn field<const AT: usize, const N: usize>(&self) -> &'a [u8; N] {
        field::<AT, N, HEADER_BYTES>(self.header)
    }
}

impl fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("author", &self.author())
            .finish_non_exhaustive()
    }
}

/// Flags of a record, those that have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFlags(u8);

impl RecordFlags {
    /// Whether the payload is compressed with Zstandard.
    #[must_use]
    pub const fn zstd(self) -> bool {
        self.0 & FLAG_ZSTD != 0
    }

    /// Whether servers take it from the author only, authenticated.
    #[must_use]
    pub const fn from_author(self) -> bool {
        self.0 & FLAG_FROM_AUTHOR != 0
    }
}

/// Lengths of the parts behind the header, without padding.
struct Lengths {
    tags: usize,
    signature: usize,
    payload: usize,
}

impl Lengths {
    fn read(bytes: &[u8; 8]) -> Self {
        let [t0, t1, s0, s1, p0, p1, p2, p3] = *bytes;
        let payload = u32::from_le_bytes([p0, p1, p2, p3]);
        Self {
            tags: usize::from(u16::from_le_bytes([t0, t1])),
            signature: usize::from(u16::from_le_bytes([s0, s1])),
            // Saturates where memory is addressed by fewer than 32 bits, far above any record.
            payload: usize::try_from(payload).unwrap_or(MORE_THAN_ANY_RECORD),
        }
    }

    fn record_bytes(&self) -> usize {
        [self.tags, self.payload, self.signature]
            .into_iter()
            .map(|part| {
                part.checked_next_multiple_of(8)
                    .unwrap_or(MORE_THAN_ANY_RECORD)
            })
            .fold(HEADER_BYTES, usize::saturating_add)
    }
}

/// The first `len_bytes` of `rest`, and what stands behind their padding.
fn split_padded(rest: &[u8], len_bytes: usize) -> Option<(&[u8], &[u8])> {
    let (area, behind) = rest.split_at_checked(padded(len_bytes))?;
    Some((area.get(..len_bytes)?, behind))
}

/// A record that owns its bytes, or shares them: cloning copies nothing.
///
/// Printed as `morecord0` and z-base-32.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    bytes: Bytes,
}

impl Record {
    /// Reads a record as [`RecordRef::parse`] does, and keeps the bytes.
    ///
    /// # Errors
    /// As [`RecordRef::parse`].
    pub fn parse(bytes: Bytes) -> Result<Self, RecordError> {
        RecordRef::parse(&bytes)?;
        Ok(Self { bytes })
    }

    /// A record that was just made by the rules that [`parse`](Self::parse) checks.
    pub(super) fn from_built(bytes: Bytes) -> Self {
        debug_assert!(RecordRef::parse(&bytes).is_ok(), "made against the rules");
        Self { bytes }
    }

    /// The record to look at; cheap, as it was checked when it was parsed.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the same bytes were split by `parse`")]
    pub fn view(&self) -> RecordRef<'_> {
        RecordRef::split(&self.bytes).expect("a parsed record has all its parts")
    }

    /// The whole record.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.view().id()
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&human::encode(PREFIX, &self.bytes))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl FromStr for Record {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let bytes = human::decode_bounded(PREFIX, text, limits::RECORD_MAX_BYTES)?;
        Self::parse(bytes.into())
    }
}

/// Everything in front of the tags.
pub(super) const HEADER_BYTES: usize = limits::RECORD_MIN_BYTES;

/// The ID, which is neither hashed nor signed.
pub(super) const ID_BYTES: usize = 48;

/// An ed25519 signature; a multiple of 8, so it has no padding.
pub(super) const SIGNATURE_BYTES: usize = 64;

pub(super) const FLAG_ZSTD: u8 = 0x01;
pub(super) const FLAG_FROM_AUTHOR: u8 = 0x04;
const FLAG_SCHEME: u8 = 0xc0;

const MORE_THAN_ANY_RECORD: usize = usize::MAX;

const PREFIX: &str = "morecord0";

const _: () = assert!(HEADER_BYTES == 152);
const _: () = assert!(SIGNATURE_BYTES.is_multiple_of(8));

#[cfg(test)]
mod tests;
