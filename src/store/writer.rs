//! The one thread that changes the store.

use std::{
    fmt, mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering,
        mpsc::{self, SyncSender},
    },
    thread::{self, JoinHandle},
};

use thiserror::Error;

use super::{
    Store,
    act::{Act, Acted},
    blobs::{BlobQueue, BlobWork, BlobWriter, Blobs},
    commit,
    counts::Counts,
    entry::{Entry, Judgement, Outcome, Vouched},
    error::StoreError,
    queue::{Bounds, Queue, Weight},
    stage::{Ground, Stage},
    usage::{self, Accounts},
    view::View,
};
use crate::{
    base::{Causes, Seq, limits},
    wire::{Duplicates, PublicKey, Record, RecordRef, Timestamp},
};

/// The decisions and effects around a submission. The writer calls it from its own thread only, one
/// record after the other in the order of the log, so it may keep state without locks.
///
/// It must not call [`Writer::submit`], [`Writer::register_user`], [`Writer::act`] or
/// [`Writer::shutdown`]: they wait for the thread that calls it.
pub trait Judge: Send + 'static {
    /// What a submission carries along, for instance where its answer goes.
    type Context: Send + 'static;

    /// Decides about a record whose hash and signature are good. Duplicates come here too.
    fn judge(
        &mut self,
        record: RecordRef<'_>,
        context: &Self::Context,
        received: Timestamp,
    ) -> Judgement;

    /// How the signer of a record that is here is vouched for by now; `None` where it was taken
    /// back, so that the record counts for nothing, and no longer holds its address.
    fn vouched_now(&self, known: &Entry) -> Option<Vouched> {
        Some(known.vouched)
    }

    /// The record was taken into the batch: from now on later records may be judged by it. If the
    /// batch cannot be written the store halts, and nothing is judged any more. A held record comes
    /// here when it is released.
    fn stored(&mut self, record: &Record);

    /// The entries are durable, in the order of the log. Comes before the replies. Held records are
    /// not among them; they are when they are released, at their new places.
    fn publish(&mut self, entries: &[Arc<Entry>]);

    /// An ephemeral record for whoever listens now; returns how many do. It is never stored.
    fn announce(&mut self, entry: &Arc<Entry>) -> usize;

    /// The answer to a submission. Comes exactly once for each, unless the judge panics.
    fn reply(&mut self, context: Self::Context, outcome: Outcome);
}

/// Handle to the writer thread of a [`Store`]. Clones are handles to the same one; when the last
/// is dropped the thread writes what is queued and ends by itself.
pub struct Writer<C: Send + 'static> {
    handle: Arc<Handle<C>>,
}

/// How a registration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The user is registered from now on; that is durable.
    Added,
    /// The user was registered before.
    Known,
    /// There are as many users as there may be.
    Full,
    /// The disk has less free space than the floor.
    NoSpace,
    /// The store does not write any more, or the writer was shut down.
    Halted,
}

/// Why a submission was not queued; it is handed back.
#[derive(Debug, Error)]
pub enum SubmitError<C> {
    /// The writer was shut down, or has failed.
    #[error("writer is shut down")]
    Closed(Record, C),
}

struct Handle<C: Send + 'static> {
    queue: Arc<Queue<Work<C>>>,
    thread: Mutex<Thread>,
}

enum Thread {
    Runs(JoinHandle<()>),
    Ended,
    Panicked,
}

enum Work<C> {
    Record(Record, C),
    User(Newcomer, SyncSender<Registration>),
    Act(Box<Act>, SyncSender<Acted>),
    Blob(BlobWork),
}

/// A user to be registered.
struct Newcomer {
    user: PublicKey,
    /// Users in the log who do not count.
    removed: u64,
}

/// Whom the answer to a piece of work goes to.
enum Asker<C> {
    Submission(C, Outcome),
    Registration(SyncSender<Registration>, Registration),
    Act(SyncSender<Acted>, Acted),
}

