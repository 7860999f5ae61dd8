//! One stream: from its first byte to its end.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::blobs::{Blobs, Reading};
use super::connection::Connection;
use super::countdown::Countdown;
use super::event::{Action, BlobNews, Event, Intake, Ticket};
use super::excess::Excess;
use super::fault::Fault;
use super::open::{Next, Open};
use super::output::Output;
use super::submissions::Submissions;
use crate::base::limits;
use crate::wire::{
    ClientMessage, Direction, Frame, FrameError, FrameReader, MessageError, MessageType,
    ResultCode, ServerMessage, Subject,
};

/// One bidirectional stream of a connection, as the server sees it.
///
/// Times are the driver's: nothing here looks at a clock.
#[derive(Debug)]
pub struct Stream {
    connection: Arc<Connection>,
    state: State,
    output: Output,
    /// Whether the driver reads what the peer sends.
    intake: Intake,
}

#[derive(Debug)]
enum State {
    /// No message came yet. The connection's HELLO may have come on another stream.
    AwaitHello { input: Input, time: Countdown },
    /// Requests are made and answered.
    Open { input: Input, open: Box<Open> },
    /// Nothing more is read; submissions in flight get their results, a BLOB that is being sent is
    /// sent to its end, and then there is a last word.
    Closing {
        submissions: Submissions,
        blobs: Blobs,
        last_word: Option<ServerMessage>,
    },
    /// Everything was said.
    Finished,
}

/// What the peer sends.
#[derive(Debug)]
struct Input {
    frames: FrameReader,
    rest: Rest,
    arriving: Option<Arriving>,
    /// How many times [`limits::BLOB_PROGRESS_BYTES`] are still to come of a BLOB that is arriving.
    stretches: u64,
}

/// A message that has begun and not ended.
#[derive(Clone, Copy, Debug)]
struct Arriving {
    /// How many messages came before it.
    place: u64,
    /// Of a BLOB, the stretch that is arriving.
    stretch: u64,
    /// Until its last byte, or the last one of that stretch, must be here.
    time: Countdown,
}

/// What a stream waits for no longer than until some time.
#[derive(Clone, Copy, Debug)]
enum Awaited {
    /// The connection's HELLO.
    Hello(Instant),
    /// The end of a message.
    MessageEnd(Instant),
}

/// What is still to come of what the peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// More bytes.
    Bytes,
    /// No more bytes, but perhaps messages among those that are here.
    Messages,
    /// Nothing.
    Nothing,
}

impl Stream {
    /// A stream that the peer opened at the time `opened`.
    #[must_use]
    pub fn new(connection: Arc<Connection>, opened: Instant) -> Self {
        let input = Input {
            frames: FrameReader::new(Direction::ToServer),
            rest: Rest::Bytes,
            arriving: None,
            stretches: 0,
        };
        let time = Countdown::new(limits::HELLO_TIMEOUT, opened);
        Self {
            connection,
            state: State::AwaitHello { input, time },
            output: Output::default(),
            intake: Intake::Reads,
        }
    }

