//! Which roles a record belongs to.

use super::rules::Rules;
use super::{encryption, inbox, other, outbox};
use crate::base::{Role, RoleSet};
use crate::wire::RecordRef;

/// The roles among `configured` that have a place for the record, when it comes in on a stream
/// that is bound to no role.
///
/// Asked of the configured roles and not of the open ones: a private record must not fall to the
/// inbox or to an application because encryption happens to be shut.
///
/// # Source
/// `network-architecture.md`, "Server Roles".
#[must_use]
pub fn claims(rules: &Rules, configured: RoleSet, record: RecordRef<'_>) -> RoleSet {
    let public = public_claims(rules, configured, record);
    let is_other = public.is_empty()
        && configured.contains(Role::Application)
        && other::claims(&rules.applications, record, None);
    if is_other {
        RoleSet::of(Role::Application)
    } else {
        public
    }
}

/// What [`claims`] answers on a stream that is bound to `role`, and there to the application `app`
/// if one was named: that role or none.
pub(super) fn claims_bound(
    rules: &Rules,
    configured: RoleSet,
    record: RecordRef<'_>,
    role: Role,
    app: Option<u32>,
) -> RoleSet {
    let public = public_claims(rules, configured, record);
    let claimed = match role {
        Role::Outbox | Role::Inbox | Role::Encryption => public.contains(role),
        Role::Application => {
            configured.contains(role)
                && !public.contains(Role::Encryption)
                && other::claims(&rules.applications, record, app)
        }
    };
    if claimed {
        RoleSet::of(role)
    } else {
        RoleSet::EMPTY
    }
}

fn public_claims(rules: &Rules, configured: RoleSet, record: RecordRef<'_>) -> RoleSet {
    let mut claimed = RoleSet::EMPTY;
    if configured.contains(Role::Outbox) && outbox::claims(rules, record) {
        claimed = claimed.with(Role::Outbox);
    }
    if configured.contains(Role::Encryption) && encryption::claims(rules, record) {
        claimed = claimed.with(Role::Encryption);
    } else if configured.contains(Role::Inbox) && inbox::claims(rules, record) {
        claimed = claimed.with(Role::Inbox);
    }
    claimed
}
