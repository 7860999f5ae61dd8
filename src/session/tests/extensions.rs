//! ROLE OPEN and INFO, and everything of the extension set that is still to come. The tests of
//! reachability are in `asks.rs`.

use std::collections::BTreeMap;

use super::*;
use crate::base::{Role, limits};
use crate::policy::Limit;
use crate::session::Excess;
use crate::wire::{
    Body, BodyRefusal, ExtensionReply, ExtensionRequest, Info, InfoLimits, InfoReply, Redeem,
    Refused, Registration, RoleOpen, RoleStatus, StreamRole,
};

fn role_open(role: StreamRole, app: Option<u32>) -> Bytes {
    RoleOpen { role, app }.encode(77)
}

fn reply(said: &[Said]) -> &ExtensionReply {
    match said {
        [Said::Message(ServerMessage::Extension(reply))] => reply,
        _ => panic!("{said:?} is not one reply of the extension set"),
    }
}

fn status(said: &[Said]) -> RoleStatus {
    let reply = reply(said);
    assert_eq!(reply.kind, RoleStatus::KIND);
    assert_eq!(reply.request_id, 77);
    RoleStatus::decode(&reply.body).unwrap()
}

fn refusal(said: &[Said], kind: u8) -> BodyRefusal {
    let reply = reply(said);
    assert_eq!((reply.kind, reply.request_id), (kind, 77));
    BodyRefusal::decode(&reply.body).unwrap()
}

fn request(kind: u8, body: &[u8]) -> ClientMessage {
    ClientMessage::Extension(ExtensionRequest {
        kind,
        request_id: 77,
        body: Bytes::copy_from_slice(body),
    })
}

/// Opens a stream for a role and checks the answer; what became of the stream is returned.
fn check(
    connection: &Arc<Connection>,
    role: StreamRole,
    app: Option<u32>,
    expected: ResultCode,
) -> Talk {
    let mut talk = Talk::greeted(connection);
    let status = status(&talk.bytes(role_open(role, app)));
    assert_eq!(status.role, role);
    assert_eq!(
        status.result, expected,
        "{role:?} {app:?}: {:?}",
        status.why
    );
    let has_reason = status.why.is_some_and(|why| !why.is_empty());
    assert_eq!(has_reason, expected != ResultCode::Success);
    talk
}

/// To which role the stream gives what is asked on it.
fn binding(talk: &mut Talk) -> (Option<Role>, Option<u32>) {
    let Action::Read { bound, app, .. } = talk.ask(&query(1)) else {
        panic!("no read");
    };
    let Action::Submit {
        bound: submit_bound,
        app: submit_app,
        ..
    } = talk.ask(&submission(records(1)[0].bytes()))
    else {
        panic!("no submission");
    };
    assert_eq!((submit_bound, submit_app), (bound, app));
    (bound, app)
}

#[test]
fn a_stream_opened_for_an_open_role_is_bound_to_it() {
    for role in Role::ALL {
        let connection = known(settings());
        let mut talk = check(&connection, role.into(), None, ResultCode::Success);
        assert_eq!(binding(&mut talk), (Some(role), None));
        let mut other = Talk::new(&connection);
        assert_eq!(binding(&mut other), (None, None), "another stream is not");
    }
}

#[test]
fn a_stream_can_be_opened_for_one_application() {
    let connection = anonymous(settings());
    let app = Some(testing::APP);
    let mut talk = check(
        &connection,
        StreamRole::Application,
        app,
        ResultCode::Success,
    );
    assert_eq!(binding(&mut talk), (Some(Role::Application), app));
    let other = Some(testing::OTHER_APP);
    check(
        &connection,
        StreamRole::Application,
        other,
        ResultCode::Unauthorized,
    );
}

#[test]
fn a_stranger_may_open_encryption_to_deliver() {
    let open = |connection: Arc<Connection>| {
        check(
            &connection,
            StreamRole::Encryption,
            None,
            ResultCode::Success,
        )
    };
    let mut reader = open(known(settings()));
    assert_eq!(binding(&mut reader), (Some(Role::Encryption), None));
    let mut stranger = open(anonymous(settings()));
    let delivery = stranger.ask(&submission(records(1)[0].bytes()));
    assert!(matches!(
        delivery,
        Action::Submit {
            bound: Some(Role::Encryption),
            ..
        }
    ));
}

