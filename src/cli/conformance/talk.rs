//! A stream on which a check speaks: every byte out is the check's, every message in is kept as it
//! came.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::check::{Stop, failed};
use crate::base::{Role, limits};
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

/// What an answer may come to yet: a server that sends without end must not fill the memory.
#[derive(Debug)]
pub(super) struct Allowance {
    messages: usize,
    bytes: usize,
}

impl Allowance {
    /// That of a whole answer.
    pub(super) const fn new() -> Self {
        Self {
            messages: limits::CONFORMANCE_ANSWER_MAX_MESSAGES,
            bytes: limits::CONFORMANCE_ANSWER_MAX_BYTES,
        }
    }

    /// Takes a message off; fails where it is one too many, or too long.
    fn spend(&mut self, message: &Bytes) -> Result<(), Stop> {
        let left = |left: usize, spent, most: usize, unit: &str| {
            left.checked_sub(spent).ok_or_else(|| {
                failed(
                    format!("an answer of at most {most} {unit}"),
                    "more than that",
                )
            })
        };
        let most = limits::CONFORMANCE_ANSWER_MAX_MESSAGES;
        self.messages = left(self.messages, 1, most, "messages")?;
        let most = limits::CONFORMANCE_ANSWER_MAX_BYTES;
        self.bytes = left(self.bytes, message.len(), most, "bytes")?;
        Ok(())
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

    /// The next message of an answer, as it came too, while that is no longer than it may be.
    pub(super) async fn part(
        &mut self,
        allowance: &mut Allowance,
    ) -> Result<(ServerMessage, Bytes), Stop> {
        let (message, bytes) = self.message().await?;
        allowance.spend(&bytes)?;
        Ok((message, bytes))
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

    /// Asks to bind the stream to `role`, and tells the result.
    pub(super) async fn bind(&mut self, role: Role) -> Result<ResultCode, Stop> {
        let open = RoleOpen {
            role: role.into(),
            app: None,
        };
        self.send(open.encode(1)).await?;
        match self.message().await?.0 {
            ServerMessage::Extension(reply) if reply.kind == RoleStatus::KIND => {
                let status = RoleStatus::decode(&reply.body)
                    .map_err(|error| failed("a ROLE STATUS that decodes", error.to_string()))?;
                Ok(status.result)
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

    /// Whether a GET by its ID brings `record`, and nothing else.
    pub(super) async fn gets(&mut self, record: &Record) -> Result<bool, Stop> {
        let answer = self.get(vec![Reference::Id(record.id())]).await?;
        Ok(answer.records == [record.bytes()])
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
        let mut allowance = Allowance::new();
        loop {
            let (message, raw) = self.part(&mut allowance).await?;
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
        match self.until_settled(id).await? {
            (records, None) => Ok(records),
            (_, Some(result)) => Err(failed(
                "RECORDs, then LOCALLY COMPLETE",
                format!("QUERY CLOSED ({result})"),
            )),
        }
    }

    /// The same of one that may be refused; then the result as well.
    pub(super) async fn until_settled(
        &mut self,
        id: QueryId,
    ) -> Result<(Vec<Bytes>, Option<ResultCode>), Stop> {
        let mut records = Vec::new();
        let mut allowance = Allowance::new();
        loop {
            match self.part(&mut allowance).await?.0 {
                ServerMessage::Record { id: of, record } if of == id => records.push(record),
                ServerMessage::LocallyComplete { id: of } if of == id => {
                    return Ok((records, None));
                }
                ServerMessage::QueryClosed { id: of, result } if of == id => {
                    return Ok((records, Some(result)));
                }
                other => return Err(failed("RECORDs, then LOCALLY COMPLETE", name(&other))),
            }
        }
    }

    /// What a subscription brings of what is stored, wherever LOCALLY COMPLETE stands among it. The
    /// subscription is ended. One that is refused brings nothing.
    pub(super) async fn stored(&mut self, filter: &Filter) -> Result<Vec<Bytes>, Stop> {
        let id = self.subscribe(filter).await?;
        let (mut records, refused) = self.until_settled(id).await?;
        if refused.is_some() {
            return Ok(records);
        }
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
        let mut allowance = Allowance::new();
        loop {
            match self.part(&mut allowance).await?.0 {
                ServerMessage::Record { id: of, record } if of == id => records.push(record),
                ServerMessage::LocallyComplete { id: of } if of == id => {}
                ServerMessage::QueryClosed { id: of, result } if of == id => {
                    return Ok((records, result));
                }
                other => return Err(failed("QUERY CLOSED", name(&other))),
            }
        }
    }

    /// The IDs of what the subscription `id` brings up to `last`, that one included.
    pub(super) async fn until_record(
        &mut self,
        id: QueryId,
        last: &Record,
    ) -> Result<Vec<RecordId>, Stop> {
        let mut found = Vec::new();
        let mut allowance = Allowance::new();
        loop {
            match self.part(&mut allowance).await?.0 {
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
    }

    /// A round trip: whatever was sent before it was dealt with when it is over. No check but the
    /// one about it is disturbed by a LOCALLY COMPLETE too many.
    pub(super) async fn fence(&mut self) -> Result<(), Stop> {
        let id = self.new_id();
        self.send(ClientMessage::Unsubscribe { id }.encode())
            .await?;
        let mut allowance = Allowance::new();
        loop {
            match self.part(&mut allowance).await?.0 {
                ServerMessage::QueryClosed { id: of, .. } if of == id => return Ok(()),
                ServerMessage::LocallyComplete { .. } => {}
                other => return Err(failed("QUERY CLOSED", name(&other))),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::super::world::{UNIQUE, record, signed};
    use super::*;
    use crate::client::testing::{Listener, ServerStream};
    use crate::wire::{FilterBuilder, SecretKey};

    fn large() -> Record {
        let key = SecretKey::from_seed([7; 32]);
        let payload = vec![b'.'; limits::RECORD_MAX_BYTES / 2];
        signed(record(&key, UNIQUE).unwrap().payload(payload), &key).unwrap()
    }

    /// Why `hearing` ends where the server answers what it is asked with `message` without end.
    async fn flooded(
        message: impl Fn(QueryId) -> ServerMessage,
        hearing: impl AsyncFnOnce(&mut Talk) -> Stop,
    ) -> Stop {
        let listener = Listener::new(1);
        let patience = limits::CLIENT_TIMEOUT;
        let connecting = RawConnection::connect(&listener.target, None, patience);
        let (connection, (served, _)) = tokio::join!(connecting, listener.accept());
        let connection = connection.unwrap();
        let stream = connection.open().await.unwrap();
        let mut talk = Talk::new(connection, stream, patience);
        let flooding = async {
            let mut stream = ServerStream::accept(&served).await.unwrap();
            let id = match stream.receive().await.unwrap().unwrap() {
                ClientMessage::Unsubscribe { id } => id,
                ClientMessage::Get { id, .. } | ClientMessage::Subscribe { id, .. } => id,
                other => panic!("{other:?}"),
            };
            let bytes = message(id).encode();
            loop {
                stream.send_bytes(bytes.clone()).await;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            stop = hearing(&mut talk) => stop,
            () = flooding => unreachable!("it has no end"),
        }
    }

    fn filter() -> Filter {
        FilterBuilder::new()
            .kinds([large().view().kind()])
            .build()
            .unwrap()
    }

    fn assert_too_long(stop: &Stop, unit: &str) {
        match stop {
            Stop::Failed { expected, .. } => assert!(expected.ends_with(unit), "{expected}"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_answer_of_too_many_bytes_fails_the_check_before_it_fills_the_memory() {
        let record = large();
        let bytes = record.bytes().clone();
        let endless = |id| ServerMessage::Record {
            id,
            record: bytes.clone(),
        };
        let reference = Reference::Id(record.id());
        let stop = flooded(endless, async |talk| {
            talk.get(vec![reference]).await.unwrap_err()
        });
        assert_too_long(&stop.await, "bytes");
        let stop = flooded(endless, async |talk| {
            let id = talk.subscribe(&filter()).await.unwrap();
            talk.until_complete(id).await.unwrap_err()
        });
        assert_too_long(&stop.await, "bytes");
        let stop = flooded(endless, async |talk| {
            let id = talk.subscribe(&filter()).await.unwrap();
            talk.until_closed(id).await.unwrap_err()
        });
        assert_too_long(&stop.await, "bytes");
        let stop = flooded(endless, async |talk| {
            let id = talk.subscribe(&filter()).await.unwrap();
            talk.until_record(id, &large()).await.unwrap_err()
        });
        assert_too_long(&stop.await, "bytes");
    }

    #[tokio::test]
    async fn an_answer_of_too_many_messages_fails_the_check() {
        let endless = |id| ServerMessage::LocallyComplete { id };
        let stop = flooded(endless, async |talk| talk.fence().await.unwrap_err());
        assert_too_long(&stop.await, "messages");
        let stop = flooded(endless, async |talk| {
            let id = talk.subscribe(&filter()).await.unwrap();
            talk.until_closed(id).await.unwrap_err()
        });
        assert_too_long(&stop.await, "messages");
    }
}
