//! BLOBs. A server need not take any.

use bytes::{Bytes, BytesMut};

use super::super::check::{Outcome, Stop, checks, ensure, failed, skipped};
use super::super::talk::{Heard, Talk, name};
use super::super::world::{Who, World};
use crate::wire::{BlobHash, ClientMessage, ResultCode, ServerMessage};

checks! {
    "blob.absent", "wire 7", |world| absent(world),
        "BLOB GET of what is not there is answered BLOB RESULT (NOT_FOUND) with its hash and no data.";
    "blob.put", "wire 7", |world| put(world),
        "BLOB SUBMISSION is answered with the BLOB's hash; what was accepted is got back as it was.";
    "blob.again", "wire 7", |world| again(world),
        "A BLOB that is there already is answered with success.";
    "blob.wrong-hash", "wire 7", |world| wrong_hash(world),
        "Data with another hash than the one claimed are refused, and got by nobody.";
    "blob.broken-off", "wire 7", |world| broken_off(world),
        "A BLOB whose data end too early is got by nobody.";
    "blob.too-large", "wire 7", |world| too_large(world),
        "A BLOB over the server's limit is refused by its header, before its data have come.";
    "blob.next", "wire 7", |world| next(world),
        "Whatever becomes of a BLOB, the message behind its data is read.";
}

/// Data that no server has.
fn data() -> (Bytes, [u8; 32]) {
    let mut data = BytesMut::new();
    while data.len() < BLOB_BYTES {
        data.extend_from_slice(&rand::random::<[u8; 32]>());
    }
    let hash = *BlobHash::of(&data).as_bytes();
    (data.freeze(), hash)
}

/// The result of a BLOB SUBMISSION with that claim; `None` where the server ended the stream.
async fn submit(
    talk: &mut Talk,
    hash: [u8; 32],
    data_bytes: u64,
    data: Bytes,
) -> Result<ResultCode, Stop> {
    talk.send(ClientMessage::BlobSubmission { hash, data_bytes }.encode())
        .await?;
    talk.send(data).await?;
    result(talk, hash).await
}

async fn result(talk: &mut Talk, expected: [u8; 32]) -> Result<ResultCode, Stop> {
    match talk.message().await?.0 {
        ServerMessage::BlobSubmissionResult { result, hash } => {
            ensure(hash == expected, "the BLOB's hash", || "another one".into())?;
            Ok(result)
        }
        other => Err(failed("BLOB SUBMISSION RESULT", name(&other))),
    }
}

/// Submits a new BLOB and demands that it is taken.
async fn stored(world: &World, talk: &mut Talk) -> Result<(Bytes, [u8; 32]), Stop> {
    if world.info().is_some_and(|info| info.limits.blob_bytes == 0) {
        return Err(skipped("the server says that it takes no BLOBs"));
    }
    let (data, hash) = data();
    match submit(talk, hash, length(&data), data.clone()).await? {
        ResultCode::Accepted | ResultCode::Success => Ok((data, hash)),
        ResultCode::Invalid | ResultCode::Duplicate => Err(failed(
            "BLOB SUBMISSION RESULT (ACCEPTED) for a new BLOB",
            "another result",
        )),
        other => Err(skipped(format!(
            "the server does not take a BLOB of this visitor ({other})"
        ))),
    }
}

fn length(data: &Bytes) -> u64 {
    data.len() as u64
}

