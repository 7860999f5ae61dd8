//! How one becomes a user: by saying HELLO where registration is open, or by an invitation.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::{UserDesk, UserRegistry};
use crate::base::limits;
use crate::identity::{Directory, PeerKey};
use crate::net::{self, Answers};
use crate::policy::Rates;
use crate::server::judge::Submission;
use crate::store::{Registration, Writer};
use crate::verify::Recent;
use crate::wire::{PublicKey, Redeem, RedeemResult, ResultCode};

/// Registers users where registration is open; does nothing where it is not.
pub(in crate::server) struct Registrar {
    users: Arc<UserRegistry>,
    directory: Arc<Directory>,
    writer: Writer<Submission>,
    rates: Arc<Rates>,
}

impl Registrar {
    pub(in crate::server) fn new(
        users: &Arc<UserRegistry>,
        directory: &Arc<Directory>,
        writer: &Writer<Submission>,
        rates: &Arc<Rates>,
    ) -> Self {
        Self {
            users: Arc::clone(users),
            directory: Arc::clone(directory),
            writer: writer.clone(),
            rates: Arc::clone(rates),
        }
    }

    /// Registers the master for whom `key` speaks, unless that one is served already or was
    /// removed, there is no room, or too many came from that address lately. Where it did, the user
    /// is served from here on, and the log says so durably.
    ///
    /// Blocks: it may read the store, and waits for the writer's next sync.
    pub(in crate::server) fn register(&self, key: &PublicKey, from: IpAddr) {
        if !self.users.may_register(key) {
            return;
        }
        let Some(master) = self.directory.master_of(key) else {
            return;
        };
        if !self.users.may_register(&master) {
            return;
        }
        if !self.rates.may_register(from, Instant::now()) {
            tracing::debug!(user = %master, "too many register from one address");
            return;
        }
        let removed = self.users.removed_of_registered();
        match self.writer.register_user(master, removed) {
            Registration::Added => {
                tracing::info!(user = %master, "user registered");
                self.users.registered(master);
            }
            Registration::Known => self.users.registered(master),
            refused @ (Registration::Full | Registration::NoSpace | Registration::Halted) => {
                tracing::debug!(user = %master, ?refused, "user not registered");
            }
        }
    }
}

/// The thread on which clients become users that said HELLO or brought an invitation.
pub(in crate::server) struct Newcomers {
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    registrar: Arc<Registrar>,
    is_closing: Arc<AtomicBool>,
}

enum Job {
    Register(PublicKey, IpAddr),
    Redeem {
        key: PublicKey,
        redeem: Redeem,
        answers: Answers,
    },
}

/// What the thread works with.
struct Clerk {
    registrar: Arc<Registrar>,
    desk: Arc<UserDesk>,
    /// How often each key came with a wrong invitation, and when the last time was.
    tries: Recent<PublicKey, (u32, Instant)>,
    /// From when on nothing that waits is carried out any more.
    is_closing: Arc<AtomicBool>,
}

impl Newcomers {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gave no thread.
    pub(in crate::server) fn spawn(
        registrar: Arc<Registrar>,
        desk: Arc<UserDesk>,
    ) -> io::Result<Self> {
        let (sender, jobs) = sync_channel::<Job>(limits::ARRIVALS_MAX);
        let is_closing = Arc::new(AtomicBool::new(false));
        let mut clerk = Clerk {
            registrar: Arc::clone(&registrar),
            desk,
            tries: Recent::new(limits::REDEEM_KEYS_MAX),
            is_closing: Arc::clone(&is_closing),
        };
        let thread = thread::Builder::new()
            .name("newcomers".to_owned())
            .spawn(move || jobs.iter().for_each(|job| clerk.carry_out(job)))?;
        Ok(Self {
            jobs: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            registrar,
            is_closing,
        })
    }

    /// Queues a job; gives it back where too many wait, or none is taken any more.
    fn queue(&self, job: Job) -> Result<(), Job> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = jobs.as_ref() else {
            return Err(job);
        };
        sender.try_send(job).map_err(|error| {
            tracing::debug!("too many newcomers wait");
            let (TrySendError::Full(job) | TrySendError::Disconnected(job)) = error;
            job
        })
    }

    /// Drops what waits, for each would take a sync, and returns when the thread has ended. Whether it
    /// ended well. Who is not registered now is when it comes again.
    pub(in crate::server) fn shutdown(&self) -> bool {
        self.is_closing.store(true, Ordering::Release);
        drop(
            self.jobs
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

impl net::Newcomers for Newcomers {
    /// Where too many wait, this one is registered with its first submission, or when it connects
    /// again.
    fn greeted(&self, peer: PeerKey, from: IpAddr) {
        self.queue(Job::Register(*peer.key(), from)).ok();
    }

    fn may_register(&self, peer: PeerKey) -> bool {
        self.registrar.users.may_register(peer.key())
    }

    fn register(&self, peer: PeerKey, from: IpAddr) {
        self.registrar.register(peer.key(), from);
    }

    fn redeem(&self, peer: PeerKey, redeem: Redeem, answers: Answers) {
        let job = Job::Redeem {
            key: *peer.key(),
            redeem,
            answers,
        };
        if let Err(Job::Redeem { answers, .. }) = self.queue(job) {
            answers.redeemed(refused(ResultCode::TemporaryError, "too many wait"));
        }
    }
}

impl Drop for Newcomers {
    fn drop(&mut self) {
        if !self.shutdown() {
            tracing::error!("the newcomers' thread panicked");
        }
    }
}

impl Clerk {
    fn carry_out(&mut self, job: Job) {
        let is_closing = self.is_closing.load(Ordering::Acquire);
        match job {
            Job::Register(..) if is_closing => {}
            Job::Register(key, from) => self.registrar.register(&key, from),
            Job::Redeem { answers, .. } if is_closing => {
                let result = ResultCode::TemporaryError;
                answers.redeemed(refused(result, "the server is shutting down"));
            }
            Job::Redeem {
                key,
                redeem,
                answers,
            } => answers.redeemed(self.redeem(&key, &redeem)),
        }
    }

    fn redeem(&mut self, key: &PublicKey, redeem: &Redeem) -> RedeemResult {
        let now = Instant::now();
        let fresh = |last: &Instant| now.duration_since(*last) < limits::REDEEM_PAUSE;
        let tries = self.tries.get(key).filter(|(_, last)| fresh(last));
        let tries = tries.map_or(0, |(tries, _)| *tries);
        if tries >= limits::REDEEM_TRIES_MAX {
            return refused(
                ResultCode::TooFast,
                "too many wrong invitations; wait a minute",
            );
        }
        let Some(master) = self.registrar.directory.master_of(key) else {
            return refused(
                ResultCode::Unauthorized,
                "this key speaks for nobody any more",
            );
        };
        let result = self.desk.redeem(master, &redeem.code);
        if result.result == ResultCode::NotFound {
            tracing::debug!(tries, "a wrong invitation");
            self.tries.insert(*key, (tries.saturating_add(1), now), 1);
        }
        result
    }
}

fn refused(result: ResultCode, why: &str) -> RedeemResult {
    RedeemResult {
        result,
        why: Some(why.to_owned()),
    }
}
