//! A query, and the stored phase of a subscription: pages of the store, newest first.

use std::sync::Arc;

use super::effort::Effort;
use super::requests::{Request, Stop};
use super::room::PageSize;
use crate::base::Seq;
use crate::base::limits::PAGE_MAX_RECORDS;
use crate::store::{Cursor, Entry, Page, PageBudget};
use crate::wire::{Filter, Record};

/// A read of what is stored up to a position of the log.
pub(super) struct Stored {
    cursor: Cursor,
    /// Most records the client wants; 0 sets no limit.
    limit: u16,
    resumes: bool,
}

impl Stored {
    /// Reads what matches `filter` and was stored up to `until`.
    pub(super) fn new(filter: Filter, limit: u16, until: Seq) -> Self {
        Self {
            resumes: filter.received_since().is_some(),
            cursor: Cursor::new(filter, until),
            limit,
        }
    }

    /// Delivers what there is, up to the client's limit.
    ///
    /// # Errors
    /// [`Stop::TooMany`] where the server's own cap was reached and more was left;
    /// [`Stop::TooWide`] where too much was looked at, and more may be left. What was found until
    /// then is delivered.
    pub(super) async fn run(self, request: &Request) -> Result<(), Stop> {
        let cap = usize::try_from(request.source.results_max).unwrap_or(usize::MAX);
        let wanted = match self.limit {
            0 => usize::MAX,
            limit => usize::from(limit),
        };
        let mut effort = request.effort();
        if self.resumes {
            effort = effort.resumed(request.source.store.tail());
        }
        let mut cursor = self.cursor;
        let mut left = wanted.min(cap);
        let mut size = PageSize::Any;
        while left > 0 {
            // A place first: a page that is read has somewhere to go.
            let place = request.turn(size).await?;
            let budget = place.budget(effort.budget());
            let (next, page) = read_page(request, cursor, left, budget, &effort).await?;
            size = place.next_size(page.is_cut && page.entries.is_empty());
            cursor = next;
            left = left.saturating_sub(page.entries.len());
            place.records(records(&page.entries));
            if page.done {
                return Ok(());
            }
            let spent = effort.add(page.cost_keys, page.entries.len());
            if left > 0 {
                spent?;
            }
        }
        if wanted <= cap || is_exhausted(request, cursor, effort).await? {
            return Ok(());
        }
        Err(Stop::TooMany)
    }
}

/// Whether nothing more matches, though the last page did not know it yet.
async fn is_exhausted(
    request: &Request,
    mut cursor: Cursor,
    mut effort: Effort,
) -> Result<bool, Stop> {
    loop {
        request.sight.toll.rest().await;
        let (next, page) = read_page(request, cursor, 1, effort.budget(), &effort).await?;
        cursor = next;
        if !page.entries.is_empty() {
            return Ok(false);
        }
        if page.done {
            return Ok(true);
        }
        effort.add(page.cost_keys, 0)?;
    }
}

/// The next page, of at most `max` records. It may be empty without being the last.
async fn read_page(
    request: &Request,
    mut cursor: Cursor,
    max: usize,
    budget: PageBudget,
    effort: &Effort,
) -> Result<(Cursor, Page), Stop> {
    request.sight.refresh().await;
    let store = request.source.store.clone();
    let sight = Arc::clone(&request.sight);
    let budget = PageBudget {
        rows: max.min(PAGE_MAX_RECORDS),
        ..budget
    };
    let work = move || {
        let page = store.page(&mut cursor, &|entry| sight.sees(entry), budget);
        let cost_keys = page.as_ref().map_or(0, |page| page.cost_keys);
        (page.map(|page| (cursor, page)), cost_keys)
    };
    Ok(effort.read(&request.sight, work).await??)
}

/// The records of entries, without a copy.
pub(super) fn records(entries: &[Arc<Entry>]) -> Vec<Record> {
    entries.iter().map(|entry| entry.record.clone()).collect()
}
