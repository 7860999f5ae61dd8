//! Cutting the stream into messages.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::super::check::{Outcome, checks, ensure, failed};
use super::super::talk::{Heard, name};
use super::super::world::{Who, World};
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
        "A message of unknown type is answered UNRECOGNIZED, and the stream is closed.";
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
    for id in 1..=20 {
        expect_closed(talk.message().await?.0, id)?;
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
    let mut talk = world.talk(Who::Anonymous).await?;
    talk.send(Bytes::from_static(&[0x04, 8, 0, 0, 9, 0, 0xaa, 0x55]))
        .await?;
    expect_closed(talk.message().await?.0, 9)
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
    talk.ends().await
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
