//! Invitations: made, listed and revoked by the operator, redeemed once by whoever has the code.

use super::desk::{UserDesk, change_of};
use super::rows::{self, CodeHash, Decision, InvitationId, InvitationRow, UserRow};
use crate::admin::Order;
use crate::base::limits;
use crate::config::{Joining, Quotas};
use crate::policy::Served as _;
use crate::server::ledger::OrderError;
use crate::store::{Act, Expect, StateChange, StateTable};
use crate::wire::{InvitationCode, PublicKey, RedeemResult, ResultCode, Timestamp};

/// What an invitation is to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct InvitationTerms {
    /// When it expires; absent: not before it is used.
    pub(in crate::server) expires: Option<Timestamp>,
    /// What the operator wants to remember of it; at most [`limits::INVITATION_NOTE_MAX_BYTES`].
    pub(in crate::server) note: String,
    /// The bounds of whoever uses it, in place of those of the configuration.
    pub(in crate::server) quotas: Option<Quotas>,
}

/// An invitation that was just made. Only here is its code: the store has a hash of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct MadeInvitation {
    /// What it is called in lists.
    pub(in crate::server) id: InvitationId,
    /// What makes somebody a user.
    pub(in crate::server) code: InvitationCode,
}

/// An invitation that waits to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct InvitationEntry {
    /// What it is called.
    pub(in crate::server) id: InvitationId,
    /// When it was made.
    pub(in crate::server) created: Timestamp,
    /// The key of the operator who made it.
    pub(in crate::server) by: Option<PublicKey>,
    /// When it expires.
    pub(in crate::server) expires: Option<Timestamp>,
    /// What the operator noted.
    pub(in crate::server) note: String,
    /// The bounds of whoever uses it.
    pub(in crate::server) quotas: Option<Quotas>,
}

impl UserDesk {
    /// Makes an invitation. Those that have expired are forgotten on the way.
    ///
    /// # Errors
    /// A note that is too long, too many invitations, or why the act was not done.
    pub(in crate::server) fn create_invitation(
        &self,
        order: &Order,
        terms: InvitationTerms,
    ) -> Result<MadeInvitation, OrderError> {
        if terms.note.len() > limits::INVITATION_NOTE_MAX_BYTES {
            let max = limits::INVITATION_NOTE_MAX_BYTES;
            let why = format!("a note has at most {max} bytes");
            return Err(OrderError::BadValue(why));
        }
        let _turn = self.turn();
        let now = Timestamp::now();
        let expired = self.expired(now);
        let waiting = self.registry.read().invitations.len();
        if waiting.saturating_sub(expired.len()) >= limits::INVITATIONS_MAX {
            return Err(OrderError::BadValue(
                "there are too many invitations".to_owned(),
            ));
        }
        let code = InvitationCode::from_bytes(rand::random());
        let hash = CodeHash::of(&code);
        let row = InvitationRow {
            created: now.nanos(),
            by: order.by.as_bytes().to_vec(),
            expires: terms.expires.map(Timestamp::nanos),
            note: terms.note,
            quotas: terms.quotas,
        };
        let mut state = vec![change(hash, Some(rows::encode(&row)), Expect::Absent)];
        state.extend(expired.iter().map(|hash| change(*hash, None, Expect::Any)));
        self.ledger.state(order, state)?;
        let mut registry = self.registry.write();
        for hash in &expired {
            registry.invitations.remove(hash);
        }
        registry.invitations.insert(hash, row);
        let id = hash.id();
        Ok(MadeInvitation { id, code })
    }

