//! Cutting the stream into messages.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::super::check::{Outcome, Stop, checks, ensure, failed};
use super::super::talk::{Heard, Talk, name};
use super::super::world::{UNIQUE, Who, World, kind, of_kinds, plain, taken};
use crate::wire::{ClientMessage, QueryId, ResultCode, ServerMessage};

checks! {
    "frame.split", "wire 7", |world| split(world),
        "A message may arrive in pieces, cut at any byte.";
    "frame.coalesced", "wire 7", |world| coalesced(world),
        "Several messages may arrive at once; each is answered.";
    "frame.reserved.read", "wire, head", |world| reserved_read(world),
        "Reserved bytes are ignored when read.";
    "frame.reserved.written", "wire, head", |world| reserved_written(world),
        "Reserved bytes are written as zero.";
    "frame.unknown", "wire 7", |world| unknown(world, 0x3f),
        "A message of unknown type is answered UNRECOGNIZED, and over QUIC the stream is closed.";
    "frame.unknown.server", "wire 7", |world| unknown(world, 0x82),
        "A message that only servers send is one of unknown type to them.";
    "frame.unrecognized.format", "wire 7", |world| unrecognized_format(world),
        "UNRECOGNIZED has 8 bytes: 0xF0, its length, four zero bytes.";
    "frame.length.short", "wire 7", |world| bad_length(world, 4),
        "A message that claims to be shorter than its header is not understood as one.";
    "frame.length.wrong", "wire 7", |world| bad_length(world, 12),
        "UNSUBSCRIBE of another length than 8 is not carried out.";
}

/// UNSUBSCRIBE of an ID that nobody used.
fn unsubscribe(id: u16) -> Bytes {
    ClientMessage::Unsubscribe { id: QueryId(id) }.encode()
}

async fn split(world: &World) -> Outcome {
    let mut talk = world.talk(Who::Anonymous).await?;
    for cut in 1..8_u16 {
        let mut tail = unsubscribe(cut);
        let head = tail.split_to(usize::from(cut));
        talk.send(head).await?;
        // So that the pieces travel apart; it matters not how far.
        tokio::time::sleep(PAUSE).await;
        talk.send(tail).await?;
        expect_closed(talk.message().await?.0, cut)?;
    }
    for byte in unsubscribe(8) {
        talk.send(Bytes::copy_from_slice(&[byte])).await?;
        tokio::time::sleep(PAUSE).await;
    }
    expect_closed(talk.message().await?.0, 8)
}

async fn coalesced(world: &World) -> Outcome {
    let mut talk = world.talk(Who::Anonymous).await?;
    let mut bytes = BytesMut::new();
    for id in 1..=20 {
        bytes.extend_from_slice(&unsubscribe(id));
    }
    talk.send(bytes.freeze()).await?;
    // In whatever order: no page says that replies come in that of the requests.
    let mut open: BTreeSet<u16> = (1..=20).collect();
    while !open.is_empty() {
        match talk.message().await?.0 {
            ServerMessage::QueryClosed { id, .. } if open.remove(&id.0) => {}
            other => return Err(failed("one QUERY CLOSED for each", name(&other))),
        }
    }
    Ok(())
}

fn expect_closed(message: ServerMessage, id: u16) -> Outcome {
    match message {
        ServerMessage::QueryClosed {
            id: QueryId(of), ..
        } if of == id => Ok(()),
        other => Err(failed(format!("QUERY CLOSED of query {id}"), name(&other))),
    }
}

async fn reserved_read(world: &World) -> Outcome {
    let mut talk = world.silent(Who::Anonymous).await?;
    let apps = Vec::new();
    let hello = ClientMessage::Hello { version: 0, apps };
    talk.send(dirtied(hello.encode(), &[4, 5])).await?;
    match talk.message().await?.0 {
        ServerMessage::HelloAck {
            result: ResultCode::Success,
            ..
        } => {}
        other => return Err(failed("HELLO ACK (SUCCESS)", name(&other))),
    }
    talk.send(dirtied(unsubscribe(9), &[6, 7])).await?;
    expect_closed(talk.message().await?.0, 9)?;
    reserved_in_reads(&mut talk).await?;
    let record = plain(&world.user, UNIQUE)?.bytes().clone();
    let submission = ClientMessage::Submission { record };
    let mut talk = world.talk(Who::User).await?;
    talk.send(dirtied(submission.encode(), &[4, 5, 6, 7]))
        .await?;
    taken(talk.submission_result().await?.0)
}

