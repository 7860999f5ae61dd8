//! A stream on which requests are made: one method for each message, one for each answer.

mod extensions;
mod operator;

use bytes::Bytes;

use self::extensions::refuse;
use self::operator::OpenOrder;
use crate::base::{Role, RoleSet, limits};
use crate::session::asks::Asks;
use crate::session::blobs::{self, Blobs};
use crate::session::connection::{Connection, HeldBytes, Hello};
use crate::session::event::{Action, ReadRequest, Ticket};
use crate::session::excess::Excess;
use crate::session::fault::Fault;
use crate::session::output::Output;
use crate::session::reads::{OpenRead, Progress, Reads};
use crate::session::submissions::Submissions;
use crate::wire::{
    BlobHash, BodyRefusal, ClientMessage, Filter, MessageType, QueryId, Record, ResultCode,
    ServerMessage, Subject, record_header,
};

/// A stream on which requests are made.
#[derive(Debug)]
pub(super) struct Open {
    stance: Stance,
    reads: Reads,
    submissions: Submissions,
    /// INFO requests without an answer, with their request IDs.
    infos: Vec<(Ticket, u16)>,
    asks: Asks,
    /// The operator's order that is under way: one at a time.
    order: Option<OpenOrder>,
    blobs: Blobs,
}

/// What the stream is for.
#[derive(Clone, Copy, Debug)]
enum Stance {
    /// Nothing but HELLO came yet, so ROLE OPEN may.
    Undecided,
    /// For every role.
    Unbound,
    /// For one role, and of the application role perhaps for one application.
    Bound { role: Role, app: Option<u32> },
    /// For the orders of an operator, and for no records.
    Operator,
}

/// What becomes of the stream after a message.
#[derive(Debug)]
pub(super) enum Next {
    /// It goes on.
    Go,
    /// No more is read; what was asked is answered.
    Deaf,
    /// No more is read, and this is the last word once submissions in flight have their results.
    Close(Option<ServerMessage>),
    /// The peer broke the protocol so that its connection is closed.
    Violation(Fault),
}

impl Open {
    pub(super) fn new() -> Self {
        Self {
            stance: Stance::Undecided,
            reads: Reads::default(),
            submissions: Submissions::default(),
            infos: Vec::new(),
            asks: Asks::default(),
            order: None,
            blobs: Blobs::default(),
        }
    }

    /// Whether further messages wait until some request has its answer.
    pub(super) fn is_full(&self) -> bool {
        self.submissions.is_full()
            || self.infos.len() >= limits::STREAM_INFOS_MAX
            || self.asks.is_full()
            || self.order.is_some()
            || self.blobs.is_waiting()
    }

    /// Whether every request has its answer.
    pub(super) fn is_idle(&self) -> bool {
        self.reads.is_empty()
            && self.submissions.is_empty()
            && self.infos.is_empty()
            && self.asks.is_idle()
            && self.order.is_none()
            && self.blobs.is_idle()
    }

    /// Cancels what is read, forgets what was asked, and keeps the submissions in flight and the
    /// BLOBs that are being stored or sent.
    pub(super) fn into_rest(mut self, output: &mut Output) -> (Submissions, Blobs) {
        self.reads.cancel_all(output);
        self.blobs.wind_up(output);
        (self.submissions, self.blobs)
    }

    /// The BLOBs of the stream.
    pub(super) const fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The BLOBs of the stream, to tell them what happened.
    pub(super) const fn blobs_mut(&mut self) -> &mut Blobs {
        &mut self.blobs
    }

