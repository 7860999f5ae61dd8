//! The driver of one bidirectional stream: a dull loop around its session.

mod context;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::{sleep_until, timeout};

pub(super) use self::context::Context;
use super::blobs::{self, Blobs};
use super::link::{Broken, LinkReader, LinkWriter};
use super::operating::{self, Orders};
use super::outbox::Outbox;
use super::probing::{self, Answerers, Asks};
use super::requests::{Requests, Told};
use super::room::{StreamRoom, Underway};
use super::signals::{Signal, Watch};
use super::submissions::{Submission, Submissions};
use crate::base::limits::{CLOSE_TIMEOUT, STREAM_READ_BYTES, STREAM_READ_CHUNKS_MAX};
use crate::identity::Peer;
use crate::session::{self, Action, BlobOrder, Event, Excess, Intake, Limit, Ticket, Verdict};
use crate::wire::{InfoReply, ResultCode};

/// One stream: its transport, its session, and what it has under way.
pub(super) struct Stream<R, W> {
    pub(super) reader: R,
    pub(super) writer: W,
    pub(super) session: session::Stream,
    pub(super) requests: Requests,
    pub(super) submissions: Submissions,
    pub(super) asks: Asks,
    pub(super) orders: Orders,
    pub(super) blobs: Blobs,
    pub(super) room: StreamRoom,
    pub(super) signals: Watch,
    pub(super) context: Context,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// Both sides are done with it.
    Finished,
    /// The peer gave it up, or is gone.
    Broken(Broken),
    /// The connection has to be closed; the peer was told why.
    CloseConnection(ResultCode),
}

/// The state of the loop.
struct Driver<R, W> {
    stream: Stream<R, W>,
    outbox: Outbox,
    /// Chunks that were read and that the session does not want yet.
    inbox: VecDeque<Bytes>,
    /// What the session is still to be told.
    events: VecDeque<Event>,
    /// Messages that were sent since they were last paid for.
    replies: usize,
    /// Until when nothing is read, because more came than may.
    rests_until: Option<Instant>,
    /// INFO requests: a few bytes ask for many, so each waits until its reply has room.
    infos: VecDeque<Ticket>,
    /// The reply to one of them, while it is put together.
    informing: Option<Informing>,
    ended: Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>,
    hears: Hears,
    /// What the session knows of [`intake`](Self::intake).
    told_intake: Intake,
    parting: Option<Parting>,
}

type Informing = Pin<Box<dyn Future<Output = (Ticket, InfoReply)> + Send>>;

/// What still comes from the peer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hears {
    /// Bytes may come.
    Bytes,
    /// The peer has finished, and the session does not know it yet.
    End,
    /// Nothing more is read.
    Nothing,
}

/// The session's last word.
#[derive(Clone, Copy)]
enum Parting {
    /// The stream ends.
    Finish,
    /// Our half of the stream is broken off.
    Reset,
    /// The connection ends.
    CloseConnection(ResultCode),
}

/// What the loop woke up for.
enum Woken {
    Ended(Result<(), Broken>),
    Read(Result<usize, Broken>),
    Written(Result<(), Broken>),
    Request(Option<Told>),
    Submitted(Vec<(Ticket, ResultCode)>),
    Asked(probing::Told),
    Ordered(operating::Told),
    Informed(Ticket, Box<InfoReply>),
    Blob(Option<blobs::Told>),
    Signal(Signal),
    Rested,
    Stalled,
    Deadline,
}

impl<R: LinkReader, W: LinkWriter> Stream<R, W> {
    /// Drives the stream to its end. Whatever it had under way is ended with it; submissions that
    /// were handed over are still stored.
    pub(super) async fn drive(self) -> StreamEnd {
        let mut driver = Driver::new(self);
        let end = driver.run().await;
        if end == StreamEnd::Broken(Broken::Stalled) {
            // Otherwise what it has taken would look like all there is.
            driver.stream.writer.reset(ResultCode::TooFast);
        }
        driver.stream.requests.shutdown().await;
        driver.stream.blobs.shutdown().await;
        driver.stream.orders.shutdown().await;
        end
    }
}

impl<R: LinkReader, W: LinkWriter> Driver<R, W> {
    fn new(stream: Stream<R, W>) -> Self {
        Self {
            outbox: Outbox::new(&stream.room),
            ended: Box::pin(stream.writer.ended()),
            stream,
            inbox: VecDeque::new(),
            events: VecDeque::new(),
            replies: 0,
            rests_until: None,
            infos: VecDeque::new(),
            informing: None,
            hears: Hears::Bytes,
            told_intake: Intake::Reads,
            parting: None,
        }
    }

