//! Bytes that nobody should send, and bytes that come in pieces.

use proptest::prelude::*;

use super::*;
use crate::base::limits;
use crate::session::Intake;
use crate::wire::{Body, ExtensionRequest, Info, RoleOpen, StreamRole};

/// One of every message that is answered without the help of the driver, and some that need it.
fn script() -> Vec<Bytes> {
    let record = Draft::by(Person::Alice, ReadAccess::Everybody).record();
    let mut no_record = record.bytes().to_vec();
    no_record[48] = 0;
    let role = StreamRole::Outbox;
    vec![
        hello().encode(),
        RoleOpen { role, app: None }.encode(1),
        query(1).encode(),
        submission(record.bytes()).encode(),
        submission(&no_record.into()).encode(),
        subscribe(1).encode(),
        Bytes::from_static(&[0x01, 9, 0, 0, 6, 0, 0, 0, 1]),
        unsubscribe(2).encode(),
        Info {}.encode(3),
        get(9).encode(),
        hello().encode(),
        ClientMessage::DhtLookup.encode(),
    ]
}

#[test]
fn where_bytes_are_cut_makes_no_difference() {
    let bytes = script().concat();
    let whole = Talk::new(&anonymous(settings())).bytes(bytes.clone());
    assert_eq!(
        whole.last(),
        Some(&STOP_READING),
        "a submission is in flight"
    );
    assert_eq!(whole.len(), 15, "{whole:?}");
    for cut in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        let mut talk = Talk::new(&anonymous(settings()));
        let mut said = talk.bytes(head.to_vec());
        said.extend(talk.bytes(tail.to_vec()));
        assert_eq!(said, whole, "cut at {cut}");
    }
    let mut talk = Talk::new(&anonymous(settings()));
    let single = bytes.iter().flat_map(|byte| talk.bytes(vec![*byte]));
    assert_eq!(single.collect::<Vec<_>>(), whole, "byte by byte");
}

#[test]
fn a_message_of_unknown_type_is_unrecognized_and_the_stream_closed() {
    for kind in [0x00, 0x09, 0x12, 0x3F, 0x46, 0x48, 0x50, 0x7F] {
        let mut talk = Talk::greeted(&anonymous(settings()));
        let said = talk.bytes(vec![kind, 8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(said, [STOP_READING, UNRECOGNIZED, FINISH], "{kind:#x}");
        assert!(!talk.stream.wants_bytes());
    }
}

#[test]
fn what_only_servers_send_is_unrecognized() {
    let id = QueryId(1);
    let result = ResultCode::Success;
    for message in [
        ServerMessage::Closing { result },
        ServerMessage::LocallyComplete { id },
        ServerMessage::QueryClosed { id, result },
        ServerMessage::DhtResponse,
        ServerMessage::HelloAck {
            result,
            version: 0,
            apps: Vec::new(),
        },
        ServerMessage::SubmissionResult {
            result,
            id_prefix: [0; 32],
        },
    ] {
        let mut talk = Talk::greeted(&anonymous(settings()));
        let said = talk.bytes(message.encode());
        assert_eq!(said, [STOP_READING, UNRECOGNIZED, FINISH], "{message:?}");
    }
}

#[test]
fn dht_lookup_is_unrecognized() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let said = talk.send(&ClientMessage::DhtLookup);
    assert_eq!(said, [STOP_READING, UNRECOGNIZED, FINISH]);
}

#[test]
fn a_peer_that_did_not_recognize_something_gets_its_stream_closed_without_a_word() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.read(&subscribe(1));
    let said = talk.send(&ClientMessage::Unrecognized);
    assert_eq!(said, [cancel(ticket), STOP_READING, FINISH]);
}

#[test]
fn other_streams_of_the_connection_notice_nothing() {
    let connection = anonymous(settings());
    let mut broken = Talk::greeted(&connection);
    let mut other = Talk::new(&connection);
    let ticket = other.read(&query(1));
    broken.send(&ClientMessage::DhtLookup);
    let result = ResultCode::Success;
    let said = other.tell(Event::Ended { ticket, result });
    assert_eq!(said, [closed(1, result)]);
}

