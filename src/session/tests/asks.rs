//! Probes, vouchers and dial-backs.

use super::*;
use crate::base::limits;
use crate::session::{Answer, Ask};
use crate::wire::{
    Body, BodyRefusal, Dialback, DialbackAck, ExtensionReply, ExtensionRequest, Nonce, ProbeCode,
    ProbeMode, ProbeOutcome, ProbeRequest, ProbeResult, ProbeStatus, ProbeTransport, Redeem,
    RedeemResult, RoleOpen, RoleStatus, Signature, StreamRole, Voucher, VoucherStatus,
};

const REQUEST_ID: u16 = 77;

pub(super) fn probe() -> ProbeRequest {
    ProbeRequest {
        nonce: Nonce::from_bytes([5; 16]),
        port: 1320,
        mode: ProbeMode::Direct,
        own: None,
        pad: vec![0; 1_200].into(),
        transport: ProbeTransport::Quic,
        asked: None,
        avoid: Vec::new(),
    }
}

fn voucher() -> Voucher {
    Voucher {
        server: Person::Bob.key(),
        ip: [11, 1, 0, 7].into(),
        port: 1320,
        nonce: Nonce::from_bytes([5; 16]),
        issued: testing::NOW,
        expires: testing::NOW,
        asked: Signature::from_bytes([1; 64]),
        signature: Signature::from_bytes([2; 64]),
        transport: ProbeTransport::Quic,
        pad: Vec::new().into(),
    }
}

fn dialback() -> Dialback {
    Dialback {
        nonce: Nonce::from_bytes([5; 16]),
        mode: ProbeMode::Direct,
        dialed: ([11, 1, 0, 7], 1320).into(),
    }
}

pub(super) fn status(code: ProbeCode) -> ProbeStatus {
    ProbeStatus {
        code,
        observed: ([11, 1, 0, 7], 5_000).into(),
        cost: None,
        now: testing::NOW,
    }
}

fn voucher_status(code: ProbeCode) -> VoucherStatus {
    VoucherStatus { code, cost: None }
}

pub(super) fn result(outcome: ProbeOutcome) -> ProbeResult {
    ProbeResult {
        outcome,
        control_ok: true,
        dialer: Some(Person::Bob.key()),
        dialer_ip: None,
        signature: None,
    }
}

fn ack() -> DialbackAck {
    DialbackAck {
        nonce_hash: [9; 32].into(),
        from: ([12, 2, 0, 7], 5_000).into(),
    }
}

fn refusal() -> BodyRefusal {
    BodyRefusal {
        result: ResultCode::Invalid,
        why: "no such nonce".to_owned(),
    }
}

fn redeem() -> Redeem {
    Redeem {
        code: "a code".to_owned(),
    }
}

fn redeemed(result: ResultCode) -> RedeemResult {
    RedeemResult { result, why: None }
}

/// The four asks, as messages and as what the driver is given.
fn asks() -> [(Bytes, Ask); 4] {
    [
        (probe().encode(REQUEST_ID), Ask::Probe(Box::new(probe()))),
        (
            voucher().encode(REQUEST_ID),
            Ask::Vouch(Box::new(voucher())),
        ),
        (dialback().encode(REQUEST_ID), Ask::Dialback(dialback())),
        (redeem().encode(REQUEST_ID), Ask::Redeem(redeem())),
    ]
}

/// Every answer once, a status also as one that refuses.
fn answers() -> Vec<Answer> {
    vec![
        Answer::Status(status(ProbeCode::Accepted)),
        Answer::Status(status(ProbeCode::Busy)),
        Answer::VoucherStatus(voucher_status(ProbeCode::Accepted)),
        Answer::VoucherStatus(voucher_status(ProbeCode::Busy)),
        Answer::Result(result(ProbeOutcome::Ok)),
        Answer::DialbackAck(ack()),
        Answer::Refused(refusal()),
        Answer::Redeemed(redeemed(ResultCode::Success)),
    ]
}

/// With a peer that has a key: an invitation is for one.
fn talk() -> Talk {
    Talk::greeted(&known(settings()))
}

