//! Transports: who is let in as whom.

use super::super::check::{Outcome, Stop, checks, ensure, failed, skipped};
use super::super::talk::{Heard, name};
use super::super::world::{Who, World};
use crate::client::{ConnectError, RawConnection, Trial};
use crate::wire::{ClientMessage, ResultCode, SecretKey, ServerMessage};

checks! {
    "transport.server-key", "wire 8", |world| server_key(world),
        "The server shows one self-signed ed25519 certificate, whose key is the one demanded.";
    "transport.anonymous", "wire 8", |world| visitor(world, Who::Anonymous),
        "A client without a certificate is let in.";
    "transport.certificate", "wire 8", |world| visitor(world, Who::Stranger),
        "A client with a self-signed ed25519 certificate is let in.";
    "transport.certificate.reference", "wire 8", |world| accepted(world, Trial::ReferenceForm),
        "Names are not checked: a certificate in the form of the reference library is accepted.";
    "transport.certificate.dates", "wire 8", |world| accepted(world, Trial::Outdated),
        "Dates are not used: a certificate whose dates are past is accepted.";
    "transport.certificate.foreign", "wire 8", |world| refused(world, Trial::Foreign),
        "The handshake is signed by the certificate's key: somebody else's is refused.";
    "transport.certificate.issued", "wire 8", |world| refused(world, Trial::IssuedByAnother),
        "A certificate that is not signed by its own key is refused.";
    "transport.certificate.algorithm", "wire 8", |world| refused(world, Trial::OtherAlgorithm),
        "Only ed25519 signs: a P-256 certificate is refused.";
    "transport.alpn", "wire 8", |world| refused(world, Trial::OtherProtocol),
        "A client that does not offer the application protocol `mosaic` is refused.";
    "transport.early-data", "wire 8", |world| no_early_data(world),
        "No early data (0-RTT) is offered.";
    "transport.streams", "wire 8", |world| streams(world),
        "Over QUIC, each of several streams gets its own answers.";
}

async fn server_key(world: &World) -> Outcome {
    // The client's own handshake refuses longer chains, other algorithms and other keys.
    let connecting = RawConnection::connect(&world.target, None, world.patience);
    match Box::pin(connecting).await {
        Ok(connection) => {
            connection.close().await;
            Ok(())
        }
        Err(error) => Err(failed(
            "a handshake",
            super::super::super::error::chain(&error),
        )),
    }
}

async fn visitor(world: &World, who: Who) -> Outcome {
    world.fresh(who).await.map(drop)
}

async fn accepted(world: &World, trial: Trial) -> Outcome {
    match shown(world, trial).await? {
        Shown::LetIn => Ok(()),
        Shown::Refused(how) => Err(failed("HELLO ACK (SUCCESS)", how)),
    }
}

async fn refused(world: &World, trial: Trial) -> Outcome {
    match shown(world, trial).await? {
        Shown::LetIn => Err(failed("no connection", "HELLO ACK (SUCCESS)")),
        // Unless nobody is let in at this moment.
        Shown::Refused(_) => visitor(world, Who::Anonymous).await,
    }
}

enum Shown {
    LetIn,
    Refused(String),
}

/// A server judges a client's certificate when the handshake is complete for the client; so what
/// counts is whether HELLO is answered.
async fn shown(world: &World, trial: Trial) -> Result<Shown, Stop> {
    let own = SecretKey::generate();
    let connecting = RawConnection::connect_for_trial(&world.target, trial, &own, world.patience);
    let connection = match Box::pin(connecting).await {
        Ok((connection, _)) => connection,
        Err(error @ (ConnectError::Timeout(_) | ConnectError::Unreachable { .. })) => {
            return Err(failed(
                "an answer to the handshake",
                super::super::super::error::chain(&error),
            ));
        }
        Err(error) => return Ok(Shown::Refused(super::super::super::error::chain(&error))),
    };
    let mut talk = match world.stream_of(connection).await {
        Ok(talk) => talk,
        Err(Stop::Failed { got, .. }) => return Ok(Shown::Refused(got)),
        Err(stop) => return Err(stop),
    };
    let apps = Vec::new();
    talk.send(ClientMessage::Hello { version: 0, apps }.encode())
        .await?;
    Ok(match talk.hear().await? {
        Heard::Message(
            ServerMessage::HelloAck {
                result: ResultCode::Success,
                ..
            },
            _,
        ) => Shown::LetIn,
        Heard::Message(message, _) => Shown::Refused(name(&message)),
        Heard::Data(_) => Shown::Refused("data of a BLOB".into()),
        Heard::End(how) => Shown::Refused(how),
    })
}

async fn no_early_data(world: &World) -> Outcome {
    let own = SecretKey::generate();
    let connecting =
        RawConnection::connect_for_trial(&world.target, Trial::Tickets, &own, world.patience);
    let (connection, offer) = Box::pin(connecting)
        .await
        .map_err(|error| failed("a handshake", super::super::super::error::chain(&error)))?;
    let mut talk = world.stream_of(connection).await?;
    // Tickets come with the end of the handshake, and so before the second of two replies.
    talk.hello(Vec::new()).await?;
    talk.fence().await?;
    ensure(offer.bytes() == 0, "no early data", || {
        format!("a ticket for {} bytes of early data", offer.bytes())
    })
}

async fn streams(world: &World) -> Outcome {
    if !world.has_streams() {
        return Err(skipped("a connection over TCP is one stream"));
    }
    let first = world.fresh(Who::Anonymous).await?;
    let mut others = Vec::new();
    for _ in 0..STREAMS {
        let mut talk = world.stream_of(first.connection.clone()).await?;
        let id = talk.new_id();
        talk.send(ClientMessage::Unsubscribe { id }.encode())
            .await?;
        others.push((talk, id));
    }
    for (talk, id) in others.iter_mut().rev() {
        match talk.message().await?.0 {
            ServerMessage::QueryClosed { id: of, .. } if of == *id => {}
            other => return Err(failed("QUERY CLOSED on each stream", name(&other))),
        }
    }
    Ok(())
}

/// Streams beside the first.
const STREAMS: usize = 4;
