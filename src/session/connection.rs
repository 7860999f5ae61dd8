//! What the streams of one connection share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::excess::Excess;
use super::settings::Settings;
use crate::base::limits;
use crate::identity::Peer;
use crate::wire::{EXTENSION_APP, Refused};

/// What the streams of one connection share: who the peer is, and what HELLO settled.
///
/// HELLO is said once in the life of a connection, on any of its streams. Streams opened later
/// need none.
#[derive(Debug)]
pub struct Connection {
    peer: Peer,
    settings: Arc<Settings>,
    phase: Mutex<Phase>,
    /// Bytes that the open reads of all streams hold.
    reads_bytes: Arc<AtomicUsize>,
    /// BLOBs that are being handed in on all streams.
    uploads: Arc<AtomicUsize>,
    /// The last limit that a request ran into.
    excess: Mutex<Option<Excess>>,
}

#[derive(Debug)]
enum Phase {
    /// Nothing but HELLO may come.
    AwaitHello,
    /// HELLO came.
    Greeted(Greeting),
    /// The peer broke the protocol; the connection is being closed.
    Closed,
}

/// What HELLO settled.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    /// The applications that were granted, in the order in which they were asked for.
    pub(super) apps: Arc<[u32]>,
}

/// What a HELLO came to.
#[derive(Clone, Debug)]
pub(super) enum Hello {
    /// It was the connection's first.
    First(Greeting),
    /// There was one before.
    Again,
    /// The connection is being closed; there is no answer.
    TooLate,
}

/// A part of what the open reads of a connection may hold; given back when it is dropped.
#[derive(Debug)]
pub(super) struct HeldBytes {
    bytes: usize,
    reads_bytes: Arc<AtomicUsize>,
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.reads_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One of the BLOBs that a connection may hand in at a time; given back when it is dropped.
#[derive(Debug)]
pub(super) struct HeldUpload(Arc<AtomicUsize>);

impl Drop for HeldUpload {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// A connection whose handshake is over.
    #[must_use]
    pub fn new(peer: Peer, settings: Arc<Settings>) -> Self {
        Self {
            peer,
            settings,
            phase: Mutex::new(Phase::AwaitHello),
            reads_bytes: Arc::default(),
            uploads: Arc::default(),
            excess: Mutex::default(),
        }
    }

    /// Who the peer proved to be.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// What the listener's connections have in common.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether HELLO came, on whichever stream.
    ///
    /// A peer that opens no stream meets no stream's deadline, so whoever owns the connection asks
    /// this when [`limits::HELLO_TIMEOUT`] has passed.
    #[must_use]
    pub fn is_greeted(&self) -> bool {
        matches!(*self.phase(), Phase::Greeted(_))
    }

    /// Whether HELLO ACK granted the extension set.
    pub(super) fn has_extensions(&self) -> bool {
        match &*self.phase() {
            Phase::Greeted(greeting) => greeting.apps.contains(&EXTENSION_APP),
            Phase::AwaitHello | Phase::Closed => false,
        }
    }

    /// Takes a HELLO that asks for the applications `asked`.
    pub(super) fn hello(&self, asked: &[u32]) -> Hello {
        let mut phase = self.phase();
        match &*phase {
            Phase::AwaitHello => {}
            Phase::Greeted(_) => return Hello::Again,
            Phase::Closed => return Hello::TooLate,
        }
        let greeting = Greeting {
            apps: self.granted(asked).into(),
        };
        *phase = Phase::Greeted(greeting.clone());
        Hello::First(greeting)
    }

    /// Takes note of a request that ran into a limit.
    pub(super) fn note(&self, excess: Excess) {
        tracing::debug!(%excess, "a request is refused");
        *self.excess.lock().unwrap_or_else(PoisonError::into_inner) = Some(excess);
    }

    /// The last request that ran into a limit.
    pub(super) fn refused(&self) -> Option<Refused> {
        let excess = *self.excess.lock().unwrap_or_else(PoisonError::into_inner);
        excess.map(Excess::told)
    }

    /// Sets `bytes` aside for a read that is to be opened. `None` where all reads of the
    /// connection would then hold more than [`limits::CONNECTION_READS_MAX_BYTES`].
    pub(super) fn hold(&self, bytes: usize) -> Option<HeldBytes> {
        let added = |held: usize| {
            let held = held.checked_add(bytes)?;
            (held <= limits::CONNECTION_READS_MAX_BYTES).then_some(held)
        };
        self.reads_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, added)
            .ok()?;
        Some(HeldBytes {
            bytes,
            reads_bytes: Arc::clone(&self.reads_bytes),
        })
    }

    /// Makes room for one more BLOB that is handed in. `None` where there are
    /// [`limits::CONNECTION_UPLOADS_MAX`] already.
    pub(super) fn hold_upload(&self) -> Option<HeldUpload> {
        let added = |uploads: usize| {
            (uploads < limits::CONNECTION_UPLOADS_MAX).then_some(uploads.saturating_add(1))
        };
        self.uploads
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, added)
            .ok()?;
        Some(HeldUpload(Arc::clone(&self.uploads)))
    }

    /// From here on no stream of the connection takes a HELLO.
    pub(super) fn close(&self) {
        *self.phase() = Phase::Closed;
    }

    /// Of the applications `asked`, those that are served here; each once.
    fn granted(&self, asked: &[u32]) -> Vec<u32> {
        let mut granted = Vec::new();
        for app in asked {
            let is_served = *app == EXTENSION_APP || self.settings.serves(*app);
            if is_served && !granted.contains(app) {
                granted.push(*app);
            }
        }
        granted
    }

    /// What is under the lock is replaced in one step, so a panic elsewhere can not leave it half done.
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