    async fn run(&mut self) -> StreamEnd {
        let mut chunks: [Bytes; STREAM_READ_CHUNKS_MAX] = Default::default();
        loop {
            self.feed();
            if let Some(parting) = self.parting {
                return self.part(parting).await;
            }
            let woken = self.wait(&mut chunks).await;
            if let Err(broken) = self.take(woken, &mut chunks) {
                return StreamEnd::Broken(broken);
            }
        }
    }

    /// Waits for whatever comes first. Every branch is cancel safe: the transport's by the promise
    /// of its traits, the others by their own documentation, so a branch that lost is asked again.
    async fn wait(&mut self, chunks: &mut [Bytes]) -> Woken {
        let may_read = self.may_read();
        let has_room = self.outbox.has_room();
        // Between the data of a BLOB nothing else may be said.
        let may_ask = has_room && !self.stream.session.is_sending_blob();
        let has_output = !self.outbox.is_empty();
        let deadline = self.stream.session.next_deadline();
        let rests_until = self.rests_until;
        let stalls_at = self.outbox.stalls_at().map(|at| at.into_std());
        let Stream {
            reader,
            writer,
            requests,
            submissions,
            asks,
            orders,
            blobs,
            signals,
            ..
        } = &mut self.stream;
        tokio::select! {
            end = &mut self.ended => Woken::Ended(end),
            read = read_or_break(reader, chunks, may_read) => Woken::Read(read),
            written = writer.write(self.outbox.front()), if has_output => Woken::Written(written),
            told = requests.next(), if may_ask => Woken::Request(told),
            results = submissions.next() => Woken::Submitted(results),
            told = asks.next(), if may_ask => Woken::Asked(told),
            told = orders.next(), if may_ask => Woken::Ordered(told),
            (ticket, reply) = informed(&mut self.informing), if may_ask => {
                Woken::Informed(ticket, Box::new(reply))
            }
            told = blobs.next(), if has_room => Woken::Blob(told),
            signal = signals.next() => Woken::Signal(signal),
            () = sleep_to(rests_until), if rests_until.is_some() => Woken::Rested,
            () = sleep_to(stalls_at), if stalls_at.is_some() => Woken::Stalled,
            () = sleep_to(deadline), if deadline.is_some() => Woken::Deadline,
        }
    }

    /// Tells the session what happened.
    fn take(&mut self, woken: Woken, chunks: &mut [Bytes]) -> Result<(), Broken> {
        match woken {
            // Before we finish, the only end there is is that the peer wants no more.
            Woken::Ended(end) => return end.and(Err(Broken::Stopped)),
            Woken::Read(read) => match read? {
                0 => self.hears = Hears::End,
                filled => self.read(chunks.iter_mut().take(filled).map(std::mem::take)),
            },
            Woken::Written(written) => {
                written?;
                self.outbox.written();
            }
            Woken::Request(Some(told)) => self.tell_page(told.into_event()),
            Woken::Request(None) => {}
            Woken::Submitted(results) => {
                for (ticket, result) in results {
                    self.tell(Event::Submitted { ticket, result });
                }
            }
            Woken::Asked(told) => self.tell(told.into_event()),
            Woken::Ordered(told) => self.tell(told.into_event()),
            Woken::Informed(ticket, reply) => {
                self.informing = None;
                let reply = *reply;
                self.tell(Event::Info { ticket, reply });
            }
            Woken::Blob(Some(told)) => self.tell_page(told.into_event()),
            Woken::Blob(None) => {}
            Woken::Signal(Signal::GateMoved) => self.tell(Event::GateMoved),
            Woken::Signal(Signal::Banned) => {
                if let Some(result) = self.stream.context.toll.banned() {
                    self.tell(Event::Dismissed { result });
                }
            }
            Woken::Signal(Signal::Stopping) => self.tell(Event::Shutdown),
            Woken::Rested => self.rests_until = None,
            Woken::Stalled => return Err(Broken::Stalled),
            Woken::Deadline => self.tell(Event::Deadline),
        }
        Ok(())
    }

    /// Keeps what was read, at the peer's expense.
    fn read(&mut self, chunks: impl Iterator<Item = Bytes>) {
        let mut count = 0_usize;
        for chunk in chunks {
            count = count.saturating_add(chunk.len());
            self.inbox.push_back(chunk);
        }
        let wait = self.stream.context.toll.bytes(count);
        self.rest(wait);
    }

