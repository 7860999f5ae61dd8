//! Leaks that comparable servers had, where the table of the matrix has no room for them.

use mosaicd::base::Role;
use mosaicd::client::{Client, Item, Subscription};
use mosaicd::wire::{
    Filter, FilterBuilder, Kind, Record, RecordBuilder, RecordId, Reference, ResultCode,
    TagsBuilder,
};
use tokio::time::timeout;

use super::cast::{Person, at};
use crate::support::{DevServer, PATIENCE, all};

use Person::{OtherAuthor, OtherReader, Second, ServedReader, Stranger};

/// *Author + tagged*, and everybody, of application 99.
const PRIVATE: u64 = 0x0000_0063_0001_0004;
const PUBLIC: u64 = 0x0000_0063_0002_000c;
/// *Author + tagged*, replaceable and ephemeral.
const PRIVATE_REPLACEABLE: u64 = 0x0000_0063_0003_0006;
const PRIVATE_EPHEMERAL: u64 = 0x0000_0063_0004_0005;

async fn server(config: &str) -> DevServer {
    let served = Person::SERVED.map(|person| person.key().to_string());
    let config = format!("{config}\n[users]\nmode = \"list\"\nlist = {served:?}\n");
    DevServer::start_with(&["--dev"], &config).await
}

fn record(author: Person, kind: u64, second: u64, notified: &[Person]) -> Record {
    let mut tags = TagsBuilder::new();
    for person in notified {
        tags = tags.notify(person.key());
    }
    RecordBuilder::new(Kind::new(kind).unwrap(), author.key())
        .nonce([0x80; 8])
        .timestamp(at(second))
        .tags(tags)
        .sign(&author.secret())
        .unwrap()
}

async fn accepted(client: &Client, records: &[&Record]) {
    for record in records {
        assert_eq!(client.submit(record).await.unwrap(), ResultCode::Accepted);
    }
}

fn everything() -> Filter {
    FilterBuilder::new().build().unwrap()
}

async fn stored(client: &Client) -> Vec<RecordId> {
    let records = all(client.query(everything(), 0).await.unwrap()).await;
    records.iter().map(Record::id).collect()
}

async fn next(live: &mut Subscription) -> Item {
    timeout(PATIENCE, live.next()).await.unwrap().unwrap()
}