#[test]
fn a_stranger_must_authenticate_to_read_on_a_stream_bound_to_encryption() {
    let stranger = anonymous(settings());
    let mut talk = check(&stranger, StreamRole::Encryption, None, ResultCode::Success);
    for request in [get(1), query(1), subscribe(1)] {
        let said = talk.send(&request);
        assert_eq!(said, [closed(1, ResultCode::RequiresAuthentication)]);
    }
}

#[test]
fn a_role_that_is_not_configured_is_unauthorized_and_the_stream_stays_unbound() {
    for role in Role::ALL {
        let configured = RoleSet::ALL.without(role);
        let settings = Settings {
            gate: Arc::new(Gate::dev(configured, testing::NOW)),
            ..settings()
        };
        let connection = anonymous(settings);
        let mut talk = check(&connection, role.into(), None, ResultCode::Unauthorized);
        assert_eq!(binding(&mut talk), (None, None));
    }
}

#[test]
fn a_role_that_the_verdict_keeps_shut_is_a_temporary_error_that_names_the_verdict() {
    let settings = Settings {
        gate: Arc::new(Gate::closed(
            RoleSet::ALL,
            "FORWARDED: behind NAT",
            testing::NOW,
        )),
        ..settings()
    };
    let connection = known(settings);
    for role in [Role::Outbox, Role::Inbox, Role::Encryption] {
        check(&connection, role.into(), None, ResultCode::TemporaryError);
        let mut talk = Talk::new(&connection);
        let status = status(&talk.bytes(role_open(role.into(), None)));
        assert_eq!(status.why.as_deref(), Some("FORWARDED: behind NAT"));
    }
    check(
        &connection,
        StreamRole::Application,
        None,
        ResultCode::Success,
    );
}

#[test]
fn role_open_after_another_message_is_invalid_and_changes_nothing() {
    let invalid = |talk: &mut Talk| {
        let status = status(&talk.bytes(role_open(StreamRole::Inbox, None)));
        assert_eq!(status.result, ResultCode::Invalid);
    };
    let mut unbound = Talk::greeted(&anonymous(settings()));
    unbound.send(&unsubscribe(5));
    invalid(&mut unbound);
    assert_eq!(binding(&mut unbound), (None, None));
    let mut broken = Talk::greeted(&anonymous(settings()));
    broken.bytes(vec![0x01, 9, 0, 0, 6, 0, 0, 0, 1]);
    invalid(&mut broken);
    let connection = anonymous(settings());
    let mut bound = check(&connection, StreamRole::Outbox, None, ResultCode::Success);
    invalid(&mut bound);
    assert_eq!(binding(&mut bound), (Some(Role::Outbox), None));
    let mut refused = check(
        &connection,
        StreamRole::Operator,
        None,
        ResultCode::RequiresAuthentication,
    );
    invalid(&mut refused);
}

#[test]
fn role_open_may_follow_a_hello_that_is_a_duplicate() {
    let connection = anonymous(settings());
    Talk::greeted(&connection);
    let mut talk = Talk::greeted(&connection);
    let status = status(&talk.bytes(role_open(StreamRole::Inbox, None)));
    assert_eq!(status.result, ResultCode::Success);
}

#[test]
fn reads_on_a_bound_stream_are_a_temporary_error_while_its_role_is_shut() {
    let gate = Arc::new(Gate::closed(RoleSet::ALL, "UNKNOWN", testing::NOW));
    gate.set_open(RoleSet::ALL, "PUBLIC", testing::NOW);
    let moving = Settings {
        gate: Arc::clone(&gate),
        ..settings()
    };
    let connection = anonymous(moving);
    let mut talk = check(&connection, StreamRole::Outbox, None, ResultCode::Success);
    let ticket = talk.read(&subscribe(1));
    gate.set_open(RoleSet::of(Role::Outbox), "PARTLY", testing::NOW);
    assert_eq!(talk.tell(Event::GateMoved), [], "another role shut");
    gate.set_open(RoleSet::of(Role::Inbox), "LOST", testing::NOW);
    let shut = closed(1, ResultCode::TemporaryError);
    assert_eq!(talk.tell(Event::GateMoved), [cancel(ticket), shut.clone()]);
    for message in [get(1), query(1), subscribe(1)] {
        assert_eq!(talk.send(&message), std::slice::from_ref(&shut));
    }
}

