//! The bounded pool on which the store is read.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::base::limits::{CONNECTION_READERS_MAX, READERS_MAX};

/// Runs what blocks on the store on threads of their own, [`READERS_MAX`] at a time, in the order
/// in which it was asked for. Clones share the bound.
///
/// A connection has a share of its own, at most [`CONNECTION_READERS_MAX`] at a time: however many
/// streams it reads on, it stands in the common queue with that many only.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    permits: Arc<Semaphore>,
    share: Arc<Semaphore>,
}

/// The work panicked; the panic was traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a reader panicked")]
pub(super) struct ReaderPanicked;

impl Readers {
    pub(super) fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(READERS_MAX)),
            share: Arc::new(Semaphore::new(READERS_MAX)),
        }
    }

    /// The same pool for one connection.
    pub(super) fn for_connection(&self) -> Self {
        Self {
            permits: Arc::clone(&self.permits),
            share: Arc::new(Semaphore::new(CONNECTION_READERS_MAX)),
        }
    }

    /// Waits for a turn and runs `work`, which should take no longer than a page's time budget.
    ///
    /// # Cancel safety
    /// Work that began runs to its end and keeps its place in the pool until then; its result is
    /// lost.
    ///
    /// # Errors
    /// [`ReaderPanicked`].
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReaderPanicked> {
        // The semaphores are never closed; were they, reading without a bound is worse than an error.
        let Ok(share) = Arc::clone(&self.share).acquire_owned().await else {
            return Err(ReaderPanicked);
        };
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            return Err(ReaderPanicked);
        };
        let task = spawn_blocking(move || {
            // Here, not in the future, so that a dropped future does not lend the place twice.
            let _permits = (share, permit);
            work()
        });
        task.await.map_err(|error| {
            tracing::error!(%error, "a reader panicked");
            ReaderPanicked
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_than_the_bound_read_at_a_time() {
        let readers = Readers::new();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..10 * READERS_MAX {
            let (readers, running, most) = (readers.clone(), running.clone(), most.clone());
            tasks.spawn(async move {
                let work = move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                };
                readers.run(work).await.unwrap();
            });
        }
        while let Some(joined) = tasks.join_next().await {
            joined.unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= READERS_MAX);
    }

    #[tokio::test]
    async fn one_connection_does_not_take_the_whole_pool() {
        let readers = Readers::new();
        let greedy = readers.for_connection();
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 * READERS_MAX {
            let (greedy, blocked) = (greedy.clone(), Arc::clone(&blocked));
            tasks.spawn(async move {
                let work = move || blocked.lock().unwrap().recv().unwrap();
                greedy.run(work).await.unwrap();
            });
        }
        readers.for_connection().run(|| ()).await.unwrap();
        for _ in 0..4 * READERS_MAX {
            release.send(()).unwrap();
        }
        while let Some(joined) = tasks.join_next().await {
            joined.unwrap();
        }
    }

    #[tokio::test]
    async fn a_dropped_future_keeps_its_place_until_its_work_is_done() {
        let readers = Readers::new();
        let (release, blocked) = mpsc::channel::<()>();
        let (started, mut has_started) = tokio::sync::mpsc::unbounded_channel();
        let work = readers.run(move || {
            started.send(()).unwrap();
            blocked.recv().unwrap();
        });
        tokio::select! {
            _ = work => unreachable!("it is blocked"),
            _ = has_started.recv() => {}
        }
        assert_eq!(readers.permits.available_permits(), READERS_MAX - 1);
        release.send(()).unwrap();
        let all = u32::try_from(READERS_MAX).unwrap();
        drop(readers.permits.acquire_many(all).await.unwrap());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_gives_its_place_back() {
        let readers = Readers::new();
        let result: Result<(), _> = readers.run(|| panic!("as the test wants")).await;
        assert_eq!(result, Err(ReaderPanicked));
        assert_eq!(readers.permits.available_permits(), READERS_MAX);
    }
}