impl<C: Send + 'static> Writer<C> {
    /// Starts the writer thread of `store`.
    ///
    /// # Errors
    /// - [`StoreError::WriterRuns`]: the store has one already.
    /// - [`StoreError::Thread`]: the operating system gave no thread.
    /// - [`StoreError::Damaged`]: the counters cannot be read.
    pub fn spawn<J: Judge<Context = C>>(store: Store, judge: J) -> Result<Self, StoreError> {
        if store.shared.has_writer.swap(true, Ordering::AcqRel) {
            return Err(StoreError::WriterRuns);
        }
        let queue = Arc::new(Queue::new(QUEUE));
        let guard = End {
            store: store.clone(),
            queue: Arc::clone(&queue),
        };
        let mut works = Works {
            counts: store.shared.db.counts()?,
            accounts: Accounts::default(),
            store,
            judge,
            blobs: Blobs::default(),
        };
        let run = move || {
            while let Some(queued) = guard.queue.take(BATCH) {
                works.run(queued);
            }
        };
        let thread = thread::Builder::new().name("store-writer".to_owned());
        let thread = thread.spawn(run).map_err(StoreError::Thread)?;
        let handle = Handle {
            queue,
            thread: Mutex::new(Thread::Runs(thread)),
        };
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    /// Queues a verified record; waits while the queue is full. The judge replies to `context`.
    ///
    /// # Errors
    /// [`SubmitError::Closed`]: the writer was shut down; nothing will come of the record.
    pub fn submit(&self, record: Record, context: C) -> Result<(), SubmitError<C>> {
        self.handle
            .queue
            .push(Work::Record(record, context))
            .or_else(Work::hand_back)
    }

    /// Registers a user. Of those in the log `removed` ones do not count against
    /// [`users_max`](super::StoreOptions::users_max). Blocks until that is durable.
    #[must_use]
    pub fn register_user(&self, user: PublicKey, removed: u64) -> Registration {
        let (asker, answer) = mpsc::sync_channel(1);
        if self
            .handle
            .queue
            .push(Work::User(Newcomer { user, removed }, asker))
            .is_err()
        {
            return Registration::Halted;
        }
        answer.recv().unwrap_or(Registration::Halted)
    }

    /// The same writer, for BLOBs.
    #[must_use]
    pub fn blobs(&self) -> BlobWriter {
        BlobWriter::new(Arc::clone(&self.handle.queue) as Arc<dyn BlobQueue>)
    }

    /// Changes the store other than by a submission: everything in `act`, or nothing. Blocks until that
    /// is durable. Records that it releases are published like any that are stored.
    #[must_use]
    pub fn act(&self, act: Act) -> Acted {
        if !act.is_bounded() {
            return Acted::TooLarge;
        }
        let (asker, answer) = mpsc::sync_channel(1);
        let work = Work::Act(Box::new(act), asker);
        if self.handle.queue.push(work).is_err() {
            return Acted::Halted;
        }
        answer.recv().unwrap_or(Acted::Halted)
    }

    /// Submissions that wait for the writer.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.handle.queue.len()
    }

    /// Takes nothing more, writes and answers what is queued, and returns when the thread has ended.
    /// Whoever calls it again, at the same time or later, waits for the same end.
    ///
    /// # Errors
    /// [`StoreError::WriterPanicked`]: the thread ended by a panic, most likely the judge's.
    pub fn shutdown(&self) -> Result<(), StoreError> {
        self.handle.queue.close();
        let thread = self.handle.thread.lock();
        let mut thread = thread.unwrap_or_else(PoisonError::into_inner);
        *thread = match mem::replace(&mut *thread, Thread::Ended) {
            Thread::Runs(running) => running.join().map_or(Thread::Panicked, |()| Thread::Ended),
            ended => ended,
        };
        match *thread {
            Thread::Panicked => Err(StoreError::WriterPanicked),
            Thread::Runs(_) | Thread::Ended => Ok(()),
        }
    }
}

impl<C: Send + 'static> Clone for Writer<C> {
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
        }
    }
}

impl<C: Send + 'static> fmt::Debug for Writer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}

/// The last writer to be dropped waits for the thread, as [`Writer::shutdown`] does: were it left
/// running, it could still close the database while the process takes RocksDB's statics apart.
impl<C: Send + 'static> Drop for Handle<C> {
    fn drop(&mut self) {
        self.queue.close();
        let thread = self.thread.get_mut();
        let thread = thread.unwrap_or_else(PoisonError::into_inner);
        if let Thread::Runs(running) = mem::replace(thread, Thread::Ended) {
            // What the thread itself drops cannot wait for it; its panic has halted the store.
            if running.thread().id() != thread::current().id() && running.join().is_err() {
                tracing::error!("the writer thread panicked");
            }
        }
    }
}

impl<C> Work<C> {
    fn hand_back(self) -> Result<(), SubmitError<C>> {
        match self {
            Self::Record(record, context) => Err(SubmitError::Closed(record, context)),
            Self::User(..) | Self::Act(..) | Self::Blob(_) => Ok(()),
        }
    }
}

