//! Messages that a server sends.

use bytes::Bytes;

use super::{
    client_message::{app_bytes, apps, blob_hash, blob_head},
    extension::ExtensionReply,
    message::{
        Direction, HEADER_BYTES, MessageError, MessageFault, MessageType, QueryId, broken,
        check_whole, data_length, fields, framed, header, u16_at,
    },
    result_code::ResultCode,
};

/// A message from a server to a client.
///
/// Bytes that the layouts call zero are written as zero and ignored when read. A result the reader
/// does not know is kept as it is ([`ResultCode::Unknown`]): it must not end a client.
///
/// # Source
/// `mosaic-wire.md` section 7, rows marked S.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// Answers HELLO.
    HelloAck {
        /// Whether the connection is open now.
        result: ResultCode,
        /// The major version to speak.
        version: u16,
        /// IDs of the applications granted.
        apps: Vec<u32>,
    },
    /// The server closes the connection.
    Closing {
        /// Why.
        result: ResultCode,
    },
    /// One record of an answer.
    Record {
        /// The request it answers.
        id: QueryId,
        /// What should be a record, unchecked.
        record: Bytes,
    },
    /// A subscription has sent what was stored; what comes now is new.
    LocallyComplete {
        /// The subscription.
        id: QueryId,
    },
    /// A query or subscription has ended.
    QueryClosed {
        /// The one that ended.
        id: QueryId,
        /// Why.
        result: ResultCode,
    },
    /// Answers SUBMISSION.
    SubmissionResult {
        /// What became of the record.
        result: ResultCode,
        /// First 32 bytes of its ID.
        id_prefix: [u8; 32],
    },
    /// Answers BLOB GET; the data follow the message.
    BlobResult {
        /// Whether the BLOB is here.
        result: ResultCode,
        /// How many bytes of data follow, under 2^48.
        data_bytes: u64,
        /// BLAKE3-256 of the BLOB.
        hash: [u8; 32],
    },
    /// Answers BLOB SUBMISSION.
    BlobSubmissionResult {
        /// What became of the BLOB.
        result: ResultCode,
        /// BLAKE3-256 of the BLOB.
        hash: [u8; 32],
    },
    /// Not defined yet.
    DhtResponse,
    /// The server did not understand the last message.
    Unrecognized,
    /// A reply of the extension set, its body unread.
    Extension(ExtensionReply),
}

impl ServerMessage {
    /// Reads the bytes of one [`Frame::Message`](super::Frame::Message).
    ///
    /// # Errors
    /// - [`MessageFault::UnknownType`]: not a server's message. A
    ///   [`FrameReader`](super::FrameReader) never hands one out.
    /// - [`MessageFault::Length`]: a length this type cannot have.
    pub fn parse(message: &Bytes) -> Result<Self, MessageError> {
        let message_type = check_whole(message, Direction::ToClient)?;
        Self::parse_as(message_type, message)
            .map_err(|fault| broken(message_type, message, fault))
    }

