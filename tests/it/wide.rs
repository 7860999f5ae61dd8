//! Queries that look at much and find little.

use mosaicd::client::{Client, Item};
use mosaicd::wire::{
    Filter, FilterBuilder, Kind, Record, RecordBuilder, RecordId, Reference, ResultCode, SecretKey,
    TagKind, TagsBuilder, Timestamp,
};

use crate::support::{DevServer, all, key};

/// Records that match only as far as an index tells, and for which nobody asks here.
const OTHERS: u64 = 1_500;

/// Records that are wanted; newer than all others.
const WANTED: u64 = 10;

const FEW_LOOKED_AT: &str = "limits.query_scan=1000";

/// For its author alone, of the example application.
fn private_kind() -> Kind {
    Kind::new(99 << 32).unwrap()
}

fn unwanted_tag() -> TagsBuilder {
    TagsBuilder::new().raw(TagKind(0x1000), &[7; 4]).unwrap()
}

/// All posts but those with the tag. Every post has an index key for it.
fn posts() -> FilterBuilder {
    FilterBuilder::new()
        .kinds([Kind::MICROBLOG_ROOT])
        .exclude_tags(unwanted_tag())
}

fn build(filter: FilterBuilder) -> Filter {
    filter.build().unwrap()
}

fn record(author: &SecretKey, kind: Kind, tags: TagsBuilder, nanos: u64) -> Record {
    RecordBuilder::new(kind, author.public())
        .timestamp(Timestamp::from_nanos(nanos).unwrap())
        .tags(tags)
        .sign(author)
        .unwrap()
}

async fn publish(client: &Client, records: &[Record]) {
    let mut submissions = client.submit_many(128);
    for record in records {
        if let Some(submitted) = submissions.push(record).await.unwrap() {
            assert_eq!(submitted.result, ResultCode::Accepted);
        }
    }
    while let Some(submitted) = submissions.next().await.unwrap() {
        assert_eq!(submitted.result, ResultCode::Accepted);
    }
}

/// A server that lets a query look at few records, many posts with the tag on it, and a few newer
/// ones by somebody else without. Returns these, newest first.
async fn scene() -> (DevServer, Vec<Record>) {
    let server = DevServer::start_with(&["--dev", "--set", FEW_LOOKED_AT], "").await;
    let (many, few) = (key(1), key(2));
    let post = Kind::MICROBLOG_ROOT;
    let others = (1..=OTHERS).map(|at| record(&many, post, unwanted_tag(), at));
    let others: Vec<_> = others.collect();
    let wanted = (1..=WANTED).map(|at| record(&few, post, TagsBuilder::new(), 10_000 + at));
    let mut wanted: Vec<_> = wanted.collect();
    publish(&server.client(Some(&many)).await, &others).await;
    publish(&server.client(Some(&few)).await, &wanted).await;
    wanted.reverse();
    (server, wanted)
}

fn ids(records: &[Record]) -> Vec<RecordId> {
    records.iter().map(|record| record.id()).collect()
}

