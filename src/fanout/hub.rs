//! The registry of subscriptions, and the handle of one.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::index::{Index, SubscriptionId};
use super::mailbox::{Delivery, Mailbox};
use crate::base::Seq;
use crate::store::Entry;
use crate::wire::Filter;

/// Whether a subscription's reader may learn of an entry. It is asked under the registry's lock, on
/// the writer's thread: it must be quick, and must not use the registry.
pub type Sees = Arc<dyn Fn(&Entry) -> bool + Send + Sync>;

/// The registry of subscriptions. Clones are handles of the same registry.
#[derive(Clone)]
pub struct Fanout {
    hub: Arc<Mutex<Hub>>,
}

struct Hub {
    /// The last published position.
    tail: Seq,
    next_id: SubscriptionId,
    /// Entries offered so far, ephemeral ones too.
    offers: u64,
    index: Index<Arc<Slot>>,
}

/// One registered subscription.
struct Slot {
    filter: Filter,
    sees: Sees,
    mailbox: Mutex<Mailbox>,
    wake: Notify,
    /// The last offer that was judged, so that an entry found under two tags is queued once.
    /// Read and written under the registry's lock only.
    judged: AtomicU64,
}

impl Fanout {
    /// A registry without subscriptions; `tail` is the position of the last entry of the log.
    #[must_use]
    pub fn new(tail: Seq) -> Self {
        let hub = Hub {
            tail,
            next_id: 0,
            offers: 0,
            index: Index::new(),
        };
        Self {
            hub: Arc::new(Mutex::new(hub)),
        }
    }

    /// Registers a subscription to the entries that match `filter` and that `sees` lets through.
    ///
    /// Every such entry after [`Subscription::start`] will be delivered; those up to it are the
    /// caller's to read from the store.
    #[must_use]
    pub fn subscribe(&self, filter: Filter, sees: Sees) -> Subscription {
        let mut hub = lock(&self.hub);
        let start = hub.tail;
        let slot = Arc::new(Slot {
            filter,
            sees,
            mailbox: Mutex::new(Mailbox::new(start)),
            wake: Notify::new(),
            judged: AtomicU64::new(hub.offers),
        });
        let id = hub.next_id;
        hub.next_id = id.saturating_add(1);
        hub.index.insert(id, &slot.filter, &slot);
        Subscription {
            hub: Arc::clone(&self.hub),
            slot,
            id,
            start,
        }
    }

    /// Hands durable entries, in the order of the log, to the subscriptions they concern.
    ///
    /// The registry is locked for one entry at a time, so that registering never waits for a whole
    /// batch; a subscription is woken once for many entries, because a wake-up and the packet it
    /// causes cost more than a record.
    pub fn publish(&self, entries: &[Arc<Entry>]) {
        for batch in entries.chunks(WAKE_BATCH_RECORDS) {
            let mut sleepers = Vec::new();
            for entry in batch {
                lock(&self.hub).publish(entry, &mut sleepers);
            }
            wake(&sleepers);
        }
    }

    /// Hands an ephemeral entry, which no log holds, to the subscriptions that listen now. Returns
    /// how many it was delivered to; those that are behind, or whose mailbox is full, do not count.
    #[must_use]
    pub fn announce(&self, entry: &Arc<Entry>) -> usize {
        let mut sleepers = Vec::new();
        let delivered = lock(&self.hub).announce(entry, &mut sleepers);
        wake(&sleepers);
        delivered
    }

    /// Whether no subscription is registered.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.hub).index.is_empty()
    }
}

impl fmt::Debug for Fanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fanout")
            .field("tail", &lock(&self.hub).tail)
            .finish_non_exhaustive()
    }
}

impl Hub {
    fn publish(&mut self, entry: &Arc<Entry>, sleepers: &mut Vec<Arc<Slot>>) {
        assert!(
            entry.seq > self.tail,
            "entry {} published after {}",
            entry.seq,
            self.tail
        );
        self.tail = entry.seq;
        self.offer(entry, |slot| {
            if lock(&slot.mailbox).offer(entry) {
                sleepers.push(Arc::clone(slot));
            }
        });
    }

    fn announce(&mut self, entry: &Arc<Entry>, sleepers: &mut Vec<Arc<Slot>>) -> usize {
        let mut delivered = 0_usize;
        self.offer(entry, |slot| {
            if let Some(asleep) = lock(&slot.mailbox).offer_ephemeral(entry) {
                delivered = delivered.saturating_add(1);
                if asleep {
                    sleepers.push(Arc::clone(slot));
                }
            }
        });
        delivered
    }

    /// Calls `deliver` once for each subscription that the entry concerns.
    fn offer(&mut self, entry: &Entry, mut deliver: impl FnMut(&Arc<Slot>)) {
        self.offers = self.offers.saturating_add(1);
        let offer = self.offers;
        let record = entry.record.view();
        self.index.candidates(&record, |slot| {
            if slot.judged.swap(offer, Ordering::Relaxed) == offer {
                return;
            }
            if slot.filter.matches(&record, entry.received) && (slot.sees)(entry) {
                deliver(slot);
            }
        });
    }
}

/// One registered subscription; dropping it unregisters it.
pub struct Subscription {
    hub: Arc<Mutex<Hub>>,
    slot: Arc<Slot>,
    id: SubscriptionId,
    start: Seq,
}

impl Subscription {
    /// The last published position when the subscription was registered: every entry after it that
    /// matches is delivered, none up to it is.
    #[must_use]
    pub fn start(&self) -> Seq {
        self.start
    }

    /// The filter of the subscription.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.slot.filter
    }

    /// Waits for what there is to tell. Entries come in the order of the log.
    ///
    /// [`Delivery::Behind`] is repeated until [`caught_up`](Self::caught_up) ends it.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Delivery {
        loop {
            // A wake-up between the two lines is kept by the `Notify`: this is its one waiter.
            if let Some(delivery) = self.try_next() {
                return delivery;
            }
            self.slot.wake.notified().await;
        }
    }

    /// What there is to tell now, if anything.
    pub fn try_next(&mut self) -> Option<Delivery> {
        lock(&self.slot.mailbox).take()
    }

    /// Says that everything up to `position` was read from the log. Returns true where entries
    /// after `position` are delivered again; else more was published meanwhile, and reading has to
    /// go on after `position`.
    pub fn caught_up(&mut self, position: Seq) -> bool {
        // The registry's lock keeps the tail from moving between the comparison and the answer.
        let hub = lock(&self.hub);
        lock(&self.slot.mailbox).caught_up(position, hub.tail)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.hub).index.remove(self.id, &self.slot.filter);
    }
}

fn wake(sleepers: &[Arc<Slot>]) {
    for slot in sleepers {
        slot.wake.notify_one();
    }
}

/// Locks, also after a panic elsewhere: every change under these locks is complete or harmless.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Entries for which a subscription is woken once.
const WAKE_BATCH_RECORDS: usize = 64;
