//! Messages that a client sends.

use bytes::Bytes;

use super::{
    extension::ExtensionRequest,
    filter::Filter,
    message::{
        APP_BYTES, BLOB_HEAD_BYTES, Direction, HEADER_BYTES, MessageError, MessageFault,
        MessageType, QueryId, REFERENCE_BYTES, array_at, broken, check_whole, data_length, fields,
        framed, u16_at,
    },
    reference::Reference,
};

/// A message from a client to a server.
///
/// Bytes that the layouts call zero are written as zero and ignored when read.
///
/// # Source
/// `mosaic-wire.md` section 7, rows marked C.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// Opens a connection: the highest major version the client speaks, and the IDs of the
    /// applications it wants.
    Hello {
        /// Highest major version.
        version: u16,
        /// Application IDs, at most [`HELLO_APPS_MAX`](crate::base::limits::HELLO_APPS_MAX).
        apps: Vec<u32>,
    },
    /// Has a meaning over WebSockets only; elsewhere it is invalid.
    HelloAuth,
    /// Asks for records by reference.
    Get {
        /// The client's name for this request.
        id: QueryId,
        /// At most [`GET_REFERENCES_MAX`](crate::base::limits::GET_REFERENCES_MAX); may be none.
        references: Vec<Reference>,
    },
    /// Asks for the stored records that pass a filter.
    Query {
        /// The client's name for this request.
        id: QueryId,
        /// Most records wanted; 0 is no limit.
        limit: u16,
        /// What a record has to pass.
        filter: Filter,
    },
    /// As [`Query`](Self::Query), and for the records that arrive later.
    Subscribe {
        /// The client's name for this request.
        id: QueryId,
        /// Most stored records wanted; 0 is no limit.
        limit: u16,
        /// What a record has to pass.
        filter: Filter,
    },
    /// Ends a query or subscription.
    Unsubscribe {
        /// The one to end.
        id: QueryId,
    },
    /// Hands in a record.
    Submission {
        /// What should be a record, unchecked.
        record: Bytes,
    },
    /// Asks for a BLOB.
    BlobGet {
        /// BLAKE3-256 of the BLOB.
        hash: [u8; 32],
    },
    /// Hands in a BLOB, whose data follow the message.
    BlobSubmission {
        /// BLAKE3-256 of the data, as claimed.
        hash: [u8; 32],
        /// How many bytes of data follow, under 2^48.
        data_bytes: u64,
    },
    /// Not defined yet.
    DhtLookup,
    /// The client did not understand the last message.
    Unrecognized,
    /// A request of the extension set, its body unread.
    Extension(ExtensionRequest),
}

impl ClientMessage {
    /// Reads the bytes of one [`Frame::Message`](super::Frame::Message).
    ///
    /// # Errors
    /// With the query ID or record-ID prefix to answer on, where the bytes hold one:
    /// - [`MessageFault::UnknownType`]: not a client's message. A
    ///   [`FrameReader`](super::FrameReader) never hands one out.
    /// - [`MessageFault::Length`]: a length this type cannot have, such as a GET whose references
    ///   are not whole.
    /// - [`MessageFault::Filter`], [`MessageFault::Reference`]: the filter of a QUERY or
    ///   SUBSCRIBE, or a reference of a GET, does not parse.
    pub fn parse(message: &Bytes) -> Result<Self, MessageError> {
        let message_type = check_whole(message, Direction::ToServer)?;
        Self::parse_as(message_type, message)
            .map_err(|fault| broken(message_type, message, fault))
    }

    fn parse_as(message_type: MessageType, message: &Bytes) -> Result<Self, MessageFault> {
        let content = || message.slice(HEADER_BYTES..);
        let query_id = || u16_at(message, 4).map(QueryId).ok_or(MessageFault::Length);
        let second_field = || u16_at(message, 6).ok_or(MessageFault::Length);
        Ok(match message_type {
            MessageType::Hello => Self::Hello {
                version: second_field()?,
                apps: apps(&content())?,
            },
            MessageType::HelloAuth => Self::HelloAuth,
            MessageType::Get => Self::Get {
                id: query_id()?,
                references: references(&content())?,
            },
            MessageType::Query => Self::Query {
                id: query_id()?,
                limit: second_field()?,
                filter: Filter::parse(content())?,
            },
            MessageType::Subscribe => Self::Subscribe {
                id: query_id()?,
                limit: second_field()?,
                filter: Filter::parse(content())?,
            },
            MessageType::Unsubscribe => Self::Unsubscribe { id: query_id()? },
            MessageType::Submission => Self::Submission { record: content() },
            MessageType::BlobGet => Self::BlobGet {
                hash: blob_hash(message)?,
            },
            MessageType::BlobSubmission => Self::BlobSubmission {
                hash: blob_hash(message)?,
                data_bytes: data_length(message),
            },
            MessageType::DhtLookup => Self::DhtLookup,
            MessageType::Unrecognized => Self::Unrecognized,
            MessageType::ExtensionRequest(kind) => Self::Extension(ExtensionRequest {
                kind,
                request_id: u16_at(message, 4).ok_or(MessageFault::Length)?,
                body: content(),
            }),
            MessageType::Record
            | MessageType::LocallyComplete
            | MessageType::QueryClosed
            | MessageType::SubmissionResult
            | MessageType::DhtResponse
            | MessageType::BlobSubmissionResult
            | MessageType::BlobResult
            | MessageType::HelloAck
            | MessageType::ExtensionReply(_)
            | MessageType::Closing => return Err(MessageFault::UnknownType),
        })
    }

