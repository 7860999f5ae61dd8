//! What BLOBs look like on disk: keys of their chunks, their entries in the log, and what is counted.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::{BlobInfo, BlobTotal};
use crate::{
    base::{Seq, limits},
    store::record_format::{Malformed, key, key_bytes, read, time, write},
    wire::{BlobHash, PublicKey, Timestamp},
};

/// Where the chunks of one upload lie in the `blobs` column family.
///
/// | bytes    | field  | meaning                                              |
/// |----------|--------|------------------------------------------------------|
/// | `0..32`  | hash   | of the whole BLOB, as it was claimed                 |
/// | `32..40` | upload | random number, BE: two uploads of one hash are apart |
/// | `40..44` | chunk  | count of earlier chunks, BE                          |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store) struct Chunks {
    pub(super) hash: BlobHash,
    pub(super) upload: u64,
}

/// Bytes of a chunk's key.
pub(super) const CHUNK_KEY_BYTES: usize = 44;

impl Chunks {
    /// The key of a chunk.
    pub(super) fn key(self, chunk: u32) -> [u8; CHUNK_KEY_BYTES] {
        let mut key = [0; CHUNK_KEY_BYTES];
        key[..32].copy_from_slice(self.hash.as_bytes());
        key[32..40].copy_from_slice(&self.upload.to_be_bytes());
        key[40..].copy_from_slice(&chunk.to_be_bytes());
        key
    }

    /// The first key behind all chunks.
    pub(super) fn end(self) -> [u8; CHUNK_KEY_BYTES + 1] {
        let mut end = [0; CHUNK_KEY_BYTES + 1];
        end[..CHUNK_KEY_BYTES].copy_from_slice(&self.key(u32::MAX));
        end
    }

    /// Whose chunk `key` is.
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        let key = <&[u8; CHUNK_KEY_BYTES]>::try_from(key).ok()?;
        let (hash, rest) = key.split_first_chunk::<32>()?;
        let upload = u64::from_be_bytes(*rest.first_chunk()?);
        Some(Self {
            hash: BlobHash::from_bytes(*hash),
            upload,
        })
    }

    /// The name of the meta value that says that an upload has chunks and no entry in the log yet.
    pub(super) fn mark(self) -> Vec<u8> {
        [
            MARK_PREFIX,
            self.hash.as_bytes().as_slice(),
            &self.upload.to_be_bytes(),
        ]
        .concat()
    }

    /// The upload that a name made by [`mark`](Self::mark) stands for.
    pub(super) fn of_mark(name: &[u8]) -> Option<Self> {
        let rest = name.strip_prefix(MARK_PREFIX)?;
        let mut key = [0; CHUNK_KEY_BYTES];
        key.first_chunk_mut::<40>()?
            .copy_from_slice(rest.first_chunk::<40>()?);
        (rest.len() == 40).then(|| Self::of(&key)).flatten()
    }
}

/// How many chunks that many bytes take; `None` where it is more than can be numbered.
pub(super) fn chunk_count(length_bytes: u64) -> Option<u32> {
    u32::try_from(length_bytes.div_ceil(limits::BLOB_CHUNK_BYTES as u64)).ok()
}

/// What the log says of a BLOB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct BlobHeader {
    pub(in crate::store) received: Timestamp,
    pub(in crate::store) hash: BlobHash,
    pub(super) length_bytes: u64,
    pub(super) upload: u64,
    pub(super) submitter: Option<PublicKey>,
    pub(super) owner: Option<PublicKey>,
}

/// What the log says of the removal of a BLOB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct BlobGone {
    pub(in crate::store) received: Timestamp,
    pub(super) hash: BlobHash,
    /// Place of the entry that said it was here.
    pub(in crate::store) of: Seq,
    /// The operator who had it removed.
    pub(super) by: Option<PublicKey>,
}

#[derive(Serialize, Deserialize)]
struct BlobFields(
    u64,
    ByteArray<32>,
    u64,
    u64,
    Option<ByteArray<32>>,
    Option<ByteArray<32>>,
);

#[derive(Serialize, Deserialize)]
struct GoneFields(u64, ByteArray<32>, u64, Option<ByteArray<32>>);

impl BlobHeader {
    /// Reads the array of an entry; moves `rest` behind it.
    pub(in crate::store) fn decode(rest: &mut &[u8]) -> Result<Self, Malformed> {
        let BlobFields(received, hash, length_bytes, upload, submitter, owner) = read(rest)?;
        Ok(Self {
            received: time(received)?,
            hash: BlobHash::from_bytes(hash.into_array()),
            length_bytes,
            upload,
            submitter: submitter.map(key).transpose()?,
            owner: owner.map(key).transpose()?,
        })
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let fields = BlobFields(
            self.received.nanos(),
            ByteArray::new(*self.hash.as_bytes()),
            self.length_bytes,
            self.upload,
            self.submitter.as_ref().map(key_bytes),
            self.owner.as_ref().map(key_bytes),
        );
        write(BLOB, &fields, FIELDS_BYTES)
    }

    pub(super) const fn chunks(&self) -> Chunks {
        Chunks {
            hash: self.hash,
            upload: self.upload,
        }
    }

