//! What all messages share: their types, how each is framed, and what a broken one still tells.
//!
//! The messages themselves are [`ClientMessage`](super::ClientMessage) and
//! [`ServerMessage`](super::ServerMessage); cutting a stream into messages is
//! [`FrameReader`](super::FrameReader)'s.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use super::{filter::FilterError, reference::ReferenceError};
use crate::base::limits;

/// Number by which a client tells its queries apart, scoped to one stream.
///
/// Two bytes on the wire, made up by the client; this is their little-endian reading.
///
/// # Source
/// `mosaic-wire.md` sections 7 and 10, "scope of a query ID".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u16);

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which end reads the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Type of a message: its first byte.
///
/// # Source
/// `mosaic-wire.md` section 7; `extensions.md`, "Frame".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// 0x10: opens a connection.
    Hello,
    /// 0x11: has a meaning over WebSockets only.
    HelloAuth,
    /// 0x01: asks for records by reference.
    Get,
    /// 0x02: asks for the stored records that pass a filter.
    Query,
    /// 0x03: as QUERY, and for those that arrive later.
    Subscribe,
    /// 0x04: ends a subscription.
    Unsubscribe,
    /// 0x05: hands in a record.
    Submission,
    /// 0x06: not defined yet.
    DhtLookup,
    /// 0x07: hands in a BLOB.
    BlobSubmission,
    /// 0x08: asks for a BLOB.
    BlobGet,
    /// 0x40 to 0x4F: a request of the extension set.
    ExtensionRequest(u8),
    /// 0x80: one record of an answer.
    Record,
    /// 0x81: a subscription has sent what was stored.
    LocallyComplete,
    /// 0x82: a query has ended.
    QueryClosed,
    /// 0x83: answers SUBMISSION.
    SubmissionResult,
    /// 0x84: not defined yet.
    DhtResponse,
    /// 0x85: answers BLOB SUBMISSION.
    BlobSubmissionResult,
    /// 0x86: answers BLOB GET.
    BlobResult,
    /// 0x90: answers HELLO.
    HelloAck,
    /// 0xC0 to 0xCF: a reply of the extension set.
    ExtensionReply(u8),
    /// 0xF0, from either end: the last message was not understood.
    Unrecognized,
    /// 0xFE: the server closes the connection.
    Closing,
}

/// How the length of a message is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Always that many bytes; there is no length field.
    Fixed(usize),
    /// That many bytes, and the length field says so.
    Exact(usize),
    /// As the length field says: from the header of 8 bytes up to that many.
    UpTo(usize),
    /// A head of [`BLOB_HEAD_BYTES`], then data whose length is a u48 in the head.
    BlobHead,
}

