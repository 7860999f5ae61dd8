//! Whether a submission is taken, and under which roles.

use super::claims::{claims, claims_bound};
use super::gate::Roles;
use super::other;
use super::refusal::Refusal;
use super::rules::Rules;
use crate::base::{Role, RoleSet};
use crate::identity::{Peer, Standing};
use crate::wire::{Duplicates, PublicKey, ReadAccess, RecordRef};

/// Who hands a record in, and on what kind of stream.
#[derive(Clone, Copy, Debug)]
pub struct Submitter {
    /// Who the peer proved to be.
    pub peer: Peer,
    /// The master for whom the peer's key speaks; `None` for anonymous peers and for keys that
    /// were revoked or taken out of use.
    pub master: Option<PublicKey>,
    /// The role the stream is bound to.
    pub bound: Option<Role>,
    /// The one application the stream is bound to; only with `bound` being the application role.
    pub app: Option<u32>,
}

/// The open roles under which the record is to be stored.
///
/// A stream that is bound to a role is judged by that role alone: it must claim the record and be
/// open. But the record is then stored under every other open role too that claims it on an unbound
/// stream: handing in a user's newer public record on a stream bound to something else must not move
/// the user's address out of the outbox.
///
/// `record` has been verified: its hash and signature hold. `standing` is what the key schedules
/// say of its signing key.
///
/// # Errors
/// A [`Refusal`], whose [`code`](Refusal::code) is the answer. What can be said without looking
/// at the server's state comes first, and a shut role says no more than that it is shut.
///
/// # Source
/// `network-architecture.md`, "Server Roles"; `mosaic-wire.md` section 4, FROM_AUTHOR.
pub fn admit(
    rules: &Rules,
    roles: Roles,
    record: RecordRef<'_>,
    submitter: &Submitter,
    standing: Standing,
) -> Result<RoleSet, Refusal> {
    check_from_author(record, submitter)?;
    let claimed = match submitter.bound {
        None => claims(rules, roles.configured, record),
        Some(role) => claims_bound(rules, roles.configured, record, role, submitter.app),
    };
    if claimed.is_empty() {
        return Err(Refusal::Unclaimed);
    }
    let open = claimed.intersection(roles.open);
    if open.is_empty() {
        return Err(Refusal::Shut);
    }
    // An application claims nothing here that another role claims, and encryption nothing that
    // any role may claim beside it.
    let others = claims(rules, roles.configured, record).intersection(roles.open);
    let open = open.union(others);
    check_signer(rules, open, record, standing)?;
    if open.contains(Role::Application) {
        // It is the only role, or the one that the stream is bound to.
        other::may_submit(&rules.applications, submitter)?;
    }
    Ok(open)
}

fn check_from_author(record: RecordRef<'_>, submitter: &Submitter) -> Result<(), Refusal> {
    if !record.flags().from_author() {
        return Ok(());
    }
    match submitter.peer {
        Peer::Anonymous => Err(Refusal::FromAuthorAnonymous),
        Peer::Known(_) if submitter.master == Some(record.author()) => Ok(()),
        Peer::Known(_) => Err(Refusal::FromAuthorElse),
    }
}

/// Whether the record's signing key is good enough: of a served author it must be known to be the
/// author's, of anybody else it must not be known to be revoked.
fn check_signer(
    rules: &Rules,
    open: RoleSet,
    record: RecordRef<'_>,
    standing: Standing,
) -> Result<(), Refusal> {
    match standing {
        Standing::Master | Standing::Subkey => Ok(()),
        Standing::Revoked => Err(Refusal::SignerRevoked),
        Standing::Unknown => {
            let kind = record.kind();
            let replaces = kind.duplicates() == Duplicates::Replaceable;
            // Whether an address that not everybody may read is taken must not be told by whether
            // a stranger's replacement is refused.
            let is_private = kind.access() != ReadAccess::Everybody
                || (open.contains(Role::Inbox) && !rules.inbox_public);
            if rules.served.contains(&record.author()) {
                Err(Refusal::SignerUnknown)
            } else if replaces && is_private {
                Err(Refusal::SignerMayNotReplace)
            } else {
                Ok(())
            }
        }
    }
}