    pub(super) const fn info(&self, seq: Seq) -> BlobInfo {
        BlobInfo {
            seq,
            received: self.received,
            hash: self.hash,
            length_bytes: self.length_bytes,
            submitter: self.submitter,
            owner: self.owner,
            upload: self.upload,
        }
    }
}

impl BlobGone {
    /// Reads the array of an entry; moves `rest` behind it.
    pub(in crate::store) fn decode(rest: &mut &[u8]) -> Result<Self, Malformed> {
        let GoneFields(received, hash, of, by) = read(rest)?;
        Ok(Self {
            received: time(received)?,
            hash: BlobHash::from_bytes(hash.into_array()),
            of: Seq::new(of),
            by: by.map(key).transpose()?,
        })
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let fields = GoneFields(
            self.received.nanos(),
            ByteArray::new(*self.hash.as_bytes()),
            self.of.get(),
            self.by.as_ref().map(key_bytes),
        );
        write(BLOB_GONE, &fields, FIELDS_BYTES)
    }
}

/// The name of the meta value that holds what an account uses.
pub(super) fn usage_key(owner: Option<&PublicKey>) -> Vec<u8> {
    let owner = owner.map_or([0; 32], |key| *key.as_bytes());
    [USAGE_PREFIX, owner.as_slice()].concat()
}

pub(super) fn encode_total(total: &BlobTotal) -> Result<Vec<u8>, Malformed> {
    rmp_serde::to_vec(total).map_err(|_| Malformed)
}

pub(super) fn decode_total(value: &[u8]) -> Result<BlobTotal, Malformed> {
    rmp_serde::from_slice(value).map_err(|_| Malformed)
}

/// Kinds of log entries.
pub(in crate::store) const BLOB: u8 = 6;
pub(in crate::store) const BLOB_GONE: u8 = 7;

/// Name of the meta value that counts all BLOBs.
pub(in crate::store) const TOTALS_KEY: &[u8] = b"blob-totals";

/// Start of the names of what each account uses; the master key follows, or 32 zeroes.
pub(in crate::store) const USAGE_PREFIX: &[u8] = b"blob-usage/";

/// Start of the names of unfinished uploads.
pub(super) const MARK_PREFIX: &[u8] = b"blob-upload/";

/// At most this many bytes has an entry.
const FIELDS_BYTES: usize = 144;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::record_format::LogEntry, wire::SecretKey};

    fn header(known: bool) -> BlobHeader {
        let key = |n| known.then(|| SecretKey::from_seed([n; 32]).public());
        BlobHeader {
            received: Timestamp::MAX,
            hash: BlobHash::of(b"x"),
            length_bytes: (1 << 48) - 1,
            upload: u64::MAX,
            submitter: key(1),
            owner: key(2),
        }
    }

    #[test]
    fn entries_come_back_and_every_truncation_is_refused() {
        for known in [false, true] {
            let header = header(known);
            let value = header.encode().unwrap();
            assert!(value.len() <= FIELDS_BYTES);
            assert!(matches!(LogEntry::decode(&value), Ok(LogEntry::Blob(it)) if it == header));
            let gone = BlobGone {
                received: Timestamp::MIN,
                hash: header.hash,
                of: Seq::new(7),
                by: header.owner,
            };
            let gone_value = gone.encode().unwrap();
            let read = LogEntry::decode(&gone_value);
            assert!(matches!(read, Ok(LogEntry::BlobGone(it)) if it == gone));
            for value in [value, gone_value] {
                for end in 0..value.len() {
                    assert!(LogEntry::decode(&value[..end]).is_err(), "{end}");
                }
                assert!(LogEntry::decode(&[value, vec![0]].concat()).is_err());
            }
        }
    }

    #[test]
    fn chunks_lie_in_their_order_and_apart_from_those_of_other_uploads() {
        let upload = |upload| Chunks {
            hash: BlobHash::of(b"x"),
            upload,
        };
        let keys = [
            upload(1).key(0).to_vec(),
            upload(1).key(1).to_vec(),
            upload(1).key(u32::MAX).to_vec(),
            upload(1).end().to_vec(),
            upload(2).key(0).to_vec(),
        ];
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert_eq!(Chunks::of(&keys[1]), Some(upload(1)));
        assert_eq!(Chunks::of(&keys[3]), None);
        assert_eq!(Chunks::of_mark(&upload(5).mark()), Some(upload(5)));
        assert_eq!(Chunks::of_mark(&upload(5).mark()[..51]), None);
        assert_eq!(Chunks::of_mark(TOTALS_KEY), None);
    }

    #[test]
    fn a_length_takes_as_many_chunks_as_it_fills_in_part() {
        let chunk = limits::BLOB_CHUNK_BYTES as u64;
        for (length_bytes, count) in [(0, 0), (1, 1), (chunk, 1), (chunk + 1, 2)] {
            assert_eq!(chunk_count(length_bytes), Some(count));
        }
        assert_eq!(chunk_count((1 << 48) - 1 - chunk), Some(u32::MAX));
        assert_eq!(chunk_count(u64::MAX), None);
    }
}
