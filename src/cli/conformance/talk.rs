//! A stream on which a check speaks: every byte out is the check's, every message in is kept as it
//! came.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::check::{Stop, failed, skipped};
use crate::base::Role;
use crate::client::{RawConnection, RawStream, StreamEnd};
use crate::wire::{
    Body, ClientMessage, Filter, Frame, QueryId, Record, RecordId, RecordRef, Reference,
    ResultCode, RoleOpen, RoleStatus, ServerMessage,
};

/// A stream to the server.
pub(super) struct Talk {
    pub(super) connection: RawConnection,
    stream: RawStream,
    patience: Duration,
    next_id: u16,
}

/// What came from the server.
#[derive(Debug)]
pub(super) enum Heard {
    /// A message, read and as it came.
    Message(ServerMessage, Bytes),
    /// A piece of a BLOB.
    Data(Bytes),
    /// The stream or the connection ended; how.
    End(String),
}

/// The replies to a GET, or to a QUERY.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) records: Vec<Bytes>,
    pub(super) result: ResultCode,
    /// All replies, byte for byte.
    pub(super) bytes: Vec<Bytes>,
}

impl Answer {
    /// The IDs of the records, in the order in which they came.
    pub(super) fn ids(&self) -> Result<Vec<RecordId>, Stop> {
        self.records.iter().map(|record| id_of(record)).collect()
    }
}

/// The ID of what should be a record.
pub(super) fn id_of(record: &[u8]) -> Result<RecordId, Stop> {
    let parsed = RecordRef::parse(record);
    let parsed = parsed.map_err(|error| failed("a valid record", error.to_string()))?;
    Ok(parsed.id())
}

impl Talk {
    pub(super) const fn new(
        connection: RawConnection,
        stream: RawStream,
        patience: Duration,
    ) -> Self {
        Self {
            connection,
            stream,
            patience,
            next_id: 0,
        }
    }

    /// A query ID that was not used on this stream yet.
    pub(super) const fn new_id(&mut self) -> QueryId {
        self.next_id = self.next_id.wrapping_add(1);
        QueryId(self.next_id)
    }

    /// Sends `bytes` as they are. That the server reads no more shows in what is heard next.
    pub(super) async fn send(&mut self, bytes: Bytes) -> Result<(), Stop> {
        match timeout(self.patience, self.stream.send(bytes)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(failed("that the server reads", "it does not")),
        }
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&mut self) {
        self.stream.finish();
    }

    /// What comes next.
    pub(super) async fn hear(&mut self) -> Result<Heard, Stop> {
        let Ok(received) = timeout(self.patience, self.stream.receive_frame()).await else {
            let seconds = self.patience.as_secs();
            return Err(failed("a reply", format!("nothing within {seconds} s")));
        };
        match received {
            Ok(Some(Frame::Message(bytes))) => {
                let message = ServerMessage::parse(&bytes)
                    .map_err(|error| failed("a message that parses", error.to_string()))?;
                check_result(&message)?;
                Ok(Heard::Message(message, bytes))
            }
            Ok(Some(Frame::BlobData { data, .. })) => Ok(Heard::Data(data)),
            Ok(None) => Ok(Heard::End("the end of the stream".into())),
            Err(StreamEnd::Fault(fault)) => Err(failed(
                "messages of the protocol",
                super::super::error::chain(&fault),
            )),
            Err(end) => Ok(Heard::End(end.to_string())),
        }
    }

    /// The next message, as it came too.
    pub(super) async fn message(&mut self) -> Result<(ServerMessage, Bytes), Stop> {
        match self.hear().await? {
            Heard::Message(message, bytes) => Ok((message, bytes)),
            Heard::Data(_) => Err(failed("a message", "data of a BLOB")),
            Heard::End(how) => Err(failed("a reply", how)),
        }
    }

    /// Fails unless the server ends the stream or the connection now.
    pub(super) async fn ends(&mut self) -> Result<(), Stop> {
        match self.hear().await? {
            Heard::End(_) => Ok(()),
            Heard::Message(message, _) => Err(failed("the end of the stream", name(&message))),
            Heard::Data(_) => Err(failed("the end of the stream", "data of a BLOB")),
        }
    }

    /// Says HELLO and demands SUCCESS. Tells the applications that were granted.
    pub(super) async fn hello(&mut self, apps: Vec<u32>) -> Result<Vec<u32>, Stop> {
        self.send(ClientMessage::Hello { version: 0, apps }.encode())
            .await?;
        match self.message().await?.0 {
            ServerMessage::HelloAck {
                result: ResultCode::Success,
                apps,
                ..
            } => Ok(apps),
            other => Err(failed("HELLO ACK (SUCCESS)", name(&other))),
        }
    }