#[test]
fn reads_on_a_bound_stream_are_not_widened_by_other_roles_that_open() {
    let gate = Arc::new(Gate::closed(RoleSet::ALL, "UNKNOWN", testing::NOW));
    let outbox = RoleSet::of(Role::Outbox);
    gate.set_open(outbox, "PUBLIC", testing::NOW);
    let moving = Settings {
        gate: Arc::clone(&gate),
        ..settings()
    };
    let connection = anonymous(moving);
    let mut talk = check(&connection, StreamRole::Outbox, None, ResultCode::Success);
    talk.read(&subscribe(1));
    gate.set_open(outbox.with(Role::Inbox), "PUBLIC", testing::NOW);
    assert_eq!(talk.tell(Event::GateMoved), []);
    gate.set_open(outbox, "PARTLY", testing::NOW);
    assert_eq!(talk.tell(Event::GateMoved), [], "it never read the inbox");
}

#[test]
fn a_body_that_does_not_decode_is_answered_by_that_types_reply_with_invalid_and_nothing_else() {
    let not_a_map: &[u8] = &[0xC0];
    let unknown_role: &[u8] = &[0x81, 0xA4, b'r', b'o', b'l', b'e', 0xA1, b'x'];
    let app_of_inbox = RoleOpen {
        role: StreamRole::Inbox,
        app: Some(1),
    }
    .encode(77);
    for body in [not_a_map, unknown_role, &[], &app_of_inbox[8..]] {
        let mut talk = Talk::greeted(&anonymous(settings()));
        let refusal = refusal(&talk.send(&request(RoleOpen::KIND, body)), RoleStatus::KIND);
        assert_eq!(refusal.result, ResultCode::Invalid);
        assert!(!refusal.why.is_empty());
        assert_eq!(binding(&mut talk), (None, None));
    }
    let mut talk = Talk::greeted(&anonymous(settings()));
    let refusal = refusal(&talk.send(&request(Info::KIND, not_a_map)), InfoReply::KIND);
    assert_eq!(refusal.result, ResultCode::Invalid);
}

#[test]
fn a_body_that_is_too_large_is_refused_on_its_request_and_the_stream_goes_on() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let body = vec![0; limits::EXTENSION_BODY_MAX_BYTES + 1];
    let said = talk.send(&request(Info::KIND, &body));
    let refusal = refusal(&said, InfoReply::KIND);
    assert_eq!(refusal.result, ResultCode::TooLarge);
    talk.read(&query(1));
}

#[test]
fn without_the_grant_every_type_is_unrecognized_and_the_stream_is_closed() {
    for kind in 0x40..=0x4F {
        let mut talk = Talk::new(&anonymous(settings()));
        talk.send(&ClientMessage::Hello {
            version: 0,
            apps: vec![0, 1],
        });
        let said = talk.send(&request(kind, &[0x80]));
        assert_eq!(said, [STOP_READING, UNRECOGNIZED, FINISH], "{kind:#x}");
    }
    let mut talk = Talk::new(&anonymous(settings()));
    talk.send(&ClientMessage::Hello {
        version: 0,
        apps: Vec::new(),
    });
    let body = vec![0; limits::EXTENSION_BODY_MAX_BYTES + 1];
    let said = talk.send(&request(Info::KIND, &body));
    assert_eq!(said, [STOP_READING, UNRECOGNIZED, FINISH], "too large");
}

#[test]
fn types_that_are_still_to_come_are_unrecognized() {
    let known = [Redeem::KIND];
    for kind in (0x46..=0x4F).filter(|kind| !known.contains(kind)) {
        let mut talk = Talk::greeted(&anonymous(settings()));
        let said = talk.send(&request(kind, &[0x80]));
        assert_eq!(said, [STOP_READING, UNRECOGNIZED, FINISH], "{kind:#x}");
    }
}