    fn parse_as(message_type: MessageType, message: &Bytes) -> Result<Self, MessageFault> {
        let content = || message.slice(HEADER_BYTES..);
        let query_id = || u16_at(message, 4).map(QueryId).ok_or(MessageFault::Length);
        let result = |at: usize| match message.get(at) {
            Some(byte) => Ok(ResultCode::from_u8(*byte)),
            None => Err(MessageFault::Length),
        };
        Ok(match message_type {
            MessageType::HelloAck => Self::HelloAck {
                result: result(4)?,
                version: u16_at(message, 6).ok_or(MessageFault::Length)?,
                apps: apps(&content())?,
            },
            MessageType::Closing => Self::Closing { result: result(1)? },
            MessageType::Record => Self::Record {
                id: query_id()?,
                record: content(),
            },
            MessageType::LocallyComplete => Self::LocallyComplete { id: query_id()? },
            MessageType::QueryClosed => Self::QueryClosed {
                id: query_id()?,
                result: result(6)?,
            },
            MessageType::SubmissionResult => Self::SubmissionResult {
                result: result(4)?,
                // At the same place as the hash of the BLOB family.
                id_prefix: blob_hash(message)?,
            },
            MessageType::BlobResult => Self::BlobResult {
                result: result(1)?,
                data_bytes: data_length(message),
                hash: blob_hash(message)?,
            },
            MessageType::BlobSubmissionResult => Self::BlobSubmissionResult {
                result: result(1)?,
                hash: blob_hash(message)?,
            },
            MessageType::DhtResponse => Self::DhtResponse,
            MessageType::Unrecognized => Self::Unrecognized,
            MessageType::ExtensionReply(kind) => Self::Extension(ExtensionReply {
                kind,
                request_id: u16_at(message, 4).ok_or(MessageFault::Length)?,
                body: content(),
            }),
            MessageType::Hello
            | MessageType::HelloAuth
            | MessageType::Get
            | MessageType::Query
            | MessageType::Subscribe
            | MessageType::Unsubscribe
            | MessageType::Submission
            | MessageType::DhtLookup
            | MessageType::BlobSubmission
            | MessageType::BlobGet
            | MessageType::ExtensionRequest(_) => return Err(MessageFault::UnknownType),
        })
    }

    /// The message's type.
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::HelloAck { .. } => MessageType::HelloAck,
            Self::Closing { .. } => MessageType::Closing,
            Self::Record { .. } => MessageType::Record,
            Self::LocallyComplete { .. } => MessageType::LocallyComplete,
            Self::QueryClosed { .. } => MessageType::QueryClosed,
            Self::SubmissionResult { .. } => MessageType::SubmissionResult,
            Self::BlobResult { .. } => MessageType::BlobResult,
            Self::BlobSubmissionResult { .. } => MessageType::BlobSubmissionResult,
            Self::DhtResponse => MessageType::DhtResponse,
            Self::Unrecognized => MessageType::Unrecognized,
            Self::Extension(reply) => MessageType::ExtensionReply(reply.kind),
        }
    }

    /// The message as it goes on the wire; of a BLOB RESULT the head.
    ///
    /// [`record_header`] sends a record without copying it.
    ///
    /// # Panics
    /// Where it would reach 16 MiB: far over every bound of `base::limits`.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let message_type = self.message_type();
        match self {
            Self::HelloAck {
                result,
                version,
                apps,
            } => {
                let [v0, v1] = version.to_le_bytes();
                framed(message_type, [result.as_u8(), 0, v0, v1], &app_bytes(apps))
            }
            Self::Closing { result } => {
                Bytes::copy_from_slice(&[message_type.as_u8(), result.as_u8(), 0, 0, 0, 0, 0, 0])
            }
            Self::Record { id, record } => framed(message_type, fields(id.0, 0), record),
            Self::LocallyComplete { id } => framed(message_type, fields(id.0, 0), &[]),
            Self::QueryClosed { id, result } => {
                framed(message_type, fields(id.0, result.as_u8().into()), &[])
            }
            Self::SubmissionResult { result, id_prefix } => {
                framed(message_type, [result.as_u8(), 0, 0, 0], id_prefix)
            }
            Self::BlobResult {
                result,
                data_bytes,
                hash,
            } => blob_head(message_type, result.as_u8(), *data_bytes, hash),
            Self::BlobSubmissionResult { result, hash } => {
                blob_head(message_type, result.as_u8(), 0, hash)
            }
            Self::DhtResponse | Self::Unrecognized => framed(message_type, [0; 4], &[]),
            Self::Extension(reply) => {
                framed(message_type, fields(reply.request_id, 0), &reply.body)
            }
        }
    }
}

/// The first 8 bytes of a RECORD message; the record's bytes follow as they are.
///
/// # Panics
/// Where the message would reach 16 MiB; records are 1 MiB at most.
#[must_use]
pub fn record_header(id: QueryId, record_bytes: usize) -> [u8; 8] {
    header(MessageType::Record, fields(id.0, 0), record_bytes)
}

#[cfg(test)]
mod tests;
