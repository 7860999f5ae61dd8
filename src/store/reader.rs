//! Reading records: pages of queries, single records, groups.

use std::{sync::Arc, time::Duration};

use super::{
    Store,
    budget::{Clock, PageBudget, RECORD_KEYS},
    cursor::{Cursor, Found, Hands, Wants},
    entry::Entry,
    error::{Damage, StoreError},
    keys::Table,
    record_format::{self, LogEntry},
    view::{Order, View},
};
use crate::{
    base::Seq,
    wire::{PublicKey, Reference},
};

/// A page of results.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What was found, newest timestamp first. May be empty before the results are at their end.
    pub entries: Vec<Arc<Entry>>,
    /// Whether there is nothing behind this page.
    pub done: bool,
    /// Whether it ended before a record that would have exceeded [`PageBudget::bytes_max`].
    pub is_cut: bool,
    /// What it cost, as [`PageBudget`] counts.
    pub cost_keys: u64,
}

impl Store {
    /// The next entries of a cursor that `sees` lets through, held ones not excepted.
    ///
    /// A page ends when its budget is used up, and after some work even when nothing was found, so
    /// that other readers get their turn. No record is returned twice.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or what it holds is damaged; the cursor is then of no use.
    pub fn page(
        &self,
        cursor: &mut Cursor,
        sees: &dyn Fn(&Entry) -> bool,
        budget: PageBudget,
    ) -> Result<Page, StoreError> {
        let view = self.view();
        let mut hands = Hands {
            view: &view,
            clock: Clock::start(budget),
            keys: None,
        };
        let mut page = Page::default();
        let mut bytes_left = budget.bytes;
        let mut room_bytes = budget.bytes_max;
        loop {
            page.cost_keys = hands.clock.cost_keys();
            let rows_left = budget.rows.saturating_sub(page.entries.len());
            if rows_left == 0 || bytes_left == 0 {
                return Ok(page);
            }
            let count = rows_left
                .min(cursor.likely_records(bytes_left))
                .min(READ_AT_ONCE);
            let found = cursor.find(&mut hands, count, budget.rows)?;
            let hits = cursor.take(count);
            let seqs: Vec<Seq> = hits.iter().map(|hit| hit.seq()).collect();
            let values = view.values(&seqs)?;
            let mut looked_at = 0;
            let mut is_over = false;
            for (seq, value) in seqs.iter().zip(&values) {
                looked_at += 1;
                cursor.learn_size(value.len());
                if let Some(entry) = matching(cursor, *seq, value)?
                    && sees(&entry)
                {
                    let bytes = entry.record.bytes().len();
                    page.is_cut = bytes > room_bytes;
                    if page.is_cut {
                        looked_at -= 1;
                        hands.clock.is_over(RECORD_KEYS);
                        break;
                    }
                    room_bytes -= bytes;
                    bytes_left = bytes_left.saturating_sub(bytes);
                    page.entries.push(Arc::new(entry));
                }
                is_over = hands.clock.is_over(RECORD_KEYS);
                if is_over || bytes_left == 0 {
                    break;
                }
            }
            cursor.put_back(hits.get(looked_at..).unwrap_or_default());
            page.done = found == Found::All && cursor.is_empty();
            page.cost_keys = hands.clock.cost_keys();
            if page.done || page.is_cut || is_over || found == Found::OutOfTime {
                return Ok(page);
            }
        }
    }

    /// The record with that ID, or the newest `max` records of that address, newest first.
    ///
    /// The records of an address are all in memory at once; to serve a stranger, page through
    /// [`Cursor::of_group`] instead.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or what it holds is damaged.
    pub fn get(&self, reference: &Reference, max: usize) -> Result<Vec<Arc<Entry>>, StoreError> {
        match reference {
            Reference::Id(id) => self.list(Wants::Id(*id), max.min(1)),
            Reference::Address(address) => self.list(Wants::Group(*address), max),
        }
    }

    /// Every registered user, in no particular order.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or what it holds is damaged.
    pub fn users(&self) -> Result<Vec<PublicKey>, StoreError> {
        let view = View::passing(&self.shared.db, self.tail());
        let mut keys = view.index(Order::Total)?;
        let mut users = Vec::new();
        keys.seek(&[Table::User.byte()]);
        while let Some((Table::User, seq)) = keys.key()?.and_then(super::keys::parts) {
            let value = self.shared.db.log_value(seq)?;
            match LogEntry::decode(&value) {
                Ok(LogEntry::User { user, .. }) => users.push(user),
                _ => return Err(Damage::Malformed(seq).into()),
            }
            keys.step();
        }
        Ok(users)
    }

    pub(super) fn view(&self) -> View<'_> {
        View::new(&self.shared.db, self.tail())
    }

    /// Everything that answers the question, up to `max`.
    fn list(&self, wants: Wants, max: usize) -> Result<Vec<Arc<Entry>>, StoreError> {
        let budget = PageBudget {
            rows: max,
            bytes: usize::MAX,
            bytes_max: usize::MAX,
            cost_keys: u64::MAX,
            time: Duration::MAX,
            paced: false,
        };
        let mut cursor = Cursor::of(wants, Seq::MAX);
        Ok(self.page(&mut cursor, &|_| true, budget)?.entries)
    }
}

/// The entry at `seq` if it answers the cursor's question.
fn matching(cursor: &Cursor, seq: Seq, value: &[u8]) -> Result<Option<Entry>, StoreError> {
    let malformed = |_| StoreError::Damaged(Damage::Malformed(seq));
    match LogEntry::decode(value).map_err(malformed)? {
        LogEntry::Record(header, record) if cursor.matches(&record, header.received) => {
            record_format::owned(seq, &header, &record)
                .map(Some)
                .map_err(malformed)
        }
        // Not a record any more: another one replaced it since its key was read.
        LogEntry::Record(..)
        | LogEntry::Gone { .. }
        | LogEntry::User { .. }
        | LogEntry::Act { .. }
        | LogEntry::Blob(_)
        | LogEntry::BlobGone(_) => Ok(None),
    }
}

/// Records that are read from the log in one call.
const READ_AT_ONCE: usize = 32;