    /// The message's type.
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::Hello { .. } => MessageType::Hello,
            Self::HelloAuth => MessageType::HelloAuth,
            Self::Get { .. } => MessageType::Get,
            Self::Query { .. } => MessageType::Query,
            Self::Subscribe { .. } => MessageType::Subscribe,
            Self::Unsubscribe { .. } => MessageType::Unsubscribe,
            Self::Submission { .. } => MessageType::Submission,
            Self::BlobGet { .. } => MessageType::BlobGet,
            Self::BlobSubmission { .. } => MessageType::BlobSubmission,
            Self::DhtLookup => MessageType::DhtLookup,
            Self::Unrecognized => MessageType::Unrecognized,
            Self::Extension(request) => MessageType::ExtensionRequest(request.kind),
        }
    }

    /// The message as it goes on the wire; of a BLOB SUBMISSION the head.
    ///
    /// # Panics
    /// Where it would reach 16 MiB: far over every bound of `base::limits` that a server holds
    /// such a message to.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let message_type = self.message_type();
        match self {
            Self::Hello { version, apps } => {
                framed(message_type, fields(0, *version), &app_bytes(apps))
            }
            Self::Get { id, references } => {
                let mut content = Vec::with_capacity(references.len() * REFERENCE_BYTES);
                for reference in references {
                    content.extend_from_slice(reference.as_bytes());
                }
                framed(message_type, fields(id.0, 0), &content)
            }
            Self::Query { id, limit, filter } | Self::Subscribe { id, limit, filter } => {
                framed(message_type, fields(id.0, *limit), filter.bytes())
            }
            Self::Unsubscribe { id } => framed(message_type, fields(id.0, 0), &[]),
            Self::Submission { record } => framed(message_type, [0; 4], record),
            Self::BlobGet { hash } => blob_head(message_type, 0, 0, hash),
            Self::BlobSubmission { hash, data_bytes } => {
                blob_head(message_type, 0, *data_bytes, hash)
            }
            Self::HelloAuth | Self::DhtLookup | Self::Unrecognized => {
                framed(message_type, [0; 4], &[])
            }
            Self::Extension(request) => {
                framed(message_type, fields(request.request_id, 0), &request.body)
            }
        }
    }
}

/// Application IDs, one after the other.
pub(super) fn apps(content: &[u8]) -> Result<Vec<u32>, MessageFault> {
    let (apps, []) = content.as_chunks::<APP_BYTES>() else {
        return Err(MessageFault::Length);
    };
    Ok(apps.iter().copied().map(u32::from_le_bytes).collect())
}

/// The bytes that [`apps`] reads.
pub(super) fn app_bytes(apps: &[u32]) -> Vec<u8> {
    apps.iter().flat_map(|app| app.to_le_bytes()).collect()
}

/// The head of a message of the BLOB family.
pub(super) fn blob_head(
    message_type: MessageType,
    result: u8,
    data_bytes: u64,
    hash: &[u8; 32],
) -> Bytes {
    assert!(data_bytes < 1 << 48, "a BLOB must be shorter than 2^48 bytes");
    let [b0, b1, b2, b3, b4, b5, ..] = data_bytes.to_le_bytes();
    let mut head = Vec::with_capacity(BLOB_HEAD_BYTES);
    head.extend_from_slice(&[message_type.as_u8(), result, b0, b1, b2, b3, b4, b5]);
    head.extend_from_slice(hash);
    head.into()
}

/// The hash in a message of the BLOB family, `[8:40]`.
pub(super) fn blob_hash(message: &[u8]) -> Result<[u8; 32], MessageFault> {
    array_at(message, HEADER_BYTES).ok_or(MessageFault::Length)
}

fn references(content: &[u8]) -> Result<Vec<Reference>, MessageFault> {
    let (references, []) = content.as_chunks::<REFERENCE_BYTES>() else {
        return Err(MessageFault::Length);
    };
    Ok(references
        .iter()
        .map(Reference::from_bytes)
        .collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests;
