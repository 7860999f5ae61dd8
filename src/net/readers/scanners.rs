//! The threads for reads that go on and on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::base::limits::{PACED_BURST, SCANNER_NICENESS, SCANNERS_MAX};

/// A page of a long read. It sends its result itself.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Threads that carry out pages of long reads in the order in which they were handed in. Dropping
/// it waits until the pages that are being read are done; what waits is not begun.
///
/// They stand back for everything else, in two ways. Their pages are paced
/// ([`PageBudget::paced`](crate::store::PageBudget::paced)), so that processor and disk are free half
/// of the time, and soon. And the system prefers every other thread to them; that alone would not
/// do, for it lets a thread run for some milliseconds before it looks who else would like to.
#[derive(Debug)]
pub(super) struct Scanners {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Scanners {
    /// Starts the threads.
    ///
    /// # Errors
    /// What the system says where it has no thread left.
    pub(super) fn start() -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut scanners = Self {
            jobs: Some(sender),
            threads: Vec::new(),
        };
        for number in 0..SCANNERS_MAX {
            let receiver = Arc::clone(&receiver);
            let thread = thread::Builder::new().name(format!("scan-{number}"));
            scanners
                .threads
                .push(thread.spawn(move || scan(&receiver))?);
        }
        Ok(scanners)
    }

    /// Queues a page.
    pub(super) fn hand_in(&self, job: Job) {
        // The threads end after the sender. A job that is dropped tells its reader so.
        if let Some(jobs) = &self.jobs {
            drop(jobs.send(job));
        }
    }
}

impl Drop for Scanners {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A page may hold the last handle to us.
            if thread.thread().id() != thread::current().id() {
                // Jobs cannot make it panic.
                drop(thread.join());
            }
        }
    }
}

fn scan(jobs: &Mutex<mpsc::Receiver<Job>>) {
    if let Err(error) = rustix::process::nice(SCANNER_NICENESS) {
        tracing::debug!(%error, "long reads have the priority of short ones");
    }
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else {
            return;
        };
        let began = Instant::now();
        // Its reader is told by the end of its channel, and traces it.
        drop(catch_unwind(AssertUnwindSafe(job)));
        // It rested in between already, except for the end of it.
        thread::sleep(began.elapsed().min(PACED_BURST));
    }
}