async fn query(client: &Client, filter: FilterBuilder, limit: u16) -> (Vec<Record>, ResultCode) {
    let results = client.query(build(filter), limit).await.unwrap();
    results.collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_looks_at_too_much_delivers_what_it_found_and_says_too_open() {
    let (server, wanted) = scene().await;
    let client = server.client(None).await;
    let check = async |filter: FilterBuilder, limit: u16, count: u64, expected: ResultCode| {
        let (found, result) = query(&client, filter, limit).await;
        assert_eq!((found.len() as u64, result), (count, expected), "{limit}");
        if count <= WANTED {
            assert_eq!(ids(&found), ids(&wanted[..found.len()]));
        }
    };
    check(posts(), 0, WANTED, ResultCode::TooOpen).await;
    check(posts(), 100, WANTED, ResultCode::TooOpen).await;
    let refused = client.info().await.unwrap().refused.unwrap();
    assert!(refused.why.contains("looked at"), "{refused:?}");
    // It found enough before it looked at too much.
    check(posts(), 10, WANTED, ResultCode::Success).await;
    check(posts(), 3, 3, ResultCode::Success).await;
    // What is delivered is not looked at in vain.
    let everything = FilterBuilder::new();
    check(everything, 0, OTHERS + WANTED, ResultCode::Success).await;
    // A narrow one does not look at the others.
    let few = posts().authors([key(2).public()]);
    check(few, 0, WANTED, ResultCode::Success).await;
    // Times narrow it down, too.
    let late = posts().since(Timestamp::from_nanos(9_000).unwrap());
    check(late, 0, WANTED, ResultCode::Success).await;
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_looks_at_too_much_is_closed_before_it_promises_anything() {
    let (server, wanted) = scene().await;
    let client = server.client(None).await;
    let mut items = client.subscribe(build(posts()), 0).await.unwrap();
    for expected in &wanted {
        match items.next().await.unwrap() {
            Item::Record(record) => assert_eq!(record.id(), expected.id()),
            other => panic!("{other:?}"),
        }
    }
    match items.next().await.unwrap() {
        Item::Closed(result) => assert_eq!(result, ResultCode::TooOpen),
        other => panic!("{other:?}"),
    }
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_resumes_may_look_at_more() {
    let (server, wanted) = scene().await;
    let client = server.client(None).await;
    let resumed = posts().received_since(Timestamp::from_nanos(1).unwrap());
    let (found, result) = query(&client, resumed.clone(), 0).await;
    assert_eq!((ids(&found), result), (ids(&wanted), ResultCode::Success));
    let mut items = client.subscribe(build(resumed), 0).await.unwrap();
    for _ in &wanted {
        assert!(matches!(items.next().await.unwrap(), Item::Record(_)));
    }
    let complete = items.next().await.unwrap();
    assert!(matches!(complete, Item::LocallyComplete), "{complete:?}");
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_asker_may_not_see_is_looked_at_in_vain_and_its_author_gets_all_of_it() {
    let server = DevServer::start_with(&["--dev", "--set", FEW_LOOKED_AT], "").await;
    let author = key(1);
    let private = |at| record(&author, private_kind(), TagsBuilder::new(), at);
    let records: Vec<_> = (1..=OTHERS).map(private).collect();
    let owner = server.client(Some(&author)).await;
    publish(&owner, &records).await;
    let filter = || FilterBuilder::new().kinds([private_kind()]);
    let (found, result) = query(&server.client(Some(&key(2))).await, filter(), 0).await;
    assert_eq!((found.len(), result), (0, ResultCode::TooOpen));
    let (found, result) = query(&owner, filter(), 0).await;
    assert_eq!((found.len(), result), (records.len(), ResultCode::Success));
    server.stop_cleanly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_without_a_narrow_element_are_refused_where_the_operator_wants_that() {
    let refuse = &["--dev", "--set", "limits.wide_filters=refuse"];
    let server = DevServer::start_with(refuse, "").await;
    let author = key(1);
    let client = server.client(Some(&author)).await;
    let one = record(&author, Kind::MICROBLOG_ROOT, unwanted_tag(), 5);
    publish(&client, std::slice::from_ref(&one)).await;
    let time = Timestamp::from_nanos(1).unwrap();
    let of = FilterBuilder::new;
    for wide in [
        of(),
        of().since(time),
        of().received_since(time),
        of().exclude_tags(TagsBuilder::new().raw(TagKind(9), &[1]).unwrap()),
    ] {
        let (found, result) = query(&client, wide, 1).await;
        assert_eq!((found.len(), result), (0, ResultCode::TooOpen));
        let refused = client.info().await.unwrap().refused.unwrap();
        assert_eq!(refused.result, result);
        assert!(refused.why.contains("narrow element"), "{refused:?}");
    }
    for narrow in [
        of().authors([author.public()]),
        of().kinds([Kind::MICROBLOG_ROOT]).since(time),
        of().tags(unwanted_tag()),
    ] {
        let (found, result) = query(&client, narrow, 0).await;
        assert_eq!((found.len(), result), (1, ResultCode::Success));
    }
    let by_id = vec![Reference::Id(one.id())];
    assert_eq!(
        ids(&all(client.get(by_id).await.unwrap()).await),
        [one.id()]
    );
    server.stop_cleanly().await;
}
