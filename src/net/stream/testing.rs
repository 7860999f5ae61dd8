//! A stream that is driven, for the tests of this folder.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::*;
use crate::identity::Peer;
use crate::net::ingest::Budget;
use crate::net::operating::Desk;
use crate::net::room::Room;
use crate::net::signals::Control;
use crate::net::testing::{Behind, ID, MemoryPeer, MemoryReader, MemoryWriter, hello, link, soon};
use crate::wire::{Record, ServerMessage};

/// A stream that is driven, and its peer.
pub(in crate::net) struct Driven {
    pub(in crate::net) peer: MemoryPeer,
    pub(in crate::net) driver: JoinHandle<StreamEnd>,
    pub(in crate::net) control: Control,
}

impl Driven {
    pub(in crate::net) fn start(behind: &Behind) -> Self {
        Self::opened(behind, Instant::now())
    }

    pub(in crate::net) fn opened(behind: &Behind, opened: Instant) -> Self {
        Self::with_room(behind, opened, &Room::for_tests())
    }

    /// A stream of a connection that has `room`.
    pub(in crate::net) fn with_room(behind: &Behind, opened: Instant, room: &Room) -> Self {
        let (stream, peer, control) = stream(behind, opened, room);
        Self {
            peer,
            driver: tokio::spawn(stream.drive()),
            control,
        }
    }

    /// A stream on which HELLO was said, with all the room in the world.
    pub(in crate::net) async fn greeted(behind: &Behind) -> Self {
        let mut driven = Self::start(behind);
        driven.peer.allow(usize::MAX);
        driven.peer.send(&hello());
        let answer = driven.peer.next().await;
        assert!(
            matches!(answer, Some(ServerMessage::HelloAck { .. })),
            "{answer:?}"
        );
        driven
    }

    pub(in crate::net) async fn end(self) -> StreamEnd {
        soon(self.driver).await.unwrap()
    }

    pub(in crate::net) async fn expect_closed_query(&mut self, expected: ResultCode) {
        match self.peer.next().await {
            Some(ServerMessage::QueryClosed { id: ID, result }) => assert_eq!(result, expected),
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::net) async fn expect_record(&mut self, expected: &Record) {
        match self.peer.next().await {
            Some(ServerMessage::Record { id: ID, record }) => assert_eq!(record, expected.bytes()),
            other => panic!("{other:?}"),
        }
    }
}

/// A stream that nobody drives yet, its peer, and what controls it.
pub(super) fn stream(
    behind: &Behind,
    opened: Instant,
    room: &Room,
) -> (Stream<MemoryReader, MemoryWriter>, MemoryPeer, Control) {
    let (reader, writer, peer) = link();
    let control = Control::new();
    let requester = behind.requester(None);
    let connection = session::Connection::new(Peer::Anonymous, Arc::clone(&behind.settings));
    let room = room.for_stream();
    let stream = Stream {
        reader,
        writer,
        session: session::Stream::new(Arc::new(connection), opened),
        requests: Requests::new(Some(behind.source(1_000)), room.clone()),
        submissions: Submissions::new(
            1,
            Arc::clone(&behind.ingest) as Arc<_>,
            Budget::new(),
            Arc::clone(&requester),
            Arc::clone(&behind.settings),
        ),
        asks: Asks::new(),
        orders: Orders::new(Desk::new(None), Arc::clone(&requester)),
        blobs: Blobs::new(Some(behind.depot()), behind.sight(None), &room),
        room,
        signals: control.watch(),
        context: Context {
            arrival: behind.arrival(),
            toll: behind.toll(None),
            requester,
            info: behind.services().info,
            probing: behind.services().probing,
            newcomers: Arc::clone(&behind.ingest) as Arc<_>,
        },
    };
    (stream, peer, control)
}
