//! The way of answers, and the driver that puts them on a stream.

use super::testing::Asked;
use super::*;
use crate::base::limits::STREAM_OUTBOX_BYTES;
use crate::net::stream::testing::Driven;
use crate::net::testing::{Behind, hello_extension, records, soon, until};
use crate::policy::testing::NOW;
use crate::session;
use crate::wire::{
    Body, ClientMessage, ExtensionReply, FilterBuilder, Nonce, ProbeCode, ProbeMode, ProbeOutcome,
    QueryId, ResultCode, ServerMessage,
};

fn answerers(behind: &Behind) -> Answerers<'_> {
    Answerers {
        probing: &*behind.probing,
        newcomers: &*behind.ingest,
    }
}

fn request() -> ProbeRequest {
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

fn dialback(first: u8) -> Dialback {
    let mut nonce = [5; 16];
    nonce[0] = first;
    Dialback {
        nonce: Nonce::from_bytes(nonce),
        mode: ProbeMode::Direct,
        dialed: ([11, 1, 0, 7], 1320).into(),
    }
}

fn status(code: ProbeCode) -> ProbeStatus {
    ProbeStatus {
        code,
        observed: ([11, 1, 0, 7], 5).into(),
        cost: None,
        now: NOW,
    }
}

fn result() -> ProbeResult {
    ProbeResult {
        outcome: ProbeOutcome::Ok,
        control_ok: true,
        dialer: None,
        dialer_ip: None,
        signature: None,
    }
}

/// A ticket, which only a session makes.
fn ticket(behind: &Behind) -> Ticket {
    let connection = session::Connection::new(Peer::Anonymous, Arc::clone(&behind.settings));
    let now = std::time::Instant::now();
    let mut stream = session::Stream::new(Arc::new(connection), now);
    stream.handle(now, Event::Bytes(hello_extension().encode()));
    stream.handle(now, Event::Bytes(request().encode(1)));
    loop {
        if let session::Action::Ask { ticket, .. } = stream.poll_action().unwrap() {
            return ticket;
        }
    }
}

/// A stream on which the extension set was granted.
async fn driven(behind: &Behind) -> Driven {
    let mut driven = Driven::start(behind);
    driven.peer.allow(usize::MAX);
    driven.peer.send(&hello_extension());
    let answer = driven.peer.next().await;
    assert!(
        matches!(answer, Some(ServerMessage::HelloAck { .. })),
        "{answer:?}"
    );
    driven
}

async fn reply(driven: &mut Driven) -> ExtensionReply {
    match driven.peer.next().await {
        Some(ServerMessage::Extension(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

async fn expect<B: Body + PartialEq + fmt::Debug>(driven: &mut Driven, id: u16, body: &B) {
    let reply = reply(driven).await;
    assert_eq!((reply.kind, reply.request_id), (B::KIND, id));
    assert_eq!(B::decode(&reply.body).as_ref().ok(), Some(body));
}

async fn expect_refusal(driven: &mut Driven, kind: u8, result: ResultCode) {
    let reply = reply(driven).await;
    assert_eq!(reply.kind, kind);
    assert_eq!(BodyRefusal::decode(&reply.body).unwrap().result, result);
}

#[tokio::test]
async fn no_more_answers_pass_than_an_ask_may_have_and_then_its_end() {
    let behind = Behind::new();
    let ticket = ticket(&behind);
    let mut asks = Asks::new();
    let ask = Ask::Probe(Box::new(request()));
    asks.start(ticket, ask, &behind.arrival(), answerers(&behind));
    let (.., answers) = behind.probing.next().await;
    for _ in 0..100 {
        answers.status(status(ProbeCode::Busy));
    }
    drop(answers);
    for _ in 0..ANSWERS_MAX {
        assert!(soon(asks.next()).await.answer.is_some());
    }
    assert!(soon(asks.next()).await.answer.is_none());
    assert!(asks.told.is_empty());
}

#[tokio::test]
async fn the_channel_has_room_for_all_that_may_be_under_way_while_nobody_takes_anything() {
    let behind = Behind::new();
    let ticket = ticket(&behind);
    let mut asks = Asks::new();
    for _ in 0..STREAM_PROBES_MAX {
        let ask = Ask::Probe(Box::new(request()));
        asks.start(ticket, ask, &behind.arrival(), answerers(&behind));
        let (.., answers) = behind.probing.next().await;
        answers.status(status(ProbeCode::Accepted));
        answers.result(result());
    }
    let mut ends = 0;
    for _ in 0..STREAM_PROBES_MAX * EVENTS_MAX {
        if soon(asks.next()).await.answer.is_none() {
            ends += 1;
        }
    }
    assert_eq!(ends, STREAM_PROBES_MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_goes_out_with_its_arrival_and_its_answers_come_back_to_the_peer() {
    let behind = Behind::new();
    let mut driven = driven(&behind).await;
    driven.peer.send_bytes(request().encode(3));
    let (arrival, asked, answers) = behind.probing.next().await;
    assert_eq!(asked, Asked::Probe(request()));
    assert_eq!(arrival.remote, behind.arrival().remote);
    let accepted = status(ProbeCode::Accepted);
    answers.status(accepted.clone());
    expect(&mut driven, 3, &accepted).await;
    answers.result(result());
    expect(&mut driven, 3, &result()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_nobody_answers_is_a_temporary_error() {
    let behind = Behind::new();
    let mut driven = driven(&behind).await;
    driven.peer.send_bytes(request().encode(3));
    drop(behind.probing.next().await);
    expect_refusal(&mut driven, ProbeStatus::KIND, ResultCode::TemporaryError).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialback_is_acknowledged_where_its_nonce_is_known_and_refused_where_not() {
    let behind = Behind::new();
    let mut driven = driven(&behind).await;
    let known = dialback(1);
    driven.peer.send_bytes(known.encode(1));
    let ack = DialbackAck {
        nonce_hash: known.nonce.hash().into(),
        from: behind.arrival().remote,
    };
    expect(&mut driven, 1, &ack).await;
    driven.peer.send_bytes(dialback(0).encode(2));
    expect_refusal(&mut driven, DialbackAck::KIND, ResultCode::Invalid).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_dialbacks_is_answered_one_by_one_to_the_last() {
    let behind = Behind::new();
    let mut driven = driven(&behind).await;
    for id in 0..1_000 {
        driven.peer.send_bytes(dialback(1).encode(id));
    }
    for id in 0..1_000 {
        assert_eq!(reply(&mut driven).await.request_id, id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_a_peer_that_does_not_read_wait_until_it_reads_again() {
    let behind = Behind::new();
    behind.put(&records(300, 10_000));
    let mut driven = driven(&behind).await;
    driven.peer.send_bytes(request().encode(3));
    let (.., answers) = behind.probing.next().await;
    driven.peer.allow(STREAM_OUTBOX_BYTES);
    driven.peer.send(&ClientMessage::Query {
        id: QueryId(7),
        limit: 0,
        filter: FilterBuilder::new().build().unwrap(),
    });
    until(|| driven.peer.unread_bytes() == STREAM_OUTBOX_BYTES).await;
    answers.status(status(ProbeCode::Accepted));
    answers.result(result());
    drop(answers);
    driven.peer.allow(usize::MAX);
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        match driven.peer.next().await {
            Some(ServerMessage::Extension(reply)) => kinds.push(reply.kind),
            Some(ServerMessage::Record { .. } | ServerMessage::QueryClosed { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kinds, [ProbeStatus::KIND, ProbeResult::KIND]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_stream_that_has_ended_does_no_harm() {
    let behind = Behind::new();
    let driven = driven(&behind).await;
    driven.peer.send_bytes(request().encode(3));
    let (.., answers) = behind.probing.next().await;
    driven.peer.reset();
    driven.end().await;
    answers.status(status(ProbeCode::Accepted));
    answers.result(result());
}