    /// Reads nothing for a while: what the peer sends meanwhile stays in the transport, whose flow
    /// control then holds it back.
    fn rest(&mut self, wait: Duration) {
        if !wait.is_zero() {
            let now = tokio::time::Instant::now().into_std();
            self.rests_until = self.rests_until.max(now.checked_add(wait));
        }
    }

    /// Hands over what was read and answers INFO, one at a time, as long as the session wants it and its answers
    /// have room. Then says whether more is read.
    fn feed(&mut self) {
        while self.parting.is_none() && self.wants_bytes() {
            let Some(chunk) = self.inbox.front_mut() else {
                break;
            };
            let bytes = chunk.split_to(chunk.len().min(STREAM_READ_BYTES));
            if chunk.is_empty() {
                self.inbox.pop_front();
            }
            self.tell(Event::Bytes(bytes));
            let replies = std::mem::take(&mut self.replies);
            let wait = self.stream.context.toll.replies(replies);
            self.rest(wait);
        }
        // After the bytes: what they ask must not wait for the next thing to wake us.
        while self.parting.is_none()
            && self.informing.is_none()
            && self.outbox.has_room()
            && !self.stream.session.is_sending_blob()
        {
            let Some(ticket) = self.infos.pop_front() else {
                break;
            };
            let context = &self.stream.context;
            match context.arrival.peer {
                Peer::Anonymous => {
                    let reply = context.info.info(&context.arrival);
                    self.tell(Event::Info { ticket, reply });
                }
                Peer::Known(_) => self.informing = Some(Box::pin(context.inform(ticket))),
            }
        }
        if self.hears == Hears::End && self.inbox.is_empty() && self.parting.is_none() {
            self.hears = Hears::Nothing;
            self.tell(Event::PeerFinished);
        }
        let intake = self.intake();
        if intake != self.told_intake && self.parting.is_none() {
            self.told_intake = intake;
            self.tell(Event::Intake(intake));
        }
    }

    /// Whether the transport is to be read: only when all that was read before is digested.
    fn may_read(&self) -> bool {
        self.hears == Hears::Bytes
            && self.rests_until.is_none()
            && self.inbox.is_empty()
            && self.wants_bytes()
    }

    fn intake(&self) -> Intake {
        if self.may_read() {
            Intake::Reads
        } else if self.outbox.has_room() {
            Intake::Rests
        } else {
            Intake::Blocked
        }
    }

    fn wants_bytes(&self) -> bool {
        let stream = &self.stream;
        self.outbox.has_room()
            && !stream.submissions.is_blocked()
            && !stream.requests.is_crowded()
            && !stream.blobs.is_blocked()
            && stream.session.wants_bytes()
    }

    /// Tells the session of an event that may be a page, which is on its way from here on.
    fn tell_page(&mut self, (event, page): (Event, Option<Underway>)) {
        self.tell(event);
        if let Some(page) = page {
            self.outbox.keep(page);
        }
    }

