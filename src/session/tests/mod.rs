//! Both ends of a stream in memory, on a clock that is moved by hand.

mod asks;
mod blobs;
mod broken;
mod ending;
mod extensions;
mod hello;
mod operator;
mod reads;
mod states;
mod submissions;

use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Action, BlobNews, Connection, Event, ReadRequest, Settings, Stream, Ticket};
use crate::base::RoleSet;
use crate::identity::{Peer, PeerKey};
use crate::policy::testing::{self, Draft, Person};
use crate::policy::{Gate, LiveRules};
use crate::wire::{
    ClientMessage, EXTENSION_APP, Filter, FilterBuilder, QueryId, ReadAccess, Record, ResultCode,
    ServerMessage,
};

/// What the server's end of a stream did, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// It sent a message.
    Message(ServerMessage),
    /// It asked its driver for something else.
    Action(Action),
}

/// The server's end of one stream, and the hand that moves its clock.
struct Talk {
    stream: Stream,
    now: Instant,
}

impl Talk {
    /// A stream that was just opened.
    fn new(connection: &Arc<Connection>) -> Self {
        let now = Instant::now();
        Self {
            stream: Stream::new(Arc::clone(connection), now),
            now,
        }
    }

    /// A stream on a connection on which HELLO was said, on this stream.
    fn greeted(connection: &Arc<Connection>) -> Self {
        let mut talk = Self::new(connection);
        talk.send(&hello());
        talk
    }

    fn tell(&mut self, event: Event) -> Vec<Said> {
        self.stream.handle(self.now, event);
        let actions = std::iter::from_fn(|| self.stream.poll_action());
        actions.map(said).collect()
    }

    fn bytes(&mut self, bytes: impl Into<Bytes>) -> Vec<Said> {
        self.tell(Event::Bytes(bytes.into()))
    }

    fn send(&mut self, message: &ClientMessage) -> Vec<Said> {
        self.bytes(message.encode())
    }

    /// Sends a message that must lead to nothing but one request to the driver.
    fn ask(&mut self, message: &ClientMessage) -> Action {
        let said = self.send(message);
        match said.as_slice() {
            [Said::Action(action)] => action.clone(),
            _ => panic!("{message:?} led to {said:?}"),
        }
    }

    /// Sends a message that must lead to one read.
    fn read(&mut self, message: &ClientMessage) -> Ticket {
        match self.ask(message) {
            Action::Read { ticket, .. } => ticket,
            other => panic!("{message:?} led to {other:?}"),
        }
    }

    /// Sends a record that must be handed on.
    fn submit(&mut self, record: &Record) -> Ticket {
        match self.ask(&submission(record.bytes())) {
            Action::Submit { ticket, .. } => ticket,
            other => panic!("a submission led to {other:?}"),
        }
    }
}

fn said(action: Action) -> Said {
    let message = match &action {
        Action::Send(bytes) => bytes.clone(),
        Action::SendRecord { header, record } => {
            let mut message = BytesMut::new();
            message.put_slice(header);
            message.put_slice(record);
            message.freeze()
        }
        _ => return Said::Action(action),
    };
    Said::Message(ServerMessage::parse(&message).unwrap())
}

/// A listener with every role open.
fn settings() -> Settings {
    Settings {
        gate: Arc::new(Gate::dev(RoleSet::ALL, testing::NOW)),
        rules: Arc::new(LiveRules::new(testing::rules())),
        refuse_wide_filters: false,
    }
}

fn anonymous(settings: Settings) -> Arc<Connection> {
    Arc::new(Connection::new(Peer::Anonymous, Arc::new(settings)))
}

fn known(settings: Settings) -> Arc<Connection> {
    let key = PeerKey::for_tests(Person::Alice.key());
    Arc::new(Connection::new(Peer::Known(key), Arc::new(settings)))
}

fn hello() -> ClientMessage {
    ClientMessage::Hello {
        version: 0,
        apps: vec![EXTENSION_APP],
    }
}

fn get(id: u16) -> ClientMessage {
    ClientMessage::Get {
        id: QueryId(id),
        references: Vec::new(),
    }
}

fn query(id: u16) -> ClientMessage {
    ClientMessage::Query {
        id: QueryId(id),
        limit: 0,
        filter: narrow(),
    }
}

fn subscribe(id: u16) -> ClientMessage {
    ClientMessage::Subscribe {
        id: QueryId(id),
        limit: 0,
        filter: narrow(),
    }
}

fn unsubscribe(id: u16) -> ClientMessage {
    ClientMessage::Unsubscribe { id: QueryId(id) }
}

fn submission(record: &Bytes) -> ClientMessage {
    ClientMessage::Submission {
        record: record.clone(),
    }
}

/// A filter with a narrow element.
fn narrow() -> Filter {
    let author = Person::Alice.key();
    FilterBuilder::new().authors([author]).build().unwrap()
}

/// A filter without one.
fn wide() -> Filter {
    FilterBuilder::new().since(testing::NOW).build().unwrap()
}

/// Records that differ.
fn records(count: usize) -> Vec<Record> {
    let draft = Draft::by(Person::Alice, ReadAccess::Everybody);
    (0..count).map(|_| draft.record()).collect()
}

fn prefix(record: &Record) -> [u8; 32] {
    record.bytes()[..32].try_into().unwrap()
}

fn closed(id: u16, result: ResultCode) -> Said {
    let id = QueryId(id);
    Said::Message(ServerMessage::QueryClosed { id, result })
}

fn complete(id: u16) -> Said {
    Said::Message(ServerMessage::LocallyComplete { id: QueryId(id) })
}

fn row(id: u16, record: &Record) -> Said {
    Said::Message(ServerMessage::Record {
        id: QueryId(id),
        record: record.bytes().clone(),
    })
}

fn submitted(result: ResultCode, id_prefix: [u8; 32]) -> Said {
    Said::Message(ServerMessage::SubmissionResult { result, id_prefix })
}

fn closing(result: ResultCode) -> Said {
    Said::Message(ServerMessage::Closing { result })
}

fn cancel(ticket: Ticket) -> Said {
    Said::Action(Action::Cancel { ticket })
}

const FINISH: Said = Said::Action(Action::Finish);
const STOP_READING: Said = Said::Action(Action::StopReading);
const UNRECOGNIZED: Said = Said::Message(ServerMessage::Unrecognized);

/// What a peer hears that broke the protocol.
fn thrown_out() -> Vec<Said> {
    let result = ResultCode::Invalid;
    let close = Said::Action(Action::CloseConnection { result });
    vec![closing(result), FINISH, STOP_READING, close]
}
