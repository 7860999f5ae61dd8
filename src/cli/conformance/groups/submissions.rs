//! Handing in records: what is answered, what replaces what, and that it stays.

use std::time::Duration;

use bytes::Bytes;

use super::super::check::{Outcome, Stop, checks, ensure, failed, skipped};
use super::super::talk::{Talk, id_of, name};
use super::super::world::{
    EPHEMERAL, REPLACEABLE, UNIQUE, VERSIONED, Who, World, built, of_kinds, plain, record, signed,
    taken,
};
use crate::base::{Role, limits};
use crate::wire::{
    ClientMessage, FilterBuilder, Record, RecordBuilder, RecordId, Reference, ResultCode,
    ServerMessage, Timestamp,
};

checks! {
    "submission.accepted", "wire 7", |world| accepted(world),
        "A valid new record of a user is answered ACCEPTED.";
    "submission.result", "wire 7", |world| result(world),
        "SUBMISSION RESULT has 40 bytes and names the first 32 bytes of the record's ID.";
    "submission.duplicate", "wire 7", |world| duplicate(world),
        "A record that its submitter sees on the server already is answered DUPLICATE.";
    "submission.durable", "wire 7", |world| durable(world, false),
        "An acknowledged record is there: at once, for another connection.";
    "submission.durable.closed", "wire 7", |world| durable(world, true),
        "An acknowledged record is there, even if its submitter goes away at once.";
    "submission.largest", "wire 4", |world| largest(world),
        "A record may have 1 048 576 bytes.";
    "submission.too-large", "wire 4", |world| too_large(world),
        "A record of more than 1 048 576 bytes is refused.";
    "submission.flags.ignored", "wire 4", |world| ignored_flags(world),
        "Bytes 3 to 7 of the flags are ignored.";
    "submission.unique", "wire 3", |world| kept(world, UNIQUE),
        "Unique records of one address are all kept.";
    "submission.versioned", "wire 3", |world| kept(world, VERSIONED),
        "Versioned records of one address are all kept.";
    "submission.replaceable.newer", "wire 3", |world| replaced(world, Age::Newer),
        "Of a replaceable address only the latest timestamp is served.";
    "submission.replaceable.older", "wire 10", |world| replaced(world, Age::Older),
        "An older record for a replaceable address is not stored, and is answered DUPLICATE.";
    "submission.replaceable.equal", "wire 10", |world| replaced(world, Age::Equal),
        "Of equal timestamps at a replaceable address the larger ID wins.";
    "submission.ephemeral.alone", "wire 7", |world| ephemeral_alone(world),
        "An ephemeral record to which nobody listens is answered NO_CONSUMERS.";
    "submission.ephemeral.heard", "wire 3", |world| ephemeral_heard(world),
        "An ephemeral record reaches current subscribers, and is never stored.";
    "submission.from-author", "wire 4", |world| from_author(world, Who::User),
        "A record marked FROM_AUTHOR is accepted from its author, authenticated.";
    "submission.from-author.stranger", "wire 4", |world| from_author(world, Who::Stranger),
        "A record marked FROM_AUTHOR is not accepted from somebody else.";
    "submission.from-author.anonymous", "wire 4", |world| from_author(world, Who::Anonymous),
        "A record marked FROM_AUTHOR is not accepted without authentication.";
}

async fn accepted(world: &World) -> Outcome {
    let record = plain(&world.user, UNIQUE)?;
    let mut talk = world.talk(Who::User).await?;
    match talk.submit(record.bytes()).await? {
        ResultCode::Accepted => Ok(()),
        result if world.must_take(Role::Outbox) => {
            Err(failed("SUBMISSION RESULT (ACCEPTED)", result.to_string()))
        }
        result => taken(result),
    }
}

async fn result(world: &World) -> Outcome {
    let record = plain(&world.user, UNIQUE)?;
    let mut talk = world.talk(Who::User).await?;
    let submission = ClientMessage::Submission {
        record: record.bytes().clone(),
    };
    talk.send(submission.encode()).await?;
    let (message, bytes) = talk.message().await?;
    let ServerMessage::SubmissionResult { id_prefix, .. } = message else {
        return Err(failed("SUBMISSION RESULT", name(&message)));
    };
    ensure(bytes.len() == 40, "40 bytes", || bytes.len().to_string())?;
    ensure(
        id_prefix == record.id().prefix().0,
        "the record's ID",
        || "another one".into(),
    )
}

