//! One stored record with what was decided about it, and the answers of the writer.

use std::sync::Arc;

use super::usage::{Charge, Charged};
use crate::{
    base::{RoleSet, Seq},
    wire::{PublicKey, Record, ResultCode, Timestamp},
};

/// How the signer of a record was vouched for when the record was accepted.
///
/// The discriminants are stored on disk; never renumber them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Vouched {
    /// Nothing here says whether the signer speaks for the author.
    Unknown = 0,
    /// The signer is the author's master key.
    Master = 1,
    /// The author's key schedule lists the signer as active.
    Subkey = 2,
}

impl Vouched {
    /// The value with that discriminant, if there is one.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Unknown),
            1 => Some(Self::Master),
            2 => Some(Self::Subkey),
            _ => None,
        }
    }

    /// The discriminant, as [`from_byte`](Self::from_byte) reads it.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }
}

/// A record and every decision that was made about it when it was accepted.
///
/// Applying the same entries in the same order gives the same store: nothing about a stored record
/// is decided anew later.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Place in the log; [`Seq::ZERO`] for an ephemeral record, which has none.
    pub seq: Seq,
    /// When this server received the record; never earlier than that of the entry before.
    pub received: Timestamp,
    /// Roles it is stored under.
    pub roles: RoleSet,
    /// How its signer was vouched for.
    pub vouched: Vouched,
    /// Key of the client that brought it, if that one showed a key.
    pub submitter: Option<PublicKey>,
    /// Whether it waits for an operator to let it in. Nobody may see it before, and it takes the place of
    /// no other record.
    pub held: bool,
    /// For whom it counts, each once, at most [`CHARGED_MAX`](crate::base::limits::CHARGED_MAX).
    pub charged: Arc<[Charged]>,
    /// The record, byte for byte as it was received.
    pub record: Record,
}

/// What a [`Judge`](super::Judge) decides about a submitted record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Keep it, unless it is here already or something newer is; a record that is here gains the
    /// roles it lacks, and is held no longer if this says so; ephemeral records are announced.
    Store {
        /// Roles it goes to.
        roles: RoleSet,
        /// How its signer is vouched for.
        vouched: Vouched,
        /// Key of the client that brought it, if that one showed a key.
        submitter: Option<PublicKey>,
        /// Whether it waits for an operator to let it in.
        held: bool,
        /// For whom it counts, and how much of theirs there may be. Of more than
        /// [`CHARGED_MAX`](crate::base::limits::CHARGED_MAX) the first count.
        charges: Vec<Charge>,
    },
    /// Turn it away with this code.
    Refuse(ResultCode),
}

/// What is in the log already, because of which a submission was not stored.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What is there.
    pub entry: Arc<Entry>,
    /// Whether the submission would have been within the quotas, had nothing been there. Whoever may not
    /// learn of the entry must get the answer of that case.
    pub fits: bool,
}

/// How a submission ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is in the log at this place, and its batch was synced to disk. It may have been at another
    /// place before, under fewer roles.
    Stored(Seq),
    /// The same record is in the log already, under every role it was to go to; or it was to be
    /// held, and is not; or it is held, and its submission lets it in under some of its roles only.
    Duplicate(Kept),
    /// A record that replaces it, this one, is in the log already.
    Older(Kept),
    /// It is newer than this one, which is at its address, but nobody vouches for its signer, who is
    /// not this one's: so this one stays.
    Stays(Kept),
    /// Somebody for whom it would count has as much as they may.
    OverQuota,
    /// An operator took this record out of the store, and it does not come back.
    Removed {
        /// Whether it would have been within the quotas, had it been new.
        fits: bool,
    },
    /// It is ephemeral and was given to that many subscribers.
    Announced(usize),
    /// It was turned away with this code.
    Refused(ResultCode),
    /// The disk has less free space than the floor; a later submission may succeed.
    NoSpace,
    /// The store stopped writing and will not resume before a restart.
    Halted,
}
