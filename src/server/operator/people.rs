//! Users and invitations, as operators see them.

use std::sync::Arc;

use crate::admin::{
    Invitation, InvitationLine, Invitations, Listing, Order, QuotaChange, Refused, UserLine, Users,
};
use crate::config::Quotas;
use crate::server::users::{
    self, InvitationEntry, InvitationTerms, OrderError, UserDesk, UserEntry, UserSource,
};
use crate::wire::{PublicKey, ResultCode, Timestamp};

/// Hands orders about users on to who carries them out, and writes them into the trail.
pub(super) struct PeopleDesk {
    pub(super) users: Arc<UserDesk>,
}

impl Users for PeopleDesk {
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<UserLine>, Refused> {
        let after = from.and_then(|from| PublicKey::from_bytes(from.try_into().ok()?).ok());
        let mut users = self.users.users(after.as_ref()).map_err(refused)?;
        users.truncate(max);
        let next = users.last().map(|entry| entry.user.as_bytes().to_vec());
        Ok(Listing {
            lines: users.into_iter().map(line).collect(),
            next,
        })
    }

    fn show(&self, user: &PublicKey) -> Result<UserLine, Refused> {
        self.users.user(user).map(line).map_err(refused)
    }

    fn add(&self, order: &Order, user: PublicKey, quota: QuotaChange) -> Result<(), Refused> {
        let quotas = quotas(quota, self.users.quotas_of(&user));
        let added = self.users.add_user(order.by, user, quotas);
        added.map_err(refused)
    }

    fn remove(&self, order: &Order, user: &PublicKey) -> Result<(), Refused> {
        // Whoever is unknown is not removed before they come.
        let known = self.users.user(user).map_err(refused)?;
        if known.source == UserSource::Removed {
            return Err(Refused::not_found("they are removed already"));
        }
        self.users.remove_user(order.by, *user).map_err(refused)
    }

    fn set_quota(
        &self,
        order: &Order,
        user: &PublicKey,
        quota: QuotaChange,
    ) -> Result<(), Refused> {
        self.users.user(user).map_err(refused)?;
        let change = change(quota);
        let is_change = change != users::QuotaChange::default();
        if quota.to_default {
            let reset = self.users.set_quotas(order.by, *user, None);
            reset.map_err(refused)?;
        }
        if is_change {
            let set = self.users.set_quotas(order.by, *user, Some(change));
            set.map_err(refused)?;
        }
        Ok(())
    }
}

impl Invitations for PeopleDesk {
    fn create(
        &self,
        order: &Order,
        invitation: Invitation<'_>,
    ) -> Result<(String, InvitationLine), Refused> {
        let Invitation {
            lifetime,
            note,
            quota,
        } = invitation;
        let now = Timestamp::now();
        let expires = lifetime.map(|lifetime| now.saturating_add(lifetime));
        let note = note.unwrap_or_default().to_owned();
        let terms = InvitationTerms {
            expires,
            note: note.clone(),
            quotas: quotas(quota, self.users.usual_quotas()),
        };
        let made = self.users.create_invitation(order.by, terms);
        let made = made.map_err(refused)?;
        let line = InvitationLine {
            id: made.id.to_string(),
            by: Some(order.by),
            created: now,
            expires,
            note: (!note.is_empty()).then_some(note),
        };
        Ok((made.code.to_string(), line))
    }

    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<InvitationLine>, Refused> {
        let mut waiting = self.users.invitations(from.and_then(passed).as_ref());
        waiting.truncate(max);
        let next = waiting.last().map(place_behind);
        Ok(Listing {
            lines: waiting.into_iter().map(invitation_line).collect(),
            next,
        })
    }

    fn revoke(&self, order: &Order, id: &str) -> Result<(), Refused> {
        let id = id.parse();
        let id =
            id.map_err(|error: users::BadInvitationId| Refused::invalid(&error.to_string()))?;
        let revoked = self.users.revoke_invitation(order.by, id);
        revoked.map_err(refused)
    }
}

/// Where a listing of invitations goes on.
fn place_behind(entry: &InvitationEntry) -> Vec<u8> {
    let created = entry.created.nanos().to_be_bytes();
    [&created[..], entry.id.to_string().as_bytes()].concat()
}

/// The invitation behind which a listing goes on: what says where it stands is enough, and it may be
/// used by now.
fn passed(place: &[u8]) -> Option<InvitationEntry> {
    let (created, id) = place.split_first_chunk::<8>()?;
    Some(InvitationEntry {
        id: std::str::from_utf8(id).ok()?.parse().ok()?,
        created: Timestamp::from_nanos(u64::from_be_bytes(*created)).ok()?,
        by: None,
        expires: None,
        note: String::new(),
        quotas: None,
    })
}

/// What a desk of the server refuses.
pub(super) fn refused(error: OrderError) -> Refused {
    let result = match &error {
        OrderError::NotFound(_) => ResultCode::NotFound,
        OrderError::Already(_) => ResultCode::Duplicate,
        OrderError::BadValue(_) => ResultCode::Invalid,
        OrderError::Conflict | OrderError::NoSpace | OrderError::Halted => {
            ResultCode::TemporaryError
        }
        OrderError::Store(error) => return Refused::failed(error),
    };
    Refused {
        result,
        why: error.to_string(),
    }
}

fn line(entry: UserEntry) -> UserLine {
    let UserEntry {
        user,
        source,
        usage,
        quotas,
        ..
    } = entry;
    let bound = |bound: u64| (bound > 0).then_some(bound);
    UserLine {
        user,
        source: source.name().to_owned(),
        records: usage.own.records,
        bytes: usage.own.bytes,
        delivered_records: usage.delivered.records,
        delivered_bytes: usage.delivered.bytes,
        quotas: [
            bound(quotas.records),
            bound(quotas.bytes),
            bound(quotas.delivered_records),
            bound(quotas.delivered_bytes),
        ],
    }
}

fn invitation_line(entry: InvitationEntry) -> InvitationLine {
    InvitationLine {
        id: entry.id.to_string(),
        by: entry.by,
        created: entry.created,
        expires: entry.expires,
        note: Some(entry.note).filter(|note| !note.is_empty()),
    }
}

const fn change(quota: QuotaChange) -> users::QuotaChange {
    users::QuotaChange {
        records: quota.records,
        bytes: quota.bytes,
        delivered_records: quota.delivered_records,
        delivered_bytes: quota.delivered_bytes,
    }
}

/// `base` with what is given; `None` where nothing is.
fn quotas(quota: QuotaChange, base: Quotas) -> Option<Quotas> {
    let change = change(quota);
    (change != users::QuotaChange::default()).then(|| change.over(base))
}
