//! The bounded pool on which the store is read.

mod scanners;
mod shares;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::spawn_blocking;

use self::scanners::Scanners;
use self::shares::{AddressShare, Addresses, Share};
use crate::base::limits::{CONNECTION_READERS_MAX, CONNECTION_SCANS_MAX, READERS_MAX};

/// Runs what blocks on the store on threads of their own. Clones share the bounds.
///
/// There are two queues. Short reads run [`READERS_MAX`] at a time, in the order in which they were
/// asked for. What a read needs beyond a short one it gets page by page in the other queue, whose
/// few threads stand back for everything else: so those who ask for little never wait for those who
/// ask for much, and of these none waits for more than a page of each other one.
///
/// A connection has a share of its own of either, and so has the address it comes from: however
/// many streams it reads on, or connections come from one place, they stand in the common queues
/// with that many only. Loopback is many places: all visitors of an onion service come from there.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    pool: Arc<Pool>,
    connection: Arc<Share>,
    /// `None` for reads of no connection.
    address: Option<Arc<AddressShare>>,
}

#[derive(Debug)]
struct Pool {
    permits: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    /// Started by the first long read; `None` in it where there was no thread left.
    scanners: OnceLock<Option<Scanners>>,
}

/// In which queue a read stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// For reads that take a moment.
    Short,
    /// For the further pages of a read that has had its moment.
    Long,
}

/// The work panicked; the panic was traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a reader panicked")]
pub(super) struct ReaderPanicked;

/// Places in queues; they are given back with it.
type Permits = Vec<OwnedSemaphorePermit>;

impl Readers {
    pub(super) fn new() -> Self {
        Self {
            pool: Arc::new(Pool {
                permits: Arc::new(Semaphore::new(READERS_MAX)),
                addresses: Arc::default(),
                scanners: OnceLock::new(),
            }),
            connection: Arc::new(Share::new(READERS_MAX, Semaphore::MAX_PERMITS)),
            address: None,
        }
    }

    /// The same pool for one connection, which comes from `ip`.
    pub(super) fn for_connection(&self, ip: IpAddr) -> Self {
        Self {
            pool: Arc::clone(&self.pool),
            connection: Arc::new(Share::new(CONNECTION_READERS_MAX, CONNECTION_SCANS_MAX)),
            address: Some(self.pool.addresses.share_of(ip)),
        }
    }

    /// Waits for a turn in `lane` and runs `work`, which should take no longer than a page's time
    /// budget.
    ///
    /// # Cancel safety
    /// Work that began runs to its end and keeps its place in the pool until then; its result is
    /// lost.
    ///
    /// # Errors
    /// [`ReaderPanicked`].
    pub(super) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReaderPanicked> {
        let mut permits = self.share(lane).await?;
        if lane == Lane::Long
            && let Some(scanners) = self.pool.scanners()
        {
            return scan(scanners, permits, work).await;
        }
        permits.push(turn(&self.pool.permits).await?);
        let task = spawn_blocking(move || {
            // Here, not in the future, so that a dropped future does not lend the place twice.
            let _permits = permits;
            work()
        });
        task.await.map_err(|error| {
            tracing::error!(%error, "a reader panicked");
            ReaderPanicked
        })
    }

    /// Waits until the connection and its address have a turn.
    async fn share(&self, lane: Lane) -> Result<Permits, ReaderPanicked> {
        let queue = |share: &Share| match lane {
            Lane::Short => Arc::clone(&share.short),
            Lane::Long => Arc::clone(&share.long),
        };
        let mut permits = vec![turn(&queue(&self.connection)).await?];
        if let Some(address) = &self.address {
            permits.push(turn(&queue(&address.share)).await?);
        }
        Ok(permits)
    }
}

impl Pool {
    fn scanners(&self) -> Option<&Scanners> {
        let started = self.scanners.get_or_init(|| match Scanners::start() {
            Ok(scanners) => Some(scanners),
            Err(error) => {
                tracing::warn!(%error, "no threads for long reads: they share those of short ones");
                None
            }
        });
        started.as_ref()
    }
}

