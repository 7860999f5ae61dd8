//! `invite.*`: codes with which others become users.

use std::time::Duration;

use super::answer::row;
use super::args::needed;
use super::users::quota;
use super::{Answer, Asked, Listing, Order, QuotaChange, Refused};
use crate::base::limits;
use crate::wire::{AdminRow, AdminValue, PublicKey, Timestamp};

/// Keeps the invitations. Changes are durable when a method returns, and in the audit trail.
pub trait Invitations: Send + Sync {
    /// Makes an invitation. Its code is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`Refused`].
    fn create(
        &self,
        order: &Order,
        invitation: Invitation<'_>,
    ) -> Result<(String, InvitationLine), Refused>;

    /// The invitations behind `from` that were not redeemed, in an order that stays.
    ///
    /// # Errors
    /// [`Refused`].
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<InvitationLine>, Refused>;

    /// Takes an invitation back.
    ///
    /// # Errors
    /// [`Refused`]: NOT_FOUND where it was redeemed, taken back, or never made.
    fn revoke(&self, order: &Order, id: &[u8; 32]) -> Result<(), Refused>;
}

/// An invitation to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitation<'a> {
    /// How long it is good; `None`: until it is redeemed.
    pub lifetime: Option<Duration>,
    /// What the operator notes.
    pub note: Option<&'a str>,
    /// The quotas of whoever redeems it.
    pub quota: QuotaChange,
}

/// What there is to say about an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationLine {
    /// The hash of its code.
    pub id: [u8; 32],
    /// Who made it.
    pub by: Option<PublicKey>,
    /// When.
    pub created: Timestamp,
    /// Until when it is good.
    pub expires: Option<Timestamp>,
    /// What the operator noted.
    pub note: Option<String>,
}

impl From<InvitationLine> for AdminRow {
    fn from(line: InvitationLine) -> Self {
        row([
            ("hash", AdminValue::Bytes(line.id.to_vec())),
            ("by", line.by.into()),
            ("created", line.created.into()),
            ("expires", line.expires.into()),
            ("note", line.note.into()),
        ])
    }
}

pub(super) fn call(invitations: &dyn Invitations, asked: Asked<'_>) -> Result<Answer, Refused> {
    match asked.verb {
        "create" => {
            let lifetime = asked.args.number("seconds")?.map(Duration::from_secs);
            let note = asked.args.text("note")?;
            let quota = quota(asked.args)?;
            asked.args.end()?;
            let invitation = Invitation {
                lifetime,
                note,
                quota,
            };
            let (code, line) = invitations.create(asked.order, invitation)?;
            let mut row = AdminRow::from(line);
            row.insert("code".to_owned(), code.into());
            Ok(Answer::rows(vec![row]))
        }
        "list" => {
            asked.args.end()?;
            let listing = invitations.list(asked.from, limits::ADMIN_PAGE_MAX_ROWS)?;
            Ok(Answer::listed(listing))
        }
        "revoke" => {
            let id = needed(asked.args.hash("hash")?, "hash")?;
            asked.args.end()?;
            invitations.revoke(asked.order, &id)?;
            Ok(Answer::done())
        }
        _ => Err(asked.unknown("invite.create, invite.list, invite.revoke")),
    }
}