/// Asks for a BLOB: its result and its data. To whom a server gives any is its own affair.
async fn get(talk: &mut Talk, hash: [u8; 32]) -> Result<(ResultCode, Bytes), Stop> {
    talk.send(ClientMessage::BlobGet { hash }.encode()).await?;
    let (message, _) = talk.message().await?;
    let ServerMessage::BlobResult {
        result,
        data_bytes,
        hash: of,
    } = message
    else {
        return Err(failed("BLOB RESULT", name(&message)));
    };
    ensure(of == hash, "the hash that was asked for", || {
        "another one".into()
    })?;
    let bound = BLOB_BYTES as u64;
    ensure(data_bytes <= bound, "at most what was handed in", || {
        format!("{data_bytes} bytes")
    })?;
    let mut data = BytesMut::new();
    while (data.len() as u64) < data_bytes {
        match talk.hear().await? {
            Heard::Data(piece) => data.extend_from_slice(&piece),
            Heard::Message(message, _) => return Err(failed("data", name(&message))),
            Heard::End(how) => return Err(failed("data", how)),
        }
    }
    match result {
        ResultCode::RequiresAuthentication | ResultCode::Unauthorized => Err(skipped(format!(
            "the server gives this visitor no BLOBs ({result})"
        ))),
        _ => Ok((result, data.freeze())),
    }
}

async fn expect_absent(talk: &mut Talk, hash: [u8; 32]) -> Outcome {
    let (result, data) = get(talk, hash).await?;
    let is_absent = result == ResultCode::NotFound && data.is_empty();
    ensure(is_absent, "BLOB RESULT (NOT_FOUND) without data", || {
        format!("{result}, {} bytes", data.len())
    })
}

async fn absent(world: &World) -> Outcome {
    let mut talk = world.talk(Who::User).await?;
    expect_absent(&mut talk, data().1).await
}

async fn put(world: &World) -> Outcome {
    let mut talk = world.talk(Who::User).await?;
    let (data, hash) = stored(world, &mut talk).await?;
    let mut reader = world.talk(Who::User).await?;
    let (result, found) = get(&mut reader, hash).await?;
    ensure(result.is_success(), "BLOB RESULT (SUCCESS)", || {
        result.to_string()
    })?;
    ensure(found == data, "the data", || "others".into())
}

async fn again(world: &World) -> Outcome {
    let mut talk = world.talk(Who::User).await?;
    let (data, hash) = stored(world, &mut talk).await?;
    let result = submit(&mut talk, hash, length(&data), data).await?;
    ensure(result.is_success(), "DUPLICATE", || result.to_string())
}

async fn wrong_hash(world: &World) -> Outcome {
    let mut talk = world.talk(Who::User).await?;
    stored(world, &mut talk).await?;
    let (data, _) = data();
    let claimed = rand::random();
    let result = submit(&mut talk, claimed, length(&data), data).await?;
    ensure(result == ResultCode::Invalid, "INVALID", || {
        result.to_string()
    })?;
    let mut reader = world.talk(Who::User).await?;
    expect_absent(&mut reader, claimed).await
}

async fn broken_off(world: &World) -> Outcome {
    let mut talk = world.talk(Who::User).await?;
    stored(world, &mut talk).await?;
    let (data, hash) = data();
    let mut talk = world.fresh(Who::User).await?;
    let head = ClientMessage::BlobSubmission {
        hash,
        data_bytes: length(&data),
    };
    talk.send(head.encode()).await?;
    talk.send(data.slice(..data.len() / 2)).await?;
    talk.finish();
    // Whatever is said to it, or nothing: then the stream ends.
    if let Heard::Message(..) = talk.hear().await? {
        talk.ends().await?;
    }
    let mut reader = world.talk(Who::User).await?;
    expect_absent(&mut reader, hash).await
}

async fn too_large(world: &World) -> Outcome {
    let mut talk = world.fresh(Who::User).await?;
    let (_, hash) = data();
    let data_bytes = (1 << 48) - 1;
    talk.send(ClientMessage::BlobSubmission { hash, data_bytes }.encode())
        .await?;
    let result = result(&mut talk, hash).await?;
    ensure(!result.is_success(), "TOO_LARGE", || result.to_string())
}

async fn next(world: &World) -> Outcome {
    let mut talk = world.talk(Who::User).await?;
    let (data, _) = data();
    // Under another hash, so that none is kept of it.
    submit(&mut talk, rand::random(), length(&data), data).await?;
    talk.fence().await
}

/// More than one packet, less than any limit.
const BLOB_BYTES: usize = 10_016;
