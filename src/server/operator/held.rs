//! Records that wait for moderation.

use std::sync::Arc;

use super::records::place;
use crate::admin::{Held, HeldLine, Listing, Order, Refused};
use crate::base::limits;
use crate::server::ledger::{Ledger, OrderError};
use crate::server::moderation::{Acquaintances, changes_of};
use crate::store::{Entry, RecordChange, Removal, Store};
use crate::wire::{ReadAccess, RecordId, Reference};

/// Lists, releases and rejects held records: the only way by which anybody learns of one.
pub(super) struct HeldDesk {
    pub(super) ledger: Ledger,
    pub(super) store: Store,
    pub(super) acquaintances: Arc<Acquaintances>,
}

impl HeldDesk {
    fn find(&self, id: &RecordId) -> Result<Option<Arc<Entry>>, OrderError> {
        let found = self.store.get(&Reference::Id(*id), 1)?;
        // What is stored and not held is as absent here as what is not stored.
        Ok(found.into_iter().find(|entry| entry.held))
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
        let held = self.find(id)?;
        let held = held.ok_or_else(|| Refused::not_found("no such record is held"))?;
        Ok(line(&held, usize::MAX))
    }

    /// From now on the writers of the records are no strangers to their recipients.
    fn release(&self, order: &Order, ids: &[RecordId]) -> Result<Vec<RecordId>, Refused> {
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        let mut size_bytes = 0_usize;
        for id in ids {
            let entry = self.find(id)?;
            size_bytes += entry
                .iter()
                .map(|it| it.record.bytes().len())
                .sum::<usize>();
            // The act would be refused, and until then all of them would be in memory.
            if size_bytes > limits::ACT_RECORDS_MAX_BYTES {
                return Err(OrderError::TooMuch.into());
            }
            entries.extend(entry);
        }
        let entries = || entries.iter().map(|entry| &**entry);
        let releases = ids.iter().copied().map(RecordChange::Release);
        let state = changes_of(entries());
        let missing = self.ledger.order(order, state, releases.collect())?;
        self.acquaintances.released(entries());
        Ok(missing)
    }

    fn reject(&self, order: &Order, ids: &[RecordId]) -> Result<Vec<RecordId>, Refused> {
        let why = Removal::Rejected;
        let changes = ids.iter().map(|id| RecordChange::Remove { id: *id, why });
        Ok(self.ledger.order(order, Vec::new(), changes.collect())?)
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

const _: () = assert!(
    limits::ADMIN_LIST_MAX * (1 + limits::CHARGED_MAX) <= limits::ACT_CHANGES_MAX,
    "an order fits into an act"
);
