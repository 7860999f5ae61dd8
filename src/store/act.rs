//! Acts: changes of the store that are no submissions. An operator's, or the server's own.

use std::fmt;

use super::space::Space;
use crate::{
    base::{Seq, limits},
    wire::{PublicKey, RecordId, Timestamp},
};

/// Something that is done to the store as a whole, or not at all, and kept in its log: the audit
/// trail is the log itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Act {
    /// Who did it; nobody, where the server did it by itself.
    pub by: Option<PublicKey>,
    /// Whether it is an operator's order, which is done with less free space than anything else that
    /// adds to the store.
    pub is_order: bool,
    /// What was called.
    pub call: String,
    /// What the trail says about it; no secrets.
    pub detail: String,
    /// Changes of state, applied one after the other.
    pub state: Vec<StateChange>,
    /// Changes of records, applied one after the other, after those of state.
    pub records: Vec<RecordChange>,
}

/// A change of one value of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Where it is.
    pub table: StateTable,
    /// Its key, at most [`limits::STATE_KEY_MAX_BYTES`].
    pub key: Vec<u8>,
    /// The new value, at most [`limits::STATE_VALUE_MAX_BYTES`]; nothing takes it away.
    pub value: Option<Vec<u8>>,
    /// What must be there, or the whole act is not done.
    pub expect: Expect,
}

/// What a value is about. The discriminants are on disk; never renumber them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum StateTable {
    /// Users, by their master keys.
    User = 1,
    /// Invitations, by the hashes of their codes.
    Invitation = 2,
    /// Bans, by what they ban.
    Ban = 3,
    /// Everything else that is set while the server runs, by name.
    Setting = 4,
}

impl StateTable {
    /// Every table.
    pub const ALL: [Self; 4] = [Self::User, Self::Invitation, Self::Ban, Self::Setting];

    /// The discriminant.
    pub(super) const fn byte(self) -> u8 {
        self as u8
    }

    /// The table with that discriminant.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.byte() == byte)
    }
}

/// What must be there for a change to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    #[default]
    Any,
    /// No value.
    Absent,
    /// Some value.
    Present,
    /// This value.
    Is(Vec<u8>),
}

impl Expect {
    /// Whether `value` is what is expected.
    pub(super) fn admits(&self, value: Option<&[u8]>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => value.is_none(),
            Self::Present => value.is_some(),
            Self::Is(expected) => value == Some(expected),
        }
    }
}

/// A change of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordChange {
    /// A held record is held no longer: it moves to a new place of the log, as if it came in now.
    Release(RecordId),
    /// A record is taken out for good, and its ID is never stored again.
    Remove {
        /// Which.
        id: RecordId,
        /// What for.
        why: Removal,
    },
}

impl RecordChange {
    /// The record that is changed.
    #[must_use]
    pub const fn id(&self) -> &RecordId {
        match self {
            Self::Release(id) | Self::Remove { id, .. } => id,
        }
    }
}

/// Why a record was removed. The discriminants are on disk; never renumber them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Removal {
    /// It was held, and the operator did not let it in. Only a held record can be rejected.
    Rejected = 1,
    /// The operator deleted it, held or not.
    Deleted = 2,
}

/// How an act ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It is durable.
    Done {
        /// Its place in the log.
        seq: Seq,
        /// Records that were not there to be changed: not stored, or not held. A held record that
        /// something newer had replaced by the time of its release is among them; it is gone.
        missing: Vec<RecordId>,
    },
    /// Something was not as it was expected; nothing was changed.
    Conflict,
    /// It is more than one act may be, or its records have more bytes than
    /// [`limits::ACT_RECORDS_MAX_BYTES`] or more keys than [`limits::ACT_MAX_INDEX_KEYS`]; nothing was
    /// changed.
    TooLarge,
    /// The disk has less free space than the floor. Acts that only take away are done even then, and
    /// orders that let no record in while there is half of it.
    NoSpace,
    /// The store does not write any more, or the writer was shut down.
    Halted,
}

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActEntry {
    /// Its place in the log.
    pub seq: Seq,
    /// When it was done.
    pub received: Timestamp,
    /// Who did it.
    pub by: Option<PublicKey>,
    /// What was called.
    pub call: String,
    /// What the trail says about it.
    pub detail: String,
}

impl Act {
    /// Whether every part is within its bound.
    pub(super) fn is_bounded(&self) -> bool {
        let is_small = |change: &StateChange| {
            let value = change.value.as_ref().map_or(0, Vec::len);
            change.key.len() <= limits::STATE_KEY_MAX_BYTES
                && value <= limits::STATE_VALUE_MAX_BYTES
        };
        self.call.len() <= limits::ACT_CALL_MAX_BYTES
            && self.detail.len() <= limits::ACT_DETAIL_MAX_BYTES
            && self.state.len() + self.records.len() <= limits::ACT_CHANGES_MAX
            && self.state.iter().all(is_small)
            && self.bytes() <= limits::ACT_MAX_BYTES
    }

    /// Bytes of everything in it, about.
    pub(super) fn bytes(&self) -> usize {
        let bytes_of = |change: &StateChange| {
            CHANGE_BYTES + change.key.len() + change.value.as_ref().map_or(0, Vec::len)
        };
        let state: usize = self.state.iter().map(bytes_of).sum();
        self.call.len() + self.detail.len() + state + self.records.len() * CHANGE_BYTES
    }

    /// The space that must be there for it to be done.
    ///
    /// What adds nothing to the store but its own entry is done whatever is left; what an operator
    /// orders besides, ban or setting, while there is the reserve. A record that is let in is one
    /// more to keep.
    pub(super) fn least_space(&self) -> Space {
        let is_removal = |change: &RecordChange| matches!(change, RecordChange::Remove { .. });
        if !self.records.iter().all(is_removal) {
            Space::Free
        } else if self.state.iter().all(|change| change.value.is_none()) {
            Space::Out
        } else if self.is_order {
            Space::Reserve
        } else {
            Space::Free
        }
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejected => "rejected",
            Self::Deleted => "deleted",
        })
    }
}

/// What an act did to one record. This is what its log entry holds: applying it again needs no
/// rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A held record moved.
    Released { id: RecordId, from: Seq, to: Seq },
    /// A held record was to be released and something newer was there, or its signer was revoked: it
    /// was dropped.
    Dropped { id: RecordId, from: Seq },
    /// A record was removed and its ID is remembered.
    Removed {
        id: RecordId,
        from: Seq,
        why: Removal,
    },
}

/// An act as its log entry holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ActBody {
    pub(super) by: Option<PublicKey>,
    pub(super) call: String,
    pub(super) detail: String,
    pub(super) state: Vec<StateSet>,
    pub(super) effects: Vec<Effect>,
}

/// A value of the state after an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StateSet {
    pub(super) table: StateTable,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

impl ActBody {
    /// Records that it removed for good.
    pub(super) fn removed(&self) -> impl Iterator<Item = &RecordId> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Removed { id, .. } => Some(id),
            Effect::Released { .. } | Effect::Dropped { .. } => None,
        })
    }
}

/// What a change takes in a log entry besides its key and its value.
const CHANGE_BYTES: usize = 80;
