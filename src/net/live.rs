//! The live phase of a subscription: its mailbox, and the log where the mailbox overflowed.

use std::sync::Arc;

use super::requests::{Request, Stop};
use super::stored::records;
use crate::base::Seq;
use crate::base::limits::{PAGE_MAX_BYTES, PAGE_MAX_RECORDS};
use crate::fanout::{Delivery, Subscription};
use crate::store::{Entry, LogPage, PageBudget, StoreError};

/// Delivers what arrives until the request is cancelled.
///
/// # Errors
/// Every [`Stop`] but [`Stop::TooOpen`]; it never ends otherwise.
pub(super) async fn follow(request: &Request, subscription: &mut Subscription) -> Result<(), Stop> {
    loop {
        match subscription.next().await {
            Delivery::Live(first) => deliver(request, subscription, first).await?,
            Delivery::Behind { after } => catch_up(request, subscription, after).await?,
        }
    }
}

/// Delivers `first` and whatever else waits by the time the stream can take it: a burst costs one
/// write and few packets.
async fn deliver(
    request: &Request,
    subscription: &mut Subscription,
    first: Arc<Entry>,
) -> Result<(), Stop> {
    let place = request.place().await?;
    let mut bytes = first.record.bytes().len();
    let mut entries = vec![first];
    while entries.len() < PAGE_MAX_RECORDS && bytes < PAGE_MAX_BYTES {
        // To be behind is told again by the next turn.
        let Some(Delivery::Live(entry)) = subscription.try_next() else {
            break;
        };
        bytes = bytes.saturating_add(entry.record.bytes().len());
        entries.push(entry);
    }
    let seen = request.sight.seen_of(entries).await?;
    place.records(records(&seen));
    Ok(())
}

/// Delivers from the log what the mailbox had no room for, until the mailbox takes over again.
async fn catch_up(
    request: &Request,
    subscription: &mut Subscription,
    mut after: Seq,
) -> Result<(), Stop> {
    let mut was_at_end = false;
    loop {
        let place = request.turn().await?;
        let page = log_page(request, subscription, after).await?;
        let is_at_end = page.next <= after;
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

/// The matching entries of the next stretch of the log.
async fn log_page(
    request: &Request,
    subscription: &Subscription,
    after: Seq,
) -> Result<LogPage, Stop> {
    request.sight.refresh().await;
    let store = request.source.store.clone();
    let sight = Arc::clone(&request.sight);
    let filter = subscription.filter().clone();
    let work = move || -> Result<LogPage, StoreError> {
        let mut page = store.read_log(after, PageBudget::default())?;
        page.entries.retain(|entry| {
            filter.matches(&entry.record.view(), entry.received) && sight.sees(entry)
        });
        Ok(page)
    };
    Ok(request.sight.read(work).await??)
}
