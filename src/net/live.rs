//! The live phase of a subscription: its mailbox, and the log where the mailbox overflowed.

use std::sync::Arc;

use super::effort::Effort;
use super::requests::{Request, Stop};
use super::room::PageSize;
use super::stored::records;
use crate::base::Seq;
use crate::base::limits::{PAGE_MAX_BYTES, PAGE_MAX_RECORDS};
use crate::fanout::{Delivery, Subscription};
use crate::store::{Entry, LogPage};

/// Delivers what arrives until the request is cancelled.
///
/// # Errors
/// Every [`Stop`] but [`Stop::TooMany`] and [`Stop::TooWide`]; it never ends otherwise.
pub(super) async fn follow(request: &Request, subscription: &mut Subscription) -> Result<(), Stop> {
    loop {
        match subscription.next().await {
            Delivery::Live(first) => {
                let mut next = Some(first);
                while let Some(first) = next {
                    next = deliver(request, subscription, first).await?;
                }
            }
            Delivery::Behind { after } => catch_up(request, subscription, after).await?,
        }
    }
}

/// Delivers `first` and whatever else waits by the time the stream can take it: a burst costs one
/// write and few packets. Returns the one that had no room with them.
async fn deliver(
    request: &Request,
    subscription: &mut Subscription,
    first: Arc<Entry>,
) -> Result<Option<Arc<Entry>>, Stop> {
    let mut bytes = first.record.bytes().len();
    let place = request.place(PageSize::for_bytes(bytes)).await?;
    let mut entries = vec![first];
    let mut left_over = None;
    while entries.len() < PAGE_MAX_RECORDS && bytes < PAGE_MAX_BYTES {
        // To be behind is told again by the next turn.
        let Some(Delivery::Live(entry)) = subscription.try_next() else {
            break;
        };
        bytes = bytes.saturating_add(entry.record.bytes().len());
        if bytes > place.max_bytes() {
            left_over = Some(entry);
            break;
        }
        entries.push(entry);
    }
    let seen = request.sight.seen_of(entries).await?;
    place.records(records(&seen));
    Ok(left_over)
}

/// Delivers from the log what the mailbox had no room for, until the mailbox takes over again.
async fn catch_up(
    request: &Request,
    subscription: &mut Subscription,
    mut after: Seq,
) -> Result<(), Stop> {
    let mut was_at_end = false;
    // A subscription promises everything, so what it missed is read to the end.
    let mut effort = Effort::unbounded();
    let mut size = PageSize::Any;
    loop {
        let place = request.turn(size).await?;
        let max_bytes = place.max_bytes();
        let (page, is_cut) = log_page(request, subscription, after, max_bytes, &effort).await?;
        size = place.next_size(is_cut && page.entries.is_empty());
        effort.add(page.cost_keys, page.entries.len())?;
        let is_at_end = !is_cut && page.next <= after;
        after = page.next.max(after);
        place.records(records(&page.entries));
        if subscription.caught_up(after) {
            return Ok(());
        }
        // More was published since the page was read. The next page has it, for what is published
        // is readable; were it not, this loop would turn for ever.
        if is_at_end && was_at_end {
            return Err(Stop::Stalled);
        }
        was_at_end = is_at_end;
    }
}

/// The matching entries of the next stretch of the log, at most `max_bytes` of records, and whether
/// it ends before one that would have exceeded them.
async fn log_page(
    request: &Request,
    subscription: &Subscription,
    after: Seq,
    max_bytes: usize,
    effort: &Effort,
) -> Result<(LogPage, bool), Stop> {
    request.sight.refresh().await;
    let store = request.source.store.clone();
    let sight = Arc::clone(&request.sight);
    let filter = subscription.filter().clone();
    let budget = effort.budget();
    let work = move || {
        let mut page = store.read_log(after, budget);
        let mut is_cut = false;
        if let Ok(page) = &mut page {
            page.entries.retain(|entry| {
                filter.matches(&entry.record.view(), entry.received) && sight.sees(entry)
            });
            is_cut = cut(page, max_bytes);
        }
        let cost_keys = page.as_ref().map_or(0, |page| page.cost_keys);
        (page.map(|page| (page, is_cut)), cost_keys)
    };
    Ok(effort.read(&request.sight, work).await??)
}

/// Ends the page before the first record that exceeds `max_bytes`, if one does: only now is it known
/// which of them match.
fn cut(page: &mut LogPage, max_bytes: usize) -> bool {
    let mut bytes = 0_usize;
    let exceeds = |entry: &Arc<Entry>| {
        bytes = bytes.saturating_add(entry.record.bytes().len());
        bytes > max_bytes
    };
    let Some(first) = page.entries.iter().position(exceeds) else {
        return false;
    };
    if let Some(entry) = page.entries.get(first) {
        page.next = entry.seq.prev();
    }
    page.entries.truncate(first);
    true
}
