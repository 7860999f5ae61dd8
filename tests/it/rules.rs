//! Rules of the protocol that only a whole server shows.

use mosaicd::base::Role;
use mosaicd::client::Client;
use mosaicd::wire::{
    ClientMessage, Kind, QueryId, Record, RecordBuilder, Reference, ResultCode, SecretKey,
    Timestamp,
};

use tokio::time::timeout;

use crate::support::{DevServer, PATIENCE, all, by, greeted, key, post};

/// Replaceable, for everybody, of the example application.
const REPLACEABLE: u64 = 0x0000_0063_000b_001e;

fn version(author: &SecretKey, nanos: u64, text: &str) -> Record {
    RecordBuilder::new(Kind::new(REPLACEABLE).unwrap(), author.public())
        .nonce([0x80; 8])
        .timestamp(Timestamp::from_nanos(nanos).unwrap())
        .payload(text.to_owned())
        .sign(author)
        .unwrap()
}

async fn at_address(client: &Client, record: &Record) -> Vec<Record> {
    let address = Reference::Address(record.view().address());
    all(client.get(vec![address]).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_record_for_a_replaceable_address_is_a_duplicate_and_the_newest_is_served() {
    let server = DevServer::start().await;
    let author = key(1);
    let client = server.client(Some(&author)).await;
    let mut twins = [version(&author, 2_000, "a"), version(&author, 2_000, "b")];
    twins.sort_by_key(|record| record.id());
    let [smaller, larger] = twins;
    let old = version(&author, 1_000, "old");
    for (record, result, served) in [
        (&smaller, ResultCode::Accepted, &smaller),
        (&old, ResultCode::Duplicate, &smaller),
        (&larger, ResultCode::Accepted, &larger),
        (&smaller, ResultCode::Duplicate, &larger),
    ] {
        assert_eq!(client.submit(record).await.unwrap(), result);
        assert_eq!(
            at_address(&client, &old).await,
            std::slice::from_ref(served)
        );
    }
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn info_tells_the_cap_and_a_query_that_reaches_it_says_too_open() {
    let server = DevServer::start_with(&["--dev", "--set", "limits.query_results=3"], "").await;
    let author = key(1);
    let client = server.client(Some(&author)).await;
    assert_eq!(client.info().await.unwrap().limits.query_results, 3);
    for number in 0..4 {
        let record = post(&author, number.to_string());
        assert_eq!(client.submit(&record).await.unwrap(), ResultCode::Accepted);
    }
    for (limit, expected) in [
        (0, (3, ResultCode::TooOpen)),
        (3, (3, ResultCode::Success)),
        (2, (2, ResultCode::Success)),
    ] {
        let answer = client.query(by(&author), limit).await.unwrap();
        let (records, result) = answer.collect().await.unwrap();
        assert_eq!((records.len(), result), expected, "limit {limit}");
    }
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_keeps_a_users_record_out_of_the_outbox_by_handing_it_in_for_an_application() {
    let server = DevServer::start().await;
    let (author, stranger) = (key(1), key(2));
    let publisher = server.client(Some(&author)).await;
    let first = version(&author, 1_000, "first");
    assert_eq!(
        publisher.submit(&first).await.unwrap(),
        ResultCode::Accepted
    );

    // A stranger gets hold of the next version and is quicker.
    let next = version(&author, 2_000, "next");
    let stranger = server.client(Some(&stranger)).await;
    let application = stranger
        .open_role(Role::Application, Some(99))
        .await
        .unwrap();
    assert_eq!(
        application.submit(&next).await.unwrap(),
        ResultCode::Accepted
    );

    let reader = server.client(None).await;
    let outbox = reader.open_role(Role::Outbox, None).await.unwrap();
    let (found, _) = outbox
        .query(by(&author), 0)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert_eq!(found, [next]);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_a_killed_server_learns_of_it_as_soon_as_the_next_process_answers() {
    let mut server = DevServer::start().await;
    let connection = server.raw(None).await;
    let mut stream = greeted(&connection, &[1]).await;

    server.kill();
    server.restart().await;
    // Whatever the client says next; were the reset not understood, the connection would time out.
    let next = ClientMessage::Unsubscribe { id: QueryId(1) };
    drop(stream.send(next.encode()).await);
    let end = timeout(PATIENCE, connection.quic().unwrap().closed()).await;
    assert_eq!(end.unwrap(), quinn::ConnectionError::Reset);
    server.stop_cleanly().await;
}