    /// Takes in what happened, at the time `now`. Fetch every action afterwards.
    ///
    /// Events about a ticket whose request was answered, cancelled or never made are ignored, and
    /// so is everything once the stream is finished.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Bytes(bytes) => self.push_bytes(bytes),
            Event::Intake(intake) => self.intake = intake,
            Event::PeerFinished => self.peer_finished(),
            Event::Submitted { ticket, result } => self.submitted(ticket, result),
            Event::Records { ticket, records } => {
                self.on_open(|open, connection, output| {
                    open.records(ticket, records, connection, output);
                });
            }
            Event::LocallyComplete { ticket } => {
                self.on_open(|open, connection, output| {
                    open.locally_complete(ticket, connection, output);
                });
            }
            Event::Ended { ticket, result } => {
                self.on_open(|open, connection, output| {
                    open.ended(ticket, result, connection, output);
                });
            }
            Event::Exceeded { ticket, excess } => self.exceeded(ticket, excess),
            Event::Info { ticket, reply } => {
                self.on_open(|open, connection, output| {
                    open.info(ticket, reply, connection, output);
                });
            }
            Event::Answered { ticket, answer } => {
                self.on_open(|open, _, output| open.answered(ticket, &answer, output));
            }
            Event::AskEnded { ticket } => {
                self.on_open(|open, _, output| open.ask_ended(ticket, output));
            }
            Event::Reported { ticket, report } => {
                self.on_open(|open, _, output| open.reported(ticket, report, output));
            }
            Event::Blob { ticket, news } => self.blob(ticket, news),
            Event::GateMoved => {
                self.on_open(|open, connection, output| open.gate_moved(connection, output));
            }
            Event::Dismissed { result } => self.end_connection(result),
            Event::Shutdown => self.close(Some(ServerMessage::Closing {
                result: ResultCode::ShuttingDown,
            })),
            Event::Deadline => self.deadline(now),
        }
        self.carry_out_messages();
        self.watch_input(now);
        self.finish_when_done();
    }

    /// The next thing to do. Fetched until there is none after every event, so that what waits
    /// here is never more than the answers to one event.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.output.pop()
    }

    /// When [`Event::Deadline`] is due, if nothing else happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.awaited().map(|awaited| match awaited {
            Awaited::Hello(deadline) | Awaited::MessageEnd(deadline) => deadline,
        })
    }

    /// Whether bytes are to be read from the peer now. Where not, they stay in the transport,
    /// whose flow control then holds the peer back.
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        match &self.state {
            State::AwaitHello { input, .. } => input.rest == Rest::Bytes,
            State::Open { input, open } => input.rest == Rest::Bytes && !open.is_full(),
            State::Closing { .. } | State::Finished => false,
        }
    }

    /// Whether the data of a BLOB are being sent. Then whatever else there is to tell the peer
    /// waits, so a driver does well not to fetch it.
    #[must_use]
    pub fn is_sending_blob(&self) -> bool {
        match &self.state {
            State::Open { open, .. } => open.blobs().is_sending(),
            State::Closing { blobs, .. } => blobs.is_sending(),
            State::AwaitHello { .. } | State::Finished => false,
        }
    }

    fn awaited(&self) -> Option<Awaited> {
        match &self.state {
            // A message that has begun meanwhile has more time than that.
            State::AwaitHello { time, .. } if !self.connection.is_greeted() => {
                time.deadline().map(Awaited::Hello)
            }
            State::AwaitHello { input, .. } | State::Open { input, .. } => input
                .arriving
                .and_then(|arriving| arriving.time.deadline())
                .map(Awaited::MessageEnd),
            State::Closing { .. } | State::Finished => None,
        }
    }

    fn input(&mut self) -> Option<&mut Input> {
        match &mut self.state {
            State::AwaitHello { input, .. } | State::Open { input, .. } => Some(input),
            State::Closing { .. } | State::Finished => None,
        }
    }

    fn on_open(&mut self, answer: impl FnOnce(&mut Open, &Connection, &mut Output)) {
        if let State::Open { open, .. } = &mut self.state {
            answer(open, &self.connection, &mut self.output);
        }
    }

    fn push_bytes(&mut self, bytes: Bytes) {
        if let Some(input) = self.input()
            && input.rest == Rest::Bytes
        {
            input.frames.push(bytes);
        }
    }

    fn peer_finished(&mut self) {
        if let Some(input) = self.input()
            && input.rest == Rest::Bytes
        {
            input.rest = Rest::Messages;
        }
    }

    fn submitted(&mut self, ticket: Ticket, result: ResultCode) {
        let output = &mut self.output;
        match &mut self.state {
            State::Open { open, .. } => open.submitted(ticket, result, output),
            State::Closing { submissions, .. } => submissions.answer(ticket, result, output),
            State::AwaitHello { .. } | State::Finished => {}
        }
    }

    /// Answers whichever request that is: a ticket names one.
    fn exceeded(&mut self, ticket: Ticket, excess: Excess) {
        self.connection.note(excess);
        let result = excess.result();
        self.on_open(|open, connection, output| open.ended(ticket, result, connection, output));
        self.submitted(ticket, result);
        self.blob(ticket, BlobNews::Submitted(result));
        self.blob(ticket, BlobNews::NotSent(result));
    }

    /// Carries out what happened to a BLOB.
    fn blob(&mut self, ticket: Ticket, news: BlobNews) {
        let output = &mut self.output;
        let blobs = match &mut self.state {
            State::Open { open, .. } => open.blobs_mut(),
            State::Closing { blobs, .. } => blobs,
            State::AwaitHello { .. } | State::Finished => return,
        };
        match news {
            BlobNews::Taken => blobs.taken(ticket, output),
            BlobNews::Submitted(result) => {
                if blobs.submitted(ticket, result, output) == Reading::Ends {
                    self.read_no_more();
                }
            }
            BlobNews::Found { data_bytes } => blobs.found(ticket, data_bytes, output),
            BlobNews::Page(data) => blobs.page(ticket, data, output),
            BlobNews::NotSent(result) => {
                if !blobs.not_sent(ticket, result, output) {
                    tracing::debug!(%result, "a BLOB was not sent to its end");
                    output.forget_held();
                    output.push(Action::Reset);
                    self.state = State::Finished;
                }
            }
        }
    }

    /// Reads nothing more of a stream on which requests are still answered.
    fn read_no_more(&mut self) {
        if let Some(input) = self.input() {
            let before = std::mem::replace(&mut input.rest, Rest::Nothing);
            if before == Rest::Bytes {
                self.output.push(Action::StopReading);
            }
        }
    }

    fn deadline(&mut self, now: Instant) {
        match self.awaited() {
            Some(Awaited::Hello(deadline)) if deadline <= now => self.violation(&Fault::NoHello),
            Some(Awaited::MessageEnd(deadline)) if deadline <= now => self.cut_off(),
            Some(_) | None => {}
        }
    }

    /// Gives up on the message that has not ended in time, and with it on the stream: where the
    /// next one would begin will not be known.
    fn cut_off(&mut self) {
        tracing::debug!("a message did not end in time");
        let broken = self.input().and_then(|input| input.frames.finish().err());
        let next = broken.map_or(Next::Go, |error| self.broken_frame(error));
        match next {
            Next::Go | Next::Deaf => self.close(None),
            Next::Close(last_word) => self.close(last_word),
            Next::Violation(fault) => self.violation(&fault),
        }
    }

    /// Notes until when what is arriving must be here, which depends on whether it is read.
    fn watch_input(&mut self, now: Instant) {
        let intake = self.intake;
        let (input, is_full) = match &mut self.state {
            State::AwaitHello { input, time } => {
                time.set(intake, now);
                (input, false)
            }
            State::Open { input, open } => (input, open.is_full()),
            State::Closing { .. } | State::Finished => return,
        };
        // What waits for answers, or breaks off, does not wait for the peer.
        let place = match input.rest {
            Rest::Bytes if !is_full => input.frames.arriving(),
            Rest::Bytes | Rest::Messages | Rest::Nothing => None,
        };
        let stretch = input.stretches;
        let before = input
            .arriving
            .map(|arriving| (arriving.place, arriving.stretch));
        if before != place.map(|place| (place, stretch)) {
            input.arriving = place.map(|place| Arriving {
                place,
                stretch,
                time: Countdown::new(limits::MESSAGE_TIMEOUT, now),
            });
        }
        if let Some(arriving) = &mut input.arriving {
            arriving.time.set(intake, now);
        }
    }

    /// Carries out the messages that are here, until one has to wait.
    fn carry_out_messages(&mut self) {
        if self.begins_before_hello() {
            return self.violation(&Fault::BeforeHello);
        }
        while let Some(frame) = self.next_frame() {
            match self.frame(frame) {
                Next::Go => {}
                Next::Deaf => self.read_no_more(),
                Next::Close(last_word) => self.close(last_word),
                Next::Violation(fault) => self.violation(&fault),
            }
        }
    }

    /// Whether the first message begins like another than HELLO, which must come first. What
    /// follows of it, perhaps a megabyte, is not waited for.
    fn begins_before_hello(&self) -> bool {
        let State::AwaitHello { input, .. } = &self.state else {
            return false;
        };
        let kind = input.frames.peek_kind();
        kind.is_some_and(|kind| MessageType::from_u8(kind) != Some(MessageType::Hello))
            && !self.connection.is_greeted()
    }

    fn next_frame(&mut self) -> Option<Result<Frame, FrameError>> {
        let input = match &mut self.state {
            State::AwaitHello { input, .. } => input,
            State::Open { input, open } if !open.is_full() => input,
            State::Open { .. } | State::Closing { .. } | State::Finished => return None,
        };
        match input.frames.next() {
            Ok(Some(frame)) => Some(Ok(frame)),
            Ok(None) if input.rest == Rest::Messages => {
                input.rest = Rest::Nothing;
                input.frames.finish().err().map(Err)
            }
            Ok(None) => None,
            Err(fault) => Some(Err(fault)),
        }
    }

    fn frame(&mut self, frame: Result<Frame, FrameError>) -> Next {
        match frame {
            Ok(Frame::Message(bytes)) => match ClientMessage::parse(&bytes) {
                Ok(message) => self.message(message),
                Err(error) => self.broken_message(error),
            },
            Ok(Frame::BlobData { data, left_bytes }) => {
                self.blob_data(data, left_bytes);
                Next::Go
            }
            Err(error) => self.broken_frame(error),
        }
    }

    fn blob_data(&mut self, data: Bytes, left_bytes: u64) {
        if let State::Open { input, open } = &mut self.state {
            input.stretches = left_bytes.div_ceil(limits::BLOB_PROGRESS_BYTES);
            open.blobs_mut().data(data, left_bytes, &mut self.output);
        }
    }

    fn message(&mut self, message: ClientMessage) -> Next {
        let is_hello = matches!(message, ClientMessage::Hello { .. });
        let connection = Arc::clone(&self.connection);
        let Some((open, output)) = self.opened(is_hello) else {
            return Next::Violation(Fault::BeforeHello);
        };
        open.message(message, &connection, output)
    }

    fn broken_message(&mut self, error: MessageError) -> Next {
        let MessageError {
            kind,
            subject,
            fault,
        } = error;
        let fault = Fault::from(fault);
        tracing::debug!(%fault, kind, "broken message");
        let connection = Arc::clone(&self.connection);
        let Some((open, output)) = self.opened(false) else {
            return Next::Violation(Fault::BeforeHello);
        };
        open.broken(kind, subject, &fault, &connection, output)
    }

    fn broken_frame(&mut self, error: FrameError) -> Next {
        let connection = Arc::clone(&self.connection);
        let Some((open, output)) = self.opened(false) else {
            return Next::Violation(Fault::BeforeHello);
        };
        let unrecognized = Next::Close(Some(ServerMessage::Unrecognized));
        let (kind, subject, goes_on) = match &error {
            FrameError::UnknownType(_) => return unrecognized,
            FrameError::Truncated {
                subject: Subject::None,
                ..
            } => {
                // The BLOB whose data end too early, if it is one that was taken. For anything else
                // nobody waits for an answer that could not say to what.
                open.blobs_mut().broken(ResultCode::Invalid, output);
                return Next::Go;
            }
            FrameError::BadLength { kind, subject, .. } => (*kind, *subject, false),
            FrameError::TooLarge { kind, subject, .. }
            | FrameError::Truncated { kind, subject } => (*kind, *subject, true),
        };
        let fault = Fault::from(error);
        tracing::debug!(%fault, kind, "broken message");
        match open.broken(kind, subject, &fault, &connection, output) {
            // Where the next message begins is not known any more.
            Next::Go if !goes_on => unrecognized,
            next => next,
        }
    }

    /// The stream as one on which requests are made, which it becomes with its first message:
    /// `is_hello`, or any other once HELLO came on some stream of the connection. `None` where
    /// the message came before HELLO.
    fn opened(&mut self, is_hello: bool) -> Option<(&mut Open, &mut Output)> {
        if let State::AwaitHello { .. } = &self.state {
            if !is_hello && !self.connection.is_greeted() {
                return None;
            }
            if let State::AwaitHello { input, .. } = self.take_state() {
                let open = Box::new(Open::new());
                self.state = State::Open { input, open };
            }
        }
        match &mut self.state {
            State::Open { open, .. } => Some((open, &mut self.output)),
            State::AwaitHello { .. } | State::Closing { .. } | State::Finished => None,
        }
    }

    /// Stops reading. `last_word` is said once every submission in flight has its result.
    fn close(&mut self, last_word: Option<ServerMessage>) {
        let (input, (submissions, blobs)) = match self.take_state() {
            State::AwaitHello { input, .. } => (input, Default::default()),
            State::Open { input, open } => (input, open.into_rest(&mut self.output)),
            closed @ (State::Closing { .. } | State::Finished) => {
                self.state = closed;
                return;
            }
        };
        self.stop_reading(&input);
        self.state = State::Closing {
            submissions,
            blobs,
            last_word,
        };
    }

    /// Tells the peer that it broke the protocol, and closes its connection.
    fn violation(&mut self, fault: &Fault) {
        tracing::debug!(%fault, "the peer broke the protocol");
        self.end_connection(fault.code());
    }

    /// Says CLOSING, and closes the connection at once.
    fn end_connection(&mut self, result: ResultCode) {
        let input = match self.take_state() {
            State::AwaitHello { input, .. } => input,
            State::Open { input, open } => {
                // The peer will not be there to hear of submissions in flight. What waits behind
                // the data of a BLOB would be taken for a part of it.
                let _rest = open.into_rest(&mut self.output);
                self.output.forget_held();
                input
            }
            closed @ (State::Closing { .. } | State::Finished) => {
                self.state = closed;
                return;
            }
        };
        self.connection.close();
        self.output.send(&ServerMessage::Closing { result });
        self.output.push(Action::Finish);
        self.stop_reading(&input);
        self.output.push(Action::CloseConnection { result });
    }

    /// Finishes the stream when nothing more can come of it.
    fn finish_when_done(&mut self) {
        match &mut self.state {
            State::AwaitHello { input, .. } if input.rest == Rest::Nothing => {}
            State::Open { input, open } if input.rest == Rest::Nothing && open.is_idle() => {}
            State::Closing {
                submissions,
                blobs,
                last_word,
            } if submissions.is_empty() && blobs.is_idle() => {
                if let Some(last_word) = last_word {
                    self.output.send(last_word);
                }
            }
            State::AwaitHello { .. }
            | State::Open { .. }
            | State::Closing { .. }
            | State::Finished => return,
        }
        self.output.push(Action::Finish);
        self.state = State::Finished;
    }

    fn stop_reading(&mut self, input: &Input) {
        if input.rest == Rest::Bytes {
            self.output.push(Action::StopReading);
        }
    }

    /// Takes the state out, to move on from it.
    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Finished)
    }
}
