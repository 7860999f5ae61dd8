//! Finding BLOBs and reading them out.

use std::fmt;

use bytes::{Bytes, BytesMut};
use rocksdb::ReadOptions;
use thiserror::Error;

use super::{
    BlobInfo, BlobTotal,
    keys::{Chunks, TOTALS_KEY, decode_total, usage_key},
};
use crate::{
    base::limits,
    store::{
        Store,
        error::{Damage, StoreError},
        keys::{Hit, Run, Table},
        record_format::LogEntry,
        view::{Order, View},
    },
    wire::{BlobHash, PublicKey},
};

/// Reads a BLOB from its start to its end, some chunks at a time. Holds nothing of the database
/// between them.
pub struct BlobReader {
    store: Store,
    info: BlobInfo,
    left_bytes: u64,
}

/// Why a BLOB cannot be read to its end.
#[derive(Debug, Error)]
pub enum BlobReadError {
    /// It was removed in the meantime.
    #[error("the BLOB was removed")]
    Removed,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// The BLOB with that hash, to be read; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or what it holds is damaged.
    pub fn blob(&self, hash: &BlobHash) -> Result<Option<BlobReader>, StoreError> {
        let info = find(&self.view(), hash)?;
        Ok(info.map(|info| BlobReader {
            store: self.clone(),
            info,
            left_bytes: info.length_bytes,
        }))
    }

    /// Stored BLOBs, at most `max` and at most [`BLOB_LISTING_MAX`], in an order without meaning;
    /// those behind `after`, which is one of them.
    ///
    /// [`BLOB_LISTING_MAX`]: limits::BLOB_LISTING_MAX
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or what it holds is damaged.
    pub fn blobs(&self, after: Option<&BlobInfo>, max: usize) -> Result<Vec<BlobInfo>, StoreError> {
        let view = self.view();
        let mut keys = view.index(Order::Total)?;
        let first = [Table::Blob.byte()];
        let behind = after.map(|info| {
            let key = view.secret().blob_key(&info.hash, info.received, info.seq);
            [key.as_slice(), &[0]].concat()
        });
        keys.seek(behind.as_deref().unwrap_or(&first));
        let mut found = Vec::new();
        while found.len() < max.min(limits::BLOB_LISTING_MAX)
            && let Some((Table::Blob, seq)) = keys.key()?.and_then(crate::store::keys::parts)
        {
            let value = view.values(&[seq])?;
            let value = value.first().ok_or(Damage::Missing(seq))?;
            match LogEntry::decode(value) {
                Ok(LogEntry::Blob(header)) => found.push(header.info(seq)),
                _ => return Err(Damage::Malformed(seq).into()),
            }
            keys.step();
        }
        Ok(found)
    }

    /// What the BLOBs of an account come to.
    #[cfg(test)]
    pub(in crate::store) fn blob_usage(
        &self,
        owner: Option<&PublicKey>,
    ) -> Result<BlobTotal, StoreError> {
        usage(&self.view(), owner)
    }

    /// What all BLOBs come to.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or what it holds is damaged.
    pub fn blob_totals(&self) -> Result<BlobTotal, StoreError> {
        totals(&self.view())
    }
}

impl BlobReader {
    /// What is being read.
    #[must_use]
    pub const fn info(&self) -> &BlobInfo {
        &self.info
    }

    /// Bytes that were not read yet.
    #[must_use]
    pub const fn left_bytes(&self) -> u64 {
        self.left_bytes
    }

