//! Users and invitations, as operators see them.

use std::sync::Arc;

use crate::admin::{
    Invitation, InvitationLine, Invitations, Listing, Order, QuotaChange, Refused, UserLine, Users,
};
use crate::config::Quotas;
use crate::server::users::{InvitationEntry, InvitationId, InvitationTerms, UserDesk, UserEntry};
use crate::wire::{PublicKey, Timestamp};

/// Passes the operators' calls about users and invitations on to their desk.
pub(super) struct UserCalls {
    pub(super) desk: Arc<UserDesk>,
}

impl Users for UserCalls {
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<UserLine>, Refused> {
        let after = from.and_then(|from| PublicKey::from_bytes(from.try_into().ok()?).ok());
        let mut entries = self.desk.users(after.as_ref())?;
        entries.truncate(max);
        let next = entries.last().map(|entry| entry.user.as_bytes().to_vec());
        Ok(Listing {
            lines: entries.into_iter().map(user_line).collect(),
            next,
        })
    }

    fn show(&self, user: &PublicKey) -> Result<UserLine, Refused> {
        Ok(user_line(self.desk.user(user)?))
    }

    fn add(
        &self,
        order: &Order,
        user: PublicKey,
        quota: QuotaChange,
        note: Option<&str>,
    ) -> Result<(), Refused> {
        Ok(self.desk.add_user(order, user, quota, note)?)
    }

    fn remove(&self, order: &Order, user: &PublicKey) -> Result<(), Refused> {
        Ok(self.desk.remove_user(order, *user)?)
    }

    fn set_quota(
        &self,
        order: &Order,
        user: &PublicKey,
        quota: QuotaChange,
    ) -> Result<(), Refused> {
        Ok(self.desk.set_quotas(order, *user, quota).map(drop)?)
    }
}

impl Invitations for UserCalls {
    fn create(
        &self,
        order: &Order,
        invitation: Invitation<'_>,
    ) -> Result<(String, InvitationLine), Refused> {
        let now = Timestamp::now();
        let expires = invitation.lifetime;
        let expires = expires.map(|lifetime| now.saturating_add(lifetime));
        let quotas = (invitation.quota != QuotaChange::NONE)
            .then(|| invitation.quota.over(self.desk.usual_quotas()));
        let made = self.desk.create_invitation(
            order,
            InvitationTerms {
                expires,
                note: invitation.note.unwrap_or_default().to_owned(),
                quotas,
            },
        )?;
        let line = InvitationLine {
            id: *made.id.as_bytes(),
            by: Some(order.by),
            created: now,
            expires,
            note: invitation.note.map(str::to_owned),
        };
        Ok((made.code.to_string(), line))
    }

    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<InvitationLine>, Refused> {
        let mut entries = self.desk.invitations(from.and_then(place_of));
        entries.truncate(max);
        let next = entries.last().map(|entry| {
            let created = entry.created.to_bytes();
            [&created[..], entry.id.as_bytes()].concat()
        });
        Ok(Listing {
            lines: entries.into_iter().map(invitation_line).collect(),
            next,
        })
    }

    fn revoke(&self, order: &Order, id: &[u8; 32]) -> Result<(), Refused> {
        let id = InvitationId::from_bytes(*id);
        Ok(self.desk.revoke_invitation(order, id)?)
    }
}

fn user_line(entry: UserEntry) -> UserLine {
    let bound = |bound: u64| Some(bound).filter(|bound| *bound > 0);
    let Quotas {
        records,
        bytes,
        delivered_records,
        delivered_bytes,
    } = entry.quotas;
    UserLine {
        user: entry.user,
        source: entry.source.name().to_owned(),
        since: entry.since,
        note: entry.note,
        records: entry.usage.own.records,
        bytes: entry.usage.own.bytes,
        delivered_records: entry.usage.delivered.records,
        delivered_bytes: entry.usage.delivered.bytes,
        quotas: [records, bytes, delivered_records, delivered_bytes].map(bound),
    }
}

fn invitation_line(entry: InvitationEntry) -> InvitationLine {
    InvitationLine {
        id: *entry.id.as_bytes(),
        by: entry.by,
        created: entry.created,
        expires: entry.expires,
        note: Some(entry.note).filter(|note| !note.is_empty()),
    }
}

/// Where a listing of invitations goes on.
fn place_of(from: &[u8]) -> Option<(Timestamp, InvitationId)> {
    let (created, id) = from.split_first_chunk::<8>()?;
    let created = Timestamp::from_bytes(*created).ok()?;
    Some((created, InvitationId::from_bytes(id.try_into().ok()?)))
}
