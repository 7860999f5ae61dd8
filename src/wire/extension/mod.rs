//! Messages of the extension set: their frame, and the bodies that are in use.
//!
//! Each body is one struct here; one more message is one more struct with its [`Body::KIND`].

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use thiserror::Error;

use super::{
    key::PublicKey,
    message::{MessageType, fields, framed},
    message_pack::{self, ShapeError},
    result_code::ResultCode,
    time::Timestamp,
};
use crate::base::{Role, limits};

/// Application ID that stands for the extension set in HELLO and HELLO ACK.
///
/// # Source
/// `extensions.md`, "Negotiation".
pub const EXTENSION_APP: u32 = 0xA56A_F6B3;

/// A request of the extension set, its body unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionRequest {
    /// First byte of the message, 0x40 to 0x4F.
    pub kind: u8,
    /// The client's name for it; every reply to it says the same.
    pub request_id: u16,
    /// What should be one MessagePack map, unchecked.
    pub body: Bytes,
}

/// A reply of the extension set, its body unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionReply {
    /// First byte of the message, 0xC0 to 0xCF.
    pub kind: u8,
    /// The request that it answers.
    pub request_id: u16,
    /// What should be one MessagePack map, unchecked.
    pub body: Bytes,
}

/// Why the body of an extension message cannot be read. [`Display`](std::fmt::Display) gives the
/// `why` of the answer.
#[derive(Debug, Error)]
pub enum BodyError {
    /// It is not one whole MessagePack map within the bounds.
    #[error("the body is not one map in MessagePack: {0}")]
    Shape(ShapeError),
    /// A key is missing, or its value is not of the type it must have.
    #[error("the body does not have what it must have: {0}")]
    Fields(rmp_serde::decode::Error),
    /// `app` beside a role that has no applications.
    #[error("app is for the role application only")]
    AppWithoutApplication,
}

/// The body of one extension message.
pub trait Body: Serialize + DeserializeOwned {
    /// First byte of the message.
    const KIND: u8;

    /// Reads a body. Keys that are not known are ignored, absent optional ones are `None`.
    ///
    /// # Errors
    /// [`BodyError`], with what to tell the peer.
    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        decode_fields(body)
    }

    /// The whole message with this body.
    ///
    /// # Panics
    /// Where a text of ours makes it reach 16 MiB.
    fn encode(&self, request_id: u16) -> Bytes {
        encode_message(Self::KIND, request_id, self)
    }
}

/// Role that a stream is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamRole {
    /// [`Role::Outbox`].
    Outbox,
    /// [`Role::Inbox`].
    Inbox,
    /// [`Role::Encryption`].
    Encryption,
    /// [`Role::Application`].
    Application,
    /// The server's operator gives orders; no records.
    Operator,
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

/// 0x41 INFO: asks what the server is and serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {}

impl Body for Info {
    const KIND: u8 = 0x41;
}

/// 0xC1 INFO REPLY: what the server is and serves.
///
/// # Source
/// `extensions.md`, "INFO REPLY".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfoReply {
    /// The server's name, for people.
    pub name: String,
    /// Name of the software.
    pub software: String,
    /// Version of the software.
    pub version: String,
    /// Version of the Mosaic specification.
    pub spec: String,
    /// The server's master key.
    #[serde(with = "key_as_bin")]
    pub key: PublicKey,
    /// What the server is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How to reach the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Terms of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
    /// URLs at which the server is reached.
    pub endpoints: Vec<String>,
    /// How each role stands. A role that the reader does not know is left out.
    #[serde(deserialize_with = "known_roles")]
    pub roles: BTreeMap<StreamRole, RoleReport>,
    /// IDs of the applications served.
    pub applications: Vec<u32>,
    /// What the server allows.
    pub limits: InfoLimits,
    /// Who may become a user.
    pub registration: Registration,
    /// Whether the server tests the reachability of others.
    pub probes: bool,
    /// The server's clock.
    #[serde(with = "time_as_nanos")]
    pub now: Timestamp,
}

impl Body for InfoReply {
    const KIND: u8 = 0xC1;
}

/// How one role stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleReport {
    /// Open, closed or off.
    pub state: RoleCondition,
    /// Why it is not open, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Since when it has stood so.
    #[serde(with = "time_as_nanos")]
    pub since: Timestamp,
}

