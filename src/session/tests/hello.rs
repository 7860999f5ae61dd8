//! The opening of a connection.

use super::*;
use crate::base::limits;

fn ack(result: ResultCode, apps: &[u32]) -> Said {
    Said::Message(ServerMessage::HelloAck {
        result,
        version: 0,
        apps: apps.to_vec(),
    })
}

fn hello_for(version: u16, apps: &[u32]) -> ClientMessage {
    ClientMessage::Hello {
        version,
        apps: apps.to_vec(),
    }
}

/// One message of every kind but HELLO.
fn other_messages() -> Vec<ClientMessage> {
    let body = Bytes::from_static(&[0x80]);
    let extension = |kind| {
        ClientMessage::Extension(crate::wire::ExtensionRequest {
            kind,
            request_id: 1,
            body: body.clone(),
        })
    };
    vec![
        get(1),
        query(1),
        subscribe(1),
        unsubscribe(1),
        submission(records(1)[0].bytes()),
        ClientMessage::BlobGet { hash: [1; 32] },
        ClientMessage::BlobSubmission {
            hash: [1; 32],
            data_bytes: 5,
        },
        ClientMessage::DhtLookup,
        ClientMessage::HelloAuth,
        ClientMessage::Unrecognized,
        extension(0x40),
        extension(0x41),
        extension(0x42),
    ]
}

#[test]
fn hello_is_acknowledged_with_the_applications_that_were_asked_for_and_are_served() {
    let gate = Gate::closed(RoleSet::ALL, "UNKNOWN: as the test wants", testing::NOW);
    let settings = Settings {
        gate: Arc::new(gate),
        ..settings()
    };
    let connection = anonymous(settings);
    let mut talk = Talk::new(&connection);
    assert!(!connection.is_greeted());
    let asked = [testing::APP, 555, EXTENSION_APP, testing::APP];
    let said = talk.send(&hello_for(0, &asked));
    let granted = [testing::APP, EXTENSION_APP];
    assert_eq!(said, [ack(ResultCode::Success, &granted)]);
    assert!(connection.is_greeted());
}

#[test]
fn where_a_user_role_is_open_every_application_is_served() {
    let mut talk = Talk::new(&anonymous(settings()));
    let said = talk.send(&hello_for(0, &[1, 555]));
    assert_eq!(said, [ack(ResultCode::Success, &[1, 555])]);
}

#[test]
fn applications_nobody_asked_for_are_not_granted() {
    let mut talk = Talk::new(&anonymous(settings()));
    let said = talk.send(&hello_for(0, &[]));
    assert_eq!(said, [ack(ResultCode::Success, &[])]);
}

#[test]
fn whatever_the_clients_highest_version_is_ours_is_chosen() {
    for version in [0, 1, 8, u16::MAX] {
        let mut talk = Talk::new(&anonymous(settings()));
        let said = talk.send(&hello_for(version, &[]));
        assert_eq!(said, [ack(ResultCode::Success, &[])], "version {version}");
    }
}

#[test]
fn a_second_hello_is_a_duplicate_on_any_stream_and_changes_nothing() {
    let connection = anonymous(settings());
    let mut first = Talk::new(&connection);
    first.send(&hello_for(0, &[1]));
    let duplicate = [ack(ResultCode::Duplicate, &[])];
    assert_eq!(first.send(&hello_for(0, &[0, 1])), duplicate);
    let mut second = Talk::new(&connection);
    assert_eq!(second.send(&hello_for(0, &[0, 1])), duplicate);
    second.read(&query(1));
}

#[test]
fn a_duplicate_hello_is_acknowledged_without_applications_and_takes_none_away() {
    let connection = anonymous(settings());
    let asked: Vec<u32> = (1..).take(limits::HELLO_APPS_MAX - 1).collect();
    let mut talk = Talk::new(&connection);
    talk.send(&hello_for(
        0,
        &[&[EXTENSION_APP], asked.as_slice()].concat(),
    ));
    let said = talk.send(&hello_for(0, &asked));
    assert_eq!(said, [ack(ResultCode::Duplicate, &[])]);
    assert!(connection.has_extensions());
}

#[test]
fn streams_opened_after_hello_need_none_of_their_own() {
    let connection = anonymous(settings());
    Talk::greeted(&connection);
    let mut second = Talk::new(&connection);
    second.read(&query(1));
}

#[test]
fn a_message_before_hello_is_answered_closing_invalid_and_the_connection_is_closed() {
    for message in other_messages() {
        let connection = anonymous(settings());
        let mut talk = Talk::new(&connection);
        assert_eq!(talk.send(&message), thrown_out(), "{message:?}");
        assert!(!talk.stream.wants_bytes());
        assert_eq!(talk.send(&hello()), [], "nothing comes after {message:?}");
        let mut second = Talk::new(&connection);
        let late = second.send(&hello());
        assert_eq!(late, [STOP_READING, FINISH], "HELLO after {message:?}");
        assert!(!connection.is_greeted());
    }
}

