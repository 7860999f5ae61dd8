//! Open registration: the first connection of a client registers the master it speaks for.

use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::judge::Submission;
use super::served::ServedUsers;
use crate::base::limits;
use crate::identity::Directory;
use crate::policy::Served;
use crate::store::{Registration, Writer};
use crate::wire::PublicKey;

/// Registers users where registration is open; does nothing where it is closed.
pub(super) struct Registrar {
    pub(super) users: Arc<ServedUsers>,
    pub(super) directory: Arc<Directory>,
    pub(super) writer: Writer<Submission>,
}

impl Registrar {
    /// Registers the master for whom `key` speaks, unless that one is served already or there is
    /// no room. Where it returns the user is served, and the log says so durably.
    ///
    /// Blocks: it may read the store, and waits for the writer's next sync.
    pub(super) fn register(&self, key: &PublicKey) {
        if !self.users.has_room() || self.users.contains(key) {
            return;
        }
        let Some(master) = self.directory.master_of(key) else {
            return;
        };
        if self.users.contains(&master) {
            return;
        }
        match self.writer.register_user(master) {
            Registration::Added => {
                tracing::info!(user = %master, "user registered");
                self.users.add(master);
            }
            Registration::Known => self.users.add(master),
            refused @ (Registration::Full | Registration::NoSpace | Registration::Halted) => {
                tracing::debug!(user = %master, ?refused, "user not registered");
            }
        }
    }
}

/// The thread on which clients are registered that connected and have submitted nothing.
pub(super) struct Arrivals {
    keys: Mutex<Option<SyncSender<PublicKey>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Arrivals {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gave no thread.
    pub(super) fn spawn(registrar: Arc<Registrar>) -> io::Result<Self> {
        let (sender, keys) = sync_channel::<PublicKey>(limits::ARRIVALS_MAX);
        let thread = thread::Builder::new()
            .name("registrar".to_owned())
            .spawn(move || keys.iter().for_each(|key| registrar.register(&key)))?;
        Ok(Self {
            keys: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Takes note of a client. Never blocks: where too many wait, this one is registered with its
    /// first submission, or when it connects again.
    pub(super) fn note(&self, key: PublicKey) {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = keys.as_ref() else {
            return;
        };
        if let Err(TrySendError::Full(_)) = sender.try_send(key) {
            tracing::debug!("too many clients wait for registration");
        }
    }

    /// Registers those who wait, and returns when the thread has ended. Whether it ended well.
    pub(super) fn shutdown(&self) -> bool {
        drop(
            self.keys
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        thread.is_none_or(|thread| thread.join().is_ok())
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        if !self.shutdown() {
            tracing::error!("the registrar's thread panicked");
        }
    }
}
