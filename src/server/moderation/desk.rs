//! The operator's orders about records that wait, and about records as such.

use std::sync::Arc;

use super::acquaintances::{Acquaintances, changes_of};
use crate::admin::Order;
use crate::base::{Seq, limits};
use crate::policy::Served;
use crate::server::judge::Submission;
use crate::server::users::OrderError;
use crate::store::{Act, Acted, Entry, RecordChange, Removal, Store, Writer};
use crate::wire::{Kind, PublicKey, ReadAccess, RecordId, Reference, Timestamp};

/// Carries out orders about records: the only way by which anybody learns of one that waits. Every
/// order that changes something is one act: it is in the audit trail, and durable when the call
/// returns.
///
/// All calls block: they read the store, or wait for the writer.
pub struct ModerationDesk {
    store: Store,
    writer: Writer<Submission>,
    acquaintances: Arc<Acquaintances>,
    served: Arc<dyn Served>,
}

/// A record that waits for the operator's word, and what the operator may know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRecord {
    /// Its ID.
    pub id: RecordId,
    /// Its author, which is not proved where the signer is another key.
    pub author: PublicKey,
    /// The key that signed it.
    pub signer: PublicKey,
    /// Its kind.
    pub kind: Kind,
    /// When its author dates it.
    pub timestamp: Timestamp,
    /// When it came in.
    pub received: Timestamp,
    /// Key of the client that brought it, if that one showed a key.
    pub submitter: Option<PublicKey>,
    /// Its size.
    pub bytes: usize,
    /// The served users it is for, some of them where they are very many.
    pub recipients: Vec<PublicKey>,
    /// The beginning of what it says, where everybody may read it and its kind promises text.
    pub text: Option<String>,
    place: Seq,
}

impl HeldRecord {
    /// Where the next page of a listing begins. It has no meaning outside of this process.
    #[must_use]
    pub const fn place(&self) -> Seq {
        self.place
    }
}

/// What became of an order about records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moderated {
    /// Those that were not there to be changed: not stored, or not waiting, or replaced meanwhile.
    pub missing: Vec<RecordId>,
}

impl ModerationDesk {
    pub(in crate::server) fn new(
        store: Store,
        writer: Writer<Submission>,
        acquaintances: Arc<Acquaintances>,
        served: Arc<dyn Served>,
    ) -> Self {
        Self {
            store,
            writer,
            acquaintances,
            served,
        }
    }

    /// Records that wait, those that came last first, behind `before`, at most `max`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn held(&self, before: Option<Seq>, max: usize) -> Result<Vec<HeldRecord>, OrderError> {
        let entries = self.store.held(before, max)?;
        Ok(entries.iter().map(|entry| self.shown(entry)).collect())
    }

    /// Lets records in: they are delivered as if they came in now, and their writers are no
    /// strangers to their recipients from now on.
    ///
    /// # Errors
    /// Too many at once, or why the act was not done.
    pub fn release(&self, order: &Order, ids: &[RecordId]) -> Result<Moderated, OrderError> {
        check_count(ids)?;
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        for id in ids {
            let found = self.store.get(&Reference::Id(*id), 1)?;
            entries.extend(found.into_iter().filter(|entry| entry.held));
        }
        let moderated = self.act(Act {
            by: Some(order.by),
            is_order: true,
            call: order.call.clone(),
            detail: order.detail.clone(),
            state: changes_of(entries.iter().map(|entry| &**entry)),
            records: ids.iter().copied().map(RecordChange::Release).collect(),
        })?;
        self.acquaintances
            .released(entries.iter().map(|entry| &**entry));
        Ok(moderated)
    }

    /// Turns records away that wait. They do not come again, and nobody is told.
    ///
    /// # Errors
    /// Too many at once, or why the act was not done.
    pub fn reject(&self, order: &Order, ids: &[RecordId]) -> Result<Moderated, OrderError> {
        self.remove(order, ids, Removal::Rejected)
    }

    /// Deletes records, whether they wait or not. They do not come again.
    ///
    /// # Errors
    /// Too many at once, or why the act was not done.
    pub fn delete(&self, order: &Order, ids: &[RecordId]) -> Result<Moderated, OrderError> {
        self.remove(order, ids, Removal::Deleted)
    }

    fn remove(
        &self,
        order: &Order,
        ids: &[RecordId],
        why: Removal,
    ) -> Result<Moderated, OrderError> {
        check_count(ids)?;
        let changes = ids.iter().map(|id| RecordChange::Remove { id: *id, why });
        self.act(Act {
            by: Some(order.by),
            is_order: true,
            call: order.call.clone(),
            detail: order.detail.clone(),
            state: Vec::new(),
            records: changes.collect(),
        })
    }

    fn act(&self, act: Act) -> Result<Moderated, OrderError> {
        match self.writer.act(act) {
            Acted::Done { missing, .. } => Ok(Moderated { missing }),
            Acted::Conflict => Err(OrderError::Conflict),
            Acted::TooLarge => Err(OrderError::BadValue("it is too much at once".to_owned())),
            Acted::NoSpace => Err(OrderError::NoSpace),
            Acted::Halted => Err(OrderError::Halted),
        }
    }

    fn shown(&self, entry: &Entry) -> HeldRecord {
        let record = entry.record.view();
        let recipients = record.notifies();
        let recipients = recipients.filter(|master| self.served.contains(master));
        HeldRecord {
            id: record.id(),
            author: record.author(),
            signer: record.signer(),
            kind: record.kind(),
            timestamp: record.timestamp(),
            received: entry.received,
            submitter: entry.submitter,
            bytes: record.bytes().len(),
            recipients: recipients.take(limits::MODERATION_RECIPIENTS_MAX).collect(),
            text: text_of(entry),
            place: entry.seq,
        }
    }
}

impl std::fmt::Debug for ModerationDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModerationDesk").finish_non_exhaustive()
    }
}

/// What a record says, as far as an operator may read it.
fn text_of(entry: &Entry) -> Option<String> {
    let record = entry.record.view();
    let kind = record.kind();
    let may_be_read = kind.access() == ReadAccess::Everybody && kind.is_printable();
    if !may_be_read || record.flags().zstd() {
        return None;
    }
    let text = std::str::from_utf8(record.payload()).ok()?;
    Some(text.chars().take(limits::HELD_TEXT_MAX_CHARS).collect())
}

fn check_count(ids: &[RecordId]) -> Result<(), OrderError> {
    let max = limits::MODERATION_IDS_MAX;
    if ids.is_empty() || ids.len() > max {
        return Err(OrderError::BadValue(format!("1 to {max} records at once")));
    }
    Ok(())
}

const _: () = assert!(
    limits::MODERATION_IDS_MAX * (1 + limits::CHARGED_MAX) <= limits::ACT_CHANGES_MAX,
    "an order fits into an act"
);
