//! QUERY: filters, order, limits, several at a time.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::super::check::{Outcome, Stop, checks, ensure, failed, skipped};
use super::super::corpus::Corpus;
use super::super::talk::{Allowance, Answer, name};
use super::super::world::{UNIQUE, Who, World, built, kind, record, signed, this_run};
use crate::wire::{
    ClientMessage, Filter, FilterBuilder, PublicKey, QueryId, RecordBuilder, RecordId, ResultCode,
    ServerMessage, TagKind, TagsBuilder, Timestamp,
};

checks! {
    "query.authors", "wire 6", |world| any_of(world, |f, keys| f.authors(keys)),
        "Author keys: records by any of them.";
    "query.authors.other", "wire 6",
        |world| finds(world, |_, f| f.authors([nobody()]), &[]),
        "Author keys: no others.";
    "query.signers", "wire 6", |world| any_of(world, |f, keys| f.signers(keys)),
        "Signing keys: records signed by any of them.";
    "query.signers.other", "wire 6",
        |world| finds(world, |_, f| f.signers([nobody()]), &[]),
        "Signing keys: no others.";
    "query.kinds", "wire 6, 10", |world| finds(world, |c, f| f.kinds([k(c, 0), k(c, 2)]), &[0, 1, 4]),
        "Kinds, as in records big-endian: records of any of them.";
    "query.kinds.alone", "wire 6", |world| alone(world, |c| FilterBuilder::new().kinds([k(c, 1)]), &[2, 3]),
        "A filter may hold kinds alone.";
    "query.timestamps", "wire 6",
        |world| finds(world, |c, f| f.timestamps([c.timestamp(1), c.timestamp(3)]), &[1, 3]),
        "Timestamps: records dated at any of them.";
    "query.tags", "wire 5, 6", |world| alone(world, |c| FilterBuilder::new().tags(c.tag_x()), &[0, 1, 4]),
        "Included tags: records that have one; every tag is searchable.";
    "query.tags.long", "wire 5", |world| long_tags(world),
        "Tags are told apart by all of their bytes, however long they are.";
    "query.tags.any", "wire 6",
        |world| alone(world, |c| FilterBuilder::new().tags(c.with_y(c.tag_x())), &[0, 1, 2, 4]),
        "Included tags of one element: any of them.";
    "query.tags.each", "wire 6",
        |world| alone(world, |c| FilterBuilder::new().tags(c.tag_x()).tags(c.tag_y()), &[1]),
        "Each element of included tags is one more condition.";
    "query.since", "wire 6", |world| finds(world, |c, f| f.since(c.timestamp(2)), &[2, 3, 4]),
        "Since: dated then or later.";
    "query.until", "wire 6", |world| finds(world, |c, f| f.until(c.timestamp(2)), &[0, 1, 2]),
        "Until: dated then or earlier.";
    "query.received-since", "wire 6", |world| received(world),
        "Received since and until: by when this server received the record.";
    "query.exclude", "wire 6, 10", |world| finds(world, exclude, &[0, 2, 4]),
        "Exclude: none of the records with these ID prefixes of 32 bytes.";
    "query.exclude-tags", "wire 6", |world| finds(world, |c, f| f.exclude_tags(c.tag_x()), &[2, 3]),
        "Excluded tags: records that have none of them.";
    "query.exclude-tags.any", "wire 6",
        |world| finds(world, |c, f| f.exclude_tags(c.with_y(c.tag_x())), &[3]),
        "Excluded tags: one of them is too many.";
    "query.every-element", "wire 6",
        |world| finds(world, |c, f| f.kinds([k(c, 0), k(c, 1)]).since(c.timestamp(1)).exclude_tags(c.tag_y()), &[3]),
        "A record passes when it passes every element.";
    "query.second-unique", "wire 6", |world| second_unique(world),
        "A second element of a unique type is ignored.";
    "query.order", "wire 7", |world| order(world),
        "Stored results come newest first by record timestamp, so a limit keeps the newest.";
    "query.limit", "wire 7", |world| limit(world),
        "No more records than the limit are sent.";
    "query.nothing", "wire 10", |world| nothing(world),
        "A QUERY that finds nothing is closed with SUCCESS.";
    "query.open", "wire 6", |world| open(world),
        "A filter without a narrow element is answered, or refused with TOO_OPEN.";
    "query.filter.unknown", "wire 6", |world| invalid(world, &[0x7f, 1, 0, 0, 0, 0, 0, 0]),
        "A filter with an element of unknown type is INVALID.";
    "query.filter.zero-length", "wire 6", |world| invalid(world, &[0x03, 0, 0, 0, 0, 0, 0, 0]),
        "A filter with an element of length 0 is INVALID.";
    "query.filter.past-end", "wire 6", |world| invalid(world, &[0x03, 3, 0, 0, 0, 0, 0, 0]),
        "A filter with an element that reaches behind its end is INVALID.";
    "query.filter.key", "wire 1", |world| invalid(world, &small_order()),
        "A filter with a key of small order is INVALID.";
    "query.several", "wire 7", |world| several(world, false),
        "Several queries may be open on one stream; each reply names its query.";
    "query.streams", "wire 8, 10", |world| several(world, true),
        "A query ID belongs to its stream: the same one may be used on another.";
    "query.reuse", "wire 10", |world| reuse(world),
        "A query ID may be used again once its query is closed.";
}

