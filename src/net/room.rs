//! What may be on its way to one peer at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};

use crate::base::limits::{
    CONNECTION_OUTBOX_BYTES, CONNECTION_PAGES_MAX_BYTES, LARGE_PAGE_ROOM_BYTES, OUTPUT_MAX_BYTES,
    PAGE_ROOM_BYTES, SMALL_PAGE_BYTES, STALLED_TIMEOUT, STREAM_PAGES_MAX,
};

/// What may be on its way on all connections together. Clones are handles to the same.
#[derive(Clone, Debug)]
pub(super) struct Output(Pool);

/// What may be on its way on all streams of one connection.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pages: Pool,
    output: Output,
    outbox_bytes: Arc<AtomicUsize>,
    /// Time in which the peer has to take something of what waits for it.
    patience: Duration,
}

/// The room for the pages of one stream, either those of records or those of a BLOB.
///
/// Room is taken before a page is read, as much as such a page may have, and what it turns out not
/// to need is given back at once. First comes what the connection has in common, which all
/// connections have in common, too. Where there is none, a stream of which nothing is on its way may
/// have a page of [`SMALL_PAGE_BYTES`].
///
/// So streams that read cannot be kept waiting for good by others:
///
/// * A page that is on its way leaves as its own peer reads it, or when that peer is cut off because
///   it takes nothing. It never waits for room, so whoever waits for it waits for a peer, and not
///   for anybody who waits.
/// * While nothing of a stream is on its way, it may have a small page; while something is, that
///   leaves. So records that fit into small pages always go on, however full everything is.
/// * While a BLOB is sent, pages of records wait behind it. It has a small page of its own, and no
///   need of a larger one.
/// * A record that is too large for a small page waits for room in common, and holds none
///   meanwhile. Those who wait are served in the order in which they came, and of one stream not
///   all at a time ([`turn`](Self::turn)). What a peer does not read keeps its other streams, and
///   other reads of its own, waiting only for these.
#[derive(Clone, Debug)]
pub(super) struct StreamRoom {
    /// How many of its pages are on their way.
    underway: Arc<watch::Sender<usize>>,
    /// How many of its reads may wait for more than a small page at a time.
    large: Arc<Semaphore>,
    connection: Room,
}

/// Room, in permits of a KiB each.
#[derive(Clone, Debug)]
struct Pool {
    permits: Arc<Semaphore>,
    kib: u32,
}

/// What is wanted of the room for a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageSize {
    /// As much as there is: a page that is cut off can go on in the next.
    Any,
    /// Room for a page of more than [`SMALL_PAGE_BYTES`].
    Ordinary,
    /// Room for a page with a record of any size.
    Large,
}

/// A page that is on its way. Dropping it says that it has left.
#[derive(Debug)]
pub(super) struct Underway {
    max_bytes: usize,
    /// Of the connection, and of all; none for the small page of a stream.
    common: Option<[OwnedSemaphorePermit; 2]>,
    #[expect(dead_code, reason = "held for its drop, which counts the page out")]
    counted: Counted,
}

/// One among the pages of a stream.
#[derive(Debug)]
struct Counted(Arc<watch::Sender<usize>>);

/// The bytes of one outbox, counted among those of its connection.
#[derive(Debug)]
pub(super) struct CountedBytes {
    connection: Room,
    own: usize,
}

impl Output {
    pub(super) fn new() -> Self {
        Self::of(OUTPUT_MAX_BYTES)
    }

    fn of(bytes: usize) -> Self {
        Self(Pool::new(bytes))
    }
}

impl Room {
    pub(super) fn new(output: &Output) -> Self {
        Self {
            pages: Pool::new(CONNECTION_PAGES_MAX_BYTES),
            output: output.clone(),
            outbox_bytes: Arc::default(),
            patience: STALLED_TIMEOUT,
        }
    }

    pub(super) fn for_stream(&self) -> StreamRoom {
        StreamRoom {
            underway: Arc::new(watch::Sender::new(0)),
            large: Arc::new(Semaphore::new(LARGE_WAITS_MAX)),
            connection: self.clone(),
        }
    }
}

impl Pool {
    fn new(bytes: usize) -> Self {
        let kib = kib(bytes);
        let permits = usize::try_from(kib).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            kib,
        }
    }

    /// Waits for room for `bytes`, or for all there is. `None` in truth never, for nobody closes it.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let wanted = kib(bytes).min(self.kib);
        let permits = Arc::clone(&self.permits);
        permits.acquire_many_owned(wanted).await.ok()
    }
}

