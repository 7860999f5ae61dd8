//! Why a submission is turned away, and what is said to the peer then.

use thiserror::Error;

use crate::wire::ResultCode;

/// Why the rules turn a submission away. A normal answer, not a failure of the server.
///
/// The text is for the trace; the peer is told only [`code`](Self::code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The author said that only the author may hand the record in, and the peer is anonymous.
    #[error("an anonymous peer may not hand in a record marked FROM_AUTHOR")]
    FromAuthorAnonymous,
    /// The author said that only the author may hand the record in, and the peer is someone else.
    #[error("the peer does not speak for the author of a record marked FROM_AUTHOR")]
    FromAuthorElse,
    /// No configured role (on a bound stream: not that role) has a place for the record.
    #[error("no configured role claims the record")]
    Unclaimed,
    /// The roles that claim the record are shut at this moment.
    #[error("the roles that claim the record are shut")]
    Shut,
    /// The author revoked the signing key.
    #[error("the signing key was revoked by the author")]
    SignerRevoked,
    /// The author is served here, and the signing key is not known to be the author's.
    #[error("the signing key is not in the key schedule of a served author")]
    SignerUnknown,
    /// The signing key is not known to be the author's, so the record may not take the place of
    /// a record that only some may read.
    #[error("an unknown signing key may not replace a record of restricted access")]
    SignerMayNotReplace,
    /// The application takes records of authenticated peers only.
    #[error("the application takes no records from anonymous peers")]
    ApplicationAnonymous,
    /// The application does not take records of this peer.
    #[error("the application takes no records from this peer")]
    ApplicationUnlisted,
}

impl Refusal {
    /// What the peer is told.
    #[must_use]
    pub const fn code(self) -> ResultCode {
        match self {
            Self::FromAuthorAnonymous | Self::ApplicationAnonymous => {
                ResultCode::RequiresAuthentication
            }
            Self::FromAuthorElse
            | Self::Unclaimed
            | Self::SignerRevoked
            | Self::SignerUnknown
            | Self::SignerMayNotReplace
            | Self::ApplicationUnlisted => ResultCode::Unauthorized,
            Self::Shut => ResultCode::TemporaryError,
        }
    }
}

/// What is said to the submitter of a record that is here already, or in place of which a newer
/// one is here. `visible` is the gate's answer for that stored record and this submitter.
///
/// Someone who may not see the stored record is told `if_new`, what would be said if it were not here.
///
/// # Source
/// `mosaic-wire.md` section 10, "what a record must not reveal".
#[must_use]
pub const fn already_here(visible: bool, if_new: ResultCode) -> ResultCode {
    if visible {
        ResultCode::Duplicate
    } else {
        if_new
    }
}
