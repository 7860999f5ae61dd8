//! The driver against a transport in memory, which does exactly what the test says.

use super::super::room::{PageSize, Room};
use super::super::testing::{Behind, ID, hello, records, soon, until};
use super::testing::{Driven, stream};
use super::*;
use crate::base::RoleSet;
use crate::base::limits::{
    CONNECTION_PAGES_MAX_BYTES, HELLO_TIMEOUT, KNOWN_STREAMS_MAX, MESSAGE_TIMEOUT,
    RECORD_MAX_BYTES, STREAM_OUTBOX_BYTES, STREAM_QUERIES_MAX,
};
use crate::policy::{Limit, RateRules};
use crate::wire::{ClientMessage, Filter, FilterBuilder, Reference, ServerMessage, Timestamp};
use std::sync::atomic::Ordering;

fn everything() -> Filter {
    FilterBuilder::new().build().unwrap()
}

fn subscribe() -> ClientMessage {
    ClientMessage::Subscribe {
        id: ID,
        limit: 0,
        filter: everything(),
    }
}

fn query() -> ClientMessage {
    ClientMessage::Query {
        id: ID,
        limit: 0,
        filter: everything(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_delivers_what_is_stored_and_then_what_arrives() {
    let behind = Behind::new();
    let records = records(3, 10);
    behind.put(&records[..2]);
    let mut driven = Driven::greeted(&behind).await;
    driven.peer.send(&subscribe());
    driven.expect_record(&records[1]).await;
    driven.expect_record(&records[0]).await;
    let complete = driven.peer.next().await;
    assert_eq!(complete, Some(ServerMessage::LocallyComplete { id: ID }));
    behind.put(&records[2..]);
    driven.expect_record(&records[2]).await;
    driven.peer.send(&ClientMessage::Unsubscribe { id: ID });
    driven.expect_closed_query(ResultCode::Success).await;
    until(|| behind.fanout.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_write_is_blocked_messages_are_still_read() {
    let behind = Behind::new();
    let mut driven = Driven::greeted(&behind).await;
    driven.peer.allow(0);
    driven.peer.send(&subscribe());
    until(|| !behind.fanout.is_empty()).await;
    driven.peer.send(&ClientMessage::Unsubscribe { id: ID });
    until(|| behind.fanout.is_empty()).await;
    driven.peer.allow(usize::MAX);
    // Whether it was complete before it was cancelled is a matter of luck.
    loop {
        match driven.peer.next().await {
            Some(ServerMessage::LocallyComplete { id: ID }) => {}
            Some(ServerMessage::QueryClosed { id: ID, result }) => {
                assert_eq!(result, ResultCode::Success);
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_requests_that_replace_each_other_ends_with_the_last_one() {
    let behind = Behind::new();
    let records = records(1, 10);
    behind.put(&records);
    let mut driven = Driven::greeted(&behind).await;
    for _ in 0..5_000 {
        driven.peer.send(&subscribe());
    }
    driven.peer.send(&query());
    // What an earlier one delivered before it was replaced may come first.
    loop {
        match driven.peer.next().await {
            Some(ServerMessage::Record { .. } | ServerMessage::LocallyComplete { .. }) => {}
            Some(ServerMessage::QueryClosed { id: ID, result }) => {
                assert_eq!(result, ResultCode::Success);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    until(|| behind.fanout.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_shuts_ends_the_subscriptions_on_its_role() {
    let behind = Behind::new();
    let mut driven = Driven::greeted(&behind).await;
    driven.peer.send(&subscribe());
    let complete = driven.peer.next().await;
    assert_eq!(complete, Some(ServerMessage::LocallyComplete { id: ID }));
    behind
        .settings
        .gate
        .set_open(RoleSet::EMPTY, "as the test wants", Timestamp::MIN);
    driven.control.gate_moved();
    driven.expect_closed_query(ResultCode::TemporaryError).await;
    until(|| behind.fanout.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_gets_all_of_its_answer_once_it_reads_again() {
    let behind = Behind::new();
    let records = records(300, 10_000);
    behind.put(&records);
    let mut driven = Driven::greeted(&behind).await;
    driven.peer.allow(STREAM_OUTBOX_BYTES);
    driven.peer.send(&query());
    until(|| driven.peer.unread_bytes() == STREAM_OUTBOX_BYTES).await;
    driven.peer.allow(usize::MAX);
    for record in records.iter().rev() {
        driven.expect_record(record).await;
    }
    driven.expect_closed_query(ResultCode::Success).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_stops_reading_gets_everything_in_order_once_it_reads_again() {
    let behind = Behind::new();
    let records = records(2_000, 500);
    let mut driven = Driven::greeted(&behind).await;
    driven.peer.send(&subscribe());
    let complete = driven.peer.next().await;
    assert_eq!(complete, Some(ServerMessage::LocallyComplete { id: ID }));
    driven.peer.allow(0);
    behind.put(&records);
    driven.peer.allow(usize::MAX);
    for record in &records {
        driven.expect_record(record).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_ends_the_subscriptions_of_the_stream_even_while_nothing_is_read() {
    let behind = Behind::new();
    behind.put(&records(100, 10_000));
    for is_blocked in [false, true] {
        let driven = Driven::greeted(&behind).await;
        if is_blocked {
            driven.peer.allow(0);
        }
        driven.peer.send(&subscribe());
        until(|| !behind.fanout.is_empty()).await;
        driven.peer.reset();
        assert_eq!(driven.end().await, StreamEnd::Broken(Broken::Reset));
        assert!(behind.fanout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_wants_no_more_ends_the_subscriptions_of_the_stream() {
    let behind = Behind::new();
    let driven = Driven::greeted(&behind).await;
    driven.peer.send(&subscribe());
    until(|| !behind.fanout.is_empty()).await;
    driven.peer.stop();
    assert_eq!(driven.end().await, StreamEnd::Broken(Broken::Stopped));
    assert!(behind.fanout.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_says_so_and_finishes_the_stream() {
    let behind = Behind::new();
    let mut driven = Driven::greeted(&behind).await;
    driven.control.shutdown();
    let result = ResultCode::ShuttingDown;
    assert_eq!(
        driven.peer.next().await,
        Some(ServerMessage::Closing { result })
    );
    assert_eq!(driven.peer.next().await, None);
    assert_eq!(driven.end().await, StreamEnd::Finished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reason_reaches_the_peer_before_its_connection_is_closed() {
    let behind = Behind::new();
    let mut driven = Driven::start(&behind);
    driven.peer.allow(usize::MAX);
    driven.peer.send(&query());
    until(|| driven.peer.unread_bytes() > 0).await;
    assert!(!driven.driver.is_finished(), "the peer has not got it yet");
    let result = ResultCode::Invalid;
    assert_eq!(
        driven.peer.next().await,
        Some(ServerMessage::Closing { result })
    );
    assert_eq!(driven.peer.next().await, None);
    assert_eq!(driven.end().await, StreamEnd::CloseConnection(result));
}

#[tokio::test]
async fn a_peer_that_does_not_take_the_reason_does_not_hold_its_connection_open() {
    let behind = Behind::new();
    let driven = Driven::start(&behind);
    driven.peer.send(&query());
    assert_eq!(
        driven.end().await,
        StreamEnd::CloseConnection(ResultCode::Invalid)
    );
}

#[tokio::test]
async fn a_stream_without_hello_meets_its_deadline() {
    let behind = Behind::new();
    let long_ago = Instant::now().checked_sub(HELLO_TIMEOUT).unwrap();
    let mut driven = Driven::opened(&behind, long_ago);
    driven.peer.allow(usize::MAX);
    let closing = driven.peer.next().await;
    assert!(
        matches!(closing, Some(ServerMessage::Closing { .. })),
        "{closing:?}"
    );
    assert_eq!(driven.peer.next().await, None);
    let end = driven.end().await;
    assert!(matches!(end, StreamEnd::CloseConnection(_)), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_is_answered_and_one_that_is_lost_is_a_temporary_error() {
    let behind = Behind::new();
    let mut driven = Driven::greeted(&behind).await;
    for (record, expected) in records(2, 10)
        .iter()
        .zip([ResultCode::Accepted, ResultCode::TemporaryError])
    {
        if expected == ResultCode::TemporaryError {
            *behind.ingest.kept.lock().unwrap() = Some(Vec::new());
        }
        driven.peer.send(&ClientMessage::Submission {
            record: record.bytes().clone(),
        });
        if expected == ResultCode::TemporaryError {
            let is_kept = || behind.ingest.kept.lock().unwrap().as_ref().unwrap().len() == 1;
            until(is_kept).await;
            *behind.ingest.kept.lock().unwrap() = None;
        }
        match driven.peer.next().await {
            Some(ServerMessage::SubmissionResult { result, id_prefix }) => {
                assert_eq!(result, expected);
                assert_eq!(id_prefix, record.id().as_bytes()[..32]);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_too_much_is_not_read_for_a_while_and_loses_nothing() {
    let behind = Behind::new();
    behind.admission.rates.set(RateRules {
        bytes_per_second: 20_000,
        ..RateRules::NONE
    });
    let mut driven = Driven::greeted(&behind).await;
    for _ in 0..500 {
        driven.peer.send(&ClientMessage::Unsubscribe { id: ID });
    }
    for _ in 0..500 {
        driven.expect_closed_query(ResultCode::NotFound).await;
    }
    let delayed = &behind.admission.rates.counters().of(Limit::Bytes).delayed;
    assert!(delayed.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn the_time_of_half_a_message_stands_still_while_the_driver_does_not_read() {
    let behind = Behind::new();
    let (stream, _peer, _control) = stream(&behind, Instant::now(), &Room::for_tests());
    let mut driver = Driver::new(stream);
    let half = query().encode().slice(..5);
    driver.read([hello().encode(), half].into_iter());
    driver.feed();
    let left = |driver: &mut Driver<_, _>| {
        driver.feed();
        let deadline = driver.stream.session.next_deadline();
        deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    };
    assert!(left(&mut driver).is_some_and(|left| left <= MESSAGE_TIMEOUT));
    driver
        .outbox
        .push(Bytes::from_static(&[0; STREAM_OUTBOX_BYTES]));
    let peers = left(&mut driver);
    assert!(peers > Some(MESSAGE_TIMEOUT), "it does not take what waits");
    driver.outbox.front().fill(Bytes::new());
    driver.outbox.written();
    assert!(left(&mut driver).is_some_and(|left| left <= MESSAGE_TIMEOUT));
    driver.rest(Duration::from_secs(1));
    assert_eq!(left(&mut driver), None, "too much came");
    driver.rests_until = None;
    assert!(left(&mut driver).is_some());
    let again = driver.stream.context.sight(None, None);
    for ticket in 0..2 * STREAM_QUERIES_MAX {
        let ticket = Ticket::for_tests(u64::try_from(ticket).unwrap());
        let request = session::ReadRequest::Get(Vec::new());
        driver.stream.requests.start(ticket, request, again.clone());
    }
    assert_eq!(left(&mut driver), None, "too many reads come to their end");
    driver.stream.requests.shutdown().await;
    assert!(left(&mut driver).is_some());
}

/// No time at all in which a peer has to take something.
fn at_once() -> Room {
    Room::with_patience(Duration::ZERO)
}

#[tokio::test]
async fn a_peer_that_takes_nothing_for_too_long_loses_its_stream_and_learns_so() {
    let behind = Behind::new();
    let driven = Driven::with_room(&behind, Instant::now(), &at_once());
    driven.peer.send(&hello());
    let end = soon(driven.driver).await.unwrap();
    assert_eq!(end, StreamEnd::Broken(Broken::Stalled));
    assert!(driven.peer.is_broken_off());
}

#[tokio::test]
async fn a_peer_for_whom_nothing_waits_keeps_its_stream() {
    let behind = Behind::new();
    let driven = Driven::with_room(&behind, Instant::now(), &at_once());
    driven.peer.reset();
    assert_eq!(driven.end().await, StreamEnd::Broken(Broken::Reset));
}

#[tokio::test]
async fn a_peer_that_does_not_take_the_last_words_of_a_stream_does_not_hold_it_open() {
    let behind = Behind::new();
    let driven = Driven::with_room(&behind, Instant::now(), &at_once());
    driven.control.shutdown();
    assert_eq!(driven.end().await, StreamEnd::Broken(Broken::Stalled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_ask_for_the_largest_records_and_read_nothing_hold_what_their_connection_may()
{
    let behind = Behind::new();
    let payload_bytes = RECORD_MAX_BYTES - 300;
    behind.put(&records(4, payload_bytes));
    let room = Room::for_tests();
    let mut streams = Vec::new();
    for _ in 0..KNOWN_STREAMS_MAX {
        let driven = Driven::with_room(&behind, Instant::now(), &room);
        driven.peer.send(&hello());
        driven.peer.send(&query());
        streams.push(driven);
    }
    until(|| room.common_bytes() > payload_bytes).await;
    let mut first = streams.remove(0);
    for driven in streams {
        driven.peer.reset();
        driven.end().await;
    }
    // Once the others are gone, this one gets everything.
    first.peer.allow(usize::MAX);
    let mut found = 0;
    loop {
        match first.peer.next().await {
            Some(ServerMessage::Record { .. }) => found += 1,
            Some(ServerMessage::QueryClosed { .. }) => break,
            Some(ServerMessage::HelloAck { .. }) => {}
            other => panic!("{other:?}"),
        }
        assert!(room.common_bytes() <= CONNECTION_PAGES_MAX_BYTES);
    }
    assert_eq!(found, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_read_get_everything_where_all_together_may_have_next_to_nothing() {
    let behind = Behind::new();
    let mut all = records(40, 1_000);
    all.extend(records(3, RECORD_MAX_BYTES - 300));
    behind.put(&all);
    let room = Room::with_output(1);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mut driven = Driven::with_room(&behind, Instant::now(), &room);
        driven.peer.allow(usize::MAX);
        driven.peer.send(&hello());
        driven.peer.send(&query());
        readers.spawn(async move {
            let mut found = 0;
            loop {
                match driven.peer.next().await {
                    Some(ServerMessage::Record { .. }) => found += 1,
                    Some(ServerMessage::QueryClosed { result, .. }) => return (found, result),
                    Some(ServerMessage::HelloAck { .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    while let Some(read) = readers.join_next().await {
        assert_eq!(read.unwrap(), (all.len(), ResultCode::Success));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_records_come_however_much_others_hold_that_read_nothing() {
    let behind = Behind::new();
    let all = records(900, 1_000);
    let (few, later) = all.split_at(100);
    behind.put(few);
    let room = Room::with_output(1);
    // Somebody has it all, and does not read.
    let held = room.for_stream().page(PageSize::Large).await.unwrap();
    let mut driven = Driven::with_room(&behind, Instant::now(), &room);
    driven.peer.allow(usize::MAX);
    driven.peer.send(&hello());
    driven.peer.next().await.unwrap();
    driven.peer.send(&query());
    for record in few.iter().rev() {
        driven.expect_record(record).await;
    }
    driven.expect_closed_query(ResultCode::Success).await;
    let ids = few.iter().map(|record| Reference::Id(record.id()));
    let references = ids.collect();
    driven.peer.send(&ClientMessage::Get { id: ID, references });
    for record in few {
        driven.expect_record(record).await;
    }
    driven.expect_closed_query(ResultCode::Success).await;
    driven.peer.send(&subscribe());
    for record in few.iter().rev() {
        driven.expect_record(record).await;
    }
    let complete = driven.peer.next().await;
    assert_eq!(complete, Some(ServerMessage::LocallyComplete { id: ID }));
    // More than waits for a subscription, so that it goes on in the log.
    driven.peer.allow(0);
    behind.put(later);
    driven.peer.allow(usize::MAX);
    for record in later {
        driven.expect_record(record).await;
    }
    drop(held);
}
