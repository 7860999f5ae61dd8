//! Where the log ends, and whether it is whole there.

use rocksdb::ReadOptions;

use super::{
    database::Database,
    error::{Damage, StoreError},
    record_format::LogEntry,
};
use crate::{
    base::{Seq, limits},
    wire::Timestamp,
};

/// The end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Place of the last entry; [`Seq::ZERO`] in an empty log.
    pub(super) tail: Seq,
    /// When the last entry was received.
    pub(super) received: Timestamp,
}

/// Finds the end of the log and checks that the last entries have no gap between them.
///
/// Looking at more than the last commits is for [`Store::verify`](super::Store::verify): what
/// was whole before the last start cannot have lost an entry since.
pub(super) fn end_of_log(db: &Database) -> Result<End, StoreError> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    let mut entries = db.log_keys(options)?;
    entries.seek_to_last();
    entries.status()?;
    let Some((key, value)) = entries.item() else {
        return Ok(End {
            tail: Seq::ZERO,
            received: Timestamp::MIN,
        });
    };
    let tail = seq_of(key)?;
    let last = LogEntry::decode(value).map_err(|_| Damage::Malformed(tail))?;
    let received = last.received();
    let mut expected = tail;
    let mut seen_bytes = 0;
    while let Some((key, value)) = entries.item() {
        if seq_of(key)? != expected || expected == Seq::ZERO {
            return Err(Damage::Missing(expected).into());
        }
        seen_bytes += value.len();
        let seen = tail.get() - expected.get();
        if seen >= limits::STORE_OPEN_CHECK_ENTRIES || seen_bytes >= CHECK_MAX_BYTES {
            return Ok(End { tail, received });
        }
        expected = expected.prev();
        entries.prev();
    }
    entries.status()?;
    if expected == Seq::ZERO {
        Ok(End { tail, received })
    } else {
        Err(Damage::Missing(expected).into())
    }
}

/// The place that a key of the log stands for.
pub(super) fn seq_of(key: &[u8]) -> Result<Seq, Damage> {
    let bytes = <[u8; 8]>::try_from(key).map_err(|_| Damage::LogKey)?;
    Ok(Seq::from_be_bytes(bytes))
}

/// Values that are read for the check: more than two commits, as the number of entries is.
const CHECK_MAX_BYTES: usize = 4 * limits::COMMIT_MAX_BYTES;
