//! The client against a scripted server, over real QUIC and TCP on loopback.

mod blobs;
mod connecting;
mod following;
mod requests;
mod tcp;

use tokio::join;

use super::Client;
use super::testing::{Listener, ServerStream, plain};
use crate::wire::{Filter, FilterBuilder, Kind, Record, RecordBuilder, SecretKey, Timestamp};

pub(super) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

/// Records by one author, a microsecond apart, the first one oldest.
pub(super) fn records(count: u64, payload: &[u8]) -> Vec<Record> {
    let author = key(9);
    let make = |number: u64| {
        let timestamp = Timestamp::from_nanos(1_790_000_000_000_000_000 + number * 1_000);
        RecordBuilder::new(Kind::CHAT_MESSAGE, author.public())
            .timestamp(timestamp.unwrap())
            .payload(payload.to_vec())
            .sign(&author)
            .unwrap()
    };
    (0..count).map(make).collect()
}

pub(super) fn record(payload: &[u8]) -> Record {
    let author = key(9);
    let builder = RecordBuilder::new(Kind::CHAT_MESSAGE, author.public());
    builder.payload(payload.to_vec()).sign(&author).unwrap()
}

pub(super) fn chats() -> Filter {
    FilterBuilder::new()
        .kinds([Kind::CHAT_MESSAGE])
        .build()
        .unwrap()
}

/// A client and the server's end of its connection and first stream.
pub(super) async fn connected(listener: &Listener) -> (Client, quinn::Connection, ServerStream) {
    let options = plain();
    let (client, (connection, stream)) = join!(
        Client::connect(&listener.target, &options),
        listener.greet(&[])
    );
    (client.unwrap(), connection, stream)
}
