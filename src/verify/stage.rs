//! Threads that verify what sessions received, in batches, and hand it on in order.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use thiserror::Error;

use super::{VerifyError, lanes::SingledOut, verifier::Verifier};
use crate::{
    base::limits,
    wire::{Record, RecordRef},
};

/// Verifies records on threads of its own.
///
/// Records of one *lane* (a connection) come out in the order they went in; lanes are shared out
/// over the threads. A thread takes whatever waits for it as one batch, up to
/// [`limits::VERIFY_BATCH_MAX_RECORDS`]: under load batches grow by themselves, and a single record
/// never waits for company. A lane that sent a wrong signature is checked one by one from then on,
/// so it cannot spoil the batches of others again.
///
/// What waits is bounded by [`limits::VERIFY_QUEUE_MAX_RECORDS`] and
/// [`limits::VERIFY_QUEUE_MAX_BYTES`], all lanes together.
pub struct Stage<T> {
    queues: Vec<Arc<Queue<T>>>,
    budget: Arc<Budget>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A record with the verdict about it, and what its sender attached to it.
#[derive(Debug)]
pub struct Checked<T> {
    /// The record.
    pub record: Record,
    /// What was handed in with it.
    pub context: T,
    /// Whether the record is valid.
    pub outcome: Result<(), VerifyError>,
}

/// A submission that the stage did not take; it is handed back.
#[derive(Debug, Error)]
pub enum Full<T> {
    /// As much waits as may. Try again when an earlier record came out.
    #[error("too much waits for verification")]
    Queue {
        /// What was handed in.
        record: Record,
        /// What was handed in.
        context: T,
    },
    /// The stage was shut down, or the thread of this lane panicked.
    #[error("verification has stopped")]
    Stopped {
        /// What was handed in.
        record: Record,
        /// What was handed in.
        context: T,
    },
}

/// A thread of the stage panicked; what was with it is lost, unverified and unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a verification thread panicked")]
pub struct StagePanicked;

impl<T: Send + 'static> Stage<T> {
    /// Starts `threads` threads (at least one) that give what they verified to `sink`.
    ///
    /// `sink` is called on those threads, with records in lane order. It may block: then records
    /// pile up to the bound, and [`submit`](Self::submit) turns further ones away.
    ///
    /// # Errors
    /// The system refused a thread; those already started are ended.
    pub fn spawn(
        threads: usize,
        sink: impl Fn(Vec<Checked<T>>) + Send + Sync + Clone + 'static,
    ) -> io::Result<Self> {
        let stage = Self {
            queues: (0..threads.max(1)).map(|_| Arc::default()).collect(),
            budget: Arc::default(),
            threads: Mutex::default(),
        };
        for (place, queue) in stage.queues.iter().enumerate() {
            let (queue, sink) = (Arc::clone(queue), sink.clone());
            let thread = thread::Builder::new()
                .name(format!("verify-{place}"))
                .spawn(move || work(&queue, &sink))?;
            lock(&stage.threads).push(thread);
        }
        Ok(stage)
    }

    /// Hands in a record; it comes out at the sink, unless its thread panics.
    ///
    /// `lane` tells connections apart and must not be used again for another one: a lane that sent
    /// a wrong signature is remembered.
    ///
    /// # Errors
    /// [`Full`], with what was handed in. Nothing waits for room here.
    pub fn submit(&self, lane: u64, record: Record, context: T) -> Result<(), Full<T>> {
        let Some(permit) = Permit::take(&self.budget, record.bytes().len()) else {
            return Err(Full::Queue { record, context });
        };
        let item = Item {
            lane,
            record,
            context,
            permit,
        };
        match self.queue_of(lane) {
            Some(queue) => queue.push(item),
            None => Err(item),
        }
        .map_err(|item| Full::Stopped {
            record: item.record,
            context: item.context,
        })
    }

    /// Takes no more records, verifies those that wait, and returns when every thread has ended.
    /// A second call finds nothing left to do.
    ///
    /// # Errors
    /// [`StagePanicked`], if a thread ended before its time.
    pub fn shutdown(&self) -> Result<(), StagePanicked> {
        for queue in &self.queues {
            queue.close();
        }
        let threads: Vec<_> = lock(&self.threads).drain(..).collect();
        let mut result = Ok(());
        for thread in threads {
            if thread.join().is_err() {
                result = Err(StagePanicked);
            }
        }
        result
    }