fn description() -> InfoReply {
    InfoReply {
        name: "test".to_owned(),
        software: "mosaicd".to_owned(),
        version: "0".to_owned(),
        spec: "0.8".to_owned(),
        key: Person::Bob.key(),
        description: None,
        contact: None,
        terms: None,
        endpoints: Vec::new(),
        roles: BTreeMap::new(),
        applications: vec![0, 1],
        limits: InfoLimits {
            record_bytes: 0,
            blob_bytes: 0,
            filter_bytes: 0,
            query_results: 0,
            subscriptions_per_stream: 0,
            streams: 0,
            submissions_per_second: 0,
            retention_seconds: None,
        },
        registration: Registration::Closed,
        probes: false,
        now: testing::NOW,
        you: None,
        refused: None,
    }
}

fn ask_info(talk: &mut Talk) -> Ticket {
    match talk.ask(&request(Info::KIND, &[0x80])) {
        Action::Info { ticket } => ticket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn info_is_answered_with_what_the_server_says_of_itself_once() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = ask_info(&mut talk);
    let answer = Event::Info {
        ticket,
        reply: description(),
    };
    let said = talk.tell(answer.clone());
    let sent = reply(&said);
    assert_eq!((sent.kind, sent.request_id), (InfoReply::KIND, 77));
    assert_eq!(InfoReply::decode(&sent.body).unwrap(), description());
    assert_eq!(talk.tell(answer), []);
}

/// What INFO says of the limit that a request of the connection ran into.
fn refused(talk: &mut Talk) -> Option<Refused> {
    let ticket = ask_info(talk);
    let reply_to_info = Event::Info {
        ticket,
        reply: description(),
    };
    let said = talk.tell(reply_to_info);
    InfoReply::decode(&reply(&said).body).unwrap().refused
}

#[test]
fn info_names_the_limit_that_the_last_request_ran_into_on_any_stream() {
    let connection = anonymous(settings());
    let mut talk = Talk::greeted(&connection);
    let mut other = Talk::new(&connection);
    assert_eq!(refused(&mut talk), None);
    for (excess, result) in [
        (Excess::Search, ResultCode::TooOpen),
        (Excess::Rate(Limit::QueryRows), ResultCode::TooFast),
    ] {
        let ticket = other.read(&query(1));
        let said = other.tell(Event::Exceeded { ticket, excess });
        assert_eq!(said, [closed(1, result)]);
        let told = refused(&mut talk).unwrap();
        assert_eq!((told.result, told.why), (result, excess.to_string()));
    }
    let record = &records(1)[0];
    let ticket = other.submit(record);
    let excess = Excess::Rate(Limit::Submissions);
    let said = other.tell(Event::Exceeded { ticket, excess });
    assert_eq!(said, [submitted(ResultCode::TooFast, prefix(record))]);
    let told = refused(&mut other).unwrap();
    assert!(told.why.contains("submissions"), "{told:?}");
    // What was answered already changes nothing that the peer sees.
    assert_eq!(other.tell(Event::Exceeded { ticket, excess }), []);
}

#[test]
fn info_names_the_limit_of_what_the_stream_itself_refuses() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    for id in 0..limits::STREAM_QUERIES_MAX {
        talk.read(&query(u16::try_from(id).unwrap()));
    }
    assert_eq!(refused(&mut talk), None);
    let said = talk.send(&query(u16::MAX));
    assert_eq!(said, [closed(u16::MAX, ResultCode::TooFast)]);
    let told = refused(&mut talk).unwrap();
    assert!(told.why.contains("too many queries"), "{told:?}");
}

#[test]
fn info_requests_in_flight_are_bounded() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let tickets: Vec<Ticket> = (0..limits::STREAM_INFOS_MAX)
        .map(|_| ask_info(&mut talk))
        .collect();
    assert!(!talk.stream.wants_bytes());
    assert_eq!(talk.send(&unsubscribe(1)), [], "messages wait");
    let said = talk.tell(Event::Info {
        ticket: tickets[0],
        reply: description(),
    });
    assert_eq!(said.len(), 2, "the answer, and the message that waited");
    assert!(talk.stream.wants_bytes());
}

#[test]
fn info_is_answered_to_a_peer_that_has_finished() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let ticket = ask_info(&mut talk);
    assert_eq!(talk.tell(Event::PeerFinished), []);
    let reply = description();
    let said = talk.tell(Event::Info { ticket, reply });
    assert_eq!(said.len(), 2, "the answer and the end");
    assert_eq!(said.last(), Some(&FINISH));
}
