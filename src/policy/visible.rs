//! The one gate for reading.

use super::rules::Rules;
use super::{encryption, inbox, other, outbox};
use crate::base::{Role, RoleSet};
use crate::identity::{Peer, Standing};
use crate::wire::{PublicKey, RecordRef};

/// Who wants to know of a record, and on what kind of stream.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// Who the peer proved to be.
    pub peer: Peer,
    /// The master for whom the peer's key speaks; `None` for anonymous peers and for keys that
    /// were revoked or taken out of use.
    pub master: Option<PublicKey>,
    /// The role the stream is bound to; `None` sees the union of the open roles.
    pub bound: Option<Role>,
    /// The one application the stream is bound to; only with `bound` being the application role.
    pub app: Option<u32>,
}

impl Reader {
    /// Whether the reader is the author. An anonymous reader is nobody, whatever `master` says.
    pub(super) fn is_author_of(&self, record: RecordRef<'_>) -> bool {
        self.authenticated_master() == Some(record.author())
    }

    /// Whether one of the record's notify tags, the first or any other, names the reader.
    pub(super) fn is_notified_by(&self, record: RecordRef<'_>) -> bool {
        self.authenticated_master()
            .is_some_and(|master| record.notifies().any(|notified| notified == master))
    }

    fn authenticated_master(&self) -> Option<PublicKey> {
        match self.peer {
            Peer::Anonymous => None,
            Peer::Known(_) => self.master,
        }
    }
}

/// What the gate must know of a stored record.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The record.
    pub record: RecordRef<'a>,
    /// The roles under which it is stored.
    pub roles: RoleSet,
    /// Whether it is held for moderation.
    pub held: bool,
    /// What the key schedules say now of its signer, in a record that is dated and was received as
    /// this one.
    pub standing: Standing,
}

impl Facts<'_> {
    /// Whether there is no such record for anybody, whatever its roles say: it waits for the
    /// operator, or the word of its signer was taken back.
    fn is_hidden(&self) -> bool {
        match self.standing {
            Standing::Revoked => true,
            Standing::Master | Standing::Subkey | Standing::Unknown => self.held,
        }
    }
}

/// Whether the reader may learn that the record exists, while the roles `open` are open.
///
/// This is the gate: GET, QUERY, both phases of SUBSCRIBE, what INFO and operators are told, counts,
/// synchronisation and export ask it of every single record, at the moment they let it out.
///
/// # Source
/// `network-architecture.md`, "Server Roles"; `mosaic-wire.md` section 9, markers, and section 10,
/// "what a record must not reveal"; `extensions.md`, "A stream belongs to a role".
#[must_use]
pub fn visible(rules: &Rules, open: RoleSet, facts: &Facts<'_>, reader: &Reader) -> bool {
    if facts.is_hidden() {
        return false;
    }
    // Whatever other roles hold a record of the encryption role, it has that role's readers alone.
    let stored = if facts.roles.contains(Role::Encryption) {
        RoleSet::of(Role::Encryption)
    } else {
        facts.roles
    };
    let asked = reader.bound.map_or(RoleSet::ALL, RoleSet::of);
    let record = facts.record;
    stored
        .intersection(open)
        .intersection(asked)
        .iter()
        .any(|role| match role {
            Role::Outbox => outbox::may_read(record),
            Role::Inbox => inbox::may_read(rules, record, reader),
            Role::Encryption => encryption::may_read(record, reader),
            Role::Application => other::may_read(record, reader),
        })
}
