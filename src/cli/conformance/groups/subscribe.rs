//! SUBSCRIBE and UNSUBSCRIBE.

use std::collections::HashMap;

use super::super::check::{Outcome, Stop, checks, ensure, failed};
use super::super::talk::{Talk, id_of, name};
use super::super::world::{UNIQUE, Who, World, built, kind, of_kinds, signed, taken};
use crate::wire::{
    ClientMessage, FilterBuilder, Kind, QueryId, Record, RecordBuilder, RecordId, ResultCode,
    ServerMessage,
};

checks! {
    "subscribe.stored", "wire 7", |world| stored(world),
        "SUBSCRIBE brings the stored records, newest first, and behind them LOCALLY COMPLETE.";
    "subscribe.limit", "wire 7", |world| limit(world),
        "A limit keeps the newest of the stored records; LOCALLY COMPLETE comes all the same.";
    "subscribe.live", "wire 7", |world| live(world),
        "After LOCALLY COMPLETE each new match comes as it arrives, and nothing else.";
    "subscribe.gap-free", "wire 7", |world| gap_free(world),
        "Records that arrive while SUBSCRIBE is carried out come once each, none is left out.";
    "subscribe.complete-once", "wire 7", |world| complete_once(world),
        "LOCALLY COMPLETE comes once.";
    "subscribe.unsubscribe", "wire 7", |world| unsubscribe(world),
        "UNSUBSCRIBE is answered QUERY CLOSED, and nothing comes for the subscription after it.";
    "subscribe.unknown", "wire 10", |world| unknown(world),
        "UNSUBSCRIBE of an unknown ID is answered QUERY CLOSED (NOT_FOUND).";
    "subscribe.replaced", "wire 10", |world| replaced(world),
        "A SUBSCRIBE with the ID of an open subscription takes its place.";
    "subscribe.replaced.query", "wire 10", |world| replaced_by_query(world),
        "So does a QUERY.";
}

fn of_kind(world: &World, kind: Kind) -> Result<Record, Stop> {
    let record = RecordBuilder::new(kind, world.user.public());
    signed(record, &world.user)
}

async fn stored(world: &World) -> Outcome {
    let corpus = world.corpus().await?;
    let filter = built(FilterBuilder::new().tags(corpus.tag_of_all()))?;
    let mut talk = world.talk(Who::Anonymous).await?;
    let id = talk.subscribe(&filter).await?;
    let found = talk.until_complete(id).await?;
    let found: Result<Vec<RecordId>, Stop> = found.iter().map(|record| id_of(record)).collect();
    let newest: Vec<RecordId> = corpus.records.iter().rev().map(Record::id).collect();
    let found = found?;
    ensure(found == newest, "5 records, newest first", || {
        format!("{} records, or another order", found.len())
    })
}

async fn limit(world: &World) -> Outcome {
    let corpus = world.corpus().await?;
    let filter = built(FilterBuilder::new().tags(corpus.tag_of_all()))?;
    let mut talk = world.talk(Who::Anonymous).await?;
    for limit in [1, 3] {
        let id = talk.new_id();
        let filter = filter.clone();
        talk.send(ClientMessage::Subscribe { id, limit, filter }.encode())
            .await?;
        let found = talk.until_complete(id).await?;
        let newest = corpus.records.iter().rev().map(Record::bytes);
        let is_right = newest.take(usize::from(limit)).eq(&found);
        let expected = format!("the {limit} newest, newest first");
        ensure(is_right, &expected, || {
            format!("{} records, or other ones", found.len())
        })?;
        // An end of it that the next one cannot be mistaken for.
        talk.send(ClientMessage::Unsubscribe { id }.encode())
            .await?;
        talk.until_closed(id).await?;
    }
    Ok(())
}

async fn live(world: &World) -> Outcome {
    let (wanted, other) = (kind(UNIQUE)?, kind(UNIQUE)?);
    let mut talk = world.talk(Who::Anonymous).await?;
    let id = talk.subscribe(&of_kinds([wanted])?).await?;
    talk.until_complete(id).await?;
    let records = [wanted, other, wanted].map(|kind| of_kind(world, kind));
    let [first, unwanted, last] = records;
    let (first, last) = (first?, last?);
    for record in [&first, &unwanted?, &last] {
        world.publish(Who::User, record).await?;
    }
    let found = talk.until_record(id, &last).await?;
    ensure(
        found == [first.id(), last.id()],
        "the two new matches",
        || format!("{} records", found.len()),
    )
}