    /// Carries out one message.
    pub(super) fn message(
        &mut self,
        message: ClientMessage,
        connection: &Connection,
        output: &mut Output,
    ) -> Next {
        let stance = self.stance;
        if !matches!(message, ClientMessage::Hello { .. }) {
            self.leave_undecided();
        }
        if matches!(self.stance, Stance::Operator)
            && let Some(next) = operator::refuse_records(&message, connection, output)
        {
            return next;
        }
        match message {
            ClientMessage::Hello { version: _, apps } => return hello(&apps, connection, output),
            ClientMessage::HelloAuth => return Next::Violation(Fault::HelloAuth),
            ClientMessage::Get { id, references } => {
                let request = ReadRequest::Get(references);
                self.read(id, request, connection, output);
            }
            ClientMessage::Query { id, limit, filter } => {
                let request = ReadRequest::Query { filter, limit };
                self.read(id, request, connection, output);
            }
            ClientMessage::Subscribe { id, limit, filter } => {
                let request = ReadRequest::Subscribe { filter, limit };
                self.read(id, request, connection, output);
            }
            ClientMessage::Unsubscribe { id } => self.unsubscribe(id, output),
            ClientMessage::Submission { record } => self.submit(record, connection, output),
            ClientMessage::BlobGet { hash } => {
                self.blobs.get(BlobHash::from_bytes(hash), output);
            }
            ClientMessage::BlobSubmission { hash, data_bytes } => {
                return self.submit_blob(
                    BlobHash::from_bytes(hash),
                    data_bytes,
                    connection,
                    output,
                );
            }
            ClientMessage::DhtLookup => return unrecognized(),
            ClientMessage::Unrecognized => return Next::Close(None),
            ClientMessage::Extension(request) => {
                return self.extension(&request, stance, connection, output);
            }
        }
        Next::Go
    }

    /// Answers a message of type `kind` that can not be carried out for `fault`, as far as its
    /// bytes tell where the answer belongs.
    pub(super) fn broken(
        &mut self,
        kind: u8,
        subject: Subject,
        fault: &Fault,
        connection: &Connection,
        output: &mut Output,
    ) -> Next {
        self.leave_undecided();
        match subject {
            Subject::Query(id) => {
                self.reads.cancel(id, output);
                close_query(id, fault.code(), output);
                Next::Go
            }
            Subject::Record(id_prefix) => {
                submission_result(fault.code(), id_prefix, output);
                Next::Go
            }
            // A head that breaks off: nobody waits for an answer to half a hash.
            Subject::Blob(_) => Next::Go,
            Subject::Request(request_id) => {
                let refusal = BodyRefusal {
                    result: fault.code(),
                    why: fault.to_string(),
                };
                refuse(&refusal, kind, request_id, connection, output)
            }
            Subject::None => match MessageType::from_u8(kind) {
                Some(MessageType::Hello) => hello(&[], connection, output),
                Some(MessageType::HelloAuth) => Next::Violation(Fault::HelloAuth),
                Some(MessageType::Submission) => {
                    submission_result(fault.code(), [0; ID_PREFIX_BYTES], output);
                    Next::Go
                }
                Some(_) | None => unrecognized(),
            },
        }
    }

    /// Sends records that a read has found.
    pub(super) fn records(
        &mut self,
        ticket: Ticket,
        records: Vec<Record>,
        connection: &Connection,
        output: &mut Output,
    ) {
        let Some(read) = self.reads.by_ticket(ticket) else {
            return;
        };
        // They were found while the role was open. The news that it is not any more is on its way
        // and will end the read.
        if !read.is_whole(&connection.settings().gate) {
            return;
        }
        if let Progress::Get { found } = &mut read.progress {
            *found |= !records.is_empty();
        }
        for record in records {
            let record = record.bytes().clone();
            let header = record_header(read.id, record.len());
            output.push(Action::SendRecord { header, record });
        }
    }

    /// Tells the peer that a subscription has delivered what was stored.
    pub(super) fn locally_complete(
        &mut self,
        ticket: Ticket,
        connection: &Connection,
        output: &mut Output,
    ) {
        let Some(read) = self.reads.by_ticket(ticket) else {
            return;
        };
        if read.progress == Progress::Stored && read.is_whole(&connection.settings().gate) {
            read.progress = Progress::Live;
            output.send(&ServerMessage::LocallyComplete { id: read.id });
        }
    }

