//! The operator's orders about users.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use super::rows::{self, Decision, UserRow};
use super::{State, UserRegistry};
use crate::base::limits;
use crate::config::{Joining, Quotas};
use crate::server::judge::Submission;
use crate::store::{Act, Acted, Expect, StateChange, StateTable, Store, StoreError, Usage, Writer};
use crate::wire::{PublicKey, Timestamp, UserReport};

/// Carries out orders about users and invitations. Every order that changes something is one act:
/// it is in the audit trail, and durable when the call returns.
///
/// All calls block: they read the store, or wait for the writer.
#[derive(Debug)]
pub struct UserDesk {
    pub(super) registry: Arc<UserRegistry>,
    store: Store,
    writer: Writer<Submission>,
    /// Held from the look at what is there to the change of it.
    turn: Mutex<()>,
}

/// What is known of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// The master key.
    pub user: PublicKey,
    /// Whether they are served.
    pub served: bool,
    /// How they became a user, or that they are none any more.
    pub source: UserSource,
    /// What is kept for them.
    pub usage: Usage,
    /// How much may be; 0 sets no bound.
    pub quotas: Quotas,
    /// Whether those bounds were set for this user.
    pub has_own_quotas: bool,
}

/// How somebody became a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSource {
    /// By the configuration.
    Listed,
    /// By the operator or an invitation.
    Added,
    /// By connecting.
    Registered,
    /// Not at all, or not any more.
    Removed,
}

impl UserSource {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Added => "added",
            Self::Registered => "registered",
            Self::Removed => "removed",
        }
    }
}

/// New bounds of one user. What is absent stays; 0 sets no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaChange {
    /// Records that they publish.
    pub records: Option<u64>,
    /// Bytes of those.
    pub bytes: Option<u64>,
    /// Records that others leave for them.
    pub delivered_records: Option<u64>,
    /// Bytes of those.
    pub delivered_bytes: Option<u64>,
}

impl QuotaChange {
    /// `quotas` with the change made.
    #[must_use]
    pub fn over(&self, quotas: Quotas) -> Quotas {
        Quotas {
            records: self.records.unwrap_or(quotas.records),
            bytes: self.bytes.unwrap_or(quotas.bytes),
            delivered_records: self.delivered_records.unwrap_or(quotas.delivered_records),
            delivered_bytes: self.delivered_bytes.unwrap_or(quotas.delivered_bytes),
        }
    }
}

/// Why an order was not carried out. Nothing was changed.
#[derive(Debug, Error)]
pub enum OrderError {
    /// There is nothing by that name.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// What is asked for is so already.
    #[error("{0} already")]
    Already(&'static str),
    /// A value is out of its range.
    #[error("{0}")]
    BadValue(String),
    /// Something else changed it at the same time.
    #[error("it was changed at the same time; try again")]
    Conflict,
    /// The disk has less free space than the floor.
    #[error("there is less free space on the disk than the floor")]
    NoSpace,
    /// The store does not write any more.
    #[error("the store does not write any more")]
    Halted,
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
}

impl UserDesk {
    pub(in crate::server) fn new(
        registry: Arc<UserRegistry>,
        store: Store,
        writer: Writer<Submission>,
    ) -> Self {
        Self {
            registry,
            store,
            writer,
            turn: Mutex::new(()),
        }
    }

    /// Serves `user`, with bounds of their own if there are some. Also takes back a removal.
    ///
    /// # Errors
    /// [`OrderError::Already`] if they are served, by the operator's word and with these bounds;
    /// or why the act was not done.
    pub fn add_user(
        &self,
        by: PublicKey,
        user: PublicKey,
        quotas: Option<Quotas>,
    ) -> Result<(), OrderError> {
        let _turn = self.turn();
        let known = self.registry.row(&user);
        let is_served = known.is_some_and(|row| row.decision == Some(Decision::Added));
        if is_served && quotas.is_none() {
            return Err(OrderError::Already("they are served"));
        }
        let row = UserRow {
            decision: Some(Decision::Added),
            quotas: quotas.or_else(|| known.and_then(|row| row.quotas)),
            since: Timestamp::now().nanos(),
        };
        self.set(by, "user.add", user, row)
    }

    /// Serves `user` no longer, even if the configuration lists them. What is stored for them stays
    /// where it is and is read as before; nothing more is taken for them.
    ///
    /// # Errors
    /// [`OrderError::Already`], or why the act was not done.
    pub fn remove_user(&self, by: PublicKey, user: PublicKey) -> Result<(), OrderError> {
        let _turn = self.turn();
        let known = self.registry.row(&user).unwrap_or_default();
        if known.decision == Some(Decision::Removed) {
            return Err(OrderError::Already("they are removed"));
        }
        let row = UserRow {
            decision: Some(Decision::Removed),
            since: Timestamp::now().nanos(),
            ..known
        };
        self.set(by, "user.remove", user, row)
    }

    /// Sets bounds for one user, served or not; `None` gives back those of the configuration.
    ///
    /// # Errors
    /// Why the act was not done.
    pub fn set_quotas(
        &self,
        by: PublicKey,
        user: PublicKey,
        change: Option<QuotaChange>,
    ) -> Result<Quotas, OrderError> {
        let _turn = self.turn();
        let known = self.registry.row(&user).unwrap_or_default();
        let quotas = change.map(|change| change.over(self.registry.read().quotas(&user)));
        let row = UserRow { quotas, ..known };
        self.set(by, "user.quota", user, row)?;
        Ok(self.registry.read().quotas(&user))
    }

