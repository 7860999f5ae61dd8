//! Who asks: a peer, and the master for whom its key speaks at the moment.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::readers::{Lane, Readers};
use crate::base::Role;
use crate::identity::{Directory, Peer, ScheduleSource, Standing};
use crate::session::{Reader, Submitter};
use crate::store::Entry;
use crate::wire::{PublicKey, Record};

/// The peer of one connection. Its streams and their requests share it.
///
/// The peer's key is a signing key; whose it is changes as key schedules arrive. The answer is kept
/// with the directory's epoch, and looked up again when that has moved; off the async workers where
/// the store has to be read for it.
pub(super) struct Requester {
    peer: Peer,
    /// Where the peer was when its handshake ended, canonical.
    address: IpAddr,
    directory: Arc<Directory>,
    readers: Readers,
    resolved: Mutex<Option<Resolved>>,
}

/// The key schedules of a listener without a store.
pub(super) struct NoSchedules;

impl ScheduleSource for NoSchedules {
    fn newest_schedule(&self, _: &PublicKey) -> Option<Record> {
        None
    }

    fn schedules_listing(&self, _: &PublicKey) -> Vec<Record> {
        Vec::new()
    }
}

#[derive(Clone, Copy)]
struct Resolved {
    epoch: u64,
    master: Option<PublicKey>,
}

impl Requester {
    pub(super) fn new(
        (peer, address): (Peer, IpAddr),
        directory: Arc<Directory>,
        readers: Readers,
    ) -> Self {
        Self {
            peer,
            address,
            directory,
            readers,
            resolved: Mutex::new(None),
        }
    }

    /// Where the peer is.
    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    /// The connection's share of the pool that reads the store.
    pub(super) const fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Whether what is known of the peer's master still holds.
    pub(super) fn is_fresh(&self) -> bool {
        match self.peer {
            Peer::Anonymous => true,
            Peer::Known(_) => self
                .resolved()
                .is_some_and(|resolved| resolved.epoch == self.directory.epoch()),
        }
    }

    /// Looks the master up again if the directory moved. Where that fails the peer speaks for
    /// nobody until the next time.
    pub(super) async fn refresh(&self) {
        let Some(key) = self.peer.key().copied() else {
            return;
        };
        if self.is_fresh() {
            return;
        }
        // The epoch first: a change during the lookup leaves the answer stale, not wrong.
        let epoch = self.directory.epoch();
        // Mostly it was somebody else's schedule that came in: then the answer is here, and no
        // connection stands in a queue for it.
        if let Some(master) = self.directory.master_of_at_hand(&key) {
            *self.resolved() = Some(Resolved { epoch, master });
            return;
        }
        let directory = Arc::clone(&self.directory);
        let looked_up = self.readers.run(Lane::Short, move || {
            let epoch = directory.epoch();
            let master = directory.master_of(&key);
            Resolved { epoch, master }
        });
        let resolved = looked_up.await.ok();
        *self.resolved() = resolved;
    }

    /// What the key schedules say now of the signer of `entry`. May read the store, so it belongs
    /// on the pool.
    pub(super) fn standing(&self, entry: &Entry) -> Standing {
        let record = entry.record.view();
        let (signer, author) = (record.signer(), record.author());
        let directory = &self.directory;
        directory.speaks_for(&signer, &author, record.timestamp(), entry.received)
    }

    /// As [`standing`](Self::standing), but it never blocks; `None` where it is not at hand.
    pub(super) fn standing_at_hand(&self, entry: &Entry) -> Option<Standing> {
        let record = entry.record.view();
        let (signer, author) = (record.signer(), record.author());
        let directory = &self.directory;
        directory.speaks_for_at_hand(&signer, &author, record.timestamp(), entry.received)
    }

    /// Who reads, on a stream bound to `bound` and `app`.
    pub(super) fn reader(&self, bound: Option<Role>, app: Option<u32>) -> Reader {
        Reader {
            peer: self.peer,
            master: self.master(),
            bound,
            app,
        }
    }

    /// Who submits, on a stream bound to `bound` and `app`.
    pub(super) fn submitter(&self, bound: Option<Role>, app: Option<u32>) -> Submitter {
        Submitter {
            peer: self.peer,
            master: self.master(),
            bound,
            app,
        }
    }

    /// The key that the peer proved to hold.
    pub(super) const fn key(&self) -> Option<&PublicKey> {
        self.peer.key()
    }

    /// The master for whom the peer's key spoke when that was last looked up.
    pub(super) fn master(&self) -> Option<PublicKey> {
        self.resolved().and_then(|resolved| resolved.master)
    }

    fn resolved(&self) -> MutexGuard<'_, Option<Resolved>> {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