impl MessageType {
    /// The type of that byte. `None`: to be answered UNRECOGNIZED.
    ///
    /// The synchronisation messages of `extensions.md` (0x46 to 0x48, 0xC7, 0xC8) are not
    /// implemented, and so have no type here.
    #[must_use]
    pub const fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            0x10 => Self::Hello,
            0x11 => Self::HelloAuth,
            0x01 => Self::Get,
            0x02 => Self::Query,
            0x03 => Self::Subscribe,
            0x04 => Self::Unsubscribe,
            0x05 => Self::Submission,
            0x06 => Self::DhtLookup,
            0x07 => Self::BlobSubmission,
            0x08 => Self::BlobGet,
            0x46..=0x48 | 0xC7 | 0xC8 => return None,
            0x40..=0x4F => Self::ExtensionRequest(byte),
            0x80 => Self::Record,
            0x81 => Self::LocallyComplete,
            0x82 => Self::QueryClosed,
            0x83 => Self::SubmissionResult,
            0x84 => Self::DhtResponse,
            0x85 => Self::BlobSubmissionResult,
            0x86 => Self::BlobResult,
            0x90 => Self::HelloAck,
            0xC0..=0xCF => Self::ExtensionReply(byte),
            0xF0 => Self::Unrecognized,
            0xFE => Self::Closing,
            _ => return None,
        })
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Hello => 0x10,
            Self::HelloAuth => 0x11,
            Self::Get => 0x01,
            Self::Query => 0x02,
            Self::Subscribe => 0x03,
            Self::Unsubscribe => 0x04,
            Self::Submission => 0x05,
            Self::DhtLookup => 0x06,
            Self::BlobSubmission => 0x07,
            Self::BlobGet => 0x08,
            Self::Record => 0x80,
            Self::LocallyComplete => 0x81,
            Self::QueryClosed => 0x82,
            Self::SubmissionResult => 0x83,
            Self::DhtResponse => 0x84,
            Self::BlobSubmissionResult => 0x85,
            Self::BlobResult => 0x86,
            Self::HelloAck => 0x90,
            Self::Unrecognized => 0xF0,
            Self::Closing => 0xFE,
            Self::ExtensionRequest(byte) | Self::ExtensionReply(byte) => byte,
        }
    }

    /// Whether a message of this type may travel in that direction.
    #[must_use]
    pub const fn travels(self, direction: Direction) -> bool {
        match (self, direction) {
            (Self::Unrecognized, _) => true,
            // What servers send has the top bit set.
            (_, Direction::ToServer) => self.as_u8() & 0x80 == 0,
            (_, Direction::ToClient) => self.as_u8() & 0x80 != 0,
        }
    }

    /// How the length of such a message is found, and the bound it has.
    pub(super) const fn layout(self) -> Layout {
        match self {
            Self::Hello | Self::HelloAck => {
                Layout::UpTo(HEADER_BYTES + APP_BYTES * limits::HELLO_APPS_MAX)
            }
            Self::HelloAuth | Self::DhtLookup | Self::DhtResponse => {
                Layout::UpTo(limits::UNDEFINED_MESSAGE_MAX_BYTES)
            }
            Self::Get => Layout::UpTo(HEADER_BYTES + REFERENCE_BYTES * limits::GET_REFERENCES_MAX),
            Self::Query | Self::Subscribe => Layout::UpTo(HEADER_BYTES + limits::FILTER_MAX_BYTES),
            Self::Submission | Self::Record => Layout::UpTo(limits::RECORD_MESSAGE_MAX_BYTES),
            Self::ExtensionRequest(_) | Self::ExtensionReply(_) => {
                Layout::UpTo(HEADER_BYTES + limits::EXTENSION_BODY_MAX_BYTES)
            }
            Self::Unsubscribe | Self::LocallyComplete | Self::QueryClosed | Self::Unrecognized => {
                Layout::Exact(HEADER_BYTES)
            }
            Self::SubmissionResult => Layout::Exact(HEADER_BYTES + 32),
            Self::Closing => Layout::Fixed(HEADER_BYTES),
            Self::BlobGet | Self::BlobSubmissionResult => Layout::Fixed(BLOB_HEAD_BYTES),
            Self::BlobSubmission | Self::BlobResult => Layout::BlobHead,
        }
    }

    /// What the first bytes of a message of this type are about, as far as they are in `message`.
    pub(super) fn subject(self, message: &[u8]) -> Subject {
        let found = match self {
            Self::Get
            | Self::Query
            | Self::Subscribe
            | Self::Unsubscribe
            | Self::Record
            | Self::LocallyComplete
            | Self::QueryClosed => u16_at(message, 4).map(|id| Subject::Query(QueryId(id))),
            Self::Submission | Self::SubmissionResult => {
                array_at(message, HEADER_BYTES).map(Subject::Record)
            }
            Self::BlobGet
            | Self::BlobSubmission
            | Self::BlobSubmissionResult
            | Self::BlobResult => array_at(message, HEADER_BYTES).map(Subject::Blob),
            Self::ExtensionRequest(_) | Self::ExtensionReply(_) => {
                u16_at(message, 4).map(Subject::Request)
            }
            Self::Hello
            | Self::HelloAuth
            | Self::HelloAck
            | Self::DhtLookup
            | Self::DhtResponse
            | Self::Unrecognized
            | Self::Closing => None,
        };
        found.unwrap_or(Subject::None)
    }

    /// How many bytes of a message [`subject`](Self::subject) needs.
    pub(super) const fn subject_end_bytes(self) -> usize {
        match self {
            Self::Hello
            | Self::HelloAuth
            | Self::HelloAck
            | Self::DhtLookup
            | Self::DhtResponse
            | Self::Unrecognized
            | Self::Closing => LENGTH_END_BYTES,
            Self::Get
            | Self::Query
            | Self::Subscribe
            | Self::Unsubscribe
            | Self::Record
            | Self::LocallyComplete
            | Self::QueryClosed
            | Self::ExtensionRequest(_)
            | Self::ExtensionReply(_) => 6,
            Self::Submission
            | Self::SubmissionResult
            | Self::BlobGet
            | Self::BlobSubmission
            | Self::BlobSubmissionResult
            | Self::BlobResult => HEADER_BYTES + 32,
        }
    }
}

