//! A stream whose replies are kept as the bytes that came.

use std::collections::BTreeMap;

use bytes::Bytes;
use mosaicd::base::Role;
use mosaicd::client::RawConnection;
use mosaicd::wire::{
    Body, ClientMessage, Direction, EXTENSION_APP, ExtensionReply, Frame, FrameReader, MessageType,
    QueryId, Record, ResultCode, RoleOpen, RoleStatus, ServerMessage,
};
use tokio::time::timeout;

use crate::support::PATIENCE;

/// One stream, and what came on it that was not taken yet.
pub(super) struct Talk {
    send: quinn::SendStream,
    receive: quinn::RecvStream,
    frames: FrameReader,
    /// By query ID, in the order in which they came.
    replies: BTreeMap<u16, Vec<Bytes>>,
    /// Answers to submissions, by the part of the record's ID that they repeat.
    results: BTreeMap<[u8; 32], Bytes>,
}

impl Talk {
    pub(super) async fn open(connection: &RawConnection) -> Self {
        let quic = connection.quic().unwrap();
        let (send, receive) = timeout(PATIENCE, quic.open_bi()).await.unwrap().unwrap();
        Self {
            send,
            receive,
            frames: FrameReader::new(Direction::ToClient),
            replies: BTreeMap::new(),
            results: BTreeMap::new(),
        }
    }

    pub(super) async fn say(&mut self, message: &ClientMessage) {
        self.send.write_all(&message.encode()).await.unwrap();
    }

    /// HELLO, which a connection needs once.
    pub(super) async fn hello(&mut self) {
        let apps = vec![EXTENSION_APP];
        self.say(&ClientMessage::Hello { version: 0, apps }).await;
        let reply = self.next().await;
        assert_eq!(MessageType::from_u8(reply[0]), Some(MessageType::HelloAck));
    }

    /// Gives the stream to one role.
    pub(super) async fn bind(&mut self, role: Role, app: Option<u32>) -> ResultCode {
        let role = role.into();
        let open = RoleOpen { role, app }.encode(1);
        self.send.write_all(&open).await.unwrap();
        let reply = self.next().await;
        let Ok(ServerMessage::Extension(ExtensionReply { body, .. })) =
            ServerMessage::parse(&reply)
        else {
            panic!("ROLE OPEN is answered {reply:?}");
        };
        RoleStatus::decode(&body).unwrap().result
    }

    /// The next message, as it came.
    async fn next(&mut self) -> Bytes {
        loop {
            if let Some(Frame::Message(message)) = self.frames.next().unwrap() {
                return message;
            }
            let read = timeout(PATIENCE, self.receive.read_chunk(1 << 16, true)).await;
            let chunk = read.expect("no reply comes").unwrap();
            self.frames.push(chunk.expect("the stream ended").bytes);
        }
    }

    /// Takes one more message in.
    pub(super) async fn listen(&mut self) {
        let message = self.next().await;
        match MessageType::from_u8(message[0]) {
            Some(MessageType::SubmissionResult) => {
                let prefix = message[8..40].try_into().unwrap();
                self.results.insert(prefix, message);
            }
            Some(MessageType::Record | MessageType::LocallyComplete | MessageType::QueryClosed) => {
                let id = u16::from_le_bytes([message[4], message[5]]);
                self.replies.entry(id).or_default().push(message);
            }
            _ => panic!("an unexpected message: {message:?}"),
        }
    }

    /// What came for that query ID so far.
    pub(super) fn heard(&self, id: u16) -> &[Bytes] {
        self.replies.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Takes what came for that query ID.
    pub(super) fn take(&mut self, id: u16) -> Vec<Bytes> {
        self.replies.remove(&id).unwrap_or_default()
    }

    /// Asks all of that at once, and waits until each request is closed, a subscription as soon as
    /// it has told what is stored. Query IDs are the places in `asked`, from 0.
    pub(super) async fn ask(&mut self, asked: &[ClientMessage]) -> Vec<Vec<Bytes>> {
        for message in asked {
            self.say(message).await;
        }
        let mut live = vec![true; asked.len()];
        loop {
            let mut open = 0;
            let mut unsubscribe = Vec::new();
            for (place, live) in live.iter_mut().enumerate() {
                let id = u16::try_from(place).unwrap();
                match self.heard(id).last().map(kind_of) {
                    Some(MessageType::QueryClosed) => continue,
                    Some(MessageType::LocallyComplete) if *live => {
                        *live = false;
                        unsubscribe.push(ClientMessage::Unsubscribe { id: QueryId(id) });
                    }
                    _ => {}
                }
                open += 1;
            }
            for message in unsubscribe {
                self.say(&message).await;
            }
            if open == 0 {
                break;
            }
            self.listen().await;
        }
        (0..asked.len())
            .map(|place| self.take(u16::try_from(place).unwrap()))
            .collect()
    }

    /// Hands the records in and returns what is said, in their order, with the IDs blanked out.
    pub(super) async fn submit(&mut self, records: &[Record]) -> Vec<Bytes> {
        let mut said = Vec::new();
        // No more at once than the server has room for in one go.
        for some in records.chunks(8) {
            for record in some {
                let record = record.bytes().clone();
                self.say(&ClientMessage::Submission { record }).await;
            }
            for record in some {
                let prefix = record.id().prefix().0;
                while !self.results.contains_key(&prefix) {
                    self.listen().await;
                }
                let mut answer = self.results.remove(&prefix).unwrap().to_vec();
                answer[8..40].fill(0);
                said.push(answer.into());
            }
        }
        said
    }
}

/// The type of a reply.
pub(super) fn kind_of(reply: &Bytes) -> MessageType {
    MessageType::from_u8(reply[0]).unwrap()
}

/// The records among replies.
pub(super) fn records(replies: &[Bytes]) -> impl Iterator<Item = &[u8]> {
    let records = replies
        .iter()
        .filter(|reply| kind_of(reply) == MessageType::Record);
    records.map(|reply| &reply[8..])
}
