//! REDEEM and REDEEM RESULT: a client becomes a user by an invitation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Body;
use crate::wire::{
    human::{self, HumanError},
    result_code::ResultCode,
};

/// What an invitation consists of: 128 random bits, printed in z-base-32. Whoever has it can use it,
/// so it is not in the debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct InvitationCode([u8; 16]);

impl InvitationCode {
    /// The invitation of those bytes, which should be random ones.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for InvitationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&human::encode("", &self.0))
    }
}

impl fmt::Debug for InvitationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvitationCode").finish_non_exhaustive()
    }
}

impl FromStr for InvitationCode {
    type Err = HumanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(*human::decode("", text)?))
    }
}

/// 0x49 REDEEM: the client has an invitation and wants the master of its key to be served.
///
/// # Source
/// docs/SPEC_NOTES.md, "Roles and extension messages": `extensions.md` has no such message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redeem {
    /// The invitation, as the operator handed it out.
    pub code: String,
}

impl Body for Redeem {
    const KIND: u8 = 0x49;
}

/// Without the code, which is as good as a password until it is used.
impl fmt::Debug for Redeem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redeem").finish_non_exhaustive()
    }
}

/// 0xC9 REDEEM RESULT: answers REDEEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedeemResult {
    /// SUCCESS: the user is served from now on.
    pub result: ResultCode,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Body for RedeemResult {
    const KIND: u8 = 0xC9;
}