/// Whether a role can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleCondition {
    /// It can.
    Open,
    /// It is configured, and kept closed for now.
    Closed,
    /// It is not configured.
    Off,
}

/// What a server allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfoLimits {
    /// Largest record.
    pub record_bytes: u64,
    /// Largest BLOB; 0 where none are taken.
    pub blob_bytes: u64,
    /// Largest filter.
    pub filter_bytes: u64,
    /// Most records that one query delivers.
    pub query_results: u64,
    /// Most queries and subscriptions open on one stream.
    pub subscriptions_per_stream: u64,
    /// Most streams open on one connection.
    pub streams: u64,
    /// Most submissions a second.
    pub submissions_per_second: u64,
    /// How long records are kept; absent: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_seconds: Option<u64>,
}

/// Who may become a user of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Anybody who connects with a key.
    Open,
    /// Nobody but whom the operator lists.
    Closed,
    /// Whoever has an invitation.
    Invite,
}

/// What answers a request whose body did not decode: that request's reply, with these two keys
/// alone. Read it where a reply lacks the keys of its own type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRefusal {
    /// INVALID.
    pub result: ResultCode,
    /// What is wrong, for people.
    pub why: String,
}

impl BodyRefusal {
    /// The refusal of a body that does not decode.
    #[must_use]
    pub fn of(error: &BodyError) -> Self {
        Self {
            result: ResultCode::Invalid,
            why: error.to_string(),
        }
    }

    /// Reads the body of a reply that is a refusal.
    ///
    /// # Errors
    /// [`BodyError`]: it is not one.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        decode_fields(body)
    }

    /// The whole message, of the type that answers requests of type `request_kind`; `None` where
    /// no such request is known, which is to be answered UNRECOGNIZED.
    ///
    /// # Panics
    /// Where `why` makes it reach 16 MiB.
    #[must_use]
    pub fn encode(&self, request_kind: u8, request_id: u16) -> Option<Bytes> {
        let reply_kind = match request_kind {
            RoleOpen::KIND => RoleStatus::KIND,
            Info::KIND => InfoReply::KIND,
            _ => return None,
        };
        Some(encode_message(reply_kind, request_id, self))
    }
}

fn decode_fields<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    message_pack::check_map(
        body,
        limits::EXTENSION_BODY_MAX_BYTES,
        limits::EXTENSION_DEPTH_MAX,
    )
    .map_err(BodyError::Shape)?;
    rmp_serde::from_slice(body).map_err(BodyError::Fields)
}

fn encode_message<T: Serialize>(kind: u8, request_id: u16, body: &T) -> Bytes {
    // Only maps and sequences of unknown length fail, and no body has one.
    let body = rmp_serde::to_vec_named(body)
        .unwrap_or_else(|error| unreachable!("a body that cannot be encoded: {error}"));
    let Some(message_type) = MessageType::from_u8(kind) else {
        unreachable!("the type of a body is a type of the extension set");
    };
    framed(message_type, fields(request_id, 0), &body)
}

/// Reads the map of roles, leaving out those that this version does not know.
fn known_roles<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<StreamRole, RoleReport>, D::Error> {
    let named = BTreeMap::<String, RoleReport>::deserialize(deserializer)?;
    Ok(named
        .into_iter()
        .filter_map(|(name, report)| Some((Role::from_name(&name)?.into(), report)))
        .collect())
}

/// A key as MessagePack *bin*.
mod key_as_bin {
    use serde::de::Error as _;
    use serde_bytes::ByteArray;

    use super::{Deserialize, Deserializer, PublicKey, Serializer};

    pub(super) fn serialize<S: Serializer>(
        key: &PublicKey,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(key.as_bytes())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PublicKey, D::Error> {
        let bytes = ByteArray::<32>::deserialize(deserializer)?;
        PublicKey::from_bytes(&bytes).map_err(D::Error::custom)
    }
}

/// A time as a count of nanoseconds.
mod time_as_nanos {
    use serde::de::Error as _;

    use super::{Deserialize, Deserializer, Serializer, Timestamp};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde asks for"
    )]
    pub(super) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.nanos())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        let nanos = u64::deserialize(deserializer)?;
        Timestamp::from_nanos(nanos).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
