//! Deleting records, and the audit trail.

use std::sync::Arc;

use crate::admin::{Audit, AuditLine, Listing, Order, Records, Refused};
use crate::base::Seq;
use crate::identity::Directory;
use crate::server::ledger::Ledger;
use crate::store::{RecordChange, Removal, Store};
use crate::wire::{Kind, PublicKey, RecordId, Reference};

/// Deletes records, and reads the trail of what was done.
pub(super) struct RecordDesk {
    pub(super) ledger: Ledger,
    pub(super) store: Store,
    pub(super) directory: Arc<Directory>,
}

impl RecordDesk {
    /// Whose key schedule it is, if it is one.
    fn schedule_master(&self, id: &RecordId) -> Result<Option<PublicKey>, Refused> {
        let found = self.store.get(&Reference::Id(*id), 1);
        let found = found.map_err(|error| Refused::failed(&error))?;
        let record = found.first().map(|entry| entry.record.view());
        let schedule = record.filter(|record| record.kind() == Kind::KEY_SCHEDULE);
        Ok(schedule.map(|record| record.author()))
    }
}

impl Records for RecordDesk {
    fn delete(&self, order: &Order, ids: &[RecordId]) -> Result<Vec<RecordId>, Refused> {
        let mut schedules = Vec::new();
        for id in ids {
            if let Some(master) = self.schedule_master(id)? {
                schedules.push((master, *id));
            }
        }
        let changes = ids.iter().map(|id| RecordChange::Remove {
            id: *id,
            why: Removal::Deleted,
        });
        let missing = self.ledger.order(order, Vec::new(), changes.collect())?;
        for (master, id) in schedules {
            self.directory.unlearn(&master, &id);
        }
        Ok(missing)
    }
}

impl Audit for RecordDesk {
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<AuditLine>, Refused> {
        let acts = self.store.acts(place(from), max);
        let acts = acts.map_err(|error| Refused::failed(&error))?;
        let next = acts.last().map(|act| act.seq.to_be_bytes().to_vec());
        let lines = acts.into_iter().map(|act| AuditLine {
            received: act.received,
            by: act.by,
            call: act.call,
            detail: act.detail,
        });
        Ok(Listing {
            lines: lines.collect(),
            next,
        })
    }
}

/// A place in the log, as a listing keeps it.
pub(super) fn place(from: Option<&[u8]>) -> Option<Seq> {
    let bytes = from?.try_into().ok()?;
    Some(Seq::from_be_bytes(bytes))
}
