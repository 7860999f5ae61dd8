//! What may be on its way to one peer at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::requests::Stop;
use crate::base::limits::{CONNECTION_OUTBOX_BYTES, CONNECTION_PAGES_MAX, STALLED_TIMEOUT};

/// What may be on its way on all streams of one connection.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pages: Arc<Semaphore>,
    outbox_bytes: Arc<AtomicUsize>,
    /// Time in which the peer has to take something of what waits for it.
    patience: Duration,
}

/// The room of one stream: a page of its own, so that streams which nobody reads keep no other
/// waiting for good, and what the connection has in common.
#[derive(Clone, Debug)]
pub(super) struct StreamRoom {
    own: Arc<Semaphore>,
    connection: Room,
}

/// A page that is on its way. Dropping it says that it has left.
#[derive(Debug)]
pub(super) struct Underway {
    _permit: OwnedSemaphorePermit,
}

/// The bytes of one outbox, counted among those of its connection.
#[derive(Debug)]
pub(super) struct CountedBytes {
    connection: Room,
    own: usize,
}

impl Room {
    pub(super) fn new() -> Self {
        Self::with_patience(STALLED_TIMEOUT)
    }

    pub(super) fn with_patience(patience: Duration) -> Self {
        Self {
            pages: Arc::new(Semaphore::new(CONNECTION_PAGES_MAX)),
            outbox_bytes: Arc::default(),
            patience,
        }
    }

    pub(super) fn for_stream(&self) -> StreamRoom {
        StreamRoom {
            own: Arc::new(Semaphore::new(1)),
            connection: self.clone(),
        }
    }
}

impl StreamRoom {
    /// Waits until there is room for one more page.
    ///
    /// # Cancel safety
    /// Dropping the future loses its turn, and nothing else.
    ///
    /// # Errors
    /// [`Stop::Gone`]; in truth none, for nobody closes the room.
    pub(super) async fn page(&self) -> Result<Underway, Stop> {
        let own = Arc::clone(&self.own).acquire_owned();
        let common = Arc::clone(&self.connection.pages).acquire_owned();
        // Cancel safe: a permit is taken only in the poll that is ready.
        let permit = tokio::select! {
            biased;
            permit = own => permit,
            permit = common => permit,
        };
        permit
            .map(|permit| Underway { _permit: permit })
            .map_err(|_closed| Stop::Gone)
    }

    /// Time in which the peer has to take something of what waits for it.
    pub(super) const fn patience(&self) -> Duration {
        self.connection.patience
    }

    /// A count for the bytes of the stream's outbox.
    pub(super) fn counted_bytes(&self) -> CountedBytes {
        CountedBytes {
            connection: self.connection.clone(),
            own: 0,
        }
    }
}

impl CountedBytes {
    pub(super) const fn own(&self) -> usize {
        self.own
    }

    /// Whether all outboxes of the connection together hold no more than they may.
    pub(super) fn is_common_free(&self) -> bool {
        self.connection.outbox_bytes.load(Ordering::Relaxed) < CONNECTION_OUTBOX_BYTES
    }

    pub(super) fn set(&mut self, bytes: usize) {
        let count = &self.connection.outbox_bytes;
        if bytes >= self.own {
            count.fetch_add(bytes - self.own, Ordering::Relaxed);
        } else {
            count.fetch_sub(self.own - bytes, Ordering::Relaxed);
        }
        self.own = bytes;
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::{KNOWN_STREAMS_MAX, STREAM_PAGES_MAX};

    /// Whether a page is to be had without waiting.
    async fn is_free(room: &StreamRoom, kept: &mut Vec<Underway>) -> bool {
        tokio::select! {
            biased;
            page = room.page() => {
                kept.push(page.unwrap());
                true
            }
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn streams_that_hold_all_the_room_in_common_leave_each_other_one_a_page() {
        let room = Room::new();
        let mut kept = Vec::new();
        let greedy = room.for_stream();
        while is_free(&greedy, &mut kept).await {}
        assert_eq!(kept.len(), CONNECTION_PAGES_MAX + 1);
        let mut others = Vec::new();
        let late = room.for_stream();
        assert!(is_free(&late, &mut others).await);
        assert!(!is_free(&late, &mut others).await);
        kept.pop();
        assert!(is_free(&late, &mut others).await);
        const { assert!(CONNECTION_PAGES_MAX < KNOWN_STREAMS_MAX as usize * STREAM_PAGES_MAX) };
    }

    #[test]
    fn bytes_are_counted_for_the_connection_until_their_outbox_is_gone() {
        let room = Room::new();
        let [mut one, mut other] = [(); 2].map(|()| room.for_stream().counted_bytes());
        one.set(CONNECTION_OUTBOX_BYTES);
        assert!(!other.is_common_free());
        other.set(7);
        one.set(1);
        assert!(other.is_common_free());
        assert_eq!((one.own(), other.own()), (1, 7));
        drop(one);
        drop(other);
        assert_eq!(room.outbox_bytes.load(Ordering::Relaxed), 0);
    }
}
