//! ROLE OPEN and ROLE STATUS: a stream is given to one role.

use serde::{Deserialize, Serialize};

use super::{Body, BodyError, decode_fields, text_enum::text_enum};
use crate::{base::Role, wire::result_code::ResultCode};

text_enum! {
    /// Role that a stream is opened for.
    StreamRole {
        /// [`Role::Outbox`].
        Outbox = "outbox",
        /// [`Role::Inbox`].
        Inbox = "inbox",
        /// [`Role::Encryption`].
        Encryption = "encryption",
        /// [`Role::Application`].
        Application = "application",
        /// The server's operator gives orders; no records.
        Operator = "operator",
    }
}

impl StreamRole {
    /// The role whose records the stream carries; `None` for the operator's stream.
    #[must_use]
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Outbox => Some(Role::Outbox),
            Self::Inbox => Some(Role::Inbox),
            Self::Encryption => Some(Role::Encryption),
            Self::Application => Some(Role::Application),
            Self::Operator => None,
        }
    }
}

impl From<Role> for StreamRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Outbox => Self::Outbox,
            Role::Inbox => Self::Inbox,
            Role::Encryption => Self::Encryption,
            Role::Application => Self::Application,
        }
    }
}

/// 0x40 ROLE OPEN: binds the stream to a role.
///
/// # Source
/// `extensions.md`, "A stream belongs to a role".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleOpen {
    /// The role.
    pub role: StreamRole,
    /// The application, with [`StreamRole::Application`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<u32>,
}

impl Body for RoleOpen {
    const KIND: u8 = 0x40;

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let open: Self = decode_fields(body)?;
        if open.app.is_some() && open.role != StreamRole::Application {
            return Err(BodyError::AppWithoutApplication);
        }
        Ok(open)
    }
}

/// 0xC0 ROLE STATUS: answers ROLE OPEN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleStatus {
    /// The role that was asked for.
    pub role: StreamRole,
    /// Whether the stream is bound to it now.
    pub result: ResultCode,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Body for RoleStatus {
    const KIND: u8 = 0xC0;
}
