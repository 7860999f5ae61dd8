//! Who is served, how much is kept for them, and how one becomes a user.
//!
//! | file | owns |
//! |------|------|
//! | `mod.rs` | [`UserRegistry`]: everything about users that a submission has to know, in memory |
//! | `rows.rs` | what the state of the store holds of users and invitations |
//! | `desk.rs` | [`UserDesk`]: the operator's orders about users |
//! | `invitations.rs` | the operator's orders about invitations, and redeeming them |
//! | `newcomers.rs` | the thread that registers and redeems |
//!
//! Whoever changes something writes it to the store first, with [`Writer::act`], and then here:
//! what is served is durable, and after a restart it is the same.

mod desk;
mod invitations;
mod newcomers;
mod rows;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(super) use self::desk::{UserDesk, UserEntry};
pub(super) use self::invitations::{InvitationEntry, InvitationTerms};
pub(super) use self::newcomers::{Newcomers, Registrar};
pub(super) use self::rows::InvitationId;

use self::rows::{CodeHash, Decision, InvitationRow, UserRow};
use crate::base::{Role, RoleSet, limits};
use crate::config::{Config, Joining, Quotas};
use crate::policy::Served;
#[cfg(doc)]
use crate::store::Writer;
use crate::store::{Account, Charge, Quota, StateTable, Store, StoreError, Usage};
use crate::wire::{PublicKey, ReadAccess, RecordRef, UserReport};

/// Everything about users that a submission has to know: it is asked several times for each
/// record, so all of it is in memory.
///
/// A user is served who is listed in the configuration, or was added (by the operator, or by an
/// invitation), or registered while registration is open; and whom the operator did not remove.
pub(super) struct UserRegistry {
    state: RwLock<State>,
}

struct State {
    rules: UserRules,
    /// Those in the log who registered themselves. They are served while registration is open.
    registered: BTreeSet<PublicKey>,
    /// How many of those the operator removed; they leave their places to others.
    removed_of_registered: usize,
    rows: BTreeMap<PublicKey, UserRow>,
    invitations: HashMap<CodeHash, InvitationRow>,
}

/// What the configuration says about users.
#[derive(Clone, Debug)]
pub(super) struct UserRules {
    listed: BTreeSet<PublicKey>,
    joining: Joining,
    open_max: usize,
    quotas: Quotas,
}

impl UserRules {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            listed: config.users.listed.iter().copied().collect(),
            joining: config.users.joining,
            open_max: config.users.open_max,
            quotas: config.quotas,
        }
    }
}

impl UserRegistry {
    /// Reads what the store knows of users and invitations. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn load(store: &Store, rules: UserRules) -> Result<Self, StoreError> {
        let mut rows = BTreeMap::new();
        all_of(store, StateTable::User, |key, value| {
            let Some(user) = rows::user_of(key) else {
                tracing::error!("a user in the store has no key");
                return;
            };
            let row = rows::decode(value).unwrap_or_else(|| {
                // Whoever is damaged may have been removed, so nobody is served for a doubt.
                tracing::error!(%user, "what is stored of a user cannot be read; not served");
                UserRow {
                    decision: Some(Decision::Removed),
                    ..UserRow::default()
                }
            });
            rows.insert(user, row);
        })?;
        let mut invitations = HashMap::new();
        all_of(store, StateTable::Invitation, |key, value| {
            match (key.try_into().map(CodeHash), rows::decode(value)) {
                (Ok(hash), Some(row)) => {
                    invitations.insert(hash, row);
                }
                _ => tracing::error!("an invitation in the store cannot be read"),
            }
        })?;
        let mut state = State {
            rules,
            registered: store.users()?.into_iter().collect(),
            removed_of_registered: 0,
            rows,
            invitations,
        };
        let users = state.registered.iter();
        state.removed_of_registered = users.filter(|user| state.is_removed(user)).count();
        Ok(Self {
            state: RwLock::new(state),
        })
    }

    /// From here on the configuration says something else.
    pub(super) fn configure(&self, rules: UserRules) {
        self.write().rules = rules;
    }

    /// How one becomes a user.
    pub(super) fn joining(&self) -> Joining {
        self.read().rules.joining
    }

    /// Whether a key that connects may be registered, as far as is known here. The log has the
    /// last word on how many there may be; this spares it the question.
    fn may_register(&self, master: &PublicKey) -> bool {
        let state = self.read();
        let is_open = state.rules.joining == Joining::Open;
        let users = state.registered.len();
        let users = users.saturating_sub(state.removed_of_registered);
        let has_room = users < state.rules.open_max;
        is_open && has_room && !state.serves(master) && !state.is_removed(master)
    }

    /// Users in the log who do not count any more, for the operator removed them.
    fn removed_of_registered(&self) -> u64 {
        self.read().removed_of_registered as u64
    }

    /// Takes note that `master` is registered in the log.
    fn registered(&self, master: PublicKey) {
        self.write().change(master, |state| {
            state.registered.insert(master);
        });
    }

    /// For whom a record counts that is to be stored under `roles`.
    ///
    /// What a user publishes counts as the user's own: what is in the outbox, and what is for its
    /// author alone. Everything else of inbox and encryption was delivered to the served users whom
    /// it notifies, the first [`limits::CHARGED_MAX`] of them. What applications take of a served
    /// author is the author's, too. A record in the outbox is not charged to those it mentions:
    /// however full their inboxes are, an outbox takes what its users publish.
    ///
    /// What is `held` counts apart, by the same bounds: no user learns of it by what is kept for them,
    /// and no flood of it fills an inbox.
    pub(super) fn charges(&self, record: RecordRef<'_>, roles: RoleSet, held: bool) -> Vec<Charge> {
        let state = self.read();
        let author = record.author();
        let own = || state.charge(author, Account::Own);
        let is_private = record.kind().access() == ReadAccess::AuthorOnly;
        if roles.contains(Role::Outbox) || (roles.contains(Role::Encryption) && is_private) {
            return vec![own()];
        }
        if roles.contains(Role::Inbox) || roles.contains(Role::Encryption) {
            let mut recipients: Vec<PublicKey> = Vec::new();
            for notified in record.notifies() {
                if recipients.len() == limits::CHARGED_MAX {
                    break;
                }
                if state.serves(&notified) && !recipients.contains(&notified) {
                    recipients.push(notified);
                }
            }
            let account = if held {
                Account::Held
            } else {
                Account::Delivered
            };
            let charge = |user| state.charge(user, account);
            return recipients.into_iter().map(charge).collect();
        }
        if state.serves(&author) {
            return vec![own()];
        }
        Vec::new()
    }

    /// What the user is told of what is kept for them; nothing of what is held.
    pub(super) fn report(&self, master: &PublicKey, usage: &Usage) -> UserReport {
        let state = self.read();
        let quotas = state.quotas(master);
        let bound = |bound: u64| Some(bound).filter(|bound| *bound > 0);
        UserReport {
            served: state.serves(master),
            records: usage.own.records,
            bytes: usage.own.bytes,
            records_max: bound(quotas.records),
            bytes_max: bound(quotas.bytes),
            delivered_records: usage.delivered.records,
            delivered_bytes: usage.delivered.bytes,
            delivered_records_max: bound(quotas.delivered_records),
            delivered_bytes_max: bound(quotas.delivered_bytes),
        }
    }

    fn row(&self, user: &PublicKey) -> Option<UserRow> {
        self.read().rows.get(user).cloned()
    }

    fn set_row(&self, user: PublicKey, row: UserRow) {
        self.write().change(user, |state| {
            state.rows.insert(user, row);
        });
    }

    // A panic under the lock can only be one of the allocator's: the state is whole at any point.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the users, and without what could be tried as an invitation: it may be traced.
