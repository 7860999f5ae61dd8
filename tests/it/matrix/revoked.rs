//! What comes of records, readers and addresses when a key schedule takes a key back, or gives it back.

use mosaicd::client::{Client, Item, Subscription};
use mosaicd::wire::{
    Filter, FilterBuilder, KeyMarker, Kind, Record, RecordBuilder, RecordId, Reference, ResultCode,
    SecretKey, Timestamp,
};
use tokio::time::timeout;

use super::cast::{Hand, Person, at, schedule};
use crate::support::{DevServer, PATIENCE, all};

/// Whose schedule it is.
const AUTHOR: Person = Person::ServedAuthor;

/// The key that it is about.
const DEVICE: Hand = Hand::Subkey(AUTHOR);

const UNIQUE: u64 = 0x0000_0001_0005_000c;
const REPLACEABLE: u64 = 0x0000_0001_0006_000e;
/// *Author + tagged*.
const PRIVATE: u64 = 0x0000_0001_0007_0004;

fn by_author(signer: &SecretKey, kind: u64, time: Timestamp) -> Record {
    RecordBuilder::new(Kind::new(kind).unwrap(), AUTHOR.key())
        .nonce([0x80; 8])
        .timestamp(time)
        .sign(signer)
        .unwrap()
}

fn to_author(number: u64) -> Record {
    let sender = Person::Stranger;
    RecordBuilder::new(Kind::new(PRIVATE).unwrap(), sender.key())
        .timestamp(at(number))
        .tags(mosaicd::wire::TagsBuilder::new().notify(AUTHOR.key()))
        .sign(&sender.secret())
        .unwrap()
}

/// A server whose one user is the author.
async fn server() -> DevServer {
    let user = AUTHOR.key().to_string();
    let config = format!("[users]\nmode = \"list\"\nlist = [{user:?}]\n");
    DevServer::start_with(&["--dev"], &config).await
}

async fn accepted(client: &Client, records: &[&Record]) {
    for record in records {
        assert_eq!(client.submit(record).await.unwrap(), ResultCode::Accepted);
    }
}

/// Makes the author's key schedule say `marker` of the device, from its `number`th on.
async fn say(client: &Client, number: u64, marker: KeyMarker) {
    let schedule = schedule(AUTHOR, at(10_000 + number), vec![(DEVICE, marker)]);
    accepted(client, &[&schedule]).await;
}

fn of(kind: u64) -> Filter {
    let kinds = [Kind::new(kind).unwrap()];
    FilterBuilder::new().kinds(kinds).build().unwrap()
}

/// What the record's ID, its address and its kind lead to, and what a new subscription starts with.
async fn found(client: &Client, record: &Record) -> [Vec<RecordId>; 4] {
    let ids = |records: Vec<Record>| records.iter().map(Record::id).collect();
    let view = record.view();
    let by_id = client.get(vec![Reference::Id(record.id())]).await;
    let by_address = client.get(vec![Reference::Address(view.address())]).await;
    let filter = of(u64::from_be_bytes(view.kind().to_bytes()));
    let by_kind = client.query(filter.clone(), 0).await;
    let mut live = client.subscribe(filter, 0).await.unwrap();
    let mut stored = Vec::new();
    while let Item::Record(record) = next(&mut live).await {
        stored.push(record.id());
    }
    [
        ids(all(by_id.unwrap()).await),
        ids(all(by_address.unwrap()).await),
        ids(all(by_kind.unwrap()).await),
        stored,
    ]
}

async fn next(live: &mut Subscription) -> Item {
    timeout(PATIENCE, live.next()).await.unwrap().unwrap()
}