    /// Binds the stream to `role`.
    pub(super) async fn bind(&mut self, role: Role) -> Result<(), Stop> {
        let open = RoleOpen {
            role: role.into(),
            app: None,
        };
        self.send(open.encode(1)).await?;
        match self.message().await?.0 {
            ServerMessage::Extension(reply) if reply.kind == RoleStatus::KIND => {
                let status = RoleStatus::decode(&reply.body)
                    .map_err(|error| failed("a ROLE STATUS that decodes", error.to_string()))?;
                match status.result {
                    ResultCode::Success => Ok(()),
                    result => Err(skipped(format!("the role {role} is not open ({result})"))),
                }
            }
            other => Err(failed("ROLE STATUS", name(&other))),
        }
    }

    /// Hands in what should be a record.
    pub(super) async fn submit(&mut self, record: &Bytes) -> Result<ResultCode, Stop> {
        let record = record.clone();
        self.send(ClientMessage::Submission { record }.encode())
            .await?;
        self.submission_result().await.map(|(result, _)| result)
    }

    /// The SUBMISSION RESULT that must come now: its result, and the ID's first bytes.
    pub(super) async fn submission_result(&mut self) -> Result<(ResultCode, [u8; 32]), Stop> {
        match self.message().await?.0 {
            ServerMessage::SubmissionResult { result, id_prefix } => Ok((result, id_prefix)),
            other => Err(failed("SUBMISSION RESULT", name(&other))),
        }
    }

    /// Asks for records by reference.
    pub(super) async fn get(&mut self, references: Vec<Reference>) -> Result<Answer, Stop> {
        let id = self.new_id();
        self.send(ClientMessage::Get { id, references }.encode())
            .await?;
        self.answer(id).await
    }

    /// Asks for the stored records that pass `filter`.
    pub(super) async fn query(&mut self, filter: &Filter, limit: u16) -> Result<Answer, Stop> {
        let id = self.new_id();
        let filter = filter.clone();
        self.send(ClientMessage::Query { id, limit, filter }.encode())
            .await?;
        self.answer(id).await
    }

    /// The replies to the request `id`, the only one that is open, up to its QUERY CLOSED.
    pub(super) async fn answer(&mut self, id: QueryId) -> Result<Answer, Stop> {
        let (mut records, mut bytes) = (Vec::new(), Vec::new());
        while bytes.len() < ANSWER_MAX_MESSAGES {
            let (message, raw) = self.message().await?;
            bytes.push(raw);
            match message {
                ServerMessage::Record { id: of, record } if of == id => records.push(record),
                ServerMessage::QueryClosed { id: of, result } if of == id => {
                    return Ok(Answer {
                        records,
                        result,
                        bytes,
                    });
                }
                other => return Err(failed(format!("replies to query {}", id.0), name(&other))),
            }
        }
        Err(failed("an answer that ends", "more records than it can be"))
    }

    /// Subscribes; the replies are to be heard yet.
    pub(super) async fn subscribe(&mut self, filter: &Filter) -> Result<QueryId, Stop> {
        let id = self.new_id();
        let subscribe = ClientMessage::Subscribe {
            id,
            limit: 0,
            filter: filter.clone(),
        };
        self.send(subscribe.encode()).await?;
        Ok(id)
    }

    /// The replies to the subscription `id` up to LOCALLY COMPLETE.
    pub(super) async fn until_complete(&mut self, id: QueryId) -> Result<Vec<Bytes>, Stop> {
        let mut records = Vec::new();
        while records.len() < ANSWER_MAX_MESSAGES {
            match self.message().await?.0 {
                ServerMessage::Record { id: of, record } if of == id => records.push(record),
                ServerMessage::LocallyComplete { id: of } if of == id => return Ok(records),
                other => return Err(failed("RECORDs, then LOCALLY COMPLETE", name(&other))),
            }
        }
        Err(failed("LOCALLY COMPLETE", "more records than there can be"))
    }

    /// What a subscription brings of what is stored, wherever LOCALLY COMPLETE stands among it. The
    /// subscription is ended.
    pub(super) async fn stored(&mut self, filter: &Filter) -> Result<Vec<Bytes>, Stop> {
        let id = self.subscribe(filter).await?;
        let mut records = self.until_complete(id).await?;
        self.send(ClientMessage::Unsubscribe { id }.encode())
            .await?;
        let (more, _) = self.until_closed(id).await?;
        records.extend(more);
        Ok(records)
    }