    /// The invitations that can be used, in the order in which they were made: those behind `after`, at
    /// most [`limits::USERS_PAGE_MAX`].
    pub(in crate::server) fn invitations(
        &self,
        after: Option<(Timestamp, InvitationId)>,
    ) -> Vec<InvitationEntry> {
        let now = Timestamp::now();
        let registry = self.registry.read();
        let usable = registry.invitations.iter();
        let usable = usable.filter(|(_, row)| !row.is_expired(now));
        let mut entries: Vec<InvitationEntry> = usable.map(entry).collect();
        entries.sort_by_key(|entry| (entry.created, entry.id));
        if let Some(after) = after {
            entries.retain(|entry| (entry.created, entry.id) > after);
        }
        entries.truncate(limits::USERS_PAGE_MAX);
        entries
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// [`OrderError::NotFound`]: there is none, or it was used; or why the act was not done.
    pub(in crate::server) fn revoke_invitation(
        &self,
        order: &Order,
        id: InvitationId,
    ) -> Result<(), OrderError> {
        let _turn = self.turn();
        let hash = CodeHash(*id.as_bytes());
        if !self.registry.read().invitations.contains_key(&hash) {
            return Err(OrderError::NotFound("invitation"));
        }
        let state = vec![change(hash, None, Expect::Present)];
        self.ledger.state(order, state)?;
        self.registry.write().invitations.remove(&hash);
        Ok(())
    }

    /// Makes `master` a user, if `code` is an invitation. It is used up by that: one act takes it
    /// away and adds the user, so of two who have it one comes in.
    ///
    /// Whoever is served already keeps the invitation for somebody else. One that was used, was
    /// revoked, has expired or never was is answered alike.
    pub(super) fn redeem(&self, master: PublicKey, code: &str) -> RedeemResult {
        match self.try_redeem(master, code) {
            Ok(()) => RedeemResult {
                result: ResultCode::Success,
                why: None,
            },
            Err((result, why)) => RedeemResult {
                result,
                why: Some(why.to_owned()),
            },
        }
    }

    fn try_redeem(&self, master: PublicKey, code: &str) -> Result<(), (ResultCode, &'static str)> {
        let _turn = self.turn();
        if self.registry.contains(&master) {
            return Err((ResultCode::Duplicate, "you are served already"));
        }
        if self.registry.joining() == Joining::Closed {
            return Err((ResultCode::Unauthorized, "this server takes no invitations"));
        }
        if self.registry.read().is_removed(&master) {
            return Err((ResultCode::Unauthorized, "the operator removed you"));
        }
        let unknown = (
            ResultCode::NotFound,
            "there is no such invitation (any more)",
        );
        let code: InvitationCode = code.parse().map_err(|_| unknown)?;
        let hash = CodeHash::of(&code);
        let now = Timestamp::now();
        let invitation = self.registry.read().invitations.get(&hash).cloned();
        let invitation = invitation
            .filter(|row| !row.is_expired(now))
            .ok_or(unknown)?;
        let known = self.registry.row(&master);
        let row = UserRow {
            decision: Some(Decision::Invited),
            quotas: invitation
                .quotas
                .or_else(|| known.as_ref().and_then(|row| row.quotas)),
            since: now.nanos(),
            note: Some(invitation.note).filter(|note| !note.is_empty()),
        };
        let done = self.ledger.act(Act {
            by: Some(master),
            is_order: false,
            call: "redeem".to_owned(),
            detail: format!("{} {master}", hash.id()),
            state: vec![
                change(hash, None, Expect::Present),
                change_of(&master, &row, known.is_some()),
            ],
            records: Vec::new(),
        });
        match done {
            Ok(_) => {
                let mut registry = self.registry.write();
                registry.invitations.remove(&hash);
                registry.rows.insert(master, row);
                drop(registry);
                tracing::info!(user = %master, invitation = %hash.id(), "an invitation was redeemed");
                Ok(())
            }
            Err(OrderError::Conflict) => Err(unknown),
            Err(error) => {
                tracing::debug!(%error, "an invitation was not redeemed");
                Err((ResultCode::TemporaryError, "try again later"))
            }
        }
    }

    /// Some invitations that have expired.
    fn expired(&self, now: Timestamp) -> Vec<CodeHash> {
        let registry = self.registry.read();
        let expired = registry.invitations.iter();
        let expired = expired.filter(|(_, row)| row.is_expired(now));
        expired
            .map(|(hash, _)| *hash)
            .take(FORGOTTEN_AT_ONCE)
            .collect()
    }
}

fn change(hash: CodeHash, value: Option<Vec<u8>>, expect: Expect) -> StateChange {
    StateChange {
        table: StateTable::Invitation,
        key: hash.0.to_vec(),
        value,
        expect,
    }
}

fn entry((hash, row): (&CodeHash, &InvitationRow)) -> InvitationEntry {
    let time = |nanos| Timestamp::from_nanos(nanos).unwrap_or(Timestamp::MAX);
    InvitationEntry {
        id: hash.id(),
        created: time(row.created),
        by: rows::user_of(&row.by),
        expires: row.expires.map(time),
        note: row.note.clone(),
        quotas: row.quotas,
    }
}

/// Invitations that are forgotten in one act.
const FORGOTTEN_AT_ONCE: usize = 64;