/// Sends an ask that must be handed on as it is.
fn ask(talk: &mut Talk, (message, expected): &(Bytes, Ask)) -> Ticket {
    let said = talk.bytes(message.clone());
    match said.as_slice() {
        [Said::Action(Action::Ask { ticket, ask })] => {
            assert_eq!(ask, expected);
            *ticket
        }
        _ => panic!("{said:?}"),
    }
}

fn answered(talk: &mut Talk, ticket: Ticket, answer: Answer) -> Vec<Said> {
    talk.tell(Event::Answered { ticket, answer })
}

/// What a peer hears in the bytes of one message.
fn heard(message: &Bytes) -> Vec<Said> {
    vec![Said::Message(ServerMessage::parse(message).unwrap())]
}

fn reply(said: &[Said]) -> &ExtensionReply {
    match said {
        [Said::Message(ServerMessage::Extension(reply))] => reply,
        _ => panic!("{said:?} is not one reply of the extension set"),
    }
}

/// That a peer heard why its ask came to nothing.
fn check_refused(said: &[Said], kind: u8, result: ResultCode) {
    let reply = reply(said);
    assert_eq!((reply.kind, reply.request_id), (kind, REQUEST_ID));
    let refusal = BodyRefusal::decode(&reply.body).unwrap();
    assert_eq!(refusal.result, result);
    assert!(!refusal.why.is_empty());
}

#[test]
fn a_probe_is_handed_on_and_answered_with_its_status_and_its_result() {
    let [probe, ..] = asks();
    let mut talk = talk();
    let ticket = ask(&mut talk, &probe);
    let status = status(ProbeCode::Accepted);
    let said = answered(&mut talk, ticket, Answer::Status(status.clone()));
    assert_eq!(said, heard(&status.encode(REQUEST_ID)));
    let result = result(ProbeOutcome::NoResponse);
    let said = answered(&mut talk, ticket, Answer::Result(result.clone()));
    assert_eq!(said, heard(&result.encode(REQUEST_ID)));
    assert_eq!(talk.tell(Event::AskEnded { ticket }), []);
}

#[test]
fn a_voucher_is_handed_on_and_answered_with_its_status_and_its_result() {
    let [_, voucher, ..] = asks();
    let mut talk = talk();
    let ticket = ask(&mut talk, &voucher);
    let status = voucher_status(ProbeCode::Accepted);
    let said = answered(&mut talk, ticket, Answer::VoucherStatus(status));
    assert_eq!(said, heard(&status.encode(REQUEST_ID)));
    let result = result(ProbeOutcome::Ok);
    let said = answered(&mut talk, ticket, Answer::Result(result.clone()));
    assert_eq!(said, heard(&result.encode(REQUEST_ID)));
    assert_eq!(talk.tell(Event::AskEnded { ticket }), []);
}

#[test]
fn a_dialback_is_handed_on_and_acknowledged_or_refused() {
    let [.., dialback, _] = asks();
    let mut talk = talk();
    let ticket = ask(&mut talk, &dialback);
    let said = answered(&mut talk, ticket, Answer::DialbackAck(ack()));
    assert_eq!(said, heard(&ack().encode(REQUEST_ID)));
    let ticket = ask(&mut talk, &dialback);
    let said = answered(&mut talk, ticket, Answer::Refused(refusal()));
    check_refused(&said, DialbackAck::KIND, ResultCode::Invalid);
}

#[test]
fn asks_under_way_at_once_keep_their_request_ids_apart() {
    let mut talk = talk();
    let tickets = [3, 4].map(|id| {
        let message = probe().encode(id);
        ask(&mut talk, &(message, Ask::Probe(Box::new(probe()))))
    });
    let status = status(ProbeCode::Busy);
    for (ticket, id) in tickets.into_iter().zip([3, 4]).rev() {
        let said = answered(&mut talk, ticket, Answer::Status(status.clone()));
        assert_eq!(said, heard(&status.encode(id)));
    }
}