type Add = fn(&Corpus, FilterBuilder) -> FilterBuilder;

const ALL: &[usize] = &[0, 1, 2, 3, 4];

fn author(corpus: &Corpus) -> PublicKey {
    corpus.other.view().author()
}

fn nobody() -> PublicKey {
    crate::wire::SecretKey::generate().public()
}

fn k(corpus: &Corpus, place: usize) -> crate::wire::Kind {
    let [first, ..] = corpus.kinds;
    corpus.kinds.get(place).copied().unwrap_or(first)
}

/// The filter for the records of the corpus with that kind.
fn of_place(corpus: &Corpus, place: usize) -> Result<Filter, Stop> {
    built(
        FilterBuilder::new()
            .tags(corpus.tag_of_all())
            .kinds([k(corpus, place)]),
    )
}

fn exclude(corpus: &Corpus, filter: FilterBuilder) -> FilterBuilder {
    let out = [1, 3]
        .into_iter()
        .filter_map(|place| corpus.records.get(place));
    filter.exclude(out.map(|record| record.id().prefix()))
}

/// The filter of the corpus with one more condition finds those records of it, in whatever order.
async fn finds(world: &World, add: Add, expected: &[usize]) -> Outcome {
    let corpus = world.corpus().await?;
    let filter = add(corpus, FilterBuilder::new().tags(corpus.tag_of_all()));
    check_found(world, corpus, &built(filter)?, expected).await
}

/// The same of a condition that names the author and somebody else, whoever comes first.
async fn any_of(world: &World, add: fn(FilterBuilder, [PublicKey; 2]) -> FilterBuilder) -> Outcome {
    let corpus = world.corpus().await?;
    for keys in [[nobody(), author(corpus)], [author(corpus), nobody()]] {
        let filter = add(FilterBuilder::new().tags(corpus.tag_of_all()), keys);
        check_found(world, corpus, &built(filter)?, ALL).await?;
    }
    Ok(())
}

/// The same for a filter that is narrow enough by itself.
async fn alone(world: &World, make: fn(&Corpus) -> FilterBuilder, expected: &[usize]) -> Outcome {
    let corpus = world.corpus().await?;
    check_found(world, corpus, &built(make(corpus))?, expected).await
}

async fn check_found(
    world: &World,
    corpus: &Corpus,
    filter: &Filter,
    expected: &[usize],
) -> Outcome {
    let mut talk = world.talk(Who::Anonymous).await?;
    let answer = talk.query(filter, 0).await?;
    expect_places(corpus, &answer, expected)
}

/// The answer is complete and holds those records of the corpus, and nothing else.
fn expect_places(corpus: &Corpus, answer: &Answer, expected: &[usize]) -> Outcome {
    let found = answer.ids()?;
    // A kind alone may have been that of an earlier run, whose records are there still.
    let mut places: Vec<usize> = Vec::new();
    for id in &found {
        match corpus.records.iter().position(|record| record.id() == *id) {
            Some(place) => places.push(place),
            None if id.timestamp() < this_run() => {}
            None => return Err(failed(format!("records {expected:?}"), "another record")),
        }
    }
    places.sort_unstable();
    ensure(places == expected, &format!("records {expected:?}"), || {
        format!("records {places:?}")
    })?;
    let is_complete = answer.result == ResultCode::Success;
    ensure(is_complete, "QUERY CLOSED (SUCCESS)", || {
        answer.result.to_string()
    })
}