impl<C> Weight for Work<C> {
    fn weight_bytes(&self) -> usize {
        match self {
            Self::Record(record, _) => record.bytes().len(),
            Self::User(..) => USER_BYTES,
            Self::Blob(work) => work.weight_bytes(),
            Self::Act(act, _) => act.bytes(),
        }
    }
}

/// For BLOBs, which bound by themselves what they queue: with each chunk comes the room for it, and
/// each upload has one piece of other work at a time.
impl<C: Send> BlobQueue for Queue<Work<C>> {
    fn push(&self, work: BlobWork) -> bool {
        self.push_anyway(Work::Blob(work)).is_ok()
    }
}

/// Lives as long as the thread and cleans up after it, also after a panic.
struct End<C> {
    store: Store,
    queue: Arc<Queue<Work<C>>>,
}

impl<C> Drop for End<C> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.store.halt("the writer thread panicked".to_owned());
        }
        self.queue.abandon();
        self.store.shared.has_writer.store(false, Ordering::Release);
    }
}

/// What the thread works with.
struct Works<J> {
    store: Store,
    judge: J,
    counts: Counts,
    blobs: Blobs,
    accounts: Accounts,
}

impl<J: Judge> Works<J> {
    /// Does everything that was queued, in as many batches as it takes: first what is small, so
    /// that no record waits for the data of BLOBs that were queued beside it.
    fn run(&mut self, queued: Vec<Work<J::Context>>) {
        let mut blobs = Vec::new();
        let queued = queued.into_iter().filter_map(|work| match work {
            Work::Blob(work) => {
                blobs.push(work);
                None
            }
            other => Some(other),
        });
        let queued: Vec<_> = queued.collect();
        self.run_batches(queued);
        let blobs = blobs.into_iter();
        self.blobs.run(&self.store, &mut self.counts, blobs);
    }

    fn run_batches(&mut self, queued: Vec<Work<J::Context>>) {
        let mut queued = queued.into_iter().peekable();
        while queued.peek().is_some() {
            let mut askers = Vec::new();
            if self.store.halted().is_some() {
                askers.extend(queued.by_ref().filter_map(Asker::halted));
            } else if let Err(error) = self.batch(&mut queued, &mut askers) {
                self.store.halt(reason(&error));
                askers.iter_mut().for_each(Asker::break_promise);
            }
            for asker in askers {
                self.answer(asker);
            }
        }
    }

    /// Stages what is queued until a batch is full, writes and publishes it.
    fn batch(
        &mut self,
        queued: &mut impl Iterator<Item = Work<J::Context>>,
        askers: &mut Vec<Asker<J::Context>>,
    ) -> Result<(), StoreError> {
        let store = self.store.clone();
        let view = View::new(&store.shared.db, store.tail());
        let ground = Ground {
            space: store.space(),
            has_removed: self.counts.removed > 0,
            accounts: mem::take(&mut self.accounts),
        };
        let mut stage = Stage::new(&view, ground)?;
        let mut received = store.last_received();
        while !stage.is_full()
            && let Some(work) = queued.next()
        {
            received = received.max(Timestamp::now());
            match work {
                Work::Record(record, context) => {
                    let outcome = self.consider(&mut stage, record, &context, received);
                    let known = outcome.as_ref().map_or(Outcome::Halted, Outcome::clone);
                    askers.push(Asker::Submission(context, known));
                    outcome?;
                }
                Work::User(user, asker) => {
                    let outcome = self.consider_user(&mut stage, user, received);
                    let known = outcome.as_ref().map_or(Registration::Halted, |it| *it);
                    askers.push(Asker::Registration(asker, known));
                    outcome?;
                }
                Work::Act(act, asker) => {
                    let acted = self.consider_act(&mut stage, *act, received);
                    let known = acted.as_ref().map_or(Acted::Halted, Acted::clone);
                    askers.push(Asker::Act(asker, known));
                    acted?;
                }
                // They were sorted out before.
                Work::Blob(_) => {}
            }
        }
        if stage.is_empty() {
            self.accounts = stage.into_parts().accounts;
            return Ok(());
        }
        let (tail, received) = (stage.next().prev(), stage.received());
        let written = commit::commit(&store.shared.db, stage, self.counts)?;
        self.counts = written.counts;
        self.accounts = written.accounts;
        store.advance(tail, received);
        self.judge.publish(&written.entries);
        Ok(())
    }

