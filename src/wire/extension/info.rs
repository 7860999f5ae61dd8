//! INFO and INFO REPLY: what a server is and serves.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Body, StreamRole, fields, text_enum::text_enum};
use crate::wire::{key::PublicKey, result_code::ResultCode, time::Timestamp};

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
    #[serde(with = "fields::key_as_bin")]
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
    #[serde(with = "fields::time_as_nanos")]
    pub now: Timestamp,
    /// What the server keeps for the client that asks; absent for a client without a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub you: Option<UserReport>,
    /// The last request of this connection that ran into a limit: the replies to plain messages
    /// have no room to say into which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
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
    #[serde(with = "fields::time_as_nanos")]
    pub since: Timestamp,
}

text_enum! {
    /// Whether a role can be used.
    RoleCondition {
        /// It can.
        Open = "open",
        /// It is configured, and kept closed for now.
        Closed = "closed",
        /// It is not configured.
        Off = "off",
    }
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

/// What a server keeps for the master of the client that asks, and how much it would keep. A bound
/// that is absent is none.
///
/// # Source
/// docs/SPEC_NOTES.md, "Roles and extension messages": an addition of this server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserReport {
    /// Whether outbox, inbox and encryption serve them.
    pub served: bool,
    /// Records that they published here.
    pub records: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Most records that they may publish here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_max: Option<u64>,
    /// Most bytes of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
    /// Records that others left for them.
    pub delivered_records: u64,
    /// Bytes of those.
    pub delivered_bytes: u64,
    /// Most records that others may leave for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_records_max: Option<u64>,
    /// Most bytes of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_bytes_max: Option<u64>,
}

/// A request that was more than the server allows.
///
/// # Source
/// docs/SPEC_NOTES.md, "Roles and extension messages": an addition of this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// TOO_OPEN or TOO_FAST, as in the reply to the request.
    pub result: ResultCode,
    /// Which limit it was, for people.
    pub why: String,
}

text_enum! {
    /// Who may become a user of a server.
    Registration {
        /// Anybody who connects with a key.
        Open = "open",
        /// Nobody but whom the operator lists.
        Closed = "closed",
        /// Whoever has an invitation.
        Invite = "invite",
    }
}

/// Reads the map of roles, leaving out those that this version does not know.
fn known_roles<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<StreamRole, RoleReport>, D::Error> {
    let named = BTreeMap::<String, RoleReport>::deserialize(deserializer)?;
    Ok(named
        .into_iter()
        .filter_map(|(name, report)| Some((StreamRole::from_name(&name)?, report)))
        .collect())
}