#[test]
fn a_message_before_hello_is_refused_at_its_first_byte() {
    for message in other_messages() {
        let first = message.encode().slice(..1);
        let mut talk = Talk::new(&anonymous(settings()));
        assert_eq!(talk.bytes(first), thrown_out(), "{message:?}");
    }
    let connection = anonymous(settings());
    let mut waiting = Talk::new(&connection);
    let bytes = hello().encode();
    assert_eq!(waiting.bytes(bytes.slice(..1)), [], "it may be a HELLO");
    assert_eq!(waiting.bytes(bytes.slice(1..)).len(), 1);
    let mut second = Talk::new(&connection);
    assert_eq!(second.bytes(vec![0x02]), [], "HELLO came before");
}

#[test]
fn bytes_that_are_no_message_are_no_hello_either() {
    let mut cut_app = hello().encode().to_vec();
    cut_app[1] -= 1;
    cut_app.pop();
    let too_many = hello_for(0, &vec![0; limits::HELLO_APPS_MAX + 1]).encode();
    let unknown = vec![0x7F, 8, 0, 0, 0, 0, 0, 0];
    let shorter_than_a_header = vec![0x10, 4, 0, 0, 0, 0, 0, 0];
    let of_a_server = ServerMessage::Unrecognized.encode().to_vec();
    for bytes in [
        cut_app,
        too_many.to_vec(),
        unknown,
        shorter_than_a_header,
        of_a_server,
    ] {
        let mut talk = Talk::new(&anonymous(settings()));
        assert_eq!(talk.bytes(bytes.clone()), thrown_out(), "{bytes:02x?}");
    }
}

#[test]
fn a_hello_that_breaks_off_is_none() {
    let mut talk = Talk::new(&anonymous(settings()));
    let bytes = hello().encode();
    assert_eq!(talk.bytes(bytes.slice(..9)), []);
    let mut expected = thrown_out();
    expected.retain(|said| *said != STOP_READING);
    assert_eq!(talk.tell(Event::PeerFinished), expected);
}

#[test]
fn hello_auth_is_invalid_where_tls_authenticates() {
    let connection = anonymous(settings());
    let mut talk = Talk::greeted(&connection);
    let read = talk.read(&query(1));
    let mut expected = vec![cancel(read)];
    expected.extend(thrown_out());
    assert_eq!(talk.send(&ClientMessage::HelloAuth), expected);
}

#[test]
fn a_connection_without_hello_is_closed_when_its_time_is_up_and_not_before() {
    let connection = anonymous(settings());
    let mut talk = Talk::new(&connection);
    let deadline = talk.stream.next_deadline().unwrap();
    assert_eq!(deadline, talk.now + limits::HELLO_TIMEOUT);
    talk.now = deadline - std::time::Duration::from_nanos(1);
    assert_eq!(talk.tell(Event::Deadline), []);
    let half = hello().encode().slice(..4);
    assert_eq!(talk.bytes(half), [], "half of a HELLO buys no time");
    talk.now = deadline;
    assert_eq!(talk.tell(Event::Deadline), thrown_out());
    assert_eq!(talk.stream.next_deadline(), None);
}

#[test]
fn a_hello_on_another_stream_lifts_the_deadline() {
    let connection = anonymous(settings());
    let mut first = Talk::new(&connection);
    let deadline = first.stream.next_deadline().unwrap();
    Talk::greeted(&connection);
    assert_eq!(first.stream.next_deadline(), None);
    first.now = deadline;
    assert_eq!(first.tell(Event::Deadline), []);
    first.read(&query(1));
}

#[test]
fn the_first_hello_of_a_peer_with_a_key_is_reported_once_and_that_of_others_is_not() {
    let connection = known(settings());
    let greeted = Said::Action(Action::Greeted);
    let mut first = Talk::new(&connection);
    assert!(first.send(&get(1)).iter().all(|said| *said != greeted));
    let connection = known(settings());
    let mut first = Talk::new(&connection);
    let said = first.send(&hello());
    assert_eq!(said.iter().filter(|said| **said == greeted).count(), 1);
    let again = [first.send(&hello()), Talk::new(&connection).send(&hello())];
    assert!(again.iter().flatten().all(|said| *said != greeted));
    let said = Talk::new(&anonymous(settings())).send(&hello());
    assert!(said.iter().all(|said| *said != greeted));
}