impl PageSize {
    /// What a page needs that begins with a record of `bytes`.
    pub(super) const fn for_bytes(bytes: usize) -> Self {
        if bytes <= SMALL_PAGE_BYTES {
            Self::Any
        } else if bytes <= PAGE_ROOM_BYTES {
            Self::Ordinary
        } else {
            Self::Large
        }
    }
}

impl StreamRoom {
    /// As much room again for the BLOBs of the stream.
    pub(super) fn apart(&self) -> Self {
        self.connection.for_stream()
    }

    /// Waits until a read may wait for a page of that size with one of the stream's places in hand;
    /// `None` where it may at once. So one place is always left to those that small pages do for,
    /// and to the last words of others.
    ///
    /// # Cancel safety
    /// Dropping the future loses its turn, and nothing else.
    pub(super) async fn turn(&self, size: PageSize) -> Option<SemaphorePermit<'_>> {
        match size {
            PageSize::Any => None,
            // Fails in truth never, for nobody closes it.
            PageSize::Ordinary | PageSize::Large => self.large.acquire().await.ok(),
        }
    }

    /// Waits until there is room for one more page; `None` in truth never.
    ///
    /// # Cancel safety
    /// Dropping the future loses its turn, and nothing else.
    pub(super) async fn page(&self, size: PageSize) -> Option<Underway> {
        match size {
            PageSize::Large => self.common(LARGE_PAGE_ROOM_BYTES).await,
            PageSize::Ordinary => self.common(PAGE_ROOM_BYTES).await,
            // Cancel safe: nothing is taken for good but in the poll that is ready.
            PageSize::Any => tokio::select! {
                biased;
                page = self.common(PAGE_ROOM_BYTES) => page,
                page = self.small() => page,
            },
        }
    }

    async fn common(&self, max_bytes: usize) -> Option<Underway> {
        let connection = &self.connection;
        // In this order, so that whoever waits in the common queue has a connection with room.
        let own = connection.pages.take(max_bytes).await?;
        let all = connection.output.0.take(max_bytes).await?;
        self.underway.send_modify(|count| *count += 1);
        Some(self.counted(max_bytes, Some([own, all])))
    }

    async fn small(&self) -> Option<Underway> {
        let mut changes = self.underway.subscribe();
        let begin = |count: &mut usize| {
            let is_idle = *count == 0;
            *count += usize::from(is_idle);
            is_idle
        };
        while !self.underway.send_if_modified(begin) {
            changes.wait_for(|count| *count == 0).await.ok()?;
        }
        Some(self.counted(SMALL_PAGE_BYTES, None))
    }

    fn counted(&self, max_bytes: usize, common: Option<[OwnedSemaphorePermit; 2]>) -> Underway {
        Underway {
            max_bytes,
            common,
            counted: Counted(Arc::clone(&self.underway)),
        }
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

impl Underway {
    /// Bytes that the page may have.
    pub(super) const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// What is wanted where the next thing has no room here.
    pub(super) const fn larger(&self) -> PageSize {
        PageSize::for_bytes(self.max_bytes + 1)
    }

    /// The page has that many bytes: gives the rest of its room back.
    pub(super) fn cut_to(&mut self, bytes: usize) {
        let needed = usize::try_from(kib(bytes)).unwrap_or(usize::MAX);
        for permit in self.common.iter_mut().flatten() {
            let spare = permit.num_permits().saturating_sub(needed);
            drop(permit.split(spare));
        }
    }

    /// The same, with that many bytes.
    pub(super) fn of(mut self, bytes: usize) -> Self {
        self.cut_to(bytes);
        self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Permits for so many bytes.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
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

/// Of the places for pages that a stream has, those in which larger ones than small are waited for.
const LARGE_WAITS_MAX: usize = STREAM_PAGES_MAX - 1;

const _: () = assert!(LARGE_WAITS_MAX > 0);

#[cfg(test)]
impl Room {
    /// With all the output in the world.
    pub(super) fn for_tests() -> Self {
        Self::new(&Output::new())
    }

    pub(super) fn with_patience(patience: Duration) -> Self {
        Self {
            patience,
            ..Self::for_tests()
        }
    }

    /// Where all connections together have that much.
    pub(super) fn with_output(bytes: usize) -> Self {
        Self::new(&Output::of(bytes))
    }

    /// Bytes of pages that are on their way, without the small ones.
    pub(super) fn common_bytes(&self) -> usize {
        CONNECTION_PAGES_MAX_BYTES - (self.pages.permits.available_permits() << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::{KNOWN_STREAMS_MAX, RECORD_MAX_BYTES};
    use futures_util::FutureExt;

    /// A page of `bytes`, if there is room for it now.
    fn page(room: &StreamRoom, bytes: usize) -> Option<Underway> {
        let page = room.page(PageSize::for_bytes(bytes)).now_or_never()??;
        (bytes <= page.max_bytes()).then(|| page.of(bytes))
    }

    #[test]
    fn streams_that_read_nothing_hold_what_the_connection_has_and_a_small_page_each() {
        let room = Room::for_tests();
        let streams: Vec<_> = (0..KNOWN_STREAMS_MAX).map(|_| room.for_stream()).collect();
        let mut held = Vec::new();
        for bytes in [RECORD_MAX_BYTES, PAGE_ROOM_BYTES, SMALL_PAGE_BYTES, 1] {
            for stream in streams
                .iter()
                .flat_map(|stream| [stream.clone(), stream.clone()])
            {
                held.extend(page(&stream, bytes).map(|page| (page, bytes)));
            }
        }
        let small = |(page, _): &&(Underway, usize)| page.common.is_none();
        let small_bytes: usize = held.iter().filter(small).map(|(_, bytes)| bytes).sum();
        assert!(small_bytes <= streams.len() * SMALL_PAGE_BYTES);
        let all_bytes: usize = held.iter().map(|(_, bytes)| bytes).sum();
        assert!(all_bytes > RECORD_MAX_BYTES);
        assert!(all_bytes - small_bytes <= CONNECTION_PAGES_MAX_BYTES);
    }

    #[test]
    fn a_stream_of_which_nothing_is_on_its_way_may_have_a_small_page_and_no_second_one() {
        let room = Room::with_output(0x40_0000);
        let greedy = room.for_stream();
        let mut held = Vec::new();
        while let Some(page) = page(&greedy, PAGE_ROOM_BYTES) {
            held.push(page);
        }
        assert!(page(&greedy, 1).is_none());
        let late = room.for_stream();
        let first = page(&late, SMALL_PAGE_BYTES).unwrap();
        assert!(page(&late, 1).is_none());
        assert!(page(&late.apart(), 1).is_some(), "of a BLOB");
        drop(first);
        let waiting = page(&late, 1).unwrap();
        held.clear();
        assert!(page(&late, RECORD_MAX_BYTES).is_some());
        drop(waiting);
    }

    #[test]
    fn all_connections_together_hold_no_more_than_they_may_beside_small_pages() {
        let output = Output::of(4 * PAGE_ROOM_BYTES);
        let rooms: Vec<_> = (0..10).map(|_| Room::new(&output).for_stream()).collect();
        let pages = || rooms.iter().map(|room| page(room, PAGE_ROOM_BYTES));
        let held: Vec<_> = pages().collect();
        assert_eq!(held.iter().flatten().count(), 4);
        assert!(
            rooms
                .iter()
                .zip(&held)
                .all(|(room, held)| { held.is_some() || page(room, SMALL_PAGE_BYTES).is_some() })
        );
        drop(held);
        assert_eq!(pages().collect::<Vec<_>>().iter().flatten().count(), 4);
    }

    #[test]
    fn what_a_page_does_not_need_is_given_back_and_one_that_exceeds_all_there_is_gets_that() {
        let room = Room::with_output(1);
        let stream = room.for_stream();
        let large = page(&stream, RECORD_MAX_BYTES).unwrap();
        assert_eq!(room.common_bytes(), RECORD_MAX_BYTES);
        assert!(page(&stream, PAGE_ROOM_BYTES).is_none());
        drop(large);
        let mut few = page(&stream, PAGE_ROOM_BYTES).unwrap();
        few.cut_to(1_025);
        assert_eq!(room.common_bytes(), 2_048);
        drop(few);
        assert_eq!(room.common_bytes(), 0);
    }

    #[test]
    fn bytes_are_counted_for_the_connection_until_their_outbox_is_gone() {
        let room = Room::for_tests();
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
