use proptest::prelude::*;

use super::*;
use crate::{
    base::limits,
    wire::{
        ClientMessage, QueryId, ServerMessage, client_message, server_message, testing::record,
    },
};

/// Everything a reader makes of chunks, up to its first error.
fn read_all(direction: Direction, chunks: &[&[u8]]) -> (Vec<Frame>, Result<(), FrameError>) {
    let mut reader = FrameReader::new(direction);
    let mut frames = Vec::new();
    for chunk in chunks {
        reader.push(Bytes::copy_from_slice(chunk));
        loop {
            match reader.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, reader.finish())
}

/// The frames with the data of each BLOB in one piece, however they arrived.
fn joined(frames: Vec<Frame>) -> Vec<Frame> {
    let mut whole: Vec<Frame> = Vec::new();
    for frame in frames {
        match (whole.last_mut(), frame) {
            (
                Some(Frame::BlobData { data, left_bytes }),
                Frame::BlobData {
                    data: more,
                    left_bytes: left_after,
                },
            ) if *left_bytes > 0 => {
                *data = [data.as_ref(), &more].concat().into();
                *left_bytes = left_after;
            }
            (_, frame) => whole.push(frame),
        }
    }
    whole
}

/// One message of every type, each BLOB with data, and the frames they are.
fn stream(messages: Vec<Bytes>) -> (Vec<u8>, Vec<Frame>) {
    let mut bytes = Vec::new();
    let mut frames = Vec::new();
    for message in messages {
        let mut message = message.to_vec();
        let is_blob = matches!(message[0], 0x07 | 0x86);
        if is_blob {
            message[2] = 5;
        }
        bytes.extend_from_slice(&message);
        frames.push(Frame::Message(message.into()));
        if is_blob {
            bytes.extend_from_slice(b"blob!");
            frames.push(Frame::BlobData {
                data: Bytes::from_static(b"blob!"),
                left_bytes: 0,
            });
        }
    }
    (bytes, frames)
}

fn client_stream() -> (Vec<u8>, Vec<Frame>) {
    let samples = client_message::tests::samples();
    stream(samples.iter().map(ClientMessage::encode).collect())
}

fn server_stream() -> (Vec<u8>, Vec<Frame>) {
    let samples = server_message::tests::samples();
    stream(samples.iter().map(ServerMessage::encode).collect())
}

fn first_error(direction: Direction, bytes: &[u8]) -> FrameError {
    let whole = read_all(direction, &[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let (_, error) = read_all(direction, &single);
    assert_eq!(whole.1, error, "bytes at once and one by one: {bytes:02x?}");
    error.unwrap_err()
}

#[test]
fn a_stream_means_the_same_wherever_it_is_cut() {
    for (direction, (bytes, expected)) in [
        (Direction::ToServer, client_stream()),
        (Direction::ToClient, server_stream()),
    ] {
        for cut in 0..=bytes.len() {
            let (before, behind) = bytes.split_at(cut);
            let (frames, end) = read_all(direction, &[before, behind]);
            assert_eq!(
                (joined(frames), end),
                (expected.clone(), Ok(())),
                "cut at {cut}"
            );
        }
        for step in [1, 2, 3, 7, 39, 40, 41] {
            let chunks: Vec<&[u8]> = bytes.chunks(step).collect();
            let (frames, end) = read_all(direction, &chunks);
            assert_eq!(
                (joined(frames), end),
                (expected.clone(), Ok(())),
                "by {step}"
            );
        }
    }
}

#[test]
fn a_stream_that_ends_inside_a_message_is_truncated() {
    for (direction, (bytes, expected)) in [
        (Direction::ToServer, client_stream()),
        (Direction::ToClient, server_stream()),
    ] {
        let ends: Vec<usize> = expected
            .iter()
            .scan(0, |end, frame| {
                *end += match frame {
                    Frame::Message(message) => message.len(),
                    Frame::BlobData { data, .. } => data.len(),
                };
                Some(*end)
            })
            .collect();
        let blob_heads = [Some(0x07), Some(0x86)];
        for cut in 0..bytes.len() {
            let (frames, end) = read_all(direction, &[&bytes[..cut]]);
            let behind_head = matches!(
                frames.last(),
                Some(Frame::Message(head)) if blob_heads.contains(&head.first().copied())
            );
            let between = cut == 0 || ends.contains(&cut) && !behind_head;
            match end {
                Ok(()) => assert!(between, "cut at {cut}"),
                Err(FrameError::Truncated { .. }) => assert!(!between, "cut at {cut}"),
                Err(other) => panic!("cut at {cut}: {other}"),
            }
        }
    }
}

#[test]
fn an_unknown_type_ends_the_stream_for_good() {
    for (direction, byte) in [
        (Direction::ToServer, 0x00),
        (Direction::ToServer, 0x80),
        (Direction::ToServer, 0x46),
        (Direction::ToServer, 0xfe),
        (Direction::ToClient, 0x01),
        (Direction::ToClient, 0x40),
        (Direction::ToClient, 0xc7),
    ] {
        let mut reader = FrameReader::new(direction);
        reader.push(vec![byte].into());
        assert_eq!(reader.next(), Err(FrameError::UnknownType(byte)));
        reader.push(vec![0x02; 100].into());
        assert_eq!(reader.next(), Err(FrameError::UnknownType(byte)));
        assert_eq!(reader.finish(), Err(FrameError::UnknownType(byte)));
        assert_eq!(reader.buffered_bytes(), 0);
    }
}

#[test]
fn a_length_below_the_header_or_other_than_the_fixed_one_is_bad() {
    let check = |direction, bytes: &[u8], length_bytes, subject| {
        let expected = FrameError::BadLength {
            kind: bytes[0],
            subject,
            length_bytes,
        };
        assert_eq!(first_error(direction, bytes), expected);
    };
    let query = Subject::Query(QueryId(0x0201));
    check(
        Direction::ToServer,
        &[0x10, 7, 0, 0, 0, 0, 0],
        7,
        Subject::None,
    );
    check(Direction::ToServer, &[0x02, 0, 0, 0], 0, Subject::None);
    check(Direction::ToServer, &[0x02, 5, 0, 0, 1], 5, Subject::None);
    check(Direction::ToServer, &[0x01, 6, 0, 0, 1, 2], 6, query);
    check(
        Direction::ToServer,
        &[0x04, 9, 0, 0, 1, 2, 0, 0, 0],
        9,
        query,
    );
    check(
        Direction::ToServer,
        &[0x05, 7, 0, 0, 0, 0, 0],
        7,
        Subject::None,
    );
    check(
        Direction::ToServer,
        &[0x41, 6, 0, 0, 1, 2],
        6,
        Subject::Request(0x0201),
    );
    let mut result = vec![0x83, 41, 0, 0, 2, 0, 0, 0];
    result.extend([0x5a; 33]);
    check(
        Direction::ToClient,
        &result,
        41,
        Subject::Record([0x5a; 32]),
    );
    check(Direction::ToClient, &[0xf0, 0, 1, 0], 256, Subject::None);
}

#[test]
fn bytes_behind_a_claimed_end_are_not_taken_for_a_subject() {
    let mut reader = FrameReader::new(Direction::ToServer);
    reader.push(vec![0x02, 4, 0, 0, 0x99, 0x99, 0x99].into());
    let expected = FrameError::BadLength {
        kind: 0x02,
        subject: Subject::None,
        length_bytes: 4,
    };
    assert_eq!(reader.next(), Err(expected));
}

#[test]
fn a_message_that_is_too_large_is_told_once_and_skipped() {
    let bound_bytes = limits::RECORD_MESSAGE_MAX_BYTES;
    let mut bytes = vec![0x05, 9, 0, 0x10, 0, 0, 0, 0];
    bytes.resize(bound_bytes + 1, 0x5a);
    assert_eq!(length_field(&bytes), Some(bytes.len()));
    let next = ClientMessage::Unsubscribe { id: QueryId(7) }.encode();
    bytes.extend_from_slice(&next);
    for step in [1, 1_000, bytes.len()] {
        let mut reader = FrameReader::new(Direction::ToServer);
        let mut told = Vec::new();
        for chunk in bytes.chunks(step) {
            reader.push(Bytes::copy_from_slice(chunk));
            loop {
                match reader.next() {
                    Ok(None) => break,
                    other => told.push(other),
                }
            }
            assert!(reader.buffered_bytes() < 40);
        }
        let too_large = FrameError::TooLarge {
            kind: 0x05,
            subject: Subject::Record([0x5a; 32]),
            length_bytes: bound_bytes + 1,
            bound_bytes,
        };
        let unsubscribe = Frame::Message(next.clone());
        assert_eq!(told, [Err(too_large), Ok(Some(unsubscribe))]);
        assert_eq!(reader.finish(), Ok(()));
    }
}

#[test]
fn an_error_waits_for_its_subject_and_the_end_of_the_stream_ends_the_wait() {
    let mut reader = FrameReader::new(Direction::ToServer);
    reader.push(vec![0x02, 0xff, 0xff, 0xff].into());
    assert_eq!(reader.next(), Ok(None));
    let error = |subject| FrameError::TooLarge {
        kind: 0x02,
        subject,
        length_bytes: 0xff_ffff,
        bound_bytes: 8 + limits::FILTER_MAX_BYTES,
    };
    assert_eq!(reader.finish(), Err(error(Subject::None)));
    reader.push(vec![1].into());
    assert_eq!(reader.next(), Ok(None));
    reader.push(vec![2].into());
    assert_eq!(reader.next(), Err(error(Subject::Query(QueryId(0x0201)))));
    assert_eq!(reader.next(), Ok(None));
}

#[test]
fn every_bound_is_the_last_length_that_passes() {
    let bounds = [
        (Direction::ToServer, 0x10, 8 + 4 * limits::HELLO_APPS_MAX),
        (
            Direction::ToServer,
            0x01,
            8 + 48 * limits::GET_REFERENCES_MAX,
        ),
        (Direction::ToServer, 0x02, 8 + limits::FILTER_MAX_BYTES),
        (Direction::ToServer, 0x03, 8 + limits::FILTER_MAX_BYTES),
        (Direction::ToServer, 0x05, limits::RECORD_MESSAGE_MAX_BYTES),
        (
            Direction::ToServer,
            0x40,
            8 + limits::EXTENSION_BODY_MAX_BYTES,
        ),
        (Direction::ToClient, 0x80, limits::RECORD_MESSAGE_MAX_BYTES),
        (Direction::ToClient, 0x90, 8 + 4 * limits::HELLO_APPS_MAX),
    ];
    for (direction, kind, bound) in bounds {
        for (length, passes) in [(8, true), (bound, true), (bound + 1, false)] {
            let [l0, l1, l2, ..] = length.to_le_bytes();
            let mut message = vec![kind, l0, l1, l2];
            message.resize(length, 0);
            let (frames, end) = read_all(direction, &[&message]);
            assert_eq!(end.is_ok(), passes, "{kind:#x} of {length}");
            assert_eq!(frames.len(), usize::from(passes));
        }
    }
}

#[test]
fn a_claimed_length_alone_reserves_nothing() {
    let mut reader = FrameReader::new(Direction::ToServer);
    reader.push(vec![0x05, 0, 0, 0x10, 0, 0].into());
    assert_eq!(reader.next(), Ok(None));
    assert!(reader.partial.capacity() <= 12);
    for arrived in 7..10_000 {
        reader.push(vec![0].into());
        assert_eq!(reader.next(), Ok(None));
        assert!(reader.partial.capacity() <= 2 * arrived);
        assert_eq!(reader.buffered_bytes(), arrived);
    }
}

#[test]
fn what_is_kept_is_copied_to_its_size_and_the_rest_is_not_copied() {
    let submission = ClientMessage::Submission {
        record: record(0).into(),
    };
    let get = ClientMessage::BlobGet { hash: [1; 32] };
    let chunk: Bytes = [submission.encode(), get.encode()].concat().into();
    let range = chunk.as_ptr_range();
    let mut reader = FrameReader::new(Direction::ToServer);
    reader.push(chunk.clone());
    let mut next = || match reader.next() {
        Ok(Some(Frame::Message(message))) => message,
        other => panic!("{other:?}"),
    };
    assert!(!range.contains(&next().as_ptr()));
    assert!(range.contains(&next().as_ptr()));
}

#[test]
fn the_data_of_a_blob_pass_through_as_they_arrive() {
    let head = ClientMessage::BlobSubmission {
        hash: [1; 32],
        data_bytes: 10_000_000,
    };
    let mut reader = FrameReader::new(Direction::ToServer);
    reader.push(head.encode());
    assert_eq!(reader.next(), Ok(Some(Frame::Message(head.encode()))));
    let mut left = 10_000_000;
    while left > 0 {
        assert_eq!(reader.next(), Ok(None));
        assert!(matches!(reader.finish(), Err(FrameError::Truncated { .. })));
        reader.push(vec![0; 65_536].into());
        let expected = 65_536.min(left);
        left -= expected;
        match reader.next() {
            Ok(Some(Frame::BlobData { data, left_bytes })) => {
                assert_eq!((data.len() as u64, left_bytes), (expected, left));
            }
            other => panic!("{other:?}"),
        }
    }
    // What came behind the last byte is the next message, of an unknown type.
    assert_eq!(reader.next(), Err(FrameError::UnknownType(0)));
}

#[test]
fn an_empty_blob_has_no_data() {
    let head = ServerMessage::BlobResult {
        result: crate::wire::ResultCode::NotFound,
        data_bytes: 0,
        hash: [1; 32],
    };
    let bytes = [head.encode(), head.encode()].concat();
    let (frames, end) = read_all(Direction::ToClient, &[&bytes]);
    assert_eq!(end, Ok(()));
    assert_eq!(
        frames,
        [Frame::Message(head.encode()), Frame::Message(head.encode())]
    );
}

proptest! {
    #[test]
    fn any_bytes_are_answered_alike_however_they_are_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        cut in any::<prop::sample::Index>(),
        to_server in any::<bool>(),
    ) {
        let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
        let whole = read_all(direction, &[&bytes]);
        let (before, behind) = bytes.split_at(cut.index(bytes.len() + 1));
        let parts = read_all(direction, &[before, behind]);
        prop_assert_eq!(joined(parts.0), joined(whole.0));
        prop_assert_eq!(parts.1, whole.1);
    }

    #[test]
    fn a_damaged_stream_is_answered_alike_however_it_is_cut(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        step in 1_usize..50,
    ) {
        let (mut bytes, _) = client_stream();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let whole = read_all(Direction::ToServer, &[&bytes]);
        let chunks: Vec<&[u8]> = bytes.chunks(step).collect();
        let parts = read_all(Direction::ToServer, &chunks);
        prop_assert_eq!(joined(parts.0), joined(whole.0));
        prop_assert_eq!(parts.1, whole.1);
    }
}

#[test]
fn a_message_is_arriving_from_its_first_byte_to_its_last_with_all_that_belongs_to_it() {
    let unsubscribe = ClientMessage::Unsubscribe { id: QueryId(1) }.encode();
    let mut blob = ClientMessage::BlobSubmission {
        hash: [1; 32],
        data_bytes: 3,
    }
    .encode()
    .to_vec();
    blob.extend([9; 3]);
    let claimed_bytes = limits::RECORD_MESSAGE_MAX_BYTES + 1;
    let mut too_large = vec![0; claimed_bytes];
    too_large[0] = MessageType::Submission.as_u8();
    too_large[1..4].copy_from_slice(&u32::try_from(claimed_bytes).unwrap().to_le_bytes()[..3]);
    let mut reader = FrameReader::new(Direction::ToServer);
    for (place, message) in (0..).zip([&unsubscribe[..], &blob, &too_large]) {
        assert_eq!(reader.arriving(), None);
        let (rest, last) = message.split_at(message.len() - 1);
        let (first, rest) = rest.split_at(1);
        for piece in [first, rest] {
            reader.push(Bytes::copy_from_slice(piece));
            while !matches!(reader.next(), Ok(None)) {}
            assert_eq!(reader.arriving(), Some(place), "{:#x}", message[0]);
        }
        reader.push(Bytes::copy_from_slice(last));
        while !matches!(reader.next(), Ok(None)) {}
    }
    assert_eq!(reader.arriving(), None);
    reader.push(Bytes::from_static(&[0x7F]));
    assert_eq!(reader.peek_kind(), Some(0x7F));
    assert_eq!(reader.next(), Err(FrameError::UnknownType(0x7F)));
    assert_eq!((reader.arriving(), reader.peek_kind()), (None, None));
}