#[test]
fn answers_that_are_not_the_asks_or_come_out_of_turn_are_not_sent() {
    // What may come first, and what may come after it, by place in `answers`.
    let first: [&[usize]; 4] = [&[0, 1, 6], &[2, 3, 6], &[5, 6], &[6, 7]];
    let second: [&[(usize, usize)]; 4] = [&[(0, 4)], &[(2, 4)], &[], &[]];
    for (place, message) in asks().iter().enumerate() {
        for (one, answer) in answers().into_iter().enumerate() {
            for (two, next) in answers().into_iter().enumerate() {
                let mut talk = talk();
                let ticket = ask(&mut talk, message);
                let said = answered(&mut talk, ticket, answer.clone());
                let is_taken = first[place].contains(&one);
                assert_eq!(said.len(), usize::from(is_taken), "{answer:?}");
                let said = answered(&mut talk, ticket, next.clone());
                let is_taken = if is_taken {
                    second[place].contains(&(one, two))
                } else {
                    first[place].contains(&two)
                };
                assert_eq!(said.len(), usize::from(is_taken), "{answer:?} {next:?}");
            }
        }
    }
}

#[test]
fn an_ask_that_ends_without_an_answer_is_a_temporary_error() {
    let replies = [
        ProbeStatus::KIND,
        VoucherStatus::KIND,
        DialbackAck::KIND,
        RedeemResult::KIND,
    ];
    for (message, kind) in asks().iter().zip(replies) {
        let mut talk = talk();
        let ticket = ask(&mut talk, message);
        let said = talk.tell(Event::AskEnded { ticket });
        check_refused(&said, kind, ResultCode::TemporaryError);
        assert_eq!(talk.tell(Event::AskEnded { ticket }), []);
        let late = Answer::Status(status(ProbeCode::Accepted));
        assert_eq!(answered(&mut talk, ticket, late), []);
    }
}

#[test]
fn an_ask_that_was_accepted_and_ends_without_a_result_failed_on_our_side() {
    let accepted = [
        Answer::Status(status(ProbeCode::Accepted)),
        Answer::VoucherStatus(voucher_status(ProbeCode::Accepted)),
    ];
    for (message, accepted) in asks().iter().zip(accepted) {
        let mut talk = talk();
        let ticket = ask(&mut talk, message);
        answered(&mut talk, ticket, accepted);
        let said = talk.tell(Event::AskEnded { ticket });
        let reply = reply(&said);
        assert_eq!(
            (reply.kind, reply.request_id),
            (ProbeResult::KIND, REQUEST_ID)
        );
        let result = ProbeResult::decode(&reply.body).unwrap();
        assert_eq!(result.outcome, ProbeOutcome::LocalError);
        assert!(!result.control_ok, "it says nothing about the peer");
    }
}

#[test]
fn asks_under_way_are_bounded_until_they_end_and_not_until_they_are_answered() {
    let mut talk = talk();
    let asks = asks();
    let tickets: Vec<_> = asks
        .iter()
        .cycle()
        .take(limits::STREAM_PROBES_MAX)
        .collect();
    let tickets: Vec<_> = tickets.iter().map(|it| ask(&mut talk, it)).collect();
    assert!(!talk.stream.wants_bytes());
    assert_eq!(talk.bytes(dialback().encode(REQUEST_ID)), [], "it waits");
    let answer = Answer::Status(status(ProbeCode::Busy));
    assert_eq!(answered(&mut talk, tickets[0], answer).len(), 1);
    assert!(!talk.stream.wants_bytes(), "its driver still holds it");
    let said = talk.tell(Event::AskEnded { ticket: tickets[0] });
    assert!(
        matches!(said.as_slice(), [Said::Action(Action::Ask { .. })]),
        "{said:?}"
    );
    assert!(!talk.stream.wants_bytes());
    talk.tell(Event::AskEnded { ticket: tickets[1] });
    assert!(talk.stream.wants_bytes());
}

#[test]
fn a_peer_that_has_finished_still_hears_the_result_and_then_the_end() {
    let mut talk = talk();
    let ticket = ask(&mut talk, &asks()[0]);
    assert_eq!(talk.tell(Event::PeerFinished), []);
    let accepted = Answer::Status(status(ProbeCode::Accepted));
    assert_eq!(answered(&mut talk, ticket, accepted).len(), 1);
    let said = answered(&mut talk, ticket, Answer::Result(result(ProbeOutcome::Ok)));
    assert_eq!(said.len(), 2);
    assert_eq!(said.last(), Some(&FINISH));
}

