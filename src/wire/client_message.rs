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
        Self::parse_as(message_type, message).map_err(|fault| broken(message_type, message, fault))
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
    assert!(
        data_bytes < 1 << 48,
        "a BLOB must be shorter than 2^48 bytes"
    );
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
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{
        message::Subject,
        testing::{array, hex, record, vectors},
    };

    /// The narrowest filter: one kind.
    const FILTER: &str = "1800000000000000 0302000000000000 000000010001001c";

    fn filter() -> Filter {
        Filter::parse(hex(&FILTER.replace(' ', "")).into()).unwrap()
    }

    fn reference(name: &str) -> Reference {
        Reference::from_bytes(&array(&vectors()["records"][0][name])).unwrap()
    }

    /// One message of every type.
    pub(in crate::wire) fn samples() -> Vec<ClientMessage> {
        vec![
            ClientMessage::Hello {
                version: 0,
                apps: vec![0, 1, 0xA56A_F6B3],
            },
            ClientMessage::HelloAuth,
            ClientMessage::Get {
                id: QueryId(1),
                references: vec![reference("id"), reference("address")],
            },
            ClientMessage::Query {
                id: QueryId(2),
                limit: 0,
                filter: filter(),
            },
            ClientMessage::Subscribe {
                id: QueryId(0xfffe),
                limit: 500,
                filter: filter(),
            },
            ClientMessage::Unsubscribe { id: QueryId(3) },
            ClientMessage::Submission {
                record: record(0).into(),
            },
            ClientMessage::BlobGet { hash: [0xab; 32] },
            ClientMessage::BlobSubmission {
                hash: [0xcd; 32],
                data_bytes: 0,
            },
            ClientMessage::DhtLookup,
            ClientMessage::Unrecognized,
            ClientMessage::Extension(ExtensionRequest {
                kind: 0x41,
                request_id: 9,
                body: Bytes::from_static(&[0x80]),
            }),
        ]
    }

    /// Both ways between a message and its bytes, in hexadecimal with spaces.
    fn check(message: &ClientMessage, golden: &str) {
        let bytes = Bytes::from(hex(&golden.replace(' ', "")));
        assert_eq!(message.encode(), bytes, "{message:?}");
        assert_eq!(ClientMessage::parse(&bytes).as_ref(), Ok(message));
    }

    fn fault(message: &[u8]) -> MessageError {
        ClientMessage::parse(&Bytes::copy_from_slice(message)).unwrap_err()
    }

    #[test]
    fn the_first_messages_have_the_bytes_of_the_specification() {
        let hello = ClientMessage::Hello {
            version: 0x0102,
            apps: vec![1, 0xA56A_F6B3],
        };
        check(&hello, "10 100000 0000 0201 01000000 b3f66aa5");
        let bare = ClientMessage::Hello {
            version: 0,
            apps: vec![],
        };
        check(&bare, "10 080000 0000 0000");
        check(&ClientMessage::HelloAuth, "11 080000 00000000");
        check(&ClientMessage::DhtLookup, "06 080000 00000000");
        check(&ClientMessage::Unrecognized, "f0 080000 00000000");
    }

    #[test]
    fn a_get_has_the_bytes_of_the_specification() {
        let nothing = ClientMessage::Get {
            id: QueryId(0x0201),
            references: vec![],
        };
        check(&nothing, "01 080000 0102 0000");
        let get = ClientMessage::Get {
            id: QueryId(0x0201),
            references: vec![reference("address"), reference("id")],
        };
        let record = &vectors()["records"][0];
        let [address, id] = ["address", "id"].map(|name| record[name].as_str().unwrap());
        check(&get, &format!("01 680000 0102 0000 {address} {id}"));
    }

    #[test]
    fn queries_have_the_bytes_of_the_specification() {
        let query = ClientMessage::Query {
            id: QueryId(0x0201),
            limit: 0x0403,
            filter: filter(),
        };
        check(&query, &format!("02 200000 0102 0304 {FILTER}"));
        let subscribe = ClientMessage::Subscribe {
            id: QueryId(0x0201),
            limit: 0,
            filter: filter(),
        };
        check(&subscribe, &format!("03 200000 0102 0000 {FILTER}"));
        let unsubscribe = ClientMessage::Unsubscribe {
            id: QueryId(0x0201),
        };
        check(&unsubscribe, "04 080000 0102 0000");
    }

    #[test]
    fn submissions_have_the_bytes_of_the_specification() {
        let submission = ClientMessage::Submission {
            record: record(0).into(),
        };
        let record = vectors()["records"][0]["hex"].as_str().unwrap();
        check(&submission, &format!("05 080100 00000000 {record}"));
        let blob = ClientMessage::BlobSubmission {
            hash: [0xab; 32],
            data_bytes: 0x0605_0403_0201,
        };
        let hash = "ab".repeat(32);
        check(&blob, &format!("07 00 010203040506 {hash}"));
        let get = ClientMessage::BlobGet { hash: [0xab; 32] };
        check(&get, &format!("08 00 000000000000 {hash}"));
    }

    #[test]
    fn an_extension_request_has_the_bytes_of_its_page() {
        let info = ClientMessage::Extension(ExtensionRequest {
            kind: 0x41,
            request_id: 0x0201,
            body: Bytes::from_static(&[0x80]),
        });
        check(&info, "41 090000 0102 0000 80");
    }

    #[test]
    fn reserved_bytes_are_ignored() {
        for message in samples() {
            let mut bytes = message.encode().to_vec();
            let reserved: &[usize] = match message.message_type() {
                MessageType::Hello => &[4, 5],
                MessageType::Get | MessageType::Unsubscribe | MessageType::ExtensionRequest(_) => {
                    &[6, 7]
                }
                MessageType::Submission
                | MessageType::HelloAuth
                | MessageType::DhtLookup
                | MessageType::Unrecognized => &[4, 5, 6, 7],
                MessageType::BlobGet => &[1, 2, 3, 4, 5, 6, 7],
                MessageType::BlobSubmission => &[1],
                _ => &[],
            };
            for at in reserved {
                bytes[*at] = 0xff;
            }
            assert_eq!(ClientMessage::parse(&bytes.into()), Ok(message));
        }
    }

    #[test]
    fn every_truncation_is_told_with_what_is_left_of_its_subject() {
        for message in samples() {
            let whole = message.encode();
            for end in 0..whole.len() {
                let error = ClientMessage::parse(&whole.slice(..end)).unwrap_err();
                assert_eq!(
                    error.kind,
                    whole.first().copied().filter(|_| end > 0).unwrap_or(0)
                );
                let expected = match end {
                    0 => MessageFault::UnknownType,
                    _ => MessageFault::Length,
                };
                assert_eq!(error.fault, expected);
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
            assert_eq!(fault(&bytes).fault, MessageFault::Length, "{message:?}");
        }
    }

    #[test]
    fn broken_content_is_answered_on_its_query_id() {
        let subject = Subject::Query(QueryId(0x0201));
        // A reference that is not whole; application IDs likewise.
        let error = fault(&[&[1, 55, 0, 0, 1, 2, 0, 0][..], &[0; 47]].concat());
        assert_eq!(
            (error.subject, error.fault),
            (subject, MessageFault::Length)
        );
        let error = fault(&[0x10, 10, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(
            (error.subject, error.fault),
            (Subject::None, MessageFault::Length)
        );
        // An address whose kind is all ones.
        let error = fault(&[&[1, 56, 0, 0, 1, 2, 0, 0][..], &[0xff; 48]].concat());
        assert_eq!(error.subject, subject);
        assert!(matches!(error.fault, MessageFault::Reference(_)));
        // No filter at all, and one that is shorter than it says.
        for kind in [2, 3] {
            for filter in [&[][..], &[16, 0, 0, 0, 0, 0, 0, 0]] {
                let length = u8::try_from(8 + filter.len()).unwrap();
                let error = fault(&[&[kind, length, 0, 0, 1, 2, 0, 0][..], filter].concat());
                assert_eq!((error.kind, error.subject), (kind, subject));
                assert!(matches!(error.fault, MessageFault::Filter(_)));
            }
        }
    }

    #[test]
    fn a_record_that_is_none_keeps_what_it_says_its_id_is() {
        let mut bytes = vec![5, 40, 0, 0, 0, 0, 0, 0];
        bytes.extend([0x5a; 32]);
        let read = ClientMessage::parse(&bytes.into()).unwrap();
        let record = Bytes::from_static(&[0x5a; 32]);
        assert_eq!(read, ClientMessage::Submission { record });
    }

    #[test]
    fn what_servers_send_is_not_a_clients() {
        for byte in 0..=u8::MAX {
            let client = MessageType::from_u8(byte).filter(|it| it.travels(Direction::ToServer));
            if client.is_none() {
                let error = fault(&[byte, 8, 0, 0, 0, 0, 0, 0]);
                assert_eq!((error.kind, error.fault), (byte, MessageFault::UnknownType));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = ClientMessage::parse(&bytes.into()) {
                prop_assert_eq!(ClientMessage::parse(&message.encode()), Ok(message));
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
            if let Ok(message) = ClientMessage::parse(&bytes.into()) {
                prop_assert_eq!(ClientMessage::parse(&message.encode()), Ok(message));
            }
        }
    }
}
