//! What the state of the store holds of users and invitations: MessagePack maps with names.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::config::Quotas;
use crate::wire::{Hash64, InvitationCode, PublicKey, Timestamp};

/// What an operator decided about one user. Its key is the user's master key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct UserRow {
    /// Whether the operator, or an invitation, let them in or took them out; where neither, the
    /// configuration decides.
    pub(super) decision: Option<Decision>,
    /// Their own bounds, in place of those of the configuration.
    pub(super) quotas: Option<Quotas>,
    /// When the decision was made, in nanoseconds.
    pub(super) since: u64,
    /// What the operator noted.
    pub(super) note: Option<String>,
}

/// What an operator decided about a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Decision {
    /// They are served, whatever the configuration says.
    Added,
    /// They are served, for they had an invitation.
    Invited,
    /// They are not.
    Removed,
}

/// An invitation that waits to be used. Its key is the hash of its code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct InvitationRow {
    /// When it was made, in nanoseconds.
    pub(super) created: u64,
    /// The operator's key.
    #[serde(with = "serde_bytes")]
    pub(super) by: Vec<u8>,
    /// When it expires, in nanoseconds.
    pub(super) expires: Option<u64>,
    /// What the operator noted.
    pub(super) note: String,
    /// The bounds of whoever uses it, in place of those of the configuration.
    pub(super) quotas: Option<Quotas>,
}

impl InvitationRow {
    /// Whether it is of no use any more.
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now.nanos())
    }
}

/// The row as it is stored.
pub(super) fn encode(row: &impl Serialize) -> Vec<u8> {
    // Only maps and sequences of unknown length fail, and no row has one.
    rmp_serde::to_vec_named(row)
        .unwrap_or_else(|error| unreachable!("a row that cannot be encoded: {error}"))
}

/// The row that was stored.
pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    rmp_serde::from_slice(value).ok()
}

/// The key of a user's row.
pub(super) fn user_of(key: &[u8]) -> Option<PublicKey> {
    PublicKey::from_bytes(key.try_into().ok()?).ok()
}

/// BLAKE3 of the code of an invitation: what is stored of it, and its key there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CodeHash(pub(super) [u8; 32]);

impl CodeHash {
    /// The hash of a code.
    pub(super) fn of(code: &InvitationCode) -> Self {
        let mut first = [0; 32];
        for (to, from) in first.iter_mut().zip(Hash64::of(code.as_bytes()).as_bytes()) {
            *to = *from;
        }
        Self(first)
    }

    /// How operators call the invitation.
    pub(super) const fn id(&self) -> InvitationId {
        InvitationId(self.0)
    }
}

/// What operators call an invitation: the hash of its code, which tells nothing of the code. Printed as
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::server) struct InvitationId([u8; 32]);

impl InvitationId {
    /// The ID of those bytes.
    pub(in crate::server) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub(in crate::server) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_their_bytes_and_later_ones_with_more_keys_are_read() {
        let row = UserRow {
            decision: Some(Decision::Removed),
            quotas: Some(Quotas {
                records: 7,
                ..Quotas::default()
            }),
            since: 9,
            note: Some("spam".to_owned()),
        };
        assert_eq!(decode::<UserRow>(&encode(&row)), Some(row.clone()));
        let invitation = InvitationRow {
            created: 1,
            by: vec![7; 32],
            expires: Some(5),
            note: "for Ann".to_owned(),
            quotas: None,
        };
        assert_eq!(decode(&encode(&invitation)), Some(invitation));
        // {"decision": "added", "later": 1}
        let later = b"\x82\xa8decision\xa5added\xa5later\x01";
        let read: UserRow = decode(later).unwrap();
        assert_eq!(read.decision, Some(Decision::Added));
    }

    #[test]
    fn an_invitation_has_expired_at_the_moment_it_names() {
        let row = InvitationRow {
            expires: Some(5),
            ..InvitationRow::default()
        };
        let at = |nanos| Timestamp::from_nanos(nanos).unwrap();
        assert!(!row.is_expired(at(4)));
        assert!(row.is_expired(at(5)));
        assert!(!InvitationRow::default().is_expired(Timestamp::MAX));
    }
}