    fn queue_of(&self, lane: u64) -> Option<&Queue<T>> {
        let count = u64::try_from(self.queues.len()).ok()?;
        let place = usize::try_from(lane.checked_rem(count)?).ok()?;
        self.queues.get(place).map(Arc::as_ref)
    }
}

impl<T> Drop for Stage<T> {
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.close();
        }
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a verification thread panicked");
            }
        }
    }
}

impl<T> fmt::Debug for Stage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage")
            .field("threads", &self.queues.len())
            .field("waiting", &self.budget.records.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// A thread's life: verify what waits until the queue is closed and empty.
fn work<T>(queue: &Queue<T>, sink: &impl Fn(Vec<Checked<T>>)) {
    let _closed_on_panic = CloseOnDrop(queue);
    let mut verifier = Verifier::new(limits::VERIFY_KEYS_MAX);
    let mut singled_out = SingledOut::default();
    while let Some(items) = queue.take(limits::VERIFY_BATCH_MAX_RECORDS) {
        sink(check(&mut verifier, &mut singled_out, items));
    }
}

/// Verifies `items`, in their order. Lanes that are singled out are kept out of the batch.
fn check<T>(
    verifier: &mut Verifier,
    singled_out: &mut SingledOut,
    items: Vec<Item<T>>,
) -> Vec<Checked<T>> {
    let batch: Vec<RecordRef<'_>> = items
        .iter()
        .filter(|item| !singled_out.contains(item.lane))
        .map(|item| item.record.view())
        .collect();
    let mut batch_outcomes = verifier.batch(&batch).into_iter();
    let outcomes: Vec<_> = items
        .iter()
        .map(|item| {
            if singled_out.contains(item.lane) {
                verifier.record(item.record.view())
            } else {
                batch_outcomes
                    .next()
                    .unwrap_or(Err(VerifyError::WrongSignature))
            }
        })
        .collect();
    items
        .into_iter()
        .zip(outcomes)
        .map(|(item, outcome)| {
            if outcome == Err(VerifyError::WrongSignature) {
                singled_out.insert(item.lane);
            }
            Checked {
                record: item.record,
                context: item.context,
                outcome,
            }
        })
        .collect()
}

struct Item<T> {
    lane: u64,
    record: Record,
    context: T,
    #[expect(dead_code, reason = "held for its drop, which gives the room back")]
    permit: Permit,
}

/// What waits for one thread.
struct Queue<T> {
    state: Mutex<QueueState<T>>,
    changed: Condvar,
}

struct QueueState<T> {
    items: VecDeque<Item<T>>,
    closed: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(QueueState {
                items: VecDeque::new(),
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<T> Queue<T> {
    fn push(&self, item: Item<T>) -> Result<(), Item<T>> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(item);
        }
        state.items.push_back(item);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for items and takes up to `max` of them; `None` once closed and empty.
    fn take(&self, max: usize) -> Option<Vec<Item<T>>> {
        let mut state = self
            .changed
            .wait_while(lock(&self.state), |state| {
                state.items.is_empty() && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        let count = max.min(state.items.len());
        let items: Vec<_> = state.items.drain(..count).collect();
        (!items.is_empty()).then_some(items)
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_one();
    }
}

/// Closes the queue and drops what waits in it when its thread ends, on panic above all: its
/// senders must not wait for a verdict that never comes.
struct CloseOnDrop<'a, T>(&'a Queue<T>);

impl<T> Drop for CloseOnDrop<'_, T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.closed = true;
        let abandoned = std::mem::take(&mut state.items);
        drop(state);
        drop(abandoned);
    }
}

/// How much waits, all threads together.
#[derive(Default)]
struct Budget {
    records: AtomicUsize,
    bytes: AtomicUsize,
}

/// Room for one record in the [`Budget`], given back on drop.
struct Permit {
    budget: Arc<Budget>,
    len_bytes: usize,
}

impl Permit {
    fn take(budget: &Arc<Budget>, len_bytes: usize) -> Option<Self> {
        let records = budget.records.fetch_add(1, Ordering::Relaxed);
        let bytes = budget.bytes.fetch_add(len_bytes, Ordering::Relaxed);
        let permit = Self {
            budget: Arc::clone(budget),
            len_bytes,
        };
        let fits = records < limits::VERIFY_QUEUE_MAX_RECORDS
            && bytes.saturating_add(len_bytes) <= limits::VERIFY_QUEUE_MAX_BYTES;
        fits.then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.records.fetch_sub(1, Ordering::Relaxed);
        self.budget
            .bytes
            .fetch_sub(self.len_bytes, Ordering::Relaxed);
    }
}

/// The queues hold no invariant that a panic could break half way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