async fn duplicate(world: &World) -> Outcome {
    let record = plain(&world.user, UNIQUE)?;
    world.publish(Who::User, &record).await?;
    let mut talk = world.talk(Who::User).await?;
    expect(&mut talk, &record, ResultCode::Duplicate).await
}

async fn expect(talk: &mut Talk, record: &Record, expected: ResultCode) -> Outcome {
    let result = talk.submit(record.bytes()).await?;
    ensure(result == expected, &expected.to_string(), || {
        result.to_string()
    })
}

/// The reader is there before the record is, so that nothing lies between ACCEPTED and the GET.
async fn durable(world: &World, is_closed: bool) -> Outcome {
    let mut reader = world.talk(Who::Anonymous).await?;
    for _ in 0..DURABLE_TRIES {
        let record = plain(&world.user, UNIQUE)?;
        let mut talk = world.fresh(Who::User).await?;
        taken(talk.submit(record.bytes()).await?)?;
        if is_closed {
            talk.connection.close().await;
        }
        let answer = reader.get(vec![Reference::Id(record.id())]).await?;
        ensure(answer.ids()? == [record.id()], "the record", || {
            format!("nothing of it: QUERY CLOSED ({})", answer.result)
        })?;
    }
    Ok(())
}

async fn largest(world: &World) -> Outcome {
    if let Some(info) = world.info()
        && info.limits.record_bytes < limits::RECORD_MAX_BYTES as u64
    {
        return Err(skipped(
            "the server says that it takes smaller records only",
        ));
    }
    let payload = vec![b'.'; limits::RECORD_MAX_BYTES - HEADER_AND_SIGNATURE_BYTES];
    let record = record(&world.user, UNIQUE)?.payload(payload);
    let record = signed(record, &world.user)?;
    world.publish(Who::User, &record).await?;
    let mut reader = world.talk(Who::Anonymous).await?;
    let answer = reader.get(vec![Reference::Id(record.id())]).await?;
    ensure(answer.records == [record.bytes()], "the record", || {
        format!("{} others", answer.records.len())
    })
}

async fn too_large(world: &World) -> Outcome {
    let mut talk = world.fresh(Who::User).await?;
    let mut record = plain(&world.user, UNIQUE)?.bytes().to_vec();
    record.resize(limits::RECORD_MAX_BYTES + 8, 0);
    let record = record.into();
    talk.send(ClientMessage::Submission { record }.encode())
        .await?;
    let (result, _) = talk.submission_result().await?;
    let is_refused = matches!(result, ResultCode::TooLarge | ResultCode::Invalid);
    ensure(is_refused, "TOO_LARGE or INVALID", || result.to_string())
}

async fn ignored_flags(world: &World) -> Outcome {
    let record = super::broken::with_ignored_flags(&plain(&world.user, UNIQUE)?, &world.user)?;
    let mut talk = world.talk(Who::User).await?;
    taken(talk.submit(&record).await?)?;
    let id = Reference::Id(id_of(&record)?);
    let answer = talk.get(vec![id]).await?;
    ensure(answer.records == [record], "the record as it was", || {
        format!("{} others", answer.records.len())
    })
}

/// Two records of one address, which hold different things.
fn pair(world: &World, flags: u16, ages: [u64; 2]) -> Result<[Record; 2], Stop> {
    let builder = record(&world.user, flags)?.nonce(rand::random());
    let start = Timestamp::now().saturating_sub(Duration::from_secs(10));
    let make = |builder: RecordBuilder, seconds, payload: &'static [u8]| {
        let timestamp = start.saturating_add(Duration::from_secs(seconds));
        let record = builder
            .timestamp(timestamp)
            .payload(Bytes::from_static(payload));
        signed(record, &world.user)
    };
    let [first, second] = ages;
    Ok([
        make(builder.clone(), first, b"one")?,
        make(builder, second, b"the other")?,
    ])
}

async fn at_address(world: &World, record: &Record) -> Result<Vec<RecordId>, Stop> {
    let mut reader = world.talk(Who::Anonymous).await?;
    let address = Reference::Address(record.view().address());
    reader.get(vec![address]).await?.ids()
}