/// GET, QUERY with its filter, and BLOB GET, for what is not there.
async fn reserved_in_reads(talk: &mut Talk) -> Outcome {
    let id = QueryId(10);
    let references = Vec::new();
    let get = ClientMessage::Get { id, references };
    let query = ClientMessage::Query {
        id,
        limit: 0,
        filter: of_kinds([kind(UNIQUE)?])?,
    };
    // Behind the message's own header: bytes 2 to 7 of the filter's, and of its element's.
    let in_filter: Vec<usize> = (10..16).chain(18..24).collect();
    for (request, at) in [(get, &[6, 7][..]), (query, &in_filter)] {
        talk.send(dirtied(request.encode(), at)).await?;
        let result = talk.answer(id).await?.result;
        let is_read = matches!(result, ResultCode::Success | ResultCode::NotFound);
        ensure(is_read, "an answer as without them", || result.to_string())?;
    }
    let hash = rand::random();
    let get = ClientMessage::BlobGet { hash };
    talk.send(dirtied(get.encode(), &[1, 2, 3, 4, 5, 6, 7]))
        .await?;
    match talk.message().await?.0 {
        ServerMessage::BlobResult { hash: of, .. } if of == hash => Ok(()),
        other => Err(failed("BLOB RESULT", name(&other))),
    }
}

/// `message` with something in its reserved bytes.
fn dirtied(message: Bytes, reserved: &[usize]) -> Bytes {
    let mut bytes = message.to_vec();
    for at in reserved {
        if let Some(byte) = bytes.get_mut(*at) {
            *byte = 0xa5;
        }
    }
    bytes.into()
}

async fn reserved_written(world: &World) -> Outcome {
    let mut talk = world.talk(Who::Anonymous).await?;
    let get = ClientMessage::Get {
        id: QueryId(3),
        references: Vec::new(),
    };
    let record = Bytes::from(vec![0; 152]);
    let submission = ClientMessage::Submission { record };
    for request in [unsubscribe(2), get.encode(), submission.encode()] {
        talk.send(request).await?;
        let (message, bytes) = talk.message().await?;
        ensure(
            message.encode() == bytes,
            "reserved bytes that are zero",
            || format!("{}: {bytes:?}", name(&message)),
        )?;
    }
    Ok(())
}

/// A plausible message of that type, on a connection of its own: over TCP it ends with the stream.
async fn unknown(world: &World, kind: u8) -> Outcome {
    let mut talk = world.fresh(Who::Anonymous).await?;
    talk.send(Bytes::copy_from_slice(&[kind, 8, 0, 0, 1, 0, 0, 0]))
        .await?;
    let (message, _) = talk.message().await?;
    let is_it = message == ServerMessage::Unrecognized;
    ensure(is_it, "UNRECOGNIZED", || name(&message))?;
    closes_stream(world, &mut talk).await
}

/// Fails unless the stream ends now. Over TCP, where it is the whole connection, it need not.
pub(super) async fn closes_stream(world: &World, talk: &mut Talk) -> Result<(), Stop> {
    match world.has_streams() {
        true => talk.ends().await,
        false => Ok(()),
    }
}

async fn unrecognized_format(world: &World) -> Outcome {
    let mut talk = world.fresh(Who::Anonymous).await?;
    talk.send(Bytes::from_static(&[0x3f, 8, 0, 0, 0, 0, 0, 0]))
        .await?;
    let (_, bytes) = talk.message().await?;
    ensure(*bytes == [0xf0, 8, 0, 0, 0, 0, 0, 0], "8 bytes", || {
        format!("{bytes:?}")
    })
}

async fn bad_length(world: &World, claimed: u8) -> Outcome {
    let mut talk = world.fresh(Who::Anonymous).await?;
    let message = [0x04, claimed, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
    talk.send(Bytes::copy_from_slice(&message)).await?;
    match talk.hear().await? {
        Heard::End(_)
        | Heard::Message(
            ServerMessage::Unrecognized
            | ServerMessage::Closing { .. }
            | ServerMessage::QueryClosed {
                result: ResultCode::Invalid,
                ..
            },
            _,
        ) => Ok(()),
        Heard::Message(message, _) => Err(failed("a refusal", name(&message))),
        Heard::Data(_) => Err(failed("a refusal", "data of a BLOB")),
    }
}

/// Between the pieces of one message.
const PAUSE: Duration = Duration::from_millis(2);