/// The record is dated a week before it is handed in, so that the one is not taken for the other.
async fn received(world: &World) -> Outcome {
    let now = Timestamp::now();
    let kind = kind(UNIQUE)?;
    let record = RecordBuilder::new(kind, world.user.public())
        .timestamp(now.saturating_sub(DAY.saturating_mul(7)));
    let record = signed(record, &world.user)?;
    world.publish(Who::User, &record).await?;
    // Clocks may differ, but not by a day.
    let yesterday = now.saturating_sub(DAY);
    let tomorrow = now.saturating_add(DAY);
    let all = || FilterBuilder::new().kinds([kind]);
    let mut talk = world.talk(Who::Anonymous).await?;
    for (filter, what, is_found) in [
        (all().received_since(yesterday), "since yesterday", true),
        (all().received_since(tomorrow), "since tomorrow", false),
        (all().received_until(tomorrow), "until tomorrow", true),
        (all().received_until(yesterday), "until yesterday", false),
    ] {
        let found = talk.query(&built(filter)?, 0).await?.ids()?;
        let is_right = found.contains(&record.id()) == is_found;
        let expected = match is_found {
            true => format!("a record of last week, received {what}"),
            false => format!("no record that was received {what}"),
        };
        ensure(is_right, &expected, || format!("{} records", found.len()))?;
    }
    Ok(())
}

/// Two records whose tags differ in the last byte.
async fn long_tags(world: &World) -> Outcome {
    let mut value = [0; 200];
    let random: [u8; 32] = rand::random();
    for (byte, new) in value.iter_mut().zip(random) {
        *byte = new;
    }
    let tag = |last: u8| {
        let mut value = value;
        value[199] = last;
        let tags = TagsBuilder::new().raw(TagKind(0x7f98), &value);
        tags.map_err(|error| skipped(error.to_string()))
    };
    let make = |last| signed(record(&world.user, UNIQUE)?.tags(tag(last)?), &world.user);
    let (wanted, other) = (make(1)?, make(2)?);
    world.publish(Who::User, &wanted).await?;
    world.publish(Who::User, &other).await?;
    let filter = built(FilterBuilder::new().tags(tag(1)?))?;
    let mut talk = world.talk(Who::Anonymous).await?;
    let found = talk.query(&filter, 0).await?.ids()?;
    ensure(found == [wanted.id()], "the record with that tag", || {
        format!("{} records", found.len())
    })
}

/// A filter of raw elements.
fn raw_filter(elements: &[u8]) -> Bytes {
    let mut filter = BytesMut::new();
    let length = u16::try_from(8 + elements.len()).unwrap_or(u16::MAX);
    filter.put_u16_le(length);
    filter.put_bytes(0, 6);
    filter.put_slice(elements);
    filter.freeze()
}

/// A QUERY with that ID and filter.
fn raw_query(id: u8, filter: &[u8]) -> Bytes {
    let mut query = BytesMut::new();
    let length = u16::try_from(8 + filter.len()).unwrap_or(u16::MAX);
    query.put_u8(0x02);
    query.put_u16_le(length);
    query.put_slice(&[0, id, 0, 0, 0]);
    query.put_slice(filter);
    query.freeze()
}

async fn second_unique(world: &World) -> Outcome {
    let corpus = world.corpus().await?;
    let mut elements = BytesMut::new();
    for place in [0, 1] {
        elements.put_slice(&[0x03, 2, 0, 0, 0, 0, 0, 0]);
        elements.put_slice(&k(corpus, place).to_bytes());
    }
    let mut talk = world.talk(Who::Anonymous).await?;
    talk.send(raw_query(7, &raw_filter(&elements))).await?;
    let answer = talk.answer(QueryId(7)).await?;
    expect_places(corpus, &answer, &[0, 1])
}

fn all_of(corpus: &Corpus) -> Result<Filter, Stop> {
    built(FilterBuilder::new().tags(corpus.tag_of_all()))
}

/// The newest `count` of the corpus, newest first.
fn newest(corpus: &Corpus, count: usize) -> Vec<RecordId> {
    let ids = corpus.records.iter().rev().map(|record| record.id());
    ids.take(count).collect()
}

async fn order(world: &World) -> Outcome {
    let corpus = world.corpus().await?;
    let filter = all_of(corpus)?;
    let mut talk = world.talk(Who::Anonymous).await?;
    for (limit, count) in [(0, corpus.records.len()), (2, 2)] {
        let found = talk.query(&filter, limit).await?.ids()?;
        let is_newest_first = found == newest(corpus, count);
        ensure(is_newest_first, "the newest records, newest first", || {
            "others, or another order".into()
        })?;
    }
    Ok(())
}

async fn limit(world: &World) -> Outcome {
    let corpus = world.corpus().await?;
    let filter = all_of(corpus)?;
    let mut talk = world.talk(Who::Anonymous).await?;
    for limit in [1_u16, 3] {
        let answer = talk.query(&filter, limit).await?;
        let count = answer.records.len();
        ensure(
            count == usize::from(limit),
            &format!("{limit} records"),
            || count.to_string(),
        )?;
    }
    Ok(())
}