    /// The next `max_bytes` of it, or what is left. Blocks on the disk.
    ///
    /// # Errors
    /// [`BlobReadError`]; what was returned before is right all the same, but it is not all.
    pub fn page(&mut self, max_bytes: usize) -> Result<Bytes, BlobReadError> {
        let left_bytes = usize::try_from(self.left_bytes).unwrap_or(usize::MAX);
        let mut page = BytesMut::with_capacity(max_bytes.min(left_bytes));
        while self.left_bytes > 0 && page.len() < max_bytes {
            let place = Place::of(self.info.length_bytes, self.left_bytes);
            let db = &self.store.shared.db;
            let mut options = ReadOptions::default();
            // It is read once, and large: it would push out what is read often.
            options.fill_cache(false);
            let family = db.blobs()?;
            let key = self.info.chunks().key(place.index);
            let chunk = db.engine().get_pinned_cf_opt(family, key, &options);
            let chunk = chunk.map_err(StoreError::from)?;
            let Some(chunk) = chunk else {
                return Err(self.missing());
            };
            let rest = chunk.get(place.offset..);
            let Some(rest) = rest.filter(|_| chunk.len() == place.chunk_bytes) else {
                return Err(StoreError::from(Damage::Malformed(self.info.seq)).into());
            };
            let wanted_bytes = rest.len().min(max_bytes.saturating_sub(page.len()));
            let wanted = rest.get(..wanted_bytes).unwrap_or_default();
            page.extend_from_slice(wanted);
            self.left_bytes = self.left_bytes.saturating_sub(wanted.len() as u64);
        }
        Ok(page.freeze())
    }

    /// Why a chunk is not there: the BLOB is not here any more, or the store is damaged.
    fn missing(&self) -> BlobReadError {
        match find(&self.store.view(), &self.info.hash) {
            Ok(Some(info)) if info.seq == self.info.seq => {
                StoreError::from(Damage::Missing(self.info.seq)).into()
            }
            Ok(_) => BlobReadError::Removed,
            Err(error) => error.into(),
        }
    }
}

/// Where the next byte of a BLOB is.
struct Place {
    /// Number of its chunk.
    index: u32,
    /// How many bytes that chunk has.
    chunk_bytes: usize,
    /// How many of them are before it.
    offset: usize,
}

impl Place {
    /// In a BLOB of `length_bytes`, of which `left_bytes` were not read yet.
    fn of(length_bytes: u64, left_bytes: u64) -> Self {
        let chunk_bytes = limits::BLOB_CHUNK_BYTES as u64;
        let read_bytes = length_bytes.saturating_sub(left_bytes);
        let index = read_bytes / chunk_bytes;
        let before_bytes = index.saturating_mul(chunk_bytes);
        let here_bytes = length_bytes.saturating_sub(before_bytes).min(chunk_bytes);
        // All fit: the number of a chunk does where it was written, the others are below its size.
        Self {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            chunk_bytes: usize::try_from(here_bytes).unwrap_or(usize::MAX),
            offset: usize::try_from(read_bytes - before_bytes).unwrap_or(usize::MAX),
        }
    }
}

impl BlobInfo {
    pub(super) const fn chunks(&self) -> Chunks {
        Chunks {
            hash: self.hash,
            upload: self.upload,
        }
    }
}

/// The BLOB with that hash.
pub(super) fn find(view: &View<'_>, hash: &BlobHash) -> Result<Option<BlobInfo>, StoreError> {
    let run = Run::of(Table::Blob, view.secret().value(hash.as_bytes()));
    let mut keys = view.index(Order::Prefix)?;
    let Some(first) = run.seek_key(Hit::FIRST) else {
        return Ok(None);
    };
    keys.seek(&first);
    while let Some(hit) = keys.key()?.and_then(|key| run.hit(key)) {
        let seq = hit.seq();
        let value = view.values(&[seq])?;
        let value = value.first().ok_or(Damage::Missing(seq))?;
        match LogEntry::decode(value) {
            Ok(LogEntry::Blob(header)) if header.hash == *hash => {
                return Ok(Some(header.info(seq)));
            }
            Ok(_) => {}
            Err(_) => return Err(Damage::Malformed(seq).into()),
        }
        keys.step();
    }
    Ok(None)
}

pub(super) fn usage(view: &View<'_>, owner: Option<&PublicKey>) -> Result<BlobTotal, StoreError> {
    total(view, &usage_key(owner))
}

pub(super) fn totals(view: &View<'_>) -> Result<BlobTotal, StoreError> {
    total(view, TOTALS_KEY)
}

fn total(view: &View<'_>, key: &[u8]) -> Result<BlobTotal, StoreError> {
    let Some(value) = view.meta_value(key)? else {
        return Ok(BlobTotal::default());
    };
    let total = decode_total(&value).map_err(|_| Damage::Meta("blob-usage"))?;
    Ok(total)
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader")
            .field("info", &self.info)
            .field("left_bytes", &self.left_bytes)
            .finish_non_exhaustive()
    }
}