    /// How much may be kept for `user`, served or not.
    pub(in crate::server) fn quotas_of(&self, user: &PublicKey) -> Quotas {
        self.registry.read().quotas(user)
    }

    /// How much may be kept for users for whom nothing else was set.
    pub(in crate::server) fn usual_quotas(&self) -> Quotas {
        self.registry.read().rules.quotas
    }

    /// What is known of `user`.
    ///
    /// # Errors
    /// [`OrderError::NotFound`], or the store cannot be read.
    pub fn user(&self, user: &PublicKey) -> Result<UserEntry, OrderError> {
        let usage = self.store.usage(user)?;
        let state = self.registry.read();
        state
            .entry(*user, usage)
            .ok_or(OrderError::NotFound("user"))
    }

    /// Users behind `after`, in the order of their keys, at most [`limits::USERS_PAGE_MAX`]: those
    /// who are served and those who were removed. Empty at the end.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn users(&self, after: Option<&PublicKey>) -> Result<Vec<UserEntry>, OrderError> {
        let keys = self.registry.read().users_behind(after);
        let mut entries = Vec::with_capacity(keys.len());
        for user in keys {
            let usage = self.store.usage(&user)?;
            entries.extend(self.registry.read().entry(user, usage));
        }
        Ok(entries)
    }

    /// How one becomes a user.
    pub(in crate::server) fn joining(&self) -> Joining {
        self.registry.joining()
    }

    /// What `user` is told of themselves; held records are not counted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(in crate::server) fn report(&self, user: &PublicKey) -> Result<UserReport, StoreError> {
        let usage = self.store.usage(user)?;
        Ok(self.registry.report(user, &usage))
    }

    /// The right to change users and invitations; all wait for each other.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an act, and says why if it was not done.
    pub(super) fn act(&self, act: Act) -> Result<(), OrderError> {
        match self.writer.act(act) {
            Acted::Done { .. } => Ok(()),
            Acted::Conflict => Err(OrderError::Conflict),
            Acted::TooLarge => Err(OrderError::BadValue("it is too much at once".to_owned())),
            Acted::NoSpace => Err(OrderError::NoSpace),
            Acted::Halted => Err(OrderError::Halted),
        }
    }

    /// Writes the row of a user, and then serves them, or not, as it says.
    fn set(
        &self,
        by: PublicKey,
        call: &str,
        user: PublicKey,
        row: UserRow,
    ) -> Result<(), OrderError> {
        self.act(Act {
            by: Some(by),
            call: call.to_owned(),
            detail: detail(&user, &row),
            state: vec![change_of(&user, &row, self.registry.row(&user).is_some())],
            records: Vec::new(),
        })?;
        self.registry.set_row(user, row);
        tracing::info!(%user, call, "an operator changed a user");
        Ok(())
    }
}

/// The change that makes a user's row what it is to be.
pub(super) fn change_of(user: &PublicKey, row: &UserRow, was_there: bool) -> StateChange {
    StateChange {
        table: StateTable::User,
        key: user.as_bytes().to_vec(),
        value: Some(rows::encode(row)),
        expect: if was_there {
            Expect::Present
        } else {
            Expect::Absent
        },
    }
}

/// What the audit trail says about a change of a user.
fn detail(user: &PublicKey, row: &UserRow) -> String {
    match row.quotas {
        None => user.to_string(),
        Some(quotas) => format!(
            "{user} records={} bytes={} delivered_records={} delivered_bytes={}",
            quotas.records, quotas.bytes, quotas.delivered_records, quotas.delivered_bytes
        ),
    }
}

impl State {
    /// What is known of a user; `None` for somebody of whom nothing is known.
    fn entry(&self, user: PublicKey, usage: Usage) -> Option<UserEntry> {
        let row = self.rows.get(&user);
        let is_known = row.is_some() || self.serves(&user) || usage != Usage::default();
        let source = match row.and_then(|row| row.decision) {
            Some(Decision::Added) => UserSource::Added,
            Some(Decision::Removed) => UserSource::Removed,
            None if self.rules.listed.contains(&user) => UserSource::Listed,
            None if self.serves(&user) => UserSource::Registered,
            None => UserSource::Removed,
        };
        is_known.then(|| UserEntry {
            user,
            served: self.serves(&user),
            source,
            usage,
            quotas: self.quotas(&user),
            has_own_quotas: row.is_some_and(|row| row.quotas.is_some()),
        })
    }

    /// The next users in the order of their keys.
    fn users_behind(&self, after: Option<&PublicKey>) -> Vec<PublicKey> {
        use std::ops::Bound::{Excluded, Unbounded};
        let behind = (after.map_or(Unbounded, Excluded), Unbounded);
        let of_rows = self
            .rows
            .range::<PublicKey, _>(behind)
            .map(|(user, _)| user);
        let of_log = self.registered.range::<PublicKey, _>(behind);
        let of_log = of_log.filter(|user| self.serves(user));
        let of_list = self.rules.listed.range::<PublicKey, _>(behind);
        // Each source gives its first ones, so the first ones of all are among them.
        let mut keys: Vec<PublicKey> = of_rows.take(limits::USERS_PAGE_MAX).copied().collect();
        keys.extend(of_log.take(limits::USERS_PAGE_MAX));
        keys.extend(of_list.take(limits::USERS_PAGE_MAX));
        keys.sort_unstable();
        keys.dedup();
        keys.truncate(limits::USERS_PAGE_MAX);
        keys
    }
}