async fn nothing(world: &World) -> Outcome {
    let filter = built(FilterBuilder::new().authors([nobody()]))?;
    let mut talk = world.talk(Who::Anonymous).await?;
    let answer = talk.query(&filter, 0).await?;
    let is_it = answer.records.is_empty() && answer.result == ResultCode::Success;
    ensure(is_it, "QUERY CLOSED (SUCCESS)", || {
        format!("{} records, {}", answer.records.len(), answer.result)
    })
}

async fn open(world: &World) -> Outcome {
    let corpus = world.corpus().await?;
    let start = corpus.timestamp(0);
    let filter = built(FilterBuilder::new().since(start))?;
    let mut talk = world.talk(Who::Anonymous).await?;
    let answer = talk.query(&filter, 1).await?;
    let is_it = matches!(answer.result, ResultCode::Success | ResultCode::TooOpen);
    ensure(is_it, "SUCCESS or TOO_OPEN", || answer.result.to_string())
}

async fn invalid(world: &World, element: &[u8]) -> Outcome {
    let mut talk = world.fresh(Who::Anonymous).await?;
    talk.send(raw_query(8, &raw_filter(element))).await?;
    let answer = talk.answer(QueryId(8)).await?;
    ensure(
        answer.result == ResultCode::Invalid,
        "QUERY CLOSED (INVALID)",
        || answer.result.to_string(),
    )
}

/// An element of author keys with the neutral point.
fn small_order() -> [u8; 40] {
    let mut element = [0; 40];
    for (at, value) in [(0, 0x01), (1, 5), (8, 1)] {
        if let Some(byte) = element.get_mut(at) {
            *byte = value;
        }
    }
    element
}

/// Three queries at a time, whose answers may come mixed: on one stream, or on three of them with one
/// ID.
async fn several(world: &World, on_streams: bool) -> Outcome {
    let corpus = world.corpus().await?;
    let parts: [(usize, &[usize]); 3] = [(0, &[0, 1]), (1, &[2, 3]), (2, &[4])];
    let query = |id, place| -> Result<Bytes, Stop> {
        let filter = of_place(corpus, place)?;
        let id = QueryId(id);
        Ok(ClientMessage::Query {
            id,
            limit: 0,
            filter,
        }
        .encode())
    };
    if on_streams {
        if !world.has_streams() {
            return Err(skipped("a connection over TCP is one stream"));
        }
        let mut talks = Vec::new();
        for (place, expected) in parts {
            let mut talk = world.talk(Who::Anonymous).await?;
            talk.send(query(1, place)?).await?;
            talks.push((talk, expected));
        }
        for (talk, expected) in talks.iter_mut().rev() {
            let answer = talk.answer(QueryId(1)).await?;
            expect_places(corpus, &answer, expected)?;
        }
        return Ok(());
    }
    let mut talk = world.talk(Who::Anonymous).await?;
    let mut all = BytesMut::new();
    for (id, (place, _)) in (1..).zip(parts) {
        all.put_slice(&query(id, place)?);
    }
    talk.send(all.freeze()).await?;
    let mut answers: [Vec<RecordId>; 3] = Default::default();
    let mut closed = 0;
    let mut allowance = Allowance::new();
    while closed < parts.len() {
        let (id, record) = match talk.part(&mut allowance).await?.0 {
            ServerMessage::Record { id, record } => (id, Some(record)),
            ServerMessage::QueryClosed {
                id,
                result: ResultCode::Success,
            } => (id, None),
            other => return Err(failed("replies to three queries", name(&other))),
        };
        let place = usize::from(id.0).wrapping_sub(1);
        let answer = answers.get_mut(place);
        let answer = answer.ok_or_else(|| failed("replies to three queries", "to another"))?;
        match record {
            Some(record) => answer.push(super::super::talk::id_of(&record)?),
            None => closed += 1,
        }
    }
    for (found, (_, expected)) in answers.iter().zip(parts) {
        let wanted = expected
            .iter()
            .filter_map(|place| corpus.records.get(*place));
        let has_all = wanted.clone().all(|record| found.contains(&record.id()));
        ensure(
            has_all && found.len() == expected.len(),
            "each its records",
            || "other ones".into(),
        )?;
    }
    Ok(())
}

async fn reuse(world: &World) -> Outcome {
    let corpus = world.corpus().await?;
    let mut talk = world.talk(Who::Anonymous).await?;
    for (place, expected) in [(0, &[0, 1][..]), (1, &[2, 3])] {
        let filter = of_place(corpus, place)?;
        let id = QueryId(9);
        talk.send(
            ClientMessage::Query {
                id,
                limit: 0,
                filter,
            }
            .encode(),
        )
        .await?;
        expect_places(corpus, &talk.answer(id).await?, expected)?;
    }
    Ok(())
}

const DAY: Duration = Duration::from_secs(86_400);