    /// Tells the peer that a read has ended.
    pub(super) fn ended(
        &mut self,
        ticket: Ticket,
        result: ResultCode,
        connection: &Connection,
        output: &mut Output,
    ) {
        if let Some(read) = self.reads.remove(ticket) {
            let result = if read.is_whole(&connection.settings().gate) {
                read.closing_result(result)
            } else {
                ResultCode::TemporaryError
            };
            close_query(read.id, result, output);
        }
    }

    /// Tells the peer what became of a submission.
    pub(super) fn submitted(&mut self, ticket: Ticket, result: ResultCode, output: &mut Output) {
        self.submissions.answer(ticket, result, output);
    }

    /// Ends the reads that lost a role; those that are left read from the roles that opened, too.
    pub(super) fn gate_moved(&mut self, connection: &Connection, output: &mut Output) {
        let gate = &connection.settings().gate;
        // The epoch first: what moves from here on will be told once more.
        let epoch = gate.epoch();
        self.reads.close_shut(gate, output);
        self.reads.widen(self.reach(gate.open()), epoch);
    }

    fn leave_undecided(&mut self) {
        if let Stance::Undecided = self.stance {
            self.stance = Stance::Unbound;
        }
    }

    fn read(
        &mut self,
        id: QueryId,
        request: ReadRequest,
        connection: &Connection,
        output: &mut Output,
    ) {
        // Before the roles are looked at: one that is shut in between is noticed.
        let epoch = connection.settings().gate.epoch();
        // The client names something else by that ID now, even if the new request is refused.
        self.reads.cancel(id, output);
        let (scope, held) = match self.check_read(&request, connection) {
            Ok(granted) => granted,
            Err(fault) => {
                match &fault {
                    Fault::Excess(excess) => connection.note(*excess),
                    fault => tracing::debug!(%fault, "read refused"),
                }
                return close_query(id, fault.code(), output);
            }
        };
        let progress = match &request {
            ReadRequest::Get(_) => Progress::Get { found: false },
            ReadRequest::Query { .. } => Progress::Query,
            ReadRequest::Subscribe { .. } => Progress::Stored,
        };
        let ticket = output.ticket();
        self.reads.insert(OpenRead {
            id,
            ticket,
            progress,
            scope,
            epoch,
            held,
        });
        let (bound, app) = self.binding();
        output.push(Action::Read {
            ticket,
            request,
            bound,
            app,
        });
    }

    /// The roles a request would read from, and the room for it.
    fn check_read(
        &self,
        request: &ReadRequest,
        connection: &Connection,
    ) -> Result<(RoleSet, HeldBytes), Fault> {
        let settings = connection.settings();
        if settings.refuse_wide_filters && filter(request).is_some_and(|it| !it.is_narrow()) {
            return Err(Excess::WideFilter.into());
        }
        check_roles(connection)?;
        let scope = self.reach(settings.gate.open());
        if scope.is_empty() {
            return Err(Fault::Shut);
        }
        let private = matches!(
            self.stance,
            Stance::Bound {
                role: Role::Encryption,
                ..
            }
        );
        if private && connection.peer().key().is_none() {
            return Err(Fault::AnonymousPrivateRead);
        }
        if self.reads.is_full() {
            return Err(Excess::Reads.into());
        }
        let held = connection.hold(request.held_bytes());
        Ok((scope, held.ok_or(Excess::ReadsBytes)?))
    }

    /// Of the roles that are `open`, those that the stream is for.
    fn reach(&self, open: RoleSet) -> RoleSet {
        match self.stance {
            Stance::Undecided | Stance::Unbound => open,
            Stance::Operator => RoleSet::EMPTY,
            Stance::Bound { role, .. } => open.intersection(RoleSet::of(role)),
        }
    }

    fn unsubscribe(&mut self, id: QueryId, output: &mut Output) {
        let result = if self.reads.cancel(id, output) {
            ResultCode::Success
        } else {
            ResultCode::NotFound
        };
        close_query(id, result, output);
    }