    /// The replies to the subscription `id` up to its QUERY CLOSED, and the result of that.
    pub(super) async fn until_closed(
        &mut self,
        id: QueryId,
    ) -> Result<(Vec<Bytes>, ResultCode), Stop> {
        let mut records = Vec::new();
        while records.len() < ANSWER_MAX_MESSAGES {
            match self.message().await?.0 {
                ServerMessage::Record { id: of, record } if of == id => records.push(record),
                ServerMessage::LocallyComplete { id: of } if of == id => {}
                ServerMessage::QueryClosed { id: of, result } if of == id => {
                    return Ok((records, result));
                }
                other => return Err(failed("QUERY CLOSED", name(&other))),
            }
        }
        Err(failed("QUERY CLOSED", "more records than there can be"))
    }

    /// The IDs of what the subscription `id` brings up to `last`, that one included.
    pub(super) async fn until_record(
        &mut self,
        id: QueryId,
        last: &Record,
    ) -> Result<Vec<RecordId>, Stop> {
        let mut found = Vec::new();
        while found.len() < ANSWER_MAX_MESSAGES {
            match self.message().await?.0 {
                ServerMessage::Record { id: of, record } if of == id => {
                    found.push(id_of(&record)?);
                    if found.last() == Some(&last.id()) {
                        return Ok(found);
                    }
                }
                ServerMessage::LocallyComplete { id: of } if of == id => {}
                other => return Err(failed("RECORDs of the subscription", name(&other))),
            }
        }
        Err(failed("a record", "more others than there can be"))
    }

    /// A round trip: whatever was sent before it was dealt with when it is over. No check but the
    /// one about it is disturbed by a LOCALLY COMPLETE too many.
    pub(super) async fn fence(&mut self) -> Result<(), Stop> {
        let id = self.new_id();
        self.send(ClientMessage::Unsubscribe { id }.encode())
            .await?;
        for _ in 0..ANSWER_MAX_MESSAGES {
            match self.message().await?.0 {
                ServerMessage::QueryClosed { id: of, .. } if of == id => return Ok(()),
                ServerMessage::LocallyComplete { .. } => {}
                other => return Err(failed("QUERY CLOSED", name(&other))),
            }
        }
        Err(failed("QUERY CLOSED", "LOCALLY COMPLETE without end"))
    }
}

/// 0 is never sent. TOO_FAST is what a server may always say.
fn check_result(message: &ServerMessage) -> Result<(), Stop> {
    let result = match message {
        ServerMessage::HelloAck { result, .. }
        | ServerMessage::Closing { result }
        | ServerMessage::QueryClosed { result, .. }
        | ServerMessage::SubmissionResult { result, .. }
        | ServerMessage::BlobResult { result, .. }
        | ServerMessage::BlobSubmissionResult { result, .. } => *result,
        _ => return Ok(()),
    };
    match result {
        ResultCode::TooFast => Err(Stop::TooFast),
        _ if result.as_u8() == 0 => Err(failed("a result code", "0, which is never sent")),
        _ => Ok(()),
    }
}

/// What people call `message`.
pub(super) fn name(message: &ServerMessage) -> String {
    match message {
        ServerMessage::HelloAck { result, .. } => format!("HELLO ACK ({result})"),
        ServerMessage::Closing { result } => format!("CLOSING ({result})"),
        ServerMessage::Record { id, .. } => format!("RECORD of query {}", id.0),
        ServerMessage::LocallyComplete { id } => format!("LOCALLY COMPLETE of query {}", id.0),
        ServerMessage::QueryClosed { id, result } => {
            format!("QUERY CLOSED ({result}) of query {}", id.0)
        }
        ServerMessage::SubmissionResult { result, .. } => format!("SUBMISSION RESULT ({result})"),
        ServerMessage::BlobResult { result, .. } => format!("BLOB RESULT ({result})"),
        ServerMessage::BlobSubmissionResult { result, .. } => {
            format!("BLOB SUBMISSION RESULT ({result})")
        }
        ServerMessage::DhtResponse => "DHT RESPONSE".into(),
        ServerMessage::Unrecognized => "UNRECOGNIZED".into(),
        ServerMessage::Extension(reply) => format!("extension reply {:#04x}", reply.kind),
    }
}

/// More replies than any check's records can make.
const ANSWER_MAX_MESSAGES: usize = 4_096;