async fn next_id(live: &mut Subscription) -> RecordId {
    match next(live).await {
        Item::Record(record) => record.id(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_key_signed_is_gone_from_open_connections_while_the_key_is_revoked_and_no_longer() {
    let mut server = server().await;
    let device = DEVICE.secret().unwrap();
    let author = AUTHOR.secret();
    let (record, good) = (
        by_author(&device, UNIQUE, at(100)),
        by_author(&author, UNIQUE, at(101)),
    );
    let there = || [vec![record.id()], vec![good.id(), record.id()]];
    let gone = || [vec![], vec![good.id()]];
    let moment = at(5);
    // As they come in: a moment that nothing dated or received before is spared from, and one in
    // the far future.
    let steps = [
        (KeyMarker::ActiveSigning, true),
        (KeyMarker::Revoked(moment), false),
        (KeyMarker::ActiveSigning, true),
        (KeyMarker::RevokedFrom(moment), false),
        (KeyMarker::RevokedFrom(Timestamp::MAX), true),
        (KeyMarker::OutOfUse(None), true),
        (KeyMarker::OutOfUse(Some(moment)), true),
    ];
    let anonymous = server.client(None).await;
    let known = server.client(Some(&author)).await;
    for (number, (marker, is_there)) in (0..).zip(steps) {
        say(&anonymous, number, marker).await;
        if number == 0 {
            accepted(&anonymous, &[&record, &good]).await;
        }
        let [one, both] = if is_there { there() } else { gone() };
        let expected = [one, both.clone(), both.clone(), both];
        for client in [&anonymous, &known] {
            assert_eq!(found(client, &record).await, expected, "{marker:?}");
        }
    }
    // The schedule is found in the store again.
    say(&anonymous, 9, KeyMarker::Revoked(moment)).await;
    server.terminate();
    assert!(server.ended().await.success());
    server.restart().await;
    let [one, both] = gone();
    let expected = [one, both.clone(), both.clone(), both];
    assert_eq!(found(&server.client(None).await, &record).await, expected);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_subscription_reads_as_its_key_speaks_at_each_moment() {
    let server = server().await;
    let anonymous = server.client(None).await;
    let device = server.client(DEVICE.secret().as_ref()).await;
    let author = server.client(Some(&AUTHOR.secret())).await;
    let everything = || FilterBuilder::new().build().unwrap();
    let mut live = device.subscribe(everything(), 0).await.unwrap();
    assert!(matches!(next(&mut live).await, Item::LocallyComplete));
    let mut number = 0;
    for (round, (marker, speaks)) in (0..).zip([
        (None, false),
        (Some(KeyMarker::ActiveSigning), true),
        (Some(KeyMarker::Revoked(at(1))), false),
        (Some(KeyMarker::ActiveSigning), true),
        (Some(KeyMarker::OutOfUse(None)), false),
    ]) {
        if let Some(marker) = marker {
            say(&anonymous, round, marker).await;
            let schedule = next_id(&mut live).await;
            assert_eq!(schedule.timestamp(), at(10_000 + round));
        }
        number += 1;
        let private = to_author(number);
        let public = by_author(&AUTHOR.secret(), UNIQUE, at(100 + round));
        accepted(&anonymous, &[&private, &public]).await;
        if speaks {
            assert_eq!(next_id(&mut live).await, private.id(), "round {round}");
        }
        assert_eq!(next_id(&mut live).await, public.id(), "round {round}");
        let stored = all(device.query(of(PRIVATE), 0).await.unwrap()).await.len();
        let all_of_them = all(author.query(of(PRIVATE), 0).await.unwrap()).await.len();
        let expected = if speaks { all_of_them } else { 0 };
        assert_eq!(stored, expected, "round {round}");
        assert_eq!(u64::try_from(all_of_them).unwrap(), number);
    }
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_whose_signer_was_revoked_holds_its_address_against_nobody() {
    let server = server().await;
    let (device, author) = (DEVICE.secret().unwrap(), AUTHOR.secret());
    let client = server.client(None).await;
    say(&client, 0, KeyMarker::ActiveSigning).await;
    let [first, good] = [50, 60].map(|second| by_author(&author, REPLACEABLE, at(second)));
    // Whoever stole the device dates the last word as late as can be.
    let stolen = by_author(&device, REPLACEABLE, Timestamp::MAX);
    accepted(&client, &[&first, &stolen]).await;
    assert_eq!(found(&client, &good).await[1], [stolen.id()]);
    assert_eq!(
        client.submit(&good).await.unwrap(),
        ResultCode::Duplicate,
        "the key is good still"
    );

    say(&client, 1, KeyMarker::Revoked(at(1))).await;
    assert!(
        found(&client, &good).await[1].is_empty(),
        "what it replaced is gone"
    );
    accepted(&client, &[&good]).await;
    let by_address = || async { found(&client, &good).await[1].clone() };
    assert_eq!(by_address().await, [good.id()]);
    for (record, said) in [
        (&good, ResultCode::Duplicate),
        (&first, ResultCode::Duplicate),
        (&stolen, ResultCode::Unauthorized),
    ] {
        assert_eq!(client.submit(record).await.unwrap(), said);
        assert_eq!(by_address().await, [good.id()]);
    }
    // Given back, the key has lost the address all the same.
    say(&client, 2, KeyMarker::ActiveSigning).await;
    assert_eq!(by_address().await, [good.id()]);
    server.stop_cleanly().await;
}
