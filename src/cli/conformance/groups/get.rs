//! GET.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::check::{Outcome, checks, ensure};
use super::super::world::{UNIQUE, Who, World, plain};
use crate::wire::{QueryId, Reference, ResultCode};

checks! {
    "get.id", "wire 7", |world| by_id(world),
        "GET by ID brings the one record, then QUERY CLOSED (SUCCESS).";
    "get.address", "wire 4", |world| by_address(world),
        "GET by address brings the records of that address.";
    "get.mixed", "wire 7", |world| mixed(world),
        "IDs and addresses may be mixed in one GET, and what is not there is passed over.";
    "get.not-found", "wire 10", |world| not_found(world),
        "A GET that finds nothing is closed with NOT_FOUND.";
    "get.length", "wire 7", |world| invalid(world, &[0; 47]),
        "References have 48 bytes: a GET with a part of one is INVALID.";
    "get.key", "wire 1", |world| invalid(world, &small_order()),
        "An address with a key of small order is INVALID.";
}

async fn by_id(world: &World) -> Outcome {
    let record = plain(&world.user, UNIQUE)?;
    world.publish(Who::User, &record).await?;
    let mut talk = world.talk(Who::Anonymous).await?;
    let answer = talk.get(vec![Reference::Id(record.id())]).await?;
    ensure(answer.records == [record.bytes()], "the record", || {
        format!("{} records", answer.records.len())
    })?;
    success(answer.result)
}

fn success(result: ResultCode) -> Outcome {
    ensure(
        result == ResultCode::Success,
        "QUERY CLOSED (SUCCESS)",
        || result.to_string(),
    )
}

async fn by_address(world: &World) -> Outcome {
    let record = plain(&world.user, UNIQUE)?;
    world.publish(Who::User, &record).await?;
    let mut talk = world.talk(Who::Anonymous).await?;
    let address = Reference::Address(record.view().address());
    let answer = talk.get(vec![address]).await?;
    ensure(answer.records == [record.bytes()], "the record", || {
        format!("{} records", answer.records.len())
    })?;
    success(answer.result)
}

async fn mixed(world: &World) -> Outcome {
    let records = [plain(&world.user, UNIQUE)?, plain(&world.user, UNIQUE)?];
    for record in &records {
        world.publish(Who::User, record).await?;
    }
    let [first, second] = &records;
    let absent = plain(&world.user, UNIQUE)?;
    let mut talk = world.talk(Who::Anonymous).await?;
    let answer = talk
        .get(vec![
            Reference::Id(absent.id()),
            Reference::Id(first.id()),
            Reference::Address(second.view().address()),
        ])
        .await?;
    let found = answer.ids()?;
    let has_both = records.iter().all(|record| found.contains(&record.id()));
    ensure(has_both && found.len() == 2, "the two records", || {
        format!("{} records", found.len())
    })?;
    success(answer.result)
}

async fn not_found(world: &World) -> Outcome {
    let absent = plain(&world.user, UNIQUE)?;
    let mut talk = world.talk(Who::Anonymous).await?;
    for reference in [
        Reference::Id(absent.id()),
        Reference::Address(absent.view().address()),
    ] {
        let answer = talk.get(vec![reference]).await?;
        let is_it = answer.records.is_empty() && answer.result == ResultCode::NotFound;
        ensure(is_it, "QUERY CLOSED (NOT_FOUND)", || {
            format!("{} records, {}", answer.records.len(), answer.result)
        })?;
    }
    Ok(())
}

async fn invalid(world: &World, references: &[u8]) -> Outcome {
    let mut talk = world.fresh(Who::Anonymous).await?;
    let mut get = BytesMut::new();
    let length = u8::try_from(8 + references.len()).unwrap_or(u8::MAX);
    get.put_slice(&[0x01, length, 0, 0, 6, 0, 0, 0]);
    get.put_slice(references);
    talk.send(Bytes::from(get)).await?;
    let answer = talk.answer(QueryId(6)).await?;
    ensure(
        answer.result == ResultCode::Invalid,
        "QUERY CLOSED (INVALID)",
        || answer.result.to_string(),
    )
}

/// An address whose key is the neutral point.
fn small_order() -> [u8; 48] {
    let mut address = [0; 48];
    // The first bit of an address, and the lowest byte of the point's y.
    for (at, value) in [(0, 0x80), (11, TEST_APP_BYTE), (15, 0x0c), (16, 1)] {
        if let Some(byte) = address.get_mut(at) {
            *byte = value;
        }
    }
    address
}

/// The example application is number 99.
const TEST_APP_BYTE: u8 = 99;
