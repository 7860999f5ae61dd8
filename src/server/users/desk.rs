//! The operator's orders about users.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rows::{self, Decision, UserRow};
use super::{State, UserRegistry};
use crate::admin::{Order, QuotaChange};
use crate::base::limits;
use crate::config::{Joining, Quotas};
use crate::policy::Served as _;
use crate::server::ledger::{Ledger, OrderError};
use crate::store::{Expect, StateChange, StateTable, Store, StoreError, Usage};
use crate::wire::{PublicKey, Timestamp, UserReport};

/// Carries out orders about users and invitations. Every order that changes something is one act:
/// it is in the audit trail, and durable when the call returns.
///
/// All calls block: they read the store, or wait for the writer.
#[derive(Debug)]
pub(in crate::server) struct UserDesk {
    pub(super) registry: Arc<UserRegistry>,
    store: Store,
    pub(super) ledger: Ledger,
    /// Held from the look at what is there to the change of it.
    turn: Mutex<()>,
}

/// What is known of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct UserEntry {
    /// The master key.
    pub(in crate::server) user: PublicKey,
    /// Whether they are served.
    pub(in crate::server) served: bool,
    /// How they became a user, or that they are none any more.
    pub(in crate::server) source: UserSource,
    /// What is kept for them.
    pub(in crate::server) usage: Usage,
    /// How much may be; 0 sets no bound.
    pub(in crate::server) quotas: Quotas,
    /// Whether those bounds were set for this user.
    pub(in crate::server) has_own_quotas: bool,
    /// Since when, where the operator or an invitation decided.
    pub(in crate::server) since: Option<Timestamp>,
    /// What the operator noted.
    pub(in crate::server) note: Option<String>,
}

/// How somebody became a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum UserSource {
    /// By the configuration.
    Listed,
    /// By the operator's word.
    Added,
    /// By an invitation.
    Invited,
    /// By connecting.
    Registered,
    /// Not at all, or not any more.
    Removed,
}

impl UserSource {
    /// The word for it.
    pub(in crate::server) const fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Added => "added",
            Self::Invited => "invited",
            Self::Registered => "registered",
            Self::Removed => "removed",
        }
    }
}

impl UserDesk {
    pub(in crate::server) fn new(
        registry: Arc<UserRegistry>,
        store: Store,
        ledger: Ledger,
    ) -> Self {
        Self {
            registry,
            store,
            ledger,
            turn: Mutex::new(()),
        }
    }

    /// Serves `user`, with bounds of their own where `change` has some. Also takes back a removal.
    ///
    /// # Errors
    /// [`OrderError::Already`] if they are served, or why the act was not done.
    pub(in crate::server) fn add_user(
        &self,
        order: &Order,
        user: PublicKey,
        change: QuotaChange,
        note: Option<&str>,
    ) -> Result<(), OrderError> {
        let _turn = self.turn();
        if self.registry.contains(&user) {
            return Err(OrderError::Already("they are served"));
        }
        let known = self.registry.row(&user).unwrap_or_default();
        let quotas = match change {
            QuotaChange::NONE => known.quotas,
            change => Some(change.over(self.registry.read().quotas(&user))),
        };
        let row = UserRow {
            decision: Some(Decision::Added),
            quotas,
            since: Timestamp::now().nanos(),
            note: note.map(str::to_owned),
        };
        self.set(order, user, row)
    }

    /// Serves `user` no longer, even if the configuration lists them. What is stored for them stays
    /// where it is and is read as before; nothing more is taken for them, and they neither register
    /// nor redeem an invitation again.
    ///
    /// # Errors
    /// [`OrderError::NotFound`] if they are not served, or why the act was not done.
    pub(in crate::server) fn remove_user(
        &self,
        order: &Order,
        user: PublicKey,
    ) -> Result<(), OrderError> {
        let _turn = self.turn();
        if !self.registry.contains(&user) {
            return Err(OrderError::NotFound("user"));
        }
        let row = UserRow {
            decision: Some(Decision::Removed),
            since: Timestamp::now().nanos(),
            ..self.registry.row(&user).unwrap_or_default()
        };
        self.set(order, user, row)
    }

    /// Sets bounds for one user; [`QuotaChange::to_default`] gives back those of the configuration
    /// first. Returns what holds from now on.
    ///
    /// # Errors
    /// [`OrderError::NotFound`] if they are not served, or why the act was not done.
    pub(in crate::server) fn set_quotas(
        &self,
        order: &Order,
        user: PublicKey,
        change: QuotaChange,
    ) -> Result<Quotas, OrderError> {
        let _turn = self.turn();
        if !self.registry.contains(&user) {
            return Err(OrderError::NotFound("user"));
        }
        let known = self.registry.row(&user).unwrap_or_default();
        let (default, now) = {
            let state = self.registry.read();
            (state.rules.quotas, state.quotas(&user))
        };
        let from = if change.to_default { default } else { now };
        let quotas = change.over(from);
        let row = UserRow {
            quotas: Some(quotas).filter(|quotas| *quotas != default || !change.to_default),
            ..known
        };
        self.set(order, user, row)?;
        Ok(quotas)
    }

    /// What is known of `user`.
    ///
    /// # Errors
    /// [`OrderError::NotFound`], or the store cannot be read.
    pub(in crate::server) fn user(&self, user: &PublicKey) -> Result<UserEntry, OrderError> {
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
    pub(in crate::server) fn users(
        &self,
        after: Option<&PublicKey>,
    ) -> Result<Vec<UserEntry>, OrderError> {
        let keys = self.registry.read().users_behind(after);
        let mut entries = Vec::with_capacity(keys.len());
        for user in keys {
            let usage = self.store.usage(&user)?;
            entries.extend(self.registry.read().entry(user, usage));
        }
        Ok(entries)
    }

    /// How much is kept for a user for whom nothing else was said.
    pub(in crate::server) fn usual_quotas(&self) -> Quotas {
        self.registry.read().rules.quotas
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

    /// Writes the row of a user, and then serves them, or not, as it says.
    fn set(&self, order: &Order, user: PublicKey, row: UserRow) -> Result<(), OrderError> {
        let state = vec![change_of(&user, &row, self.registry.row(&user).is_some())];
        self.ledger.state(order, state)?;
        self.registry.set_row(user, row);
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

/// When somebody decided about a user.
fn since(row: &UserRow) -> Option<Timestamp> {
    row.decision?;
    Timestamp::from_nanos(row.since).ok()
}

impl State {
    /// What is known of a user; `None` for somebody of whom nothing is known.
    fn entry(&self, user: PublicKey, usage: Usage) -> Option<UserEntry> {
        let row = self.rows.get(&user);
        let is_known = row.is_some() || self.serves(&user) || usage != Usage::default();
        let source = match row.and_then(|row| row.decision) {
            Some(Decision::Added) => UserSource::Added,
            Some(Decision::Invited) => UserSource::Invited,
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
            since: row.and_then(since),
            note: row.and_then(|row| row.note.clone()),
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
