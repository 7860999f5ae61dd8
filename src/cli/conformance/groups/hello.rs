//! HELLO and what comes before it; CLOSING.

use bytes::Bytes;

use super::super::check::{Outcome, Stop, checks, ensure, failed, skipped};
use super::super::talk::{Heard, Talk, name};
use super::super::world::{TEST_APP, Who, World};
use crate::wire::{ClientMessage, EXTENSION_APP, QueryId, ResultCode, ServerMessage};

checks! {
    "hello.ack", "wire 7", |world| acknowledged(world),
        "HELLO is answered with HELLO ACK (SUCCESS), byte for byte as its layout says.";
    "hello.version", "wire 7", |world| version(world),
        "HELLO ACK chooses a version not above the highest one that the client offers.";
    "hello.applications", "wire 7", |world| applications(world),
        "HELLO ACK grants no application that HELLO does not ask for.";
    "hello.first", "wire 7, 10", |world| first(world),
        "A message before HELLO is answered CLOSING (INVALID), and the connection is closed.";
    "hello.first.closing", "wire 7", |world| closing(world),
        "CLOSING has 8 bytes: 0xFE, the result, six zero bytes.";
    "hello.twice", "wire 7", |world| twice(world),
        "A second HELLO is answered HELLO ACK (DUPLICATE), and the connection goes on.";
    "hello.twice.stream", "wire 7", |world| twice_elsewhere(world),
        "HELLO is said once per connection: one on another stream is the second one.";
    "hello.auth", "wire 7", |world| auth(world),
        "HELLO AUTH is invalid over QUIC and TCP, where TLS authenticates.";
}

async fn acknowledged(world: &World) -> Outcome {
    let mut talk = world.silent(Who::Anonymous).await?;
    let apps = vec![TEST_APP];
    talk.send(ClientMessage::Hello { version: 0, apps }.encode())
        .await?;
    let (message, bytes) = talk.message().await?;
    let is_ack = matches!(
        message,
        ServerMessage::HelloAck {
            result: ResultCode::Success,
            ..
        }
    );
    ensure(is_ack, "HELLO ACK (SUCCESS)", || name(&message))?;
    ensure(
        message.encode() == bytes,
        "reserved bytes that are zero",
        || format!("{bytes:?}"),
    )
}

async fn version(world: &World) -> Outcome {
    for offered in [0, 7] {
        let mut talk = world.silent(Who::Anonymous).await?;
        let apps = Vec::new();
        let hello = ClientMessage::Hello {
            version: offered,
            apps,
        };
        talk.send(hello.encode()).await?;
        match talk.message().await?.0 {
            ServerMessage::HelloAck {
                result: ResultCode::Success,
                version,
                ..
            } => ensure(version <= offered, "a version that was offered", || {
                format!("version {version} for a client that speaks up to {offered}")
            })?,
            other => return Err(failed("HELLO ACK (SUCCESS)", name(&other))),
        }
    }
    Ok(())
}

async fn applications(world: &World) -> Outcome {
    for asked in [vec![], vec![TEST_APP], vec![TEST_APP, EXTENSION_APP, 1]] {
        let mut talk = world.silent(Who::Anonymous).await?;
        let granted = talk.hello(asked.clone()).await?;
        let is_subset = granted.iter().all(|app| asked.contains(app));
        ensure(is_subset, "applications out of those asked for", || {
            format!("{granted:?} for {asked:?}")
        })?;
    }
    Ok(())
}

/// What is answered to a GET before HELLO.
async fn before_hello(world: &World) -> Result<(Talk, ServerMessage, Bytes), Stop> {
    let mut talk = world.silent(Who::Anonymous).await?;
    let get = ClientMessage::Get {
        id: QueryId(1),
        references: Vec::new(),
    };
    talk.send(get.encode()).await?;
    let (message, bytes) = talk.message().await?;
    Ok((talk, message, bytes))
}

async fn first(world: &World) -> Outcome {
    let (mut talk, message, _) = before_hello(world).await?;
    let invalid = ServerMessage::Closing {
        result: ResultCode::Invalid,
    };
    ensure(message == invalid, "CLOSING (INVALID)", || name(&message))?;
    talk.ends().await?;
    let Some(quic) = talk.connection.quic() else {
        return Ok(());
    };
    match tokio::time::timeout(world.patience, quic.closed()).await {
        Ok(_) => Ok(()),
        Err(_) => Err(failed("a connection that is closed", "it stays open")),
    }
}

async fn closing(world: &World) -> Outcome {
    let (_talk, message, bytes) = before_hello(world).await?;
    let ServerMessage::Closing { result } = message else {
        return Err(failed("CLOSING", name(&message)));
    };
    let expected = [0xfe, result.as_u8(), 0, 0, 0, 0, 0, 0];
    ensure(*bytes == expected, "0xFE, a result, six zero bytes", || {
        format!("{bytes:?}")
    })
}

async fn twice(world: &World) -> Outcome {
    let talk = world.fresh(Who::Anonymous).await?;
    second_hello(talk).await
}

async fn twice_elsewhere(world: &World) -> Outcome {
    if !world.has_streams() {
        return Err(skipped("a connection over TCP is one stream"));
    }
    let first = world.fresh(Who::Anonymous).await?;
    let talk = world.stream_of(first.connection.clone()).await?;
    second_hello(talk).await
}

async fn second_hello(mut talk: Talk) -> Outcome {
    let apps = vec![TEST_APP];
    talk.send(ClientMessage::Hello { version: 0, apps }.encode())
        .await?;
    match talk.message().await?.0 {
        ServerMessage::HelloAck {
            result: ResultCode::Duplicate,
            ..
        } => talk.fence().await,
        other => Err(failed("HELLO ACK (DUPLICATE)", name(&other))),
    }
}

async fn auth(world: &World) -> Outcome {
    let mut talk = world.fresh(Who::Anonymous).await?;
    talk.send(ClientMessage::HelloAuth.encode()).await?;
    match talk.hear().await? {
        Heard::Message(
            ServerMessage::Closing {
                result: ResultCode::Invalid,
            }
            | ServerMessage::HelloAck {
                result: ResultCode::Invalid,
                ..
            }
            | ServerMessage::Unrecognized,
            _,
        )
        | Heard::End(_) => Ok(()),
        Heard::Message(message, _) => Err(failed("CLOSING (INVALID)", name(&message))),
        Heard::Data(_) => Err(failed("CLOSING (INVALID)", "data of a BLOB")),
    }
}