#[test]
fn submissions_in_flight_get_their_results_before_the_last_word() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let records = records(2);
    let first = talk.submit(&records[0]);
    let second = talk.submit(&records[1]);
    assert_eq!(talk.send(&ClientMessage::DhtLookup), [STOP_READING]);
    assert_eq!(talk.send(&query(1)), [], "nothing more is read");
    let result = ResultCode::Accepted;
    let told = |record: &Record| submitted(result, prefix(record));
    let said = talk.tell(Event::Submitted {
        ticket: second,
        result,
    });
    assert_eq!(said, [told(&records[1])]);
    let said = talk.tell(Event::Submitted {
        ticket: first,
        result,
    });
    assert_eq!(said, [told(&records[0]), UNRECOGNIZED, FINISH]);
}

#[test]
fn a_length_that_a_type_cannot_have_is_invalid_on_its_id_and_ends_the_stream() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = talk.read(&query(6));
    let said = talk.bytes(vec![0x04, 16, 0, 0, 6, 0, 0, 0]);
    let invalid = closed(6, ResultCode::Invalid);
    let expected = [cancel(ticket), invalid, STOP_READING, UNRECOGNIZED, FINISH];
    assert_eq!(said, expected);
}

#[test]
fn a_message_that_breaks_off_is_invalid_where_it_tells_what_it_is_about() {
    let record = records(1).remove(0);
    let submission = submission(record.bytes()).encode();
    let query = query(6).encode();
    let invalid = ResultCode::Invalid;
    for (bytes, expected) in [
        (query.slice(..5), vec![FINISH]),
        (query.slice(..6), vec![closed(6, invalid), FINISH]),
        (
            query.slice(..query.len() - 1),
            vec![closed(6, invalid), FINISH],
        ),
        (submission.slice(..39), vec![FINISH]),
        (
            submission.slice(..40),
            vec![submitted(invalid, prefix(&record)), FINISH],
        ),
    ] {
        let mut talk = Talk::greeted(&anonymous(settings()));
        assert_eq!(talk.bytes(bytes.clone()), []);
        assert_eq!(talk.tell(Event::PeerFinished), expected, "{bytes:02x?}");
    }
}

