//! A query, and the stored phase of a subscription: pages of the store, newest first.

use std::sync::Arc;

use super::requests::{Request, Stop};
use crate::base::Seq;
use crate::base::limits::PAGE_MAX_RECORDS;
use crate::store::{Cursor, Entry, Page, PageBudget};
use crate::wire::{Filter, Record};

/// A read of what is stored up to a position of the log.
pub(super) struct Stored {
    cursor: Cursor,
    /// Most records the client wants; 0 sets no limit.
    limit: u16,
}

impl Stored {
    /// Reads what matches `filter` and was stored up to `until`.
    pub(super) fn new(filter: Filter, limit: u16, until: Seq) -> Self {
        Self {
            cursor: Cursor::new(filter, until),
            limit,
        }
    }

    /// Delivers what there is, up to the client's limit.
    ///
    /// # Errors
    /// [`Stop::TooOpen`] where the server's own cap was reached and more was left.
    pub(super) async fn run(self, request: &Request) -> Result<(), Stop> {
        let cap = usize::try_from(request.source.results_max).unwrap_or(usize::MAX);
        let wanted = match self.limit {
            0 => usize::MAX,
            limit => usize::from(limit),
        };
        let mut cursor = self.cursor;
        let mut left = wanted.min(cap);
        while left > 0 {
            // A place first: a page that is read has somewhere to go.
            let place = request.turn().await?;
            let (next, page) = read_page(request, cursor, left).await?;
            cursor = next;
            left = left.saturating_sub(page.entries.len());
            place.records(records(&page.entries));
            if page.done {
                return Ok(());
            }
        }
        if wanted <= cap || is_exhausted(request, cursor).await? {
            return Ok(());
        }
        Err(Stop::TooOpen)
    }
}

/// Whether nothing more matches, though the last page did not know it yet.
async fn is_exhausted(request: &Request, mut cursor: Cursor) -> Result<bool, Stop> {
    loop {
        let (next, page) = read_page(request, cursor, 1).await?;
        cursor = next;
        if !page.entries.is_empty() {
            return Ok(false);
        }
        if page.done {
            return Ok(true);
        }
    }
}

/// The next page, of at most `max` records. It may be empty without being the last.
async fn read_page(
    request: &Request,
    mut cursor: Cursor,
    max: usize,
) -> Result<(Cursor, Page), Stop> {
    request.sight.refresh().await;
    let store = request.source.store.clone();
    let sight = Arc::clone(&request.sight);
    let budget = PageBudget {
        rows: max.min(PAGE_MAX_RECORDS),
        ..PageBudget::default()
    };
    let work = move || {
        let page = store.page(&mut cursor, &|entry| sight.sees(entry), budget);
        page.map(|page| (cursor, page))
    };
    Ok(request.sight.read(work).await??)
}

/// The records of entries, without a copy.
pub(super) fn records(entries: &[Arc<Entry>]) -> Vec<Record> {
    entries.iter().map(|entry| entry.record.clone()).collect()
}