    fn consider(
        &mut self,
        stage: &mut Stage<'_>,
        record: Record,
        context: &J::Context,
        received: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let view = record.view();
        let is_ephemeral = view.kind().duplicates() == Duplicates::Ephemeral;
        let judgement = self.judge.judge(view, context, received);
        let (roles, vouched, submitter, held, charges) = match judgement {
            Judgement::Refuse(code) => return Ok(Outcome::Refused(code)),
            Judgement::Store {
                roles,
                vouched,
                submitter,
                held,
                charges,
            } => (roles, vouched, submitter, held, charges),
        };
        let entry = Arc::new(Entry {
            seq: if is_ephemeral {
                Seq::ZERO
            } else {
                stage.next()
            },
            received,
            roles,
            vouched,
            submitter,
            held,
            charged: if charges.is_empty() {
                Arc::default()
            } else {
                usage::charged(&charges).into()
            },
            record,
        });
        if is_ephemeral {
            return Ok(Outcome::Announced(self.judge.announce(&entry)));
        }
        let vouched_now = |known: &Entry| self.judge.vouched_now(known);
        let outcome = stage.offer(&entry, &charges, &vouched_now)?;
        if let Outcome::Stored(_) = outcome
            && !held
        {
            self.judge.stored(&entry.record);
        }
        Ok(outcome)
    }

    fn consider_act(
        &mut self,
        stage: &mut Stage<'_>,
        act: Act,
        received: Timestamp,
    ) -> Result<Acted, StoreError> {
        let vouched_now = |known: &Entry| self.judge.vouched_now(known);
        let (acted, released) = stage.act(act, received, &vouched_now)?;
        for record in &released {
            self.judge.stored(record);
        }
        Ok(acted)
    }

    fn consider_user(
        &mut self,
        stage: &mut Stage<'_>,
        Newcomer { user, removed }: Newcomer,
        received: Timestamp,
    ) -> Result<Registration, StoreError> {
        if stage.has_user(&user)? {
            return Ok(Registration::Known);
        }
        let users = self.counts.users + stage.new_users() as u64;
        if users.saturating_sub(removed) >= self.store.shared.settings.users_max {
            return Ok(Registration::Full);
        }
        let is_staged = stage.register(user, received)?;
        Ok(if is_staged {
            Registration::Added
        } else {
            Registration::NoSpace
        })
    }

    fn answer(&mut self, asker: Asker<J::Context>) {
        match asker {
            Asker::Submission(context, outcome) => self.judge.reply(context, outcome),
            Asker::Registration(asker, registration) => {
                // Whoever asked may be gone; the registration stands.
                if asker.try_send(registration).is_err() {
                    tracing::debug!("nobody waits for the end of a registration");
                }
            }
            Asker::Act(asker, acted) => {
                if asker.try_send(acted).is_err() {
                    tracing::debug!("nobody waits for the end of an act");
                }
            }
        }
    }
}

impl<C> Asker<C> {
    fn halted(work: Work<C>) -> Option<Self> {
        Some(match work {
            Work::Record(_, context) => Self::Submission(context, Outcome::Halted),
            Work::User(_, asker) => Self::Registration(asker, Registration::Halted),
            Work::Act(_, asker) => Self::Act(asker, Acted::Halted),
            // Those answer for themselves.
            Work::Blob(_) => return None,
        })
    }

    /// Takes back an outcome of a batch that could not be written. Almost any may rest on an entry
    /// of that batch; an ephemeral record is out already.
    fn break_promise(&mut self) {
        match self {
            Self::Submission(_, Outcome::Announced(_)) => {}
            Self::Submission(_, outcome) => *outcome = Outcome::Halted,
            Self::Registration(_, registration) => *registration = Registration::Halted,
            Self::Act(_, acted) => *acted = Acted::Halted,
        }
    }
}

/// The whole chain of an error in one line.
pub(super) fn reason(error: &dyn std::error::Error) -> String {
    Causes(error).to_string()
}

const QUEUE: Bounds = Bounds {
    items: limits::COMMIT_QUEUE_MAX_RECORDS,
    bytes: limits::COMMIT_QUEUE_MAX_BYTES,
};

const BATCH: Bounds = Bounds {
    items: limits::COMMIT_MAX_RECORDS,
    bytes: limits::COMMIT_MAX_BYTES,
};

/// What a registration counts for in the queue.
const USER_BYTES: usize = 64;
