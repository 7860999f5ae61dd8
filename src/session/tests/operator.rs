//! An operator's stream.

use super::asks::probe;
use super::*;
use crate::base::{Role, limits};
use crate::session::{Order, Report};
use crate::wire::{
    AdminCall, AdminReply, AdminRow, Body as _, BodyRefusal, ExtensionReply, Info, InfoReply,
    ProbeStatus, RoleOpen, RoleStatus, StreamRole,
};

fn sign_in() -> Bytes {
    let role = StreamRole::Operator;
    RoleOpen { role, app: None }.encode(77)
}

fn call() -> AdminCall {
    AdminCall {
        call: "status".to_owned(),
        args: AdminRow::new(),
    }
}

/// Part of an answer.
pub(super) fn reply(more: bool) -> AdminReply {
    let row = AdminRow::from([("n".to_owned(), 1_u64.into())]);
    AdminReply {
        more,
        ..AdminReply::done(vec![row])
    }
}

/// A stream that is an operator's.
pub(super) struct SignedIn<'a> {
    talk: &'a mut Talk,
    /// Of the sign-in, which is over.
    pub(super) ticket: Ticket,
}

/// Makes a greeted stream of a known client an operator's.
pub(super) fn signed_in(talk: &mut Talk) -> SignedIn<'_> {
    let ticket = operate(&talk.bytes(sign_in()), &Order::SignIn);
    let report = Report::SignedIn(Ok(()));
    let said = talk.tell(Event::Reported { ticket, report });
    assert_eq!(status(&said).result, ResultCode::Success);
    SignedIn { talk, ticket }
}

/// Begins an order.
pub(super) fn order(operator: &mut SignedIn<'_>) -> Ticket {
    let said = operator.talk.bytes(call().encode(77));
    operate(&said, &Order::Call(call()))
}

fn operate(said: &[Said], expected: &Order) -> Ticket {
    match said {
        [Said::Action(Action::Operate { ticket, order })] if order == expected => *ticket,
        other => panic!("{other:?}"),
    }
}

fn extension(said: &[Said]) -> &ExtensionReply {
    match said {
        [Said::Message(ServerMessage::Extension(reply))] => reply,
        other => panic!("{other:?}"),
    }
}

fn status(said: &[Said]) -> RoleStatus {
    let reply = extension(said);
    assert_eq!((reply.kind, reply.request_id), (RoleStatus::KIND, 77));
    RoleStatus::decode(&reply.body).unwrap()
}

fn admin_reply(said: &[Said]) -> AdminReply {
    let reply = extension(said);
    assert_eq!((reply.kind, reply.request_id), (AdminReply::KIND, 77));
    AdminReply::decode(&reply.body).unwrap()
}

#[test]
fn an_operator_without_a_key_has_to_authenticate_and_nobody_is_asked() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let status = status(&talk.bytes(sign_in()));
    assert_eq!(status.role, StreamRole::Operator);
    assert_eq!(status.result, ResultCode::RequiresAuthentication);
    assert!(status.why.is_some());
}

#[test]
fn a_key_that_is_no_operators_is_unauthorized_and_the_stream_is_an_ordinary_one() {
    let mut talk = Talk::greeted(&known(settings()));
    let ticket = operate(&talk.bytes(sign_in()), &Order::SignIn);
    let refused = Err((ResultCode::Unauthorized, "no".to_owned()));
    let report = Report::SignedIn(refused);
    let status = status(&talk.tell(Event::Reported { ticket, report }));
    assert_eq!(status.result, ResultCode::Unauthorized);
    assert_eq!(status.why.as_deref(), Some("no"));
    let refused = admin_reply(&talk.bytes(call().encode(77)));
    assert_eq!(refused.result, ResultCode::Unauthorized);
    talk.read(&query(1));
}

#[test]
fn an_operators_stream_opens_however_shut_the_roles_are() {
    let settings = Settings {
        gate: Arc::new(Gate::closed(RoleSet::EMPTY, "UNKNOWN", testing::NOW)),
        ..settings()
    };
    let mut talk = Talk::greeted(&known(settings));
    order(&mut signed_in(&mut talk));
}

#[test]
fn orders_wait_for_the_sign_in_and_for_each_other() {
    let mut talk = Talk::greeted(&known(settings()));
    let all = [sign_in(), call().encode(77), call().encode(77)].concat();
    let ticket = operate(&talk.bytes(all), &Order::SignIn);
    assert!(!talk.stream.wants_bytes());
    let report = Report::SignedIn(Ok(()));
    let said = talk.tell(Event::Reported { ticket, report });
    assert_eq!(status(&said[..1]).result, ResultCode::Success);
    let first = operate(&said[1..], &Order::Call(call()));

    let report = Report::Reply(reply(true));
    let ticket = first;
    let said = talk.tell(Event::Reported { ticket, report });
    assert_eq!(admin_reply(&said), reply(true));
    let report = Report::Reply(reply(false));
    let said = talk.tell(Event::Reported { ticket, report });
    assert_eq!(admin_reply(&said[..1]), reply(false));
    let second = operate(&said[1..], &Order::Call(call()));
    assert_ne!(first, second);
}

