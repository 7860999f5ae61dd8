//! BLOBs in `store verify`: their data against their hash, their chunks and counters against the log.

use std::collections::BTreeMap;

use super::{
    BlobTotal,
    keys::{BlobHeader, Chunks, TOTALS_KEY, USAGE_PREFIX, chunk_count, decode_total, usage_key},
    reading,
};
use crate::{
    base::{Seq, limits},
    store::{check::Problem, error::StoreError, view::View},
    wire::{BlobHasher, PublicKey},
};

/// What was counted of BLOBs while the log was read.
#[derive(Debug, Default)]
pub(in crate::store) struct Tally {
    totals: BlobTotal,
    usage: BTreeMap<Option<PublicKey>, BlobTotal>,
}

impl Tally {
    /// What all BLOBs that were seen come to.
    pub(in crate::store) const fn totals(&self) -> BlobTotal {
        self.totals
    }

    /// Counts a BLOB of the log and reads its data; what is wrong with it.
    pub(in crate::store) fn blob(
        &mut self,
        view: &View<'_>,
        seq: Seq,
        header: &BlobHeader,
    ) -> Option<Problem> {
        self.totals = self.totals.with(header.length_bytes);
        let used = self.usage.entry(header.owner).or_default();
        *used = used.with(header.length_bytes);
        let wrong = |why: &str| Some(Problem::WrongBlob(seq, why.to_owned()));
        let Some(count) = chunk_count(header.length_bytes) else {
            return wrong("it has more data than can be stored");
        };
        let mut hasher = BlobHasher::default();
        let mut left_bytes = header.length_bytes;
        for index in 0..count {
            let due_bytes = left_bytes.min(limits::BLOB_CHUNK_BYTES as u64);
            match view.chunk(&header.chunks().key(index)) {
                Ok(Some(chunk)) if chunk.len() as u64 == due_bytes => hasher.update(&chunk),
                Ok(Some(_)) => return wrong("a chunk of it has another length"),
                Ok(None) => return wrong("a chunk of it is missing"),
                Err(error) => return wrong(&crate::store::writer::reason(&error)),
            }
            left_bytes = left_bytes.saturating_sub(due_bytes);
        }
        if hasher.hash() != header.hash {
            return wrong("its data have another hash");
        }
        None
    }

    /// Holds the counters and the chunks against what the log said; what is wrong.
    pub(in crate::store) fn finish(&self, view: &View<'_>) -> Result<Vec<Problem>, StoreError> {
        let mut problems = Vec::new();
        let mut due = BTreeMap::from([(TOTALS_KEY.to_vec(), self.totals)]);
        let usage = self.usage.iter();
        due.extend(usage.map(|(owner, used)| (usage_key(owner.as_ref()), *used)));
        for (name, total) in &due {
            let stored = view.meta_value(name)?;
            let stored = stored.map_or(Some(BlobTotal::default()), |it| decode_total(&it).ok());
            if stored != Some(*total) {
                problems.push(Problem::WrongBlobCount);
            }
        }
        let mut names = view.meta()?;
        names.seek(USAGE_PREFIX);
        while let Some(name) = names.key()?.filter(|name| name.starts_with(USAGE_PREFIX)) {
            if !due.contains_key(name) {
                problems.push(Problem::WrongBlobCount);
            }
            names.step();
        }
        stray_chunks(view, &mut problems)?;
        Ok(problems)
    }
}

/// Looks for chunks of no BLOB and of no upload under way. Each upload is looked at once, however
/// many chunks it has.
fn stray_chunks(view: &View<'_>, problems: &mut Vec<Problem>) -> Result<(), StoreError> {
    let mut keys = view.chunks()?;
    keys.seek(&[]);
    while let Some(key) = keys.key()? {
        let Some(chunks) = Chunks::of(key) else {
            problems.push(Problem::StrayChunks);
            keys.step();
            continue;
        };
        let known = reading::find(view, &chunks.hash)?;
        let is_stored = known.is_some_and(|info| info.chunks() == chunks);
        if !is_stored && view.meta_value(&chunks.mark())?.is_none() {
            problems.push(Problem::StrayChunks);
        }
        keys.seek(&chunks.end());
    }
    Ok(())
}