#[test]
fn a_body_that_does_not_decode_is_answered_by_that_types_reply_and_nothing_else_happens() {
    let kinds = [
        (ProbeRequest::KIND, ProbeStatus::KIND),
        (Voucher::KIND, VoucherStatus::KIND),
        (Dialback::KIND, DialbackAck::KIND),
        (Redeem::KIND, RedeemResult::KIND),
    ];
    for (kind, reply) in kinds {
        for body in [&[][..], &[0xC0], &[0x80], &[0x81, 0xA5, b'n']] {
            let mut talk = talk();
            let said = talk.send(&ClientMessage::Extension(ExtensionRequest {
                kind,
                request_id: REQUEST_ID,
                body: Bytes::copy_from_slice(body),
            }));
            check_refused(&said, reply, ResultCode::Invalid);
            talk.read(&query(1));
        }
    }
}

#[test]
fn without_the_grant_nothing_is_asked() {
    for (message, _) in asks() {
        let mut talk = Talk::new(&anonymous(settings()));
        talk.send(&ClientMessage::Hello {
            version: 0,
            apps: vec![0],
        });
        let said = talk.bytes(message);
        assert_eq!(said, [STOP_READING, UNRECOGNIZED, FINISH]);
    }
}

#[test]
fn asks_work_on_a_stream_that_is_bound_and_on_a_listener_without_roles() {
    for message in &asks() {
        let mut bound = talk();
        let open = RoleOpen {
            role: StreamRole::Inbox,
            app: None,
        };
        let said = bound.bytes(open.encode(1));
        let status = RoleStatus::decode(&reply(&said).body).unwrap();
        assert_eq!(status.result, ResultCode::Success);
        ask(&mut bound, message);
        ask(&mut Talk::greeted(&known(without_roles())), message);
    }
}

#[test]
fn an_ask_that_is_forgotten_at_the_end_of_a_stream_is_answered_no_more() {
    let mut talk = talk();
    let ticket = ask(&mut talk, &asks()[0]);
    talk.tell(Event::Shutdown);
    let answer = Answer::Status(status(ProbeCode::Accepted));
    assert_eq!(answered(&mut talk, ticket, answer), []);
    assert_eq!(talk.tell(Event::AskEnded { ticket }), []);
}

/// A listener on which no role is configured, as that of a witness.
fn without_roles() -> Settings {
    Settings {
        gate: Arc::new(Gate::closed(RoleSet::EMPTY, "UNKNOWN", testing::NOW)),
        ..settings()
    }
}

#[test]
fn a_listener_without_roles_refuses_reads_and_submissions_without_asking_anybody() {
    let mut talk = Talk::greeted(&anonymous(without_roles()));
    for request in [get(1), query(1), subscribe(1)] {
        let said = talk.send(&request);
        assert_eq!(said, [closed(1, ResultCode::Unauthorized)]);
    }
    let record = &records(1)[0];
    let said = talk.send(&submission(record.bytes()));
    assert_eq!(said, [submitted(ResultCode::Unauthorized, prefix(record))]);
}

#[test]
fn an_invitation_is_handed_on_and_answered_once() {
    let [.., redeem] = asks();
    for result in [ResultCode::Success, ResultCode::NotFound] {
        let mut talk = talk();
        let ticket = ask(&mut talk, &redeem);
        let said = answered(&mut talk, ticket, Answer::Redeemed(redeemed(result)));
        assert_eq!(said, heard(&redeemed(result).encode(REQUEST_ID)));
        assert_eq!(talk.tell(Event::AskEnded { ticket }), []);
    }
}

#[test]
fn an_invitation_of_a_peer_without_a_key_is_refused_without_asking_anybody() {
    let mut talk = Talk::greeted(&anonymous(settings()));
    let said = talk.bytes(redeem().encode(REQUEST_ID));
    let reply = reply(&said);
    assert_eq!(reply.kind, RedeemResult::KIND);
    let result = RedeemResult::decode(&reply.body).unwrap();
    assert_eq!(result.result, ResultCode::RequiresAuthentication);
}