#[test]
fn an_order_elsewhere_than_on_an_operators_stream_is_unauthorized_and_not_even_read() {
    let settings = settings();
    for opened in [None, Some(StreamRole::from(Role::Inbox))] {
        let mut talk = Talk::greeted(&known(settings.clone()));
        if let Some(role) = opened {
            talk.bytes(RoleOpen { role, app: None }.encode(1));
        }
        for body in [call().encode(77), vec![0x45, 8, 0, 0, 77, 0, 0, 0].into()] {
            let refused = admin_reply(&talk.bytes(body));
            assert_eq!(refused.result, ResultCode::Unauthorized);
            assert!(refused.rows.is_empty() && !refused.more);
        }
        talk.read(&query(1));
    }
}

#[test]
fn an_operators_stream_carries_no_records() {
    let mut talk = Talk::greeted(&known(settings()));
    signed_in(&mut talk);
    let refused = ResultCode::Unauthorized;
    for request in [get(1), query(1), subscribe(1)] {
        assert_eq!(talk.send(&request), [closed(1, refused)]);
    }
    let record = records(1).remove(0);
    let said = talk.send(&submission(record.bytes()));
    assert_eq!(said, [submitted(refused, prefix(&record))]);
    let hash = [7; 32];
    let said = talk.send(&ClientMessage::BlobGet { hash });
    let result = ServerMessage::BlobResult {
        result: refused,
        data_bytes: 0,
        hash,
    };
    assert_eq!(said, [Said::Message(result)]);
    let said = talk.bytes(probe().encode(77));
    let reply = extension(&said);
    assert_eq!(reply.kind, ProbeStatus::KIND);
    let refusal = BodyRefusal::decode(&reply.body).unwrap();
    assert_eq!(refusal.result, refused);
}

#[test]
fn an_operators_stream_is_read_on_behind_a_blob_only_where_few_data_follow() {
    let hash = [7; 32];
    let result = ResultCode::Unauthorized;
    let refused = Said::Message(ServerMessage::BlobSubmissionResult { result, hash });
    let head = |data_bytes| ClientMessage::BlobSubmission { hash, data_bytes };

    let mut talk = Talk::greeted(&known(settings()));
    let mut operator = signed_in(&mut talk);
    let said = operator.talk.send(&head(3));
    assert_eq!(said, std::slice::from_ref(&refused));
    assert_eq!(operator.talk.bytes(vec![1; 3]), [], "they are thrown away");
    order(&mut operator);

    let mut talk = Talk::greeted(&known(settings()));
    signed_in(&mut talk);
    let said = talk.send(&head(limits::BLOB_DISCARD_MAX_BYTES + 1));
    assert_eq!(said, [refused, STOP_READING, FINISH]);
}

#[test]
fn an_operators_stream_answers_info() {
    let mut talk = Talk::greeted(&known(settings()));
    signed_in(&mut talk);
    let said = talk.bytes(Info {}.encode(77));
    assert!(matches!(said[..], [Said::Action(Action::Info { .. })]));
    let said = talk.bytes(vec![0x41, 8, 0, 0, 77, 0, 0, 0]);
    assert_eq!(extension(&said).kind, InfoReply::KIND);
}

#[test]
fn an_order_that_does_not_decode_is_invalid_and_the_stream_goes_on() {
    let mut talk = Talk::greeted(&known(settings()));
    let mut operator = signed_in(&mut talk);
    let refused = admin_reply(&operator.talk.bytes(vec![0x45, 9, 0, 0, 77, 0, 0, 0, 0x80]));
    assert_eq!(refused.result, ResultCode::Invalid);
    order(&mut operator);
}

#[test]
fn the_end_of_the_peers_side_waits_for_the_answer_to_its_order() {
    let mut talk = Talk::greeted(&known(settings()));
    let ticket = order(&mut signed_in(&mut talk));
    assert_eq!(talk.tell(Event::PeerFinished), []);
    let report = Report::Reply(reply(false));
    let said = talk.tell(Event::Reported { ticket, report });
    assert_eq!(admin_reply(&said[..1]), reply(false));
    assert_eq!(said[1..], [FINISH]);
}
