//! Counters of what is stored, kept with every batch, so that nobody has to count by reading all.

use serde::{Deserialize, Serialize};

use crate::base::{Role, RoleSet};

/// What is in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records, held ones included.
    pub records: u64,
    /// Bytes of those records.
    pub record_bytes: u64,
    /// Registered users.
    pub users: u64,
    /// Places of records that were replaced, moved or removed.
    pub gone: u64,
    /// Keys of the index.
    pub index_keys: u64,
    /// Records and their bytes under each role, in the order of [`Role::ALL`].
    pub roles: [RoleCount; 4],
    /// Of the records, those that are held.
    #[serde(default)]
    pub held: u64,
    /// Acts.
    #[serde(default)]
    pub acts: u64,
    /// IDs that were removed for good.
    #[serde(default)]
    pub removed: u64,
}

/// What is stored under one role; a record under two roles counts in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleCount {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One record as far as it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) roles: RoleSet,
    pub(super) bytes: usize,
    pub(super) keys: usize,
    pub(super) held: bool,
}

impl Counts {
    /// The counters as stored: a MessagePack array.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        rmp_serde::to_vec(self).ok()
    }

    /// What [`encode`](Self::encode) made.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(value).ok()
    }

    /// What is stored under `role`.
    #[must_use]
    pub fn of(&self, role: Role) -> RoleCount {
        let mut pairs = Role::ALL.into_iter().zip(self.roles);
        pairs
            .find(|(listed, _)| *listed == role)
            .map_or_else(RoleCount::default, |(_, count)| count)
    }

    /// Counts a record.
    pub(super) fn add(&mut self, item: Item) {
        self.change(item, u64::saturating_add);
    }

    /// Takes a record out of the count.
    pub(super) fn remove(&mut self, item: Item) {
        self.change(item, u64::saturating_sub);
    }

    fn change(&mut self, item: Item, by: impl Fn(u64, u64) -> u64) {
        let bytes = item.bytes as u64;
        self.records = by(self.records, 1);
        self.record_bytes = by(self.record_bytes, bytes);
        self.index_keys = by(self.index_keys, item.keys as u64);
        self.held = by(self.held, u64::from(item.held));
        for (role, count) in Role::ALL.into_iter().zip(&mut self.roles) {
            if item.roles.contains(role) {
                count.records = by(count.records, 1);
                count.bytes = by(count.bytes, bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_under_each_of_its_roles_until_it_is_removed() {
        let item = Item {
            roles: RoleSet::of(Role::Inbox).with(Role::Outbox),
            bytes: 600,
            keys: 5,
            held: true,
        };
        let mut counts = Counts::default();
        counts.add(item);
        let one = RoleCount {
            records: 1,
            bytes: 600,
        };
        assert_eq!(
            (counts.of(Role::Inbox), counts.of(Role::Outbox)),
            (one, one)
        );
        assert_eq!(counts.of(Role::Encryption), RoleCount::default());
        assert_eq!((counts.records, counts.index_keys, counts.held), (1, 5, 1));
        assert_eq!(Counts::decode(&counts.encode().unwrap()), Some(counts));
        counts.remove(item);
        assert_eq!(counts, Counts::default());
    }
}