#[test]
fn a_message_that_does_not_end_in_time_is_answered_like_one_that_breaks_off() {
    let record = records(1).remove(0);
    let submission = submission(record.bytes()).encode();
    let query = query(6).encode();
    let invalid = ResultCode::Invalid;
    let large = Bytes::from_static(&[0x05, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
    for (bytes, expected) in [
        (query.slice(..1), vec![]),
        (query.slice(..6), vec![closed(6, invalid)]),
        (
            submission.slice(..40),
            vec![submitted(invalid, prefix(&record))],
        ),
        (large, vec![submitted(ResultCode::TooLarge, [0; 32])]),
    ] {
        let connection = anonymous(settings());
        let mut talk = Talk::greeted(&connection);
        let read = talk.read(&subscribe(1));
        assert_eq!(talk.stream.next_deadline(), None);
        assert_eq!(talk.bytes(bytes.clone()), []);
        let deadline = talk.stream.next_deadline().unwrap();
        assert_eq!(deadline, talk.now + limits::MESSAGE_TIMEOUT);
        talk.now = deadline - std::time::Duration::from_nanos(1);
        assert_eq!(talk.tell(Event::Deadline), [], "not before");
        talk.now = deadline;
        let ending = [cancel(read), STOP_READING, FINISH];
        let expected = [expected, ending.to_vec()].concat();
        assert_eq!(talk.tell(Event::Deadline), expected, "{bytes:02x?}");
        assert_eq!(talk.stream.next_deadline(), None);
        Talk::new(&connection).read(&subscribe(1));
    }
}

#[test]
fn what_is_skipped_and_the_data_of_a_blob_must_end_in_time_too() {
    let mut too_large = vec![0x05, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
    too_large.extend([0; 40]);
    let blob = ClientMessage::BlobSubmission {
        hash: [1; 32],
        data_bytes: 5,
    };
    for bytes in [too_large.into(), blob.encode()] {
        let mut talk = Talk::greeted(&anonymous(settings()));
        let said = talk.bytes(bytes);
        assert_eq!(said.len(), 1, "it is refused, or the driver is asked");
        if let [Said::Action(Action::Blob { ticket, .. })] = said.as_slice() {
            let (ticket, news) = (*ticket, BlobNews::Submitted(ResultCode::TooLarge));
            assert_eq!(talk.tell(Event::Blob { ticket, news }).len(), 1);
        }
        talk.now = talk.stream.next_deadline().unwrap();
        assert_eq!(talk.tell(Event::Deadline), [STOP_READING, FINISH]);
    }
}

#[test]
fn the_time_of_a_message_runs_from_its_first_byte_and_anew_for_the_next_one() {
    let connection = anonymous(settings());
    Talk::greeted(&connection);
    let mut talk = Talk::new(&connection);
    let second = std::time::Duration::from_secs(1);
    let unsubscribe = unsubscribe(1).encode();
    talk.bytes(unsubscribe.slice(..2));
    let deadline = talk.now + limits::MESSAGE_TIMEOUT;
    talk.now += second;
    talk.bytes(unsubscribe.slice(2..7));
    assert_eq!(talk.stream.next_deadline(), Some(deadline), "more bytes");
    let end_and_begin = [&unsubscribe[7..], &unsubscribe[..1]].concat();
    assert_eq!(talk.bytes(end_and_begin).len(), 1);
    assert_eq!(talk.stream.next_deadline(), Some(deadline + second));
    talk.now += second;
    assert_eq!(talk.bytes(unsubscribe.slice(1..)).len(), 1);
    assert_eq!(talk.stream.next_deadline(), None);
    talk.bytes(unsubscribe.slice(..1));
    talk.tell(Event::PeerFinished);
    assert_eq!(talk.stream.next_deadline(), None, "it is over");
}

#[test]
fn while_the_stream_is_held_back_no_message_runs_out_of_time() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let record = records(1).remove(0);
    let mut ticket = None;
    while talk.stream.wants_bytes() {
        ticket = Some(talk.submit(&record));
    }
    talk.bytes(unsubscribe(1).encode().slice(..4));
    assert_eq!(talk.stream.next_deadline(), None);
    talk.now += limits::MESSAGE_TIMEOUT;
    talk.tell(Event::Submitted {
        ticket: ticket.unwrap(),
        result: ResultCode::Accepted,
    });
    let deadline = talk.now + limits::MESSAGE_TIMEOUT;
    assert_eq!(talk.stream.next_deadline(), Some(deadline));
}

#[test]
fn the_time_of_a_message_stands_still_while_nothing_is_read_and_goes_on_from_there() {
    let submission = submission(records(1)[0].bytes()).encode();
    let mut talk = Talk::greeted(&anonymous(settings()));
    talk.bytes(submission.slice(..40));
    let minute = std::time::Duration::from_secs(60);
    talk.now += minute;
    assert_eq!(talk.tell(Event::Intake(Intake::Rests)), []);
    talk.now += limits::MESSAGE_TIMEOUT;
    assert_eq!(talk.stream.next_deadline(), None);
    assert_eq!(talk.tell(Event::Deadline), [], "it is not over");
    // What was read before and is handed over now begins nothing anew.
    assert_eq!(talk.bytes(submission.slice(40..50)), []);
    assert_eq!(talk.stream.next_deadline(), None);
    talk.tell(Event::Intake(Intake::Reads));
    let deadline = talk.now + limits::MESSAGE_TIMEOUT - minute;
    assert_eq!(talk.stream.next_deadline(), Some(deadline));
    talk.now = deadline;
    let said = talk.tell(Event::Deadline);
    assert_eq!(said[1..], [STOP_READING, FINISH]);
}

#[test]
fn a_message_that_begins_while_nothing_is_read_has_all_its_time_later() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    talk.tell(Event::Intake(Intake::Rests));
    talk.bytes(unsubscribe(1).encode().slice(..4));
    talk.now += limits::MESSAGE_TIMEOUT;
    assert_eq!(talk.stream.next_deadline(), None);
    talk.tell(Event::Intake(Intake::Reads));
    let deadline = talk.now + limits::MESSAGE_TIMEOUT;
    assert_eq!(talk.stream.next_deadline(), Some(deadline));
}

#[test]
fn a_peer_that_takes_nothing_keeps_half_a_message_here_so_long_and_no_longer() {
    let submission = submission(records(1)[0].bytes()).encode();
    let mut talk = Talk::greeted(&anonymous(settings()));
    talk.bytes(submission.slice(..40));
    let deadline = talk.now + limits::MESSAGE_TIMEOUT + limits::STALLED_TIMEOUT;
    // Over and over it takes a little, so that a moment long something is read.
    let quarter = limits::STALLED_TIMEOUT / 4;
    for _ in 0..3 {
        talk.tell(Event::Intake(Intake::Blocked));
        assert_eq!(talk.stream.next_deadline(), Some(deadline));
        talk.now += quarter;
        talk.tell(Event::Intake(Intake::Reads));
        talk.bytes(Bytes::new());
    }
    talk.tell(Event::Intake(Intake::Blocked));
    assert_eq!(talk.stream.next_deadline(), Some(deadline));
    talk.now += quarter + limits::MESSAGE_TIMEOUT / 2;
    assert_eq!(talk.tell(Event::Deadline), [], "not yet");
    assert_eq!(talk.stream.next_deadline(), Some(deadline));
    talk.tell(Event::Intake(Intake::Reads));
    assert_eq!(talk.stream.next_deadline(), Some(deadline));
    talk.now = deadline;
    let said = talk.tell(Event::Deadline);
    assert_eq!(said[1..], [STOP_READING, FINISH]);
}

#[test]
fn a_peer_has_its_time_for_hello_while_it_is_read() {
    let mut talk = Talk::new(&anonymous(settings()));
    let deadline = talk.stream.next_deadline().unwrap();
    talk.tell(Event::Intake(Intake::Rests));
    let hour = std::time::Duration::from_secs(3_600);
    talk.now += hour;
    assert_eq!(talk.tell(Event::Deadline), []);
    talk.tell(Event::Intake(Intake::Reads));
    assert_eq!(talk.stream.next_deadline(), Some(deadline + hour));
    talk.now += limits::HELLO_TIMEOUT;
    assert_eq!(talk.tell(Event::Deadline), thrown_out());
}

/// Checks what must hold of everything a stream says, whatever it is told.
fn check_order(said: &[Said]) {
    let finished = said.iter().position(|it| *it == FINISH);
    for (place, it) in said.iter().enumerate() {
        let after_finish = finished.is_some_and(|finished| place > finished);
        let allowed = match it {
            Said::Action(Action::StopReading | Action::CloseConnection { .. }) => true,
            Said::Action(_) | Said::Message(_) => !after_finish,
        };
        assert!(allowed, "{it:?} comes too late in {said:?}");
    }
    let stops = said.iter().filter(|it| **it == STOP_READING).count();
    assert!(stops <= 1, "{said:?}");
}

proptest! {
    #[test]
    fn no_bytes_make_a_stream_panic_or_speak_out_of_turn(
        greeted: bool,
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
    ) {
        let connection = anonymous(settings());
        let mut talk = Talk::new(&connection);
        let mut said = Vec::new();
        if greeted {
            said.extend(talk.send(&hello()));
        }
        for chunk in chunks {
            said.extend(talk.bytes(chunk));
        }
        said.extend(talk.tell(Event::PeerFinished));
        check_order(&said);
    }

    #[test]
    fn no_single_changed_byte_makes_a_stream_panic_or_speak_out_of_turn(
        place: prop::sample::Index,
        value: u8,
    ) {
        let mut bytes = script().concat();
        let place = place.index(bytes.len());
        bytes[place] = value;
        let mut talk = Talk::new(&anonymous(settings()));
        let mut said = talk.bytes(bytes);
        said.extend(talk.tell(Event::PeerFinished));
        said.extend(talk.tell(Event::Shutdown));
        check_order(&said);
    }

    #[test]
    fn a_request_of_any_type_with_any_body_is_answered_or_ends_the_stream(
        kind in 0x40_u8..0x50,
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut talk = Talk::greeted(&anonymous(settings()));
        let request = ExtensionRequest { kind, request_id: 5, body: body.into() };
        let said = talk.send(&ClientMessage::Extension(request));
        prop_assert!(!said.is_empty());
        check_order(&said);
    }
}
