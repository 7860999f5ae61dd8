//! Reading the log from a position on, as a subscriber that fell behind does.

use std::sync::Arc;

use super::{
    Store,
    budget::{Clock, PageBudget, RECORD_KEYS},
    entry::Entry,
    error::{Damage, StoreError},
    record_format::{self, LogEntry},
    recover,
};
use crate::base::Seq;

/// A page of the log.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// The records in it, in the order of the log.
    pub entries: Vec<Arc<Entry>>,
    /// The last place that was looked at; the next page starts behind it. It may lie behind the
    /// last record, for not every entry is one.
    pub next: Seq,
    /// What it cost, as [`PageBudget`] counts.
    pub cost_keys: u64,
}

impl Store {
    /// The records behind `after`, oldest first, up to [`tail`](Self::tail).
    ///
    /// [`LogPage::next`] equals the tail when there is nothing behind the page. A record that was
    /// replaced in the meantime is left out.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or what it holds is damaged.
    pub fn read_log(&self, after: Seq, budget: PageBudget) -> Result<LogPage, StoreError> {
        let view = self.view();
        let mut clock = Clock::start(budget);
        let mut log = view.log()?;
        let mut page = LogPage {
            entries: Vec::new(),
            next: after,
            cost_keys: 0,
        };
        let mut bytes = 0;
        log.seek(&after.next().to_be_bytes());
        while page.next < view.tail() && page.entries.len() < budget.rows && bytes < budget.bytes {
            let expected = page.next.next();
            let (key, value) = log.item()?.ok_or(Damage::Missing(expected))?;
            if recover::seq_of(key)? != expected {
                return Err(Damage::Missing(expected).into());
            }
            let malformed = |_| Damage::Malformed(expected);
            if let LogEntry::Record(header, record) = LogEntry::decode(value).map_err(malformed)? {
                let entry = record_format::owned(expected, &header, &record).map_err(malformed)?;
                bytes += entry.record.bytes().len();
                page.entries.push(Arc::new(entry));
            }
            page.next = expected;
            if clock.is_over(RECORD_KEYS) {
                break;
            }
            log.step();
        }
        page.cost_keys = clock.cost_keys();
        Ok(page)
    }
}