/// What a message is about: where the answer to a broken one belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nothing in particular, or the bytes that would tell are missing.
    None,
    /// A query or subscription of the stream: answer QUERY CLOSED.
    Query(QueryId),
    /// A record, by the first 32 bytes of the ID it claims: answer SUBMISSION RESULT.
    Record([u8; 32]),
    /// A BLOB, by its hash.
    Blob([u8; 32]),
    /// A request of the extension set, by its request ID.
    Request(u16),
}

/// A message that was cut out of its stream well, and still does not parse. The stream is intact:
/// the next message can be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("message of type {kind:#04x}: {fault}")]
pub struct MessageError {
    /// First byte of the message; 0 where it is empty.
    pub kind: u8,
    /// Where the answer belongs.
    pub subject: Subject,
    /// What is wrong.
    pub fault: MessageFault,
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageFault {
    /// There is no such type in this direction.
    #[error("unknown type")]
    UnknownType,
    /// Its length is not one that its type can have.
    #[error("wrong length")]
    Length,
    /// The filter of a QUERY or SUBSCRIBE does not parse.
    #[error("bad filter")]
    Filter(#[from] FilterError),
    /// A reference of a GET names nothing that could exist.
    #[error("bad reference")]
    Reference(#[from] ReferenceError),
}

/// Checks that `message` is one whole message that may travel in `direction`, and tells its type.
pub(super) fn check_whole(
    message: &[u8],
    direction: Direction,
) -> Result<MessageType, MessageError> {
    let kind = message.first().copied().unwrap_or(0);
    let Some(message_type) = MessageType::from_u8(kind).filter(|it| it.travels(direction)) else {
        return Err(MessageError {
            kind,
            subject: Subject::None,
            fault: MessageFault::UnknownType,
        });
    };
    let claimed = length_field(message) == Some(message.len());
    let whole = match message_type.layout() {
        Layout::Fixed(bytes) => message.len() == bytes,
        Layout::BlobHead => message.len() == BLOB_HEAD_BYTES,
        Layout::Exact(bytes) => claimed && message.len() == bytes,
        Layout::UpTo(bytes) => claimed && (HEADER_BYTES..=bytes).contains(&message.len()),
    };
    if whole {
        Ok(message_type)
    } else {
        Err(broken(message_type, message, MessageFault::Length))
    }
}

/// The error of a message of that type.
pub(super) fn broken(
    message_type: MessageType,
    message: &[u8],
    fault: MessageFault,
) -> MessageError {
    MessageError {
        kind: message_type.as_u8(),
        subject: message_type.subject(message),
        fault,
    }
}

/// A whole message: type, length, the four bytes behind them, the rest.
///
/// # Panics
/// Where the message would reach 16 MiB, which its length field cannot say.
pub(super) fn framed(message_type: MessageType, fields: [u8; 4], rest: &[u8]) -> Bytes {
    let mut message = Vec::with_capacity(HEADER_BYTES + rest.len());
    message.extend_from_slice(&header(message_type, fields, rest.len()));
    message.extend_from_slice(rest);
    message.into()
}

/// The first 8 bytes of a message with `rest_bytes` behind them.
///
/// # Panics
/// As [`framed`].
pub(super) fn header(message_type: MessageType, fields: [u8; 4], rest_bytes: usize) -> [u8; 8] {
    let length_bytes = HEADER_BYTES + rest_bytes;
    assert!(
        length_bytes < 1 << 24,
        "a message must be shorter than 16 MiB"
    );
    let [l0, l1, l2, ..] = length_bytes.to_le_bytes();
    let [f0, f1, f2, f3] = fields;
    [message_type.as_u8(), l0, l1, l2, f0, f1, f2, f3]
}

/// The four bytes behind the length field, as two little-endian numbers.
pub(super) const fn fields(first: u16, second: u16) -> [u8; 4] {
    let [f0, f1] = first.to_le_bytes();
    let [f2, f3] = second.to_le_bytes();
    [f0, f1, f2, f3]
}

/// The length field, `[1:4]`, where those bytes are there.
pub(super) fn length_field(message: &[u8]) -> Option<usize> {
    let [l0, l1, l2] = array_at(message, 1)?;
    usize::try_from(u32::from_le_bytes([l0, l1, l2, 0])).ok()
}

/// The data length in the head of a BLOB message, `[2:8]`.
pub(super) fn data_length(head: &[u8]) -> u64 {
    array_at::<6>(head, 2).map_or(0, |[b0, b1, b2, b3, b4, b5]| {
        u64::from_le_bytes([b0, b1, b2, b3, b4, b5, 0, 0])
    })
}

/// The little-endian u16 at `at`, where those bytes are there.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

/// The `N` bytes at `at`, where they are there.
pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Type, length and four bytes of fields; what follows is the message's content.
pub(super) const HEADER_BYTES: usize = 8;

/// End of the length field.
pub(super) const LENGTH_END_BYTES: usize = 4;

/// Head of the BLOB messages: type, result, data length, hash.
pub(super) const BLOB_HEAD_BYTES: usize = 40;

/// An application ID in HELLO and HELLO ACK.
pub(super) const APP_BYTES: usize = 4;

/// A reference in GET.
pub(super) const REFERENCE_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    fn all_types() -> impl Iterator<Item = MessageType> {
        (0..=u8::MAX).filter_map(MessageType::from_u8)
    }

    #[test]
    fn the_types_are_those_of_the_specification() {
        let to_server: Vec<u8> = all_types()
            .filter(|it| it.travels(Direction::ToServer))
            .map(MessageType::as_u8)
            .collect();
        let expected = [
            0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x10, 0x11, 0x40, 0x41, 0x42, 0x43,
            0x44, 0x45, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F, 0xF0,
        ];
        assert_eq!(to_server, expected);
        let to_client: Vec<u8> = all_types()
            .filter(|it| it.travels(Direction::ToClient))
            .map(MessageType::as_u8)
            .collect();
        let expected = [
            0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x90, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5,
            0xC6, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xF0, 0xFE,
        ];
        assert_eq!(to_client, expected);
    }

    #[test]
    fn a_type_keeps_its_byte() {
        for byte in 0..=u8::MAX {
            if let Some(message_type) = MessageType::from_u8(byte) {
                assert_eq!(message_type.as_u8(), byte);
            }
        }
    }

    #[test]
    fn the_subject_is_found_as_soon_as_its_bytes_are_there_and_not_before() {
        for message_type in all_types() {
            let message = [7; 64];
            let end = message_type.subject_end_bytes();
            let subject = message_type.subject(&message[..end]);
            let has_one = message_type.subject(&message) != Subject::None;
            assert_eq!(subject != Subject::None, has_one, "{message_type:?}");
            let early = message_type.subject(&message[..end - 1]);
            assert_eq!(early, Subject::None, "{message_type:?}");
        }
    }

    #[test]
    fn every_bound_fits_the_length_field() {
        for message_type in all_types() {
            let bound = match message_type.layout() {
                Layout::Fixed(bytes) | Layout::Exact(bytes) | Layout::UpTo(bytes) => bytes,
                Layout::BlobHead => BLOB_HEAD_BYTES,
            };
            assert!((HEADER_BYTES..1 << 24).contains(&bound), "{message_type:?}");
        }
    }

    #[test]
    #[should_panic(expected = "shorter than 16 MiB")]
    fn a_message_that_its_length_field_cannot_describe_is_never_built() {
        header(MessageType::Submission, [0; 4], (1 << 24) - HEADER_BYTES);
    }
}