    /// Tells the session of an event, and carries out all it asks for.
    fn tell(&mut self, event: Event) {
        let now = tokio::time::Instant::now().into_std();
        self.events.push_back(event);
        // Whatever is refused here is answered in the same turn, so nothing piles up.
        while let Some(event) = self.events.pop_front() {
            self.stream.session.handle(now, event);
            while let Some(action) = self.stream.session.poll_action() {
                self.carry_out(action);
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        let stream = &mut self.stream;
        match action {
            Action::Greeted => stream.context.greeted(),
            Action::Send(bytes) => {
                self.replies = self.replies.saturating_add(1);
                self.outbox.push(bytes);
            }
            Action::SendRecord { header, record } => {
                self.outbox.push(Bytes::copy_from_slice(&header));
                self.outbox.push(record);
            }
            Action::Submit {
                ticket,
                record,
                bound,
                app,
            } => match stream.context.toll.submission(record.view()) {
                Verdict::Pass => stream.submissions.submit(Submission {
                    ticket,
                    record,
                    bound,
                    app,
                }),
                // Before its hash and signature are looked at, so that a flood costs little.
                verdict => self.refuse(verdict, Limit::Submissions, ticket),
            },
            Action::Read {
                ticket,
                request,
                bound,
                app,
            } => match stream.context.toll.read() {
                Verdict::Pass => {
                    let sight = stream.context.sight(bound, app);
                    stream.requests.start(ticket, request, sight);
                }
                verdict => self.refuse(verdict, Limit::QueryRows, ticket),
            },
            Action::Cancel { ticket } => stream.requests.cancel(ticket),
            Action::Info { ticket } => {
                let wait = stream.context.toll.info();
                self.infos.push_back(ticket);
                self.rest(wait);
            }
            Action::Ask { ticket, ask } => {
                let context = &stream.context;
                let answerers = Answerers {
                    probing: &*context.probing,
                    newcomers: &*context.newcomers,
                };
                let asks = &stream.asks;
                asks.start(ticket, ask, &context.arrival, answerers);
            }
            Action::Operate { ticket, order } => stream.orders.start(ticket, order),
            Action::Blob { ticket, order } => self.blob(ticket, order),
            Action::StopReading => {
                stream.reader.stop(ResultCode::Success);
                self.inbox.clear();
                self.hears = Hears::Nothing;
            }
            Action::Reset => self.set_parting(Parting::Reset),
            Action::Finish => self.set_parting(Parting::Finish),
            Action::CloseConnection { result } => {
                self.parting = Some(Parting::CloseConnection(result));
            }
        }
    }

    /// Carries out an order about a BLOB, unless it begins one too many.
    fn blob(&mut self, ticket: Ticket, order: BlobOrder) {
        let stream = &mut self.stream;
        let toll = &stream.context.toll;
        let (verdict, limit) = match &order {
            BlobOrder::Submit { .. } => (toll.blob(), Limit::Submissions),
            BlobOrder::Get { .. } => (toll.read(), Limit::QueryRows),
            BlobOrder::Data(_) | BlobOrder::End | BlobOrder::Drop => {
                return stream.blobs.carry_out(ticket, order);
            }
        };
        match verdict {
            Verdict::Pass => stream.blobs.carry_out(ticket, order),
            verdict => self.refuse(verdict, limit, ticket),
        }
    }

    /// Ends the stream so, unless its end was decided before.
    fn set_parting(&mut self, parting: Parting) {
        self.parting.get_or_insert(parting);
    }

    /// Answers a request that came too fast, and closes the connection where it does not stop.
    fn refuse(&mut self, verdict: Verdict, limit: Limit, ticket: Ticket) {
        let excess = Excess::Rate(limit);
        self.events.push_back(Event::Exceeded { ticket, excess });
        if verdict == Verdict::FarTooFast {
            let result = excess.result();
            self.events.push_back(Event::Dismissed { result });
        }
    }

    /// Ends the stream once the peer has everything: closing the connection drops what it has not
    /// acknowledged, and a shutdown closes it as soon as its streams have ended.
    async fn part(&mut self, parting: Parting) -> StreamEnd {
        match parting {
            Parting::Finish => match self.farewell().await {
                Ok(()) => StreamEnd::Finished,
                Err(broken) => StreamEnd::Broken(broken),
            },
            Parting::Reset => {
                self.stream.writer.reset(ResultCode::TemporaryError);
                StreamEnd::Finished
            }
            Parting::CloseConnection(result) => {
                // A peer that does not listen gets no more than a moment.
                let farewell = timeout(CLOSE_TIMEOUT, self.farewell()).await;
                if !matches!(farewell, Ok(Ok(()))) {
                    tracing::debug!("the peer did not wait for the last words");
                }
                StreamEnd::CloseConnection(result)
            }
        }
    }

    /// Sends all that waits, finishes our half, and waits until the peer has it. Ends early when
    /// the peer wants no more, or takes nothing.
    async fn farewell(&mut self) -> Result<(), Broken> {
        while !self.outbox.is_empty() {
            let stalls_at = self.outbox.stalls_at().map(|at| at.into_std());
            tokio::select! {
                end = &mut self.ended => return end.and(Err(Broken::Stopped)),
                written = self.stream.writer.write(self.outbox.front()) => written?,
                () = sleep_to(stalls_at) => return Err(Broken::Stalled),
            }
            self.outbox.written();
        }
        self.stream.writer.finish();
        // What is left is in the transport, which does not tell of its progress.
        let has_it = timeout(self.stream.room.patience(), &mut self.ended).await;
        has_it.unwrap_or(Err(Broken::Stalled))
    }
}

/// Waits for the reply that is being put together; for good if there is none.
async fn informed(informing: &mut Option<Informing>) -> (Ticket, InfoReply) {
    match informing {
        Some(reply) => reply.await,
        None => std::future::pending().await,
    }
}

/// Reads; or, where nothing may be read now, still notices that the peer gave the stream up.
async fn read_or_break<R: LinkReader>(
    reader: &mut R,
    chunks: &mut [Bytes],
    may_read: bool,
) -> Result<usize, Broken> {
    if may_read {
        reader.read(chunks).await
    } else {
        Err(reader.broken().await)
    }
}

async fn sleep_to(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
