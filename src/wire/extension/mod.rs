//! Messages of the extension set: their frame, and the bodies that are in use.
//!
//! Each pair of request and reply has its own file, and a line in [`BodyRefusal::encode`].

mod admin;
mod dialback;
mod fields;
mod info;
mod probe;
mod redeem;
mod role;
mod text_enum;
mod voucher;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

pub use self::{
    admin::{AdminCall, AdminReply, AdminRow, AdminValue},
    dialback::{Dialback, DialbackAck},
    info::{
        Info, InfoLimits, InfoReply, Refused, Registration, RoleCondition, RoleReport, UserReport,
    },
    probe::{
        Nonce, ProbeCode, ProbeMode, ProbeOutcome, ProbeRequest, ProbeResult, ProbeStatus,
        ProbeTransport,
    },
    redeem::{InvitationCode, Redeem, RedeemResult},
    role::{RoleOpen, RoleStatus, StreamRole},
    voucher::{Voucher, VoucherStatus},
};
use super::{
    message::{MessageType, fields, framed},
    message_pack::{self, ShapeError},
    result_code::ResultCode,
};
use crate::base::limits;

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
    /// The refusal of a body that does not decode. An error may quote the body, so its text is
    /// cut to [`limits::WHY_MAX_CHARS`].
    #[must_use]
    pub fn of(error: &BodyError) -> Self {
        Self {
            result: ResultCode::Invalid,
            why: error
                .to_string()
                .chars()
                .take(limits::WHY_MAX_CHARS)
                .collect(),
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
            ProbeRequest::KIND => ProbeStatus::KIND,
            Voucher::KIND => VoucherStatus::KIND,
            Dialback::KIND => DialbackAck::KIND,
            AdminCall::KIND => AdminReply::KIND,
            Redeem::KIND => RedeemResult::KIND,
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

#[cfg(test)]
mod tests;
