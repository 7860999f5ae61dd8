//! A subscriber that stops reading costs bounded memory and loses nothing.

use mosaicd::client::Client;
use mosaicd::wire::{ClientMessage, QueryId, Record, ResultCode, SecretKey, ServerMessage};

use crate::support::{DevServer, PATIENCE, by, greeted, key, post};

const RECORDS: u32 = 50_000;

/// With the header, tags and signature, 50 000 of these are 100 MiB: far over the slack below.
const PAYLOAD_BYTES: usize = 1_900;

/// What one subscriber may cost beyond what storing the records costs anyway.
const SUBSCRIBER_SLACK_BYTES: u64 = 32 << 20;

fn record(author: &SecretKey, number: u32) -> Record {
    let mut payload = vec![0; PAYLOAD_BYTES];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    post(author, payload)
}

fn number_of(record: &[u8]) -> u32 {
    let view = mosaicd::wire::RecordRef::parse(record).unwrap();
    u32::from_be_bytes(view.payload()[..4].try_into().unwrap())
}

/// Publishes [`RECORDS`] records, many in flight, and waits until each is acknowledged.
async fn publish_all(client: &Client, author: &SecretKey) {
    let mut submissions = client.submit_many(128);
    for number in 0..RECORDS {
        if let Some(submitted) = submissions.push(&record(author, number)).await.unwrap() {
            assert_eq!(submitted.result, ResultCode::Accepted);
        }
    }
    while let Some(submitted) = submissions.next().await.unwrap() {
        assert_eq!(submitted.result, ResultCode::Accepted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_stops_reading_costs_bounded_memory_and_gets_everything_in_order_once() {
    let server = DevServer::start().await;
    let (noise, author) = (key(1), key(2));
    let publisher = server.client(Some(&author)).await;

    // Twice the same load without the subscriber fills every pool, cache and memtable of the server.
    let warming = server.client(Some(&noise)).await;
    publish_all(&warming, &noise).await;
    publish_all(&warming, &noise).await;
    let before = server.resident_bytes();

    let raw = server.raw(None).await;
    let mut stream = greeted(&raw, &[1]).await;
    let subscribe = ClientMessage::Subscribe {
        id: QueryId(1),
        limit: 0,
        filter: by(&author),
    };
    stream.send(subscribe.encode()).await.unwrap();
    assert!(matches!(
        stream.receive().await.unwrap(),
        Some(ServerMessage::LocallyComplete { .. })
    ));

    // From here on nothing is read until all records are stored.
    publish_all(&publisher, &author).await;
    let during = server.resident_bytes();
    assert!(
        during < before + SUBSCRIBER_SLACK_BYTES,
        "a subscriber that does not read made {before} bytes grow to {during}"
    );

    for expected in 0..RECORDS {
        let message = tokio::time::timeout(PATIENCE, stream.receive()).await;
        match message.expect("the subscription is stuck").unwrap() {
            Some(ServerMessage::Record { record, .. }) => assert_eq!(number_of(&record), expected),
            other => panic!("record {expected} did not come, but {other:?}"),
        }
    }

    // Nothing came twice, and the subscription is live again: the next thing it sees is the next record.
    let last = record(&author, RECORDS);
    assert_eq!(publisher.submit(&last).await.unwrap(), ResultCode::Accepted);
    match stream.receive().await.unwrap() {
        Some(ServerMessage::Record { record, .. }) => assert_eq!(record, *last.bytes()),
        other => panic!("the live record did not come, but {other:?}"),
    }
    server.stop_cleanly().await;
}