/// Half of the records are on their way when SUBSCRIBE is sent, and two come when it is live for sure.
async fn gap_free(world: &World) -> Outcome {
    let kind = kind(UNIQUE)?;
    let records: Result<Vec<Record>, Stop> = (0..BURST + 2).map(|_| of_kind(world, kind)).collect();
    let records = records?;
    let (burst, live) = records.split_at(BURST);
    let mut publisher = world.talk(Who::User).await?;
    let mut reader = world.talk(Who::Anonymous).await?;
    let filter = of_kinds([kind])?;
    let mut id = QueryId(0);
    for (place, record) in burst.iter().enumerate() {
        if place == BURST / 2 {
            id = reader.subscribe(&filter).await?;
        }
        let record = record.bytes().clone();
        publisher
            .send(ClientMessage::Submission { record }.encode())
            .await?;
    }
    for _ in burst {
        taken(publisher.submission_result().await?.0)?;
    }
    publisher.fence().await?;
    let mut times: HashMap<RecordId, usize> = HashMap::new();
    let (mut is_complete, mut live) = (false, live.iter());
    while times.len() < records.len() {
        if is_complete && times.len() == burst.len() {
            // One after the other: the first comes a second time, if at all, before the last.
            for record in live.by_ref() {
                world.publish(Who::User, record).await?;
            }
        }
        match reader.message().await?.0 {
            ServerMessage::Record { id: of, record } if of == id => {
                *times.entry(id_of(&record)?).or_default() += 1;
            }
            ServerMessage::LocallyComplete { id: of } if of == id => is_complete = true,
            other => return Err(failed("records of the subscription", name(&other))),
        }
    }
    let once = times.values().all(|times| *times == 1);
    ensure(once, "each record once", || "some more than once".into())
}

async fn complete_once(world: &World) -> Outcome {
    let kind = kind(UNIQUE)?;
    let mut talk = world.talk(Who::Anonymous).await?;
    let id = talk.subscribe(&of_kinds([kind])?).await?;
    let mut completes = 0;
    let record = of_kind(world, kind)?;
    loop {
        match talk.message().await?.0 {
            ServerMessage::LocallyComplete { id: of } if of == id => {
                completes += 1;
                if completes == 1 {
                    world.publish(Who::User, &record).await?;
                }
            }
            ServerMessage::Record { id: of, .. } if of == id => break,
            other => return Err(failed("LOCALLY COMPLETE and a record", name(&other))),
        }
        if completes > 1 {
            break;
        }
    }
    ensure(completes == 1, "LOCALLY COMPLETE once", || {
        format!("{completes} times")
    })
}

async fn unsubscribe(world: &World) -> Outcome {
    let kind = kind(UNIQUE)?;
    let mut talk = world.talk(Who::Anonymous).await?;
    let id = talk.subscribe(&of_kinds([kind])?).await?;
    talk.until_complete(id).await?;
    talk.send(ClientMessage::Unsubscribe { id }.encode())
        .await?;
    let (_, result) = talk.until_closed(id).await?;
    ensure(result.is_success(), "QUERY CLOSED (SUCCESS)", || {
        result.to_string()
    })?;
    no_other(world, &mut talk, kind).await
}

/// No subscription to `kind` is left on the stream: one that is opened now gets the next record, and
/// that comes for no other.
async fn no_other(world: &World, talk: &mut Talk, kind: Kind) -> Outcome {
    let id = talk.subscribe(&of_kinds([kind])?).await?;
    talk.until_complete(id).await?;
    let record = of_kind(world, kind)?;
    world.publish(Who::User, &record).await?;
    talk.until_record(id, &record).await?;
    talk.send(ClientMessage::Unsubscribe { id }.encode())
        .await?;
    talk.until_closed(id).await.map(drop)
}

async fn unknown(world: &World) -> Outcome {
    let mut talk = world.talk(Who::Anonymous).await?;
    let id = talk.new_id();
    talk.send(ClientMessage::Unsubscribe { id }.encode())
        .await?;
    let expected = ServerMessage::QueryClosed {
        id,
        result: ResultCode::NotFound,
    };
    let (message, _) = talk.message().await?;
    ensure(message == expected, "QUERY CLOSED (NOT_FOUND)", || {
        name(&message)
    })
}

async fn replaced(world: &World) -> Outcome {
    let (old, new) = (kind(UNIQUE)?, kind(UNIQUE)?);
    let mut talk = world.talk(Who::Anonymous).await?;
    let id = talk.subscribe(&of_kinds([old])?).await?;
    talk.until_complete(id).await?;
    let again = ClientMessage::Subscribe {
        id,
        limit: 0,
        filter: of_kinds([new])?,
    };
    talk.send(again.encode()).await?;
    talk.until_complete(id).await?;
    talk.fence().await?;
    let wanted = of_kind(world, new)?;
    world.publish(Who::User, &of_kind(world, old)?).await?;
    world.publish(Who::User, &wanted).await?;
    let found = talk.until_record(id, &wanted).await?;
    ensure(
        found == [wanted.id()],
        "records of the new filter alone",
        || "one of the old filter".into(),
    )
}

async fn replaced_by_query(world: &World) -> Outcome {
    let (old, new) = (kind(UNIQUE)?, kind(UNIQUE)?);
    let stored = of_kind(world, new)?;
    world.publish(Who::User, &stored).await?;
    let mut talk = world.talk(Who::Anonymous).await?;
    let id = talk.subscribe(&of_kinds([old])?).await?;
    talk.until_complete(id).await?;
    talk.fence().await?;
    let query = ClientMessage::Query {
        id,
        limit: 0,
        filter: of_kinds([new])?,
    };
    talk.send(query.encode()).await?;
    let answer = talk.answer(id).await?;
    let is_answered = answer.records == [stored.bytes()] && answer.result == ResultCode::Success;
    ensure(is_answered, "the record that is asked for", || {
        format!("{} records, {}", answer.records.len(), answer.result)
    })?;
    no_other(world, &mut talk, old).await
}

/// Records that arrive around a SUBSCRIBE.
const BURST: usize = 40;