/// What is there of two records of one address and of a kind of their own, asked for in each way.
async fn served(world: &World, records: [&Record; 2]) -> Result<[Vec<RecordId>; 4], Stop> {
    let [first, _] = records;
    let mut reader = world.talk(Who::Anonymous).await?;
    let ids = records.map(|record| Reference::Id(record.id()));
    let view = first.view();
    let of_kind = of_kinds([view.kind()])?;
    let of_author = FilterBuilder::new().authors([view.author()]);
    let of_author = built(of_author.since(view.timestamp()).kinds([view.kind()]))?;
    Ok([
        at_address(world, first).await?,
        reader.get(ids.to_vec()).await?.ids()?,
        reader.query(&of_kind, 0).await?.ids()?,
        reader.query(&of_author, 0).await?.ids()?,
    ])
}

async fn kept(world: &World, flags: u16) -> Outcome {
    let records = pair(world, flags, [0, 1])?;
    for record in &records {
        world.publish(Who::User, record).await?;
    }
    let [first, _] = &records;
    let found = at_address(world, first).await?;
    let has_both = records.iter().all(|record| found.contains(&record.id()));
    ensure(has_both && found.len() == 2, "both records", || {
        format!("{} records", found.len())
    })
}

/// Which of two replaceable records comes second.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Newer,
    Older,
    Equal,
}

async fn replaced(world: &World, age: Age) -> Outcome {
    let ages = match age {
        Age::Equal => [0, 0],
        Age::Newer | Age::Older => [0, 1],
    };
    let mut records = pair(world, REPLACEABLE, ages)?;
    if age == Age::Equal {
        records.sort_by_key(Record::id);
    }
    let [loser, winner] = records;
    let only_winner = async || {
        let ways = ["by address", "by ID", "by kind", "by author"];
        for (way, found) in ways
            .into_iter()
            .zip(served(world, [&loser, &winner]).await?)
        {
            ensure(found == [winner.id()], "the winner alone", || {
                match found.contains(&loser.id()) {
                    true => format!("the other record, {way}"),
                    false => format!("{} records, {way}", found.len()),
                }
            })?;
        }
        Ok(())
    };
    if age != Age::Older {
        world.publish(Who::User, &loser).await?;
    }
    world.publish(Who::User, &winner).await?;
    only_winner().await?;
    if age != Age::Newer {
        let mut talk = world.talk(Who::User).await?;
        expect(&mut talk, &loser, ResultCode::Duplicate).await?;
        only_winner().await?;
    }
    Ok(())
}

async fn ephemeral_alone(world: &World) -> Outcome {
    let record = plain(&world.user, EPHEMERAL)?;
    let mut talk = world.talk(Who::User).await?;
    match talk.submit(record.bytes()).await? {
        ResultCode::NoConsumers => Ok(()),
        // Nobody but the run itself knows a key that was made up for it.
        ResultCode::Accepted if world.is_user_given => Err(skipped(
            "ACCEPTED: somebody may follow the user whose key was given",
        )),
        ResultCode::Accepted => Err(failed("NO_CONSUMERS", "ACCEPTED")),
        other => taken(other),
    }
}

async fn ephemeral_heard(world: &World) -> Outcome {
    let record = plain(&world.user, EPHEMERAL)?;
    let filter = of_kinds([record.view().kind()])?;
    let mut reader = world.talk(Who::Anonymous).await?;
    let id = reader.subscribe(&filter).await?;
    reader.until_complete(id).await?;
    world.publish(Who::User, &record).await?;
    reader.until_record(id, &record).await?;
    let mut later = world.talk(Who::Anonymous).await?;
    let answer = later.get(vec![Reference::Id(record.id())]).await?;
    ensure(answer.records.is_empty(), "nothing stored", || {
        "the record is stored".into()
    })
}

async fn from_author(world: &World, who: Who) -> Outcome {
    let marked = || signed(record(&world.user, UNIQUE)?.from_author(true), &world.user);
    // Where the author's is not taken either, a refusal shows nothing.
    world.publish(Who::User, &marked()?).await?;
    if who == Who::User {
        return Ok(());
    }
    let record = marked()?;
    let mut talk = world.talk(who).await?;
    let result = talk.submit(record.bytes()).await?;
    ensure(!result.is_success(), "a refusal", || result.to_string())?;
    let answer = talk.get(vec![Reference::Id(record.id())]).await?;
    ensure(answer.records.is_empty(), "nothing kept of it", || {
        "the record is served".into()
    })
}

/// A server that loses what it acknowledged need not do so each time.
const DURABLE_TRIES: usize = 5;

const HEADER_AND_SIGNATURE_BYTES: usize = 152 + 64;
