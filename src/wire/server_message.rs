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
        Self::parse_as(message_type, message).map_err(|fault| broken(message_type, message, fault))
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
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{
        message::Subject,
        testing::{hex, record, vectors},
    };

    /// One message of every type.
    pub(in crate::wire) fn samples() -> Vec<ServerMessage> {
        vec![
            ServerMessage::HelloAck {
                result: ResultCode::Success,
                version: 0,
                apps: vec![1, 0xA56A_F6B3],
            },
            ServerMessage::Closing {
                result: ResultCode::ShuttingDown,
            },
            ServerMessage::Record {
                id: QueryId(2),
                record: record(0).into(),
            },
            ServerMessage::LocallyComplete { id: QueryId(3) },
            ServerMessage::QueryClosed {
                id: QueryId(0xfffe),
                result: ResultCode::NotFound,
            },
            ServerMessage::SubmissionResult {
                result: ResultCode::Accepted,
                id_prefix: [0x5a; 32],
            },
            ServerMessage::BlobResult {
                result: ResultCode::Success,
                data_bytes: 0,
                hash: [0xab; 32],
            },
            ServerMessage::BlobSubmissionResult {
                result: ResultCode::Duplicate,
                hash: [0xcd; 32],
            },
            ServerMessage::DhtResponse,
            ServerMessage::Unrecognized,
            ServerMessage::Extension(ExtensionReply {
                kind: 0xC1,
                request_id: 9,
                body: Bytes::from_static(&[0x80]),
            }),
        ]
    }

    /// Both ways between a message and its bytes, in hexadecimal with spaces.
    fn check(message: &ServerMessage, golden: &str) {
        let bytes = Bytes::from(hex(&golden.replace(' ', "")));
        assert_eq!(message.encode(), bytes, "{message:?}");
        assert_eq!(ServerMessage::parse(&bytes).as_ref(), Ok(message));
    }

    #[test]
    fn connection_messages_have_the_bytes_of_the_specification() {
        let ack = ServerMessage::HelloAck {
            result: ResultCode::Success,
            version: 0x0102,
            apps: vec![1, 0xA56A_F6B3],
        };
        check(&ack, "90 100000 01 00 0201 01000000 b3f66aa5");
        let closing = ServerMessage::Closing {
            result: ResultCode::Invalid,
        };
        check(&closing, "fe 24 000000000000");
        check(&ServerMessage::DhtResponse, "84 080000 00000000");
        check(&ServerMessage::Unrecognized, "f0 080000 00000000");
    }

    #[test]
    fn query_replies_have_the_bytes_of_the_specification() {
        let id = QueryId(0x0201);
        let found = ServerMessage::Record {
            id,
            record: record(0).into(),
        };
        let record = vectors()["records"][0]["hex"].as_str().unwrap();
        check(&found, &format!("80 080100 0102 0000 {record}"));
        check(
            &ServerMessage::LocallyComplete { id },
            "81 080000 0102 0000",
        );
        let result = ResultCode::TooOpen;
        check(
            &ServerMessage::QueryClosed { id, result },
            "82 080000 0102 25 00",
        );
    }

    #[test]
    fn submission_replies_have_the_bytes_of_the_specification() {
        let hash = "ab".repeat(32);
        let result = ServerMessage::SubmissionResult {
            result: ResultCode::Accepted,
            id_prefix: [0xab; 32],
        };
        check(&result, &format!("83 280000 02 000000 {hash}"));
        let blob = ServerMessage::BlobSubmissionResult {
            result: ResultCode::TooLarge,
            hash: [0xab; 32],
        };
        check(&blob, &format!("85 26 000000000000 {hash}"));
        let found = ServerMessage::BlobResult {
            result: ResultCode::Success,
            data_bytes: 0x0605_0403_0201,
            hash: [0xab; 32],
        };
        check(&found, &format!("86 01 010203040506 {hash}"));
    }

    #[test]
    fn an_extension_reply_has_the_bytes_of_its_page() {
        let reply = ServerMessage::Extension(ExtensionReply {
            kind: 0xC1,
            request_id: 0x0201,
            body: Bytes::from_static(&[0x80]),
        });
        check(&reply, "c1 090000 0102 0000 80");
    }

    #[test]
    fn a_record_is_sent_behind_its_header_as_it_is() {
        let record = record(0);
        let header = record_header(QueryId(7), record.len());
        let whole = ServerMessage::Record {
            id: QueryId(7),
            record: record.clone().into(),
        };
        assert_eq!(whole.encode(), [header.as_slice(), &record].concat());
    }

    #[test]
    fn a_result_that_nobody_knows_is_kept() {
        for message in samples() {
            let at = match message.message_type() {
                MessageType::HelloAck | MessageType::SubmissionResult => 4,
                MessageType::QueryClosed => 6,
                MessageType::Closing
                | MessageType::BlobResult
                | MessageType::BlobSubmissionResult => 1,
                _ => continue,
            };
            for byte in [0, 34, 200, 255] {
                let mut bytes = message.encode().to_vec();
                bytes[at] = byte;
                let read = ServerMessage::parse(&bytes.clone().into()).unwrap();
                assert_ne!(read, message);
                assert_eq!(read.encode(), bytes);
            }
        }
    }

    #[test]
    fn reserved_bytes_are_ignored() {
        for message in samples() {
            let mut bytes = message.encode().to_vec();
            let reserved: &[usize] = match message.message_type() {
                MessageType::HelloAck => &[5],
                MessageType::Closing | MessageType::BlobSubmissionResult => &[2, 3, 4, 5, 6, 7],
                MessageType::Record
                | MessageType::LocallyComplete
                | MessageType::ExtensionReply(_) => &[6, 7],
                MessageType::QueryClosed => &[7],
                MessageType::SubmissionResult => &[5, 6, 7],
                MessageType::DhtResponse | MessageType::Unrecognized => &[4, 5, 6, 7],
                _ => &[],
            };
            for at in reserved {
                bytes[*at] = 0xff;
            }
            assert_eq!(ServerMessage::parse(&bytes.into()), Ok(message));
        }
    }

    #[test]
    fn every_truncation_is_told_with_what_is_left_of_its_subject() {
        for message in samples() {
            let whole = message.encode();
            for end in 1..whole.len() {
                let error = ServerMessage::parse(&whole.slice(..end)).unwrap_err();
                assert_eq!(error.kind, message.message_type().as_u8());
                assert_eq!(error.fault, MessageFault::Length);
                let known = end >= message.message_type().subject_end_bytes();
                let subject = message.message_type().subject(&whole);
                assert_eq!(error.subject, if known { subject } else { Subject::None });
            }
        }
    }

    #[test]
    fn a_byte_too_many_is_a_wrong_length() {
        for message in samples() {
            let bytes = [message.encode().as_ref(), &[0]].concat();
            let error = ServerMessage::parse(&bytes.into()).unwrap_err();
            assert_eq!(error.fault, MessageFault::Length, "{message:?}");
        }
    }

    #[test]
    fn what_clients_send_is_not_a_servers() {
        for byte in 0..=u8::MAX {
            let server = MessageType::from_u8(byte).filter(|it| it.travels(Direction::ToClient));
            if server.is_none() {
                let bytes = vec![byte, 8, 0, 0, 0, 0, 0, 0];
                let error = ServerMessage::parse(&bytes.into()).unwrap_err();
                assert_eq!((error.kind, error.fault), (byte, MessageFault::UnknownType));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = ServerMessage::parse(&bytes.into()) {
                prop_assert_eq!(ServerMessage::parse(&message.encode()), Ok(message));
            }
        }

        #[test]
        fn any_change_is_answered(
            sample in 0..samples().len(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = samples()[sample].encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(message) = ServerMessage::parse(&bytes.into()) {
                prop_assert_eq!(ServerMessage::parse(&message.encode()), Ok(message));
            }
        }
    }
}