async fn is_there(client: &Client, record: &Record) -> bool {
    let view = record.view();
    let references = [
        Reference::Id(record.id()),
        Reference::Address(view.address()),
    ];
    let mut found = Vec::new();
    for reference in references {
        let got = client.get(vec![reference]).await.unwrap();
        found.push(got.collect().await.unwrap().1 == ResultCode::Success);
    }
    found.push(stored(client).await.contains(&record.id()));
    assert!(found.iter().all(|it| *it == found[0]), "{found:?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_streams_of_two_applications_show_nothing_of_each_other() {
    let server = server("[application]\nids = [98, 99]").await;
    let client = server.client(Some(&OtherAuthor.secret())).await;
    let in_98 = record(OtherAuthor, 0x0000_0062_0001_0004, 1, &[OtherReader]);
    let in_99 = record(OtherAuthor, PRIVATE, 2, &[OtherReader]);
    accepted(&client, &[&in_98, &in_99]).await;
    let reader = server.client(Some(&OtherReader.secret())).await;
    for (app, there) in [
        (None, vec![in_99.id(), in_98.id()]),
        (Some(98), vec![in_98.id()]),
        (Some(99), vec![in_99.id()]),
    ] {
        let stream = reader.open_role(Role::Application, app).await.unwrap();
        let found = all(stream.query(everything(), 0).await.unwrap()).await;
        let found: Vec<RecordId> = found.iter().map(Record::id).collect();
        assert_eq!(found, there, "{app:?}");
        for record in [&in_98, &in_99] {
            let got = stream.get(vec![Reference::Id(record.id())]).await.unwrap();
            let got = all(got).await;
            assert_eq!(!got.is_empty(), there.contains(&record.id()), "{app:?}");
        }
    }
    assert!(reader.open_role(Role::Application, Some(7)).await.is_err());
    assert!(stored(&server.client(None).await).await.is_empty());
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_many_recipients_reads_as_the_first_does() {
    let server = server("").await;
    let anonymous = server.client(None).await;
    let crowd: Vec<Person> = std::iter::repeat_n(Second, 200)
        .chain([OtherReader, ServedReader])
        .collect();
    let message = record(OtherAuthor, PRIVATE, 1, &crowd);
    accepted(&anonymous, &[&message]).await;
    for person in Person::ALL {
        let client = server.client(Some(&person.secret())).await;
        let expected = [Second, OtherReader, ServedReader].contains(&person);
        assert_eq!(is_there(&client, &message).await, expected, "{person:?}");
    }
    assert!(!is_there(&anonymous, &message).await);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_records_take_no_part_in_limits_and_caps() {
    let server = server("[application]\nids = [99]\n[limits]\nquery_results = 2").await;
    let anonymous = server.client(None).await;
    let public = [1, 2].map(|second| record(OtherAuthor, PUBLIC, second, &[]));
    let private = [3, 4, 5].map(|second| record(OtherAuthor, PRIVATE, second, &[OtherReader]));
    let [older, newer] = &public;
    accepted(&anonymous, &[older, newer]).await;
    accepted(&anonymous, &private.each_ref()).await;
    let reader = server.client(Some(&OtherReader.secret())).await;
    let both = [newer.id(), older.id()];
    let first = [private[2].id(), private[1].id()];
    for (client, limit, there, result) in [
        (&anonymous, 0, &both[..], ResultCode::Success),
        (&anonymous, 1, &both[..1], ResultCode::Success),
        (&anonymous, 2, &both[..], ResultCode::Success),
        (&anonymous, 3, &both[..], ResultCode::Success),
        (&reader, 0, &first[..], ResultCode::TooOpen),
        (&reader, 1, &first[..1], ResultCode::Success),
    ] {
        let answer = client.query(everything(), limit).await.unwrap();
        let (found, said) = answer.collect().await.unwrap();
        let found: Vec<RecordId> = found.iter().map(Record::id).collect();
        assert_eq!((found.as_slice(), said), (there, result), "limit {limit}");
    }
    let mut lives = Vec::new();
    for (limit, there) in [(0, &both[..]), (1, &both[..1])] {
        let mut live = anonymous.subscribe(everything(), limit).await.unwrap();
        for id in there {
            assert!(matches!(next(&mut live).await, Item::Record(it) if it.id() == *id));
        }
        assert!(matches!(next(&mut live).await, Item::LocallyComplete));
        lives.push(live);
    }
    let hidden = record(OtherAuthor, PRIVATE, 6, &[OtherReader]);
    let shown = record(OtherAuthor, PUBLIC, 7, &[]);
    accepted(&anonymous, &[&hidden, &shown]).await;
    for live in &mut lives {
        assert!(matches!(next(live).await, Item::Record(it) if it.id() == shown.id()));
    }
    // Now there are three, and the cap is two.
    let answer = anonymous.query(everything(), 0).await.unwrap();
    assert_eq!(answer.collect().await.unwrap().1, ResultCode::TooOpen);
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_one_may_not_read_takes_older_and_newer_records_as_a_new_one_does() {
    let server = server("[application]\nids = [99]\nsubmit = \"anyone\"").await;
    let anonymous = server.client(None).await;
    for recipient in [ServedReader, OtherReader] {
        let version = |second| record(OtherAuthor, PRIVATE_REPLACEABLE, second, &[recipient]);
        let [oldest, older, current] = [1, 2, 3].map(version);
        accepted(&anonymous, &[&current, &older, &current, &oldest]).await;
        let reader = server.client(Some(&recipient.secret())).await;
        assert_eq!(reader.submit(&older).await.unwrap(), ResultCode::Duplicate);
        let address = Reference::Address(current.view().address());
        let found = all(reader.get(vec![address]).await.unwrap()).await;
        assert_eq!(found, [current]);
        drop(all(anonymous.get(vec![address]).await.unwrap()).await);
    }
    assert!(stored(&anonymous).await.is_empty());
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_ephemeral_record_has_no_consumer_but_those_who_may_read_it() {
    let server = server("[application]\nids = [99]\nsubmit = \"anyone\"").await;
    let sender = server.client(None).await;
    let stranger = server.client(Some(&Stranger.secret())).await;
    let mut overhears = stranger.subscribe(everything(), 0).await.unwrap();
    assert!(matches!(next(&mut overhears).await, Item::LocallyComplete));
    let call = |second| record(OtherAuthor, PRIVATE_EPHEMERAL, second, &[OtherReader]);
    let unheard = sender.submit(&call(1)).await.unwrap();
    assert_eq!(unheard, ResultCode::NoConsumers);
    let reader = server.client(Some(&OtherReader.secret())).await;
    let mut hears = reader.subscribe(everything(), 0).await.unwrap();
    assert!(matches!(next(&mut hears).await, Item::LocallyComplete));
    let heard = call(2);
    accepted(&sender, &[&heard]).await;
    assert!(matches!(next(&mut hears).await, Item::Record(it) if it.id() == heard.id()));
    let public = record(OtherAuthor, PUBLIC, 3, &[]);
    accepted(&sender, &[&public]).await;
    assert!(matches!(next(&mut overhears).await, Item::Record(it) if it.id() == public.id()));
    server.stop_cleanly().await;
}

/// An application took the message when its recipient was not served here: it keeps the application's
/// rule, by which its author reads it, until encryption takes it; from then on it has that one's rule.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_record_that_moves_from_an_application_to_encryption_is_lost_to_its_author() {
    let config = "[users]\nmode = \"open\"\n[application]\nids = [99]\nsubmit = \"anyone\"";
    let server = DevServer::start_with(&["--dev"], config).await;
    let anonymous = server.client(None).await;
    let message = record(OtherAuthor, PRIVATE, 1, &[OtherReader]);
    accepted(&anonymous, &[&message]).await;
    let author = server.client(Some(&OtherAuthor.secret())).await;
    assert!(is_there(&author, &message).await, "the application's rule");
    let mut live = author.subscribe(everything(), 0).await.unwrap();
    assert!(matches!(next(&mut live).await, Item::Record(it) if it.id() == message.id()));
    assert!(matches!(next(&mut live).await, Item::LocallyComplete));

    let reader = server.client(Some(&OtherReader.secret())).await;
    // What the reader hands in comes behind their registration.
    let hello = record(OtherReader, PUBLIC, 2, &[]);
    accepted(&reader, &[&hello]).await;
    assert!(matches!(next(&mut live).await, Item::Record(it) if it.id() == hello.id()));
    assert!(
        is_there(&author, &message).await,
        "nobody handed it in again"
    );
    assert!(is_there(&reader, &message).await);

    accepted(&anonymous, &[&message, &message]).await;
    assert!(!is_there(&author, &message).await, "encryption's rule");
    assert!(!is_there(&anonymous, &message).await);
    assert!(is_there(&reader, &message).await);
    let again = record(OtherReader, PUBLIC, 3, &[]);
    accepted(&reader, &[&again]).await;
    assert!(matches!(next(&mut live).await, Item::Record(it) if it.id() == again.id()));
    let bound = reader.open_role(Role::Application, None).await.unwrap();
    let found = all(bound.query(everything(), 0).await.unwrap()).await;
    assert!(
        !found.contains(&message),
        "it is the application's no longer"
    );
    server.stop_cleanly().await;
}