impl fmt::Debug for UserRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRegistry").finish_non_exhaustive()
    }
}

impl Served for UserRegistry {
    fn contains(&self, master: &PublicKey) -> bool {
        self.read().serves(master)
    }
}

/// Whom the server serves by one configuration: a part of the [`Rules`](crate::policy::Rules) that are
/// swapped whole when it is read again. Asked of the registry itself, a decision could meet the new
/// users with the old rules of a role.
pub(super) struct ServedBy {
    pub(super) registry: Arc<UserRegistry>,
    pub(super) rules: UserRules,
}

impl Served for ServedBy {
    fn contains(&self, master: &PublicKey) -> bool {
        self.registry.read().serves_by(&self.rules, master)
    }
}

impl State {
    fn serves(&self, master: &PublicKey) -> bool {
        self.serves_by(&self.rules, master)
    }

    fn serves_by(&self, rules: &UserRules, master: &PublicKey) -> bool {
        match self.rows.get(master).and_then(|row| row.decision) {
            Some(Decision::Added | Decision::Invited) => true,
            Some(Decision::Removed) => false,
            None => {
                let is_open = rules.joining == Joining::Open;
                rules.listed.contains(master) || (is_open && self.registered.contains(master))
            }
        }
    }

    /// Changes what is known of `user`, and counts those who were removed anew.
    fn change(&mut self, user: PublicKey, change: impl FnOnce(&mut Self)) {
        let is_counted = |state: &Self| state.registered.contains(&user) && state.is_removed(&user);
        let before = is_counted(self);
        change(self);
        match (before, is_counted(self)) {
            (false, true) => self.removed_of_registered += 1,
            (true, false) => self.removed_of_registered -= 1,
            (false, false) | (true, true) => {}
        }
    }

    fn is_removed(&self, master: &PublicKey) -> bool {
        let row = self.rows.get(master);
        row.is_some_and(|row| row.decision == Some(Decision::Removed))
    }

    fn quotas(&self, master: &PublicKey) -> Quotas {
        let own = self.rows.get(master).and_then(|row| row.quotas);
        own.unwrap_or(self.rules.quotas)
    }

    fn charge(&self, user: PublicKey, account: Account) -> Charge {
        let quotas = self.quotas(&user);
        let (records, bytes) = match account {
            Account::Own => (quotas.records, quotas.bytes),
            Account::Delivered | Account::Held => {
                (quotas.delivered_records, quotas.delivered_bytes)
            }
        };
        let bound = |bound| if bound == 0 { u64::MAX } else { bound };
        Charge {
            user,
            account,
            quota: Quota {
                records_max: bound(records),
                bytes_max: bound(bytes),
            },
        }
    }
}

/// Passes over everything in a table of the state.
fn all_of(
    store: &Store,
    table: StateTable,
    mut take: impl FnMut(&[u8], &[u8]),
) -> Result<(), StoreError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.state(table, after.as_deref(), STATE_PAGE_ROWS)?;
        for (key, value) in &page {
            take(key, value);
        }
        match page.into_iter().last() {
            Some((key, _)) => after = Some(key),
            None => return Ok(()),
        }
    }
}

/// Rows of the state that are read at once at start.
const STATE_PAGE_ROWS: usize = 1_024;
