//! What is stored on behalf of a user, and how much may be.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{error::StoreError, view::View};
use crate::{base::limits, wire::PublicKey};

/// What a record counts as for a user. The discriminants are on disk; never renumber them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Account {
    /// The user published it.
    Own = 1,
    /// It was delivered to the user.
    Delivered = 2,
}

impl Account {
    /// The discriminant.
    pub(super) const fn byte(self) -> u8 {
        self as u8
    }

    /// The account with that discriminant.
    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Own),
            2 => Some(Self::Delivered),
            _ => None,
        }
    }
}

/// For whom a stored record counts, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Charged {
    /// The user's master key.
    pub user: PublicKey,
    /// What it counts as.
    pub account: Account,
}

/// For whom a submitted record will count, and how much of that user's there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The user's master key.
    pub user: PublicKey,
    /// What it counts as.
    pub account: Account,
    /// The bounds of this account.
    pub quota: Quota,
}

/// Bounds of one account of a user. What would pass either is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Most records.
    pub records_max: u64,
    /// Most bytes of records.
    pub bytes_max: u64,
}

impl Quota {
    /// No bounds.
    pub const UNBOUNDED: Self = Self {
        records_max: u64::MAX,
        bytes_max: u64::MAX,
    };
}

/// A number of records and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What is stored on behalf of one user, held records included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// What the user published.
    pub own: Amount,
    /// What was delivered to the user.
    pub delivered: Amount,
}

impl Usage {
    /// The amount of one account.
    #[must_use]
    pub const fn of(&self, account: Account) -> Amount {
        match account {
            Account::Own => self.own,
            Account::Delivered => self.delivered,
        }
    }

    pub(super) const fn account(&mut self, account: Account) -> &mut Amount {
        match account {
            Account::Own => &mut self.own,
            Account::Delivered => &mut self.delivered,
        }
    }

    /// As stored: a MessagePack array.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        rmp_serde::to_vec(self).ok()
    }

    /// What [`encode`](Self::encode) made.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(value).ok()
    }
}

impl Amount {
    /// With one record of that size more.
    pub(super) const fn plus(self, bytes: usize) -> Self {
        Self {
            records: self.records.saturating_add(1),
            bytes: self.bytes.saturating_add(bytes as u64),
        }
    }

    /// With one record of that size less.
    pub(super) const fn minus(self, bytes: usize) -> Self {
        Self {
            records: self.records.saturating_sub(1),
            bytes: self.bytes.saturating_sub(bytes as u64),
        }
    }

    /// Whether growing from `before` to this passes a bound. What does not grow passes none: a
    /// user over a bound that was lowered can still replace a record by one that is no larger.
    pub(super) const fn passes(self, quota: Quota, before: Self) -> bool {
        (self.records > before.records && self.records > quota.records_max)
            || (self.bytes > before.bytes && self.bytes > quota.bytes_max)
    }
}

/// The accounts as the writer changes them: what the batch at hand changed, and what it knows of
/// earlier ones, so that a user is read from the disk once and not with every record.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// Changed by the batch at hand.
    changed: BTreeMap<PublicKey, Usage>,
    /// Looked at of late.
    recent: HashMap<PublicKey, Usage>,
    /// Looked at before; forgotten when `recent` is full.
    earlier: HashMap<PublicKey, Usage>,
}

impl Accounts {
    /// What `user` has once the batch at hand is written.
    pub(super) fn of(&mut self, view: &View<'_>, user: &PublicKey) -> Result<Usage, StoreError> {
        if let Some(usage) = self.changed.get(user).or_else(|| self.recent.get(user)) {
            return Ok(*usage);
        }
        let usage = match self.earlier.remove(user) {
            Some(usage) => usage,
            None => view.usage(user)?,
        };
        self.remember(*user, usage);
        Ok(usage)
    }

    /// Changes one account of a user within the batch at hand.
    pub(super) fn change(
        &mut self,
        view: &View<'_>,
        charged: Charged,
        change: impl FnOnce(Amount) -> Amount,
    ) -> Result<(), StoreError> {
        let mut usage = self.of(view, &charged.user)?;
        let amount = usage.account(charged.account);
        *amount = change(*amount);
        self.changed.insert(charged.user, usage);
        Ok(())
    }

    /// What the batch at hand changed.
    pub(super) const fn changed(&self) -> &BTreeMap<PublicKey, Usage> {
        &self.changed
    }

    /// The batch at hand is written.
    pub(super) fn settle(&mut self) {
        for (user, usage) in std::mem::take(&mut self.changed) {
            self.earlier.remove(&user);
            self.remember(user, usage);
        }
    }

    fn remember(&mut self, user: PublicKey, usage: Usage) {
        if self.recent.len() >= limits::STORE_ACCOUNTS_CACHED_MAX / 2 {
            self.earlier = std::mem::take(&mut self.recent);
        }
        self.recent.insert(user, usage);
    }
}

/// Each charge once, the first [`limits::CHARGED_MAX`] of them.
pub(super) fn charged(charges: &[Charge]) -> Vec<Charged> {
    let all = charges.iter().map(|charge| Charged {
        user: charge.user,
        account: charge.account,
    });
    union(&[], all)
}

/// `known` and what of `more` is not among them, up to the bound.
pub(super) fn union(known: &[Charged], more: impl IntoIterator<Item = Charged>) -> Vec<Charged> {
    let mut all = known.to_vec();
    for charged in more {
        if all.len() < limits::CHARGED_MAX && !all.contains(&charged) {
            all.push(charged);
        }
    }
    all
}