    fn submit(&mut self, bytes: Bytes, connection: &Connection, output: &mut Output) {
        let id_prefix = id_prefix(&bytes);
        let length_bytes = bytes.len();
        let record = match check_submission(bytes, connection) {
            Ok(record) => record,
            Err(fault) => {
                tracing::debug!(%fault, "submission refused");
                return submission_result(fault.code(), id_prefix, output);
            }
        };
        let ticket = output.ticket();
        self.submissions.insert(ticket, id_prefix, length_bytes);
        let (bound, app) = self.binding();
        output.push(Action::Submit {
            ticket,
            record,
            bound,
            app,
        });
    }

    fn submit_blob(
        &mut self,
        hash: BlobHash,
        data_bytes: u64,
        connection: &Connection,
        output: &mut Output,
    ) -> Next {
        if let Some(held) = connection.hold_upload() {
            self.blobs.submit(hash, data_bytes, held, output);
            return Next::Go;
        }
        let excess = Excess::Uploads;
        connection.note(excess);
        refuse_blob(hash, data_bytes, excess.result(), output)
    }

    fn binding(&self) -> (Option<Role>, Option<u32>) {
        match self.stance {
            Stance::Undecided | Stance::Unbound | Stance::Operator => (None, None),
            Stance::Bound { role, app } => (Some(role), app),
        }
    }
}

/// Whether the listener has roles at all: one without has no store either, so that neither a read
/// nor a submission could come to anything, today or later.
fn check_roles(connection: &Connection) -> Result<(), Fault> {
    if connection.settings().gate.configured().is_empty() {
        return Err(Fault::NoRole);
    }
    Ok(())
}

/// The record of a submission, if it is one and there is any role that could take it.
fn check_submission(bytes: Bytes, connection: &Connection) -> Result<Record, Fault> {
    let record = Record::parse(bytes)?;
    check_roles(connection)?;
    Ok(record)
}

fn hello(apps: &[u32], connection: &Connection, output: &mut Output) -> Next {
    let (result, apps) = match connection.hello(apps) {
        Hello::First(greeting) => {
            if connection.peer().key().is_some() {
                output.push(Action::Greeted);
            }
            (ResultCode::Success, greeting.apps.to_vec())
        }
        // Nothing new is granted; a list would make much of a short message.
        Hello::Again => (ResultCode::Duplicate, Vec::new()),
        Hello::TooLate => return Next::Close(None),
    };
    output.send(&ServerMessage::HelloAck {
        result,
        version: MAJOR_VERSION,
        apps,
    });
    Next::Go
}

fn unrecognized() -> Next {
    Next::Close(Some(ServerMessage::Unrecognized))
}

fn close_query(id: QueryId, result: ResultCode, output: &mut Output) {
    output.send(&ServerMessage::QueryClosed { id, result });
}

/// Answers a BLOB that is not even asked about. Where too many data follow to be thrown away,
/// nothing more is read.
fn refuse_blob(hash: BlobHash, data_bytes: u64, result: ResultCode, output: &mut Output) -> Next {
    blobs::answer(hash, result, output);
    if data_bytes > limits::BLOB_DISCARD_MAX_BYTES {
        Next::Deaf
    } else {
        Next::Go
    }
}

pub(super) fn submission_result(result: ResultCode, id_prefix: [u8; 32], output: &mut Output) {
    output.send(&ServerMessage::SubmissionResult { result, id_prefix });
}

fn filter(request: &ReadRequest) -> Option<&Filter> {
    match request {
        ReadRequest::Get(_) => None,
        ReadRequest::Query { filter, .. } | ReadRequest::Subscribe { filter, .. } => Some(filter),
    }
}

/// The first bytes of what should be a record, with zeroes behind them where there are too few.
fn id_prefix(record: &[u8]) -> [u8; ID_PREFIX_BYTES] {
    let mut prefix = [0; ID_PREFIX_BYTES];
    for (to, from) in prefix.iter_mut().zip(record) {
        *to = *from;
    }
    prefix
}

/// The major version of the specification that is spoken here; there is none below it to choose.
const MAJOR_VERSION: u16 = 0;

/// How much of a record's ID a SUBMISSION RESULT repeats.
const ID_PREFIX_BYTES: usize = 32;
