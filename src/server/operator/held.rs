//! Records that wait for moderation.

use std::sync::Arc;

use super::records::place;
use crate::admin::{Held, HeldLine, Listing, Order, Refused};
use crate::server::moderation::ModerationDesk;
use crate::store::{Entry, Store};
use crate::wire::{ReadAccess, RecordId, Reference};

/// Lists, releases and rejects held records.
pub(super) struct HeldDesk {
    moderation: Arc<ModerationDesk>,
    store: Store,
}

impl HeldDesk {
    pub(super) fn new(moderation: Arc<ModerationDesk>, store: &Store) -> Self {
        Self {
            moderation,
            store: store.clone(),
        }
    }
}

impl Held for HeldDesk {
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<HeldLine>, Refused> {
        let held = self.store.held(place(from), max);
        let held = held.map_err(|error| Refused::failed(&error))?;
        let next = held.last().map(|entry| entry.seq.to_be_bytes().to_vec());
        let lines = held.iter().map(|entry| line(entry, PREVIEW_MAX_CHARS));
        Ok(Listing {
            lines: lines.collect(),
            next,
        })
    }

    fn show(&self, id: &RecordId) -> Result<HeldLine, Refused> {
        let found = self.store.get(&Reference::Id(*id), 1);
        let found = found.map_err(|error| Refused::failed(&error))?;
        // What is stored and not held is as absent here as what is not stored.
        let held = found.iter().find(|entry| entry.held);
        let held = held.ok_or_else(|| Refused::not_found("no such record is held"))?;
        Ok(line(held, usize::MAX))
    }

    fn release(&self, order: &Order, ids: &[RecordId]) -> Result<Vec<RecordId>, Refused> {
        Ok(self.moderation.release(order, ids)?.missing)
    }

    fn reject(&self, order: &Order, ids: &[RecordId]) -> Result<Vec<RecordId>, Refused> {
        Ok(self.moderation.reject(order, ids)?.missing)
    }
}

fn line(entry: &Entry, text_max_chars: usize) -> HeldLine {
    let record = entry.record.view();
    let kind = record.kind();
    // The operator judges what everybody is to read. What is for its reader alone stays so.
    let may_show = kind.access() == ReadAccess::Everybody;
    let text = Some(record.payload()).filter(|payload| may_show && !payload.is_empty());
    let text = text.and_then(|payload| std::str::from_utf8(payload).ok());
    HeldLine {
        id: record.id(),
        received: entry.received,
        author: record.author(),
        signer: record.signer(),
        submitter: entry.submitter,
        kind: u64::from_be_bytes(kind.to_bytes()),
        bytes: u64::try_from(entry.record.bytes().len()).unwrap_or(u64::MAX),
        recipients: record.notifies().take(RECIPIENTS_MAX).collect(),
        text: text.map(|text| text.chars().take(text_max_chars).collect()),
    }
}

/// How much of a text a listing shows.
const PREVIEW_MAX_CHARS: usize = 200;

/// Recipients that are looked at.
const RECIPIENTS_MAX: usize = 16;
