//! Making records.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::{
    hash::Hash64,
    key::{PublicKey, SecretKey},
    kind::Kind,
    layout::padded,
    record::{FLAG_FROM_AUTHOR, FLAG_ZSTD, HEADER_BYTES, ID_BYTES, Record, SIGNATURE_BYTES},
    reference::{Address, RecordId},
    tag::TagsBuilder,
    time::Timestamp,
};
use crate::base::limits;

/// Why a record cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    /// The tags take more bytes than their length field can say.
    #[error("tags of {len_bytes} bytes are more than a record holds")]
    TagsTooLong {
        /// Length of the tags.
        len_bytes: usize,
    },
    /// The record would be longer than records may be.
    #[error("record of {len_bytes} bytes is too long")]
    TooLong {
        /// Length of the record.
        len_bytes: usize,
    },
}

/// Makes a record and signs it.
///
/// Unless told otherwise it is dated now, at a random address, with no tags and an empty payload.
///
/// # Source
/// `mosaic-wire.md` section 4, "Sign".
#[derive(Clone, Debug)]
pub struct RecordBuilder {
    kind: Kind,
    author: PublicKey,
    nonce: Option<[u8; 8]>,
    timestamp: Option<Timestamp>,
    flags: u8,
    tags: TagsBuilder,
    payload: Bytes,
}

impl RecordBuilder {
    /// A record of that kind by the user with that master key.
    #[must_use]
    pub const fn new(kind: Kind, author: PublicKey) -> Self {
        Self {
            kind,
            author,
            nonce: None,
            timestamp: None,
            flags: 0,
            tags: TagsBuilder::new(),
            payload: Bytes::new(),
        }
    }

    /// Puts it at the address with that nonce; the first bit is set whatever it was.
    #[must_use]
    pub const fn nonce(mut self, nonce: [u8; 8]) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// Dates it.
    #[must_use]
    pub const fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Whether servers are to take it from the author only, authenticated.
    #[must_use]
    pub const fn from_author(mut self, from_author: bool) -> Self {
        self.flags = with_flag(self.flags, FLAG_FROM_AUTHOR, from_author);
        self
    }

    /// Whether the payload given is compressed with Zstandard.
    #[must_use]
    pub const fn zstd(mut self, zstd: bool) -> Self {
        self.flags = with_flag(self.flags, FLAG_ZSTD, zstd);
        self
    }

    /// Gives it those tags.
    #[must_use]
    pub fn tags(mut self, tags: TagsBuilder) -> Self {
        self.tags = tags;
        self
    }

    /// Gives it that payload.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.payload = payload.into();
        self
    }

    /// Signs it with the author's master key or a subkey of theirs.
    ///
    /// # Errors
    /// - [`BuildError::TagsTooLong`]: more than 65 535 bytes of tags.
    /// - [`BuildError::TooLong`]: longer than [`limits::RECORD_MAX_BYTES`].
    pub fn sign(self, key: &SecretKey) -> Result<Record, BuildError> {
        let timestamp = self.timestamp.unwrap_or_else(Timestamp::now);
        let signed = self.signed_part(timestamp, key.public())?;
        let hash = Hash64::of(&signed);
        let mut bytes = BytesMut::with_capacity(ID_BYTES + signed.len() + SIGNATURE_BYTES);
        bytes.put_slice(RecordId::new(timestamp, &hash).as_bytes());
        bytes.put_slice(&signed);
        bytes.put_slice(key.sign(&hash).as_bytes());
        Ok(Record::from_built(bytes.freeze()))
    }

    /// Address to padded payload, as the given key will sign it.
    fn signed_part(self, timestamp: Timestamp, signer: PublicKey) -> Result<Vec<u8>, BuildError> {
        let tags = self.tags.into_bytes();
        let tags_length = u16::try_from(tags.len()).map_err(|_| BuildError::TagsTooLong {
            len_bytes: tags.len(),
        })?;
        let len_bytes = [tags.len(), self.payload.len()]
            .map(padded)
            .into_iter()
            .fold(HEADER_BYTES + SIGNATURE_BYTES, usize::saturating_add);
        let too_long = BuildError::TooLong { len_bytes };
        let payload_length = u32::try_from(self.payload.len()).map_err(|_| too_long)?;
        if len_bytes > limits::RECORD_MAX_BYTES {
            return Err(too_long);
        }
        let nonce = self.nonce.unwrap_or_else(rand::random);
        let mut part = Vec::with_capacity(len_bytes - ID_BYTES - SIGNATURE_BYTES);
        part.put_slice(Address::new(nonce, self.kind, self.author).as_bytes());
        part.put_slice(signer.as_bytes());
        part.put_slice(&timestamp.to_bytes());
        part.put_slice(&[self.flags, 0, 0, 0, 0, 0, 0, 0]);
        part.put_u16_le(tags_length);
        part.put_u16_le(SIGNATURE_LENGTH);
        part.put_u32_le(payload_length);
        put_padded(&mut part, &tags);
        put_padded(&mut part, &self.payload);
        Ok(part)
    }
}

const fn with_flag(flags: u8, flag: u8, is_set: bool) -> u8 {
    if is_set { flags | flag } else { flags & !flag }
}

fn put_padded(part: &mut Vec<u8>, area: &[u8]) {
    part.put_slice(area);
    part.put_bytes(0, padded(area.len()) - area.len());
}

const SIGNATURE_LENGTH: u16 = 64;

const _: () = assert!(SIGNATURE_LENGTH as usize == SIGNATURE_BYTES);

#[cfg(test)]
mod tests;