async fn turn(queue: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ReaderPanicked> {
    // The semaphores are never closed; were they, reading without a bound is worse than an error.
    let permit = Arc::clone(queue).acquire_owned().await;
    permit.map_err(|_closed| ReaderPanicked)
}

/// Runs `work` on one of the threads for long reads.
async fn scan<T: Send + 'static>(
    scanners: &Scanners,
    permits: Permits,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ReaderPanicked> {
    let (sender, result) = oneshot::channel();
    scanners.hand_in(Box::new(move || {
        let _permits = permits;
        // Nobody may wait for it any more, and then there is no use in it.
        if !sender.is_closed() {
            drop(sender.send(work()));
        }
    }));
    result.await.map_err(|error| {
        tracing::error!(%error, "a reader of a long read panicked");
        ReaderPanicked
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::base::limits::SCANNERS_MAX;
    use crate::net::testing::until;
    use std::net::Ipv4Addr;

    fn ip(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

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
                readers.run(Lane::Short, work).await.unwrap();
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
        let greedy = readers.for_connection(ip(1));
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 * READERS_MAX {
            let (greedy, blocked) = (greedy.clone(), Arc::clone(&blocked));
            tasks.spawn(async move {
                let work = move || blocked.lock().unwrap().recv().unwrap();
                greedy.run(Lane::Short, work).await.unwrap();
            });
        }
        readers
            .for_connection(ip(2))
            .run(Lane::Short, || ())
            .await
            .unwrap();
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
        let work = readers.run(Lane::Short, move || {
            started.send(()).unwrap();
            blocked.recv().unwrap();
        });
        tokio::select! {
            _ = work => unreachable!("it is blocked"),
            _ = has_started.recv() => {}
        }
        assert_eq!(readers.pool.permits.available_permits(), READERS_MAX - 1);
        release.send(()).unwrap();
        let all = u32::try_from(READERS_MAX).unwrap();
        drop(readers.pool.permits.acquire_many(all).await.unwrap());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_gives_its_place_back() {
        let readers = Readers::new();
        let result: Result<(), _> = readers
            .run(Lane::Short, || panic!("as the test wants"))
            .await;
        assert_eq!(result, Err(ReaderPanicked));
        assert_eq!(readers.pool.permits.available_permits(), READERS_MAX);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_address_does_not_take_the_whole_pool_with_many_connections() {
        let readers = Readers::new();
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 * READERS_MAX {
            let (greedy, blocked) = (readers.for_connection(ip(1)), Arc::clone(&blocked));
            tasks.spawn(async move {
                let work = move || blocked.lock().unwrap().recv().unwrap();
                greedy.run(Lane::Short, work).await.unwrap();
            });
        }
        let other = readers.for_connection(ip(2));
        other.run(Lane::Short, || ()).await.unwrap();
        for _ in 0..4 * READERS_MAX {
            release.send(()).unwrap();
        }
        while let Some(joined) = tasks.join_next().await {
            joined.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn long_reads_of_many_addresses_keep_no_short_one_waiting_and_none_of_them_is_lost() {
        let readers = Readers::new();
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..20 {
            let (long, blocked) = (readers.for_connection(ip(number % 7)), Arc::clone(&blocked));
            tasks.spawn(async move {
                let work = move || blocked.lock().unwrap().recv().unwrap();
                long.run(Lane::Long, work).await.unwrap();
            });
        }
        for number in 0..7 {
            let short = readers.for_connection(ip(number));
            short.run(Lane::Short, || ()).await.unwrap();
        }
        for _ in 0..20 {
            release.send(()).unwrap();
        }
        while let Some(joined) = tasks.join_next().await {
            joined.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn visitors_from_loopback_are_not_taken_for_one_home() {
        for (lane, threads) in [(Lane::Short, READERS_MAX), (Lane::Long, SCANNERS_MAX)] {
            let readers = Readers::new();
            let (release, blocked) = mpsc::channel::<()>();
            let blocked = Arc::new(std::sync::Mutex::new(blocked));
            let running = Arc::new(AtomicUsize::new(0));
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..threads {
                let visitor = readers.for_connection(Ipv4Addr::LOCALHOST.into());
                let (running, blocked) = (Arc::clone(&running), Arc::clone(&blocked));
                tasks.spawn(async move {
                    let work = move || {
                        running.fetch_add(1, Ordering::SeqCst);
                        blocked.lock().unwrap().recv().ok();
                    };
                    visitor.run(lane, work).await.unwrap();
                });
            }
            until(|| running.load(Ordering::SeqCst) == threads).await;
            drop(release);
            while let Some(joined) = tasks.join_next().await {
                joined.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_panic_of_a_long_read_is_an_error_and_its_thread_reads_on() {
        let readers = Readers::new();
        for _ in 0..2 * SCANNERS_MAX {
            let work = || panic!("as the test wants");
            let result: Result<(), _> = readers.run(Lane::Long, work).await;
            assert_eq!(result, Err(ReaderPanicked));
        }
        assert_eq!(readers.run(Lane::Long, || 7).await, Ok(7));
    }
}
