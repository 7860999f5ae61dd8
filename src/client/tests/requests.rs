//! Requests, replies, and the pace of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::join;

use super::super::testing::{Listener, ServerStream, info, plain};
use super::super::*;
use super::{chats, connected, key, record, records};
use crate::base::limits;
use crate::wire::{
    Body, ClientMessage, EXTENSION_APP, InfoReply, Kind, QueryId, Record, RecordBuilder, Reference,
    ResultCode, RoleOpen, RoleStatus, ServerMessage, StreamRole, Timestamp,
};

#[tokio::test]
async fn requests_on_one_stream_get_their_own_replies_however_they_are_mixed() {
    let listener = Listener::new(1);
    let (client, _connection, mut server) = connected(&listener).await;
    let stream = client.main_stream();
    let records = records(6, b"x");
    let submitted = record(b"submitted");
    let serving = async {
        let (mut ids, mut prefix) = (Vec::new(), None);
        while ids.len() < 2 || prefix.is_none() {
            match server.receive().await.unwrap().unwrap() {
                ClientMessage::Query { id, .. } | ClientMessage::Get { id, .. } => ids.push(id),
                ClientMessage::Submission { record } => {
                    prefix = Some(Record::parse(record).unwrap().id().prefix().0);
                }
                other => panic!("{other:?}"),
            }
        }
        for (place, record) in records.iter().enumerate() {
            server.send_record(ids[place % 2], record).await;
        }
        server.close_query(ids[1], ResultCode::NotFound).await;
        let id_prefix = prefix.unwrap();
        let result = ResultCode::Accepted;
        server
            .send(ServerMessage::SubmissionResult { result, id_prefix })
            .await;
        server.close_query(ids[0], ResultCode::Success).await;
    };
    let asking = async {
        let first = stream.query(chats(), 0).await.unwrap();
        let named = records
            .iter()
            .map(|record| Reference::from(record.id()))
            .collect();
        let second = stream.get(named).await.unwrap();
        let (first, second, result) =
            join!(first.collect(), second.collect(), stream.submit(&submitted));
        let (first, second) = (first.unwrap(), second.unwrap());
        let every_second = |start| {
            records
                .iter()
                .skip(start)
                .step_by(2)
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(first, (every_second(0), ResultCode::Success));
        assert_eq!(second, (every_second(1), ResultCode::NotFound));
        assert_eq!(result.unwrap(), ResultCode::Accepted);
    };
    join!(serving, asking);
}

#[tokio::test]
async fn a_query_that_is_dropped_is_unsubscribed_and_the_others_go_on() {
    let listener = Listener::new(1);
    let (client, _connection, mut server) = connected(&listener).await;
    let stream = client.main_stream();
    let records = records(1_000, b"more than fits into the queues");
    let dropped = stream.query(chats(), 0).await.unwrap();
    let kept = stream.query(chats(), 0).await.unwrap();
    let serving = async {
        let dropped = server.receive_query().await;
        let kept = server.receive_query().await;
        for record in &records {
            server.send_record(dropped, record).await;
        }
        let unsubscribe = server.receive().await.unwrap().unwrap();
        assert_eq!(unsubscribe, ClientMessage::Unsubscribe { id: dropped });
        server.close_query(dropped, ResultCode::Success).await;
        server.send_record(kept, &records[0]).await;
        server.close_query(kept, ResultCode::Success).await;
    };
    let asking = async {
        drop(dropped);
        let (records, result) = kept.collect().await.unwrap();
        assert_eq!((records.len(), result), (1, ResultCode::Success));
    };
    join!(serving, asking);
}

#[tokio::test]
async fn a_caller_that_does_not_read_stops_the_server_and_loses_nothing() {
    const RECORDS: u64 = 400;
    let listener = Listener::new(1);
    let (client, connection, _main) = connected(&listener).await;
    let payload = vec![7; 100_000];
    let records = Arc::new(records(RECORDS, &payload));
    let written = Arc::new(AtomicUsize::new(0));
    let mut results = client.query(chats(), 0).await.unwrap();
    let serving = tokio::spawn({
        let (records, written) = (Arc::clone(&records), Arc::clone(&written));
        let connection = connection.clone();
        async move {
            let mut stream = ServerStream::accept(&connection).await.unwrap();
            let id = stream.receive_query().await;
            for record in records.iter() {
                stream.send_record(id, record).await;
                written.fetch_add(record.bytes().len(), Ordering::SeqCst);
            }
            stream.close_query(id, ResultCode::Success).await;
            stream
        }
    });
    // Meanwhile another stream of the connection works as ever.
    for _ in 0..200 {
        let mut answers = client.query(chats(), 0).await.unwrap();
        let mut stream = ServerStream::accept(&connection).await.unwrap();
        let id = stream.receive_query().await;
        stream.close_query(id, ResultCode::Success).await;
        assert!(answers.next().await.unwrap().is_none());
    }
    let window = usize::try_from(limits::CLIENT_STREAM_WINDOW_BYTES).unwrap();
    // What the server's own send buffer takes is not the client's.
    let bound = window + limits::CLIENT_QUEUE_MAX_BYTES + 2 * limits::RECORD_MAX_BYTES + 10_000_000;
    assert!(written.load(Ordering::SeqCst) < bound);
    assert!(!serving.is_finished());

    let mut received = Vec::new();
    while let Some(record) = results.next().await.unwrap() {
        received.push(record);
    }
    assert_eq!(received, *records);
    assert_eq!(results.result(), Some(ResultCode::Success));
    drop(serving.await.unwrap());
}

#[tokio::test]
async fn records_that_were_not_asked_for_or_do_not_verify_are_dropped_and_counted() {
    let listener = Listener::new(1);
    let (client, _connection, mut server) = connected(&listener).await;
    let good = records(3, b"good");
    let mut forged = good[0].bytes().to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let author = key(9);
    let other_kind = RecordBuilder::new(Kind::MICROBLOG_ROOT, author.public())
        .sign(&author)
        .unwrap();
    let mut results = client.main_stream().query(chats(), 0).await.unwrap();
    let id = server.receive_query().await;
    server.send_record(id, &good[0]).await;
    let send = async |server: &mut ServerStream, bytes: Vec<u8>| {
        server
            .send(ServerMessage::Record {
                id,
                record: bytes.into(),
            })
            .await;
    };
    send(&mut server, forged).await;
    send(&mut server, vec![0; 152]).await;
    send(&mut server, other_kind.bytes().to_vec()).await;
    server.send_record(id, &good[1]).await;
    server.close_query(id, ResultCode::Success).await;

    assert_eq!(results.next().await.unwrap().as_ref(), Some(&good[0]));
    assert_eq!(results.next().await.unwrap().as_ref(), Some(&good[1]));
    assert_eq!(results.next().await.unwrap(), None);
    assert_eq!(results.rejected_count(), 3);
    assert!(matches!(
        results.rejected(),
        [
            RecordFault::Unverified(_),
            RecordFault::Malformed(_),
            RecordFault::NotAsked
        ]
    ));
}

#[tokio::test]
async fn a_get_brings_what_it_named_and_nothing_else() {
    let listener = Listener::new(1);
    let (client, _connection, mut server) = connected(&listener).await;
    let records = records(3, b"x");
    let named = vec![records[0].id().into(), records[1].view().address().into()];
    let mut results = client.main_stream().get(named).await.unwrap();
    let id = server.receive_query().await;
    for record in &records {
        server.send_record(id, record).await;
    }
    server.close_query(id, ResultCode::Success).await;
    assert_eq!(results.next().await.unwrap().as_ref(), Some(&records[0]));
    assert_eq!(results.next().await.unwrap().as_ref(), Some(&records[1]));
    assert_eq!(results.next().await.unwrap(), None);
    assert_eq!(results.rejected_count(), 1);
}

#[tokio::test]
async fn submissions_overlap_within_their_window_and_report_in_order() {
    const WINDOW: usize = 4;
    let listener = Listener::new(1);
    let (client, _connection, mut server) = connected(&listener).await;
    let records = records(20, b"x");
    let serving = async {
        let mut answered = 0;
        while answered < records.len() {
            // The last of a window is answered first.
            let mut waiting = Vec::new();
            for _ in 0..WINDOW {
                let message = server.receive().await.unwrap().unwrap();
                let ClientMessage::Submission { record } = message else {
                    panic!("{message:?}");
                };
                waiting.push(Record::parse(record).unwrap().id());
            }
            answered += waiting.len();
            for id in waiting.into_iter().rev() {
                let result = ResultCode::Accepted;
                let id_prefix = id.prefix().0;
                server
                    .send(ServerMessage::SubmissionResult { result, id_prefix })
                    .await;
            }
        }
    };
    let submitting = async {
        let mut submissions = client.submit_many(WINDOW);
        let mut done = Vec::new();
        for record in &records {
            done.extend(submissions.push(record).await.unwrap());
            assert!(submissions.len() <= WINDOW);
        }
        while let Some(submitted) = submissions.next().await.unwrap() {
            done.push(submitted);
        }
        let result = ResultCode::Accepted;
        let expected = records.iter().map(|record| Submitted {
            id: record.id(),
            result,
        });
        assert_eq!(done, expected.collect::<Vec<_>>());
    };
    join!(serving, submitting);
}

#[tokio::test]
async fn the_same_record_twice_on_its_way_gets_both_results() {
    let listener = Listener::new(1);
    let (client, _connection, mut server) = connected(&listener).await;
    let record = record(b"twice");
    let serving = async {
        for result in [ResultCode::Accepted, ResultCode::Duplicate] {
            server.receive().await.unwrap();
            let id_prefix = record.id().prefix().0;
            server
                .send(ServerMessage::SubmissionResult { result, id_prefix })
                .await;
        }
    };
    let (first, second, ()) = join!(client.submit(&record), client.submit(&record), serving);
    assert_eq!(first.unwrap(), ResultCode::Accepted);
    assert_eq!(second.unwrap(), ResultCode::Duplicate);
}

#[tokio::test]
async fn when_a_stream_ends_everyone_who_waits_on_it_learns_why() {
    type Check = fn(&StreamEnd) -> bool;
    let closing = ServerMessage::Closing {
        result: ResultCode::ShuttingDown,
    }
    .encode();
    let cases: [(Bytes, Check); 4] = [
        (closing, |end| {
            matches!(end, StreamEnd::Closing(ResultCode::ShuttingDown))
        }),
        (ServerMessage::Unrecognized.encode(), |end| {
            matches!(end, StreamEnd::Unrecognized)
        }),
        (Bytes::from_static(&[0x7f; 16]), |end| {
            matches!(end, StreamEnd::Fault(_))
        }),
        (Bytes::new(), |end| matches!(end, StreamEnd::Ended)),
    ];
    for (last_words, is_expected) in cases {
        let listener = Listener::new(1);
        let (client, _connection, mut server) = connected(&listener).await;
        let record = record(b"x");
        let mut results = client.main_stream().query(chats(), 0).await.unwrap();
        let serving = async {
            server.receive().await.unwrap();
            server.receive().await.unwrap();
            if !last_words.is_empty() {
                server.send_bytes(last_words.clone()).await;
            }
            server.send.finish();
        };
        let (submitted, next, ()) = join!(client.submit(&record), results.next(), serving);
        for error in [submitted.unwrap_err(), next.unwrap_err()] {
            let RequestError::End(end) = error else {
                panic!("{error:?}");
            };
            assert!(is_expected(&end), "{end:?}");
        }
        assert!(client.main_stream().has_ended());
        let late = client.submit(&record).await.unwrap_err();
        assert!(matches!(late, RequestError::End(end) if is_expected(&end)));
    }
}

#[tokio::test]
async fn what_nobody_expects_is_ignored() {
    let listener = Listener::new(1);
    let (client, _connection, mut server) = connected(&listener).await;
    let record = record(b"x");
    let id = QueryId(7);
    let unexpected = [
        ServerMessage::Record {
            id,
            record: record.bytes().clone(),
        },
        ServerMessage::LocallyComplete { id },
        ServerMessage::QueryClosed {
            id,
            result: ResultCode::NotFound,
        },
        ServerMessage::SubmissionResult {
            result: ResultCode::Invalid,
            id_prefix: [0; 32],
        },
        ServerMessage::DhtResponse,
    ];
    for message in unexpected {
        server.send(message).await;
    }
    server.send_bytes(info(Timestamp::now()).encode(3)).await;
    let serving = async {
        server.receive().await.unwrap();
        let id_prefix = record.id().prefix().0;
        let result = ResultCode::Accepted;
        server
            .send(ServerMessage::SubmissionResult { result, id_prefix })
            .await;
    };
    let (result, ()) = join!(client.submit(&record), serving);
    assert_eq!(result.unwrap(), ResultCode::Accepted);
}

#[tokio::test]
async fn more_queries_than_a_stream_may_have_are_refused_here() {
    let listener = Listener::new(1);
    let (client, _connection, _server) = connected(&listener).await;
    let stream = client.main_stream();
    let mut open = Vec::new();
    for _ in 0..limits::STREAM_QUERIES_MAX {
        open.push(stream.query(chats(), 0).await.unwrap());
    }
    let error = stream.query(chats(), 0).await.unwrap_err();
    assert!(matches!(error, RequestError::TooManyOpen));
}

#[tokio::test]
async fn extension_messages_are_used_where_they_were_granted_and_only_there() {
    let listener = Listener::new(1);
    let options = Options::default();
    let (client, (connection, mut main)) = join!(
        Client::connect(&listener.target, &options),
        listener.greet(&[EXTENSION_APP])
    );
    let client = client.unwrap();
    assert!(client.has_extensions());
    let now = Timestamp::from_nanos(77).unwrap();
    let serving = async {
        let Ok(Some(ClientMessage::Extension(request))) = main.receive().await else {
            panic!("INFO");
        };
        main.send_bytes(info(now).encode(request.request_id)).await;

        for result in [ResultCode::Success, ResultCode::TemporaryError] {
            let mut stream = ServerStream::accept(&connection).await.unwrap();
            let Ok(Some(ClientMessage::Extension(request))) = stream.receive().await else {
                panic!("ROLE OPEN");
            };
            let open = RoleOpen::decode(&request.body).unwrap();
            assert_eq!((open.role, open.app), (StreamRole::Inbox, None));
            let why = Some("closed".to_owned());
            let status = RoleStatus {
                role: open.role,
                result,
                why,
            };
            stream.send_bytes(status.encode(request.request_id)).await;
            stream.send.finish();
        }
    };
    let asking = async {
        let reply: InfoReply = client.info().await.unwrap();
        assert_eq!(reply.now, now);
        let role = crate::base::Role::Inbox;
        client.open_role(role, None).await.unwrap();
        let refused = client.open_role(role, None).await.unwrap_err();
        let text = "refused: TEMPORARY_ERROR (closed)";
        assert_eq!(refused.to_string(), text);
    };
    join!(serving, asking);

    let (client, _connection, _server) = connected(&listener).await;
    let error = client.info().await.unwrap_err();
    assert!(matches!(error, RequestError::NoExtensions));
}

#[tokio::test]
async fn a_reply_that_is_owed_and_does_not_come_is_a_timeout() {
    let listener = Listener::new(1);
    let options = Options {
        timeout: Duration::from_millis(300),
        ..plain()
    };
    let (client, (_connection, _server)) = join!(
        Client::connect(&listener.target, &options),
        listener.greet(&[])
    );
    let client = client.unwrap();
    let error = client.submit(&record(b"x")).await.unwrap_err();
    assert!(matches!(error, RequestError::Timeout));
    let error = client
        .main_stream()
        .query(chats(), 0)
        .await
        .unwrap()
        .next()
        .await
        .unwrap_err();
    assert!(matches!(error, RequestError::Timeout));
}
