//! A subscription that outlives its connections.
//!
//! `progress/` decides what to ask and what is new, without I/O; `mod.rs` connects, waits and
//! carries out. `window.rs` remembers what was handed on, `backoff.rs` how long to wait,
//! `narrow.rs` sets the times of a filter.

mod backoff;
mod narrow;
mod progress;
mod window;

use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use self::backoff::Backoff;
use self::progress::{Ask, Clock, Closed, Progress, Reading};
use super::connection::{Client, Options};
use super::error::{ConnectError, RecordFault, RequestError, StreamEnd};
use super::replies::{Item, Subscription};
use super::stream::Stream;
use super::target::Target;
use crate::base::{Role, limits};
use crate::wire::{Filter, FilterError, Record, ResultCode, Timestamp};

/// What to follow.
#[derive(Clone, Debug)]
pub struct FollowRequest {
    /// The server.
    pub target: Target,
    /// How to connect, each time.
    pub options: Options,
    /// Bind the subscription's stream to this role.
    pub role: Option<(Role, Option<u32>)>,
    /// What a record must pass.
    pub filter: Filter,
    /// Most stored records wanted; 0 is no limit. New ones are not counted.
    pub limit: u16,
}

/// What comes of following.
#[derive(Debug)]
pub enum FollowEvent {
    /// A record; each one once.
    Record(Record),
    /// The server sent something else as a record; it is dropped.
    Rejected(RecordFault),
    /// What was stored has come; said once.
    LocallyComplete,
    /// The connection or the subscription was lost; it will be tried again.
    Lost {
        /// Why.
        cause: FollowError,
        /// How long until then.
        retry_in: Duration,
    },
    /// The subscription stands again after it was lost.
    Resumed,
    /// The server closed the subscription with SUCCESS: nothing more will match.
    Ended,
}

/// Why following failed: for good where [`Follow`] returns it, for now inside
/// [`FollowEvent::Lost`].
#[derive(Debug, Error)]
pub enum FollowError {
    /// There is no connection.
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    /// The stream ended, or a request on it was refused.
    #[error("the subscription was cut off")]
    Request(#[from] RequestError),
    /// The server closed the subscription.
    #[error("the server closed the subscription: {0}")]
    Closed(ResultCode),
    /// The filter is too large to be narrowed to what is missing.
    #[error("the filter has no room for the time to resume from")]
    Filter(#[from] FilterError),
}

impl FollowError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect(error) => match error {
                ConnectError::Resolve { .. }
                | ConnectError::NoAddress(_)
                | ConnectError::Socket(_)
                | ConnectError::Timeout(_)
                | ConnectError::Handshake { .. }
                | ConnectError::Unreachable { .. }
                | ConnectError::Channel { .. }
                | ConnectError::NoGreeting => true,
                ConnectError::Greeting(end) => end_is_temporary(end),
                ConnectError::Refused(result) => is_temporary(*result),
                ConnectError::Identity(_)
                | ConnectError::NoAddressFor { .. }
                | ConnectError::Unsupported(_)
                | ConnectError::Dial { .. }
                | ConnectError::WrongKey { .. }
                | ConnectError::NoKey(_) => false,
            },
            Self::Request(error) => match error {
                RequestError::End(end) => end_is_temporary(end),
                RequestError::Timeout => true,
                RequestError::Refused { result, .. } => is_temporary(*result),
                RequestError::NoExtensions
                | RequestError::OneStream
                | RequestError::TooManyOpen => false,
            },
            Self::Closed(result) => is_temporary(*result),
            Self::Filter(_) => false,
        }
    }
}

fn end_is_temporary(end: &StreamEnd) -> bool {
    match end {
        StreamEnd::Lost(_) | StreamEnd::Cut(_) | StreamEnd::Ended | StreamEnd::Dropped => true,
        StreamEnd::Closing(result) => is_temporary(*result),
        StreamEnd::Unrecognized | StreamEnd::Fault(_) => false,
    }
}

/// Whether the same request may be answered otherwise later.
const fn is_temporary(result: ResultCode) -> bool {
    match result {
        ResultCode::TooFast
        | ResultCode::IpTemporarilyBanned
        | ResultCode::KeyTemporarilyBanned
        | ResultCode::ShuttingDown
        | ResultCode::TemporaryError
        | ResultCode::GeneralError => true,
        ResultCode::Success
        | ResultCode::Accepted
        | ResultCode::Duplicate
        | ResultCode::NoConsumers
        | ResultCode::NotFound
        | ResultCode::RequiresAuthentication
        | ResultCode::Unauthorized
        | ResultCode::Invalid
        | ResultCode::TooOpen
        | ResultCode::TooLarge
        | ResultCode::IpPermanentlyBanned
        | ResultCode::KeyPermanentlyBanned
        | ResultCode::PersistentError
        | ResultCode::Unknown(_) => false,
    }
}

/// A subscription that connects again when it is lost, and goes on where it was: each record that
/// the server has or receives comes once. `follow/progress/mod.rs` says how, and what the limits of
/// that are.
///
/// A restarted server, a dropped NAT mapping, `SHUTTING_DOWN`: all resume, with growing, spread
/// waits in between. What no repetition helps against (a refusal such as UNAUTHORIZED, another
/// key, a broken protocol) ends it.
#[derive(Debug)]
pub struct Follow {
    request: FollowRequest,
    progress: Progress,
    backoff: Backoff,
    state: State,
}

#[derive(Debug)]
enum State {
    /// One task that connects; aborted when dropped.
    Connecting(JoinSet<Result<Session, FollowError>>),
    Open(Box<Session>),
    Waiting(Instant),
    Ended,
}

/// One connection.
#[derive(Debug)]
struct Session {
    client: Client,
    stream: Stream,
    /// The clock, before anything was asked here.
    reading: Reading,
    asked: Option<Asked>,
    is_complete: bool,
    /// Whether this connection follows one that was lost.
    resumes: bool,
    next_proof: Instant,
    /// At most one INFO on its way.
    proving: JoinSet<Result<Reading, RequestError>>,
    /// Datagrams that had arrived at the last look, and when that was.
    contact: (u64, Instant),
}

#[derive(Debug)]
enum Asked {
    Query(Subscription),
    Subscription(Subscription),
}

impl Follow {
    /// Connects and subscribes.
    ///
    /// # Errors
    /// The first connection is not tried again: a mistyped address should not wait for ever.
    ///
    /// # Cancel safety
    /// Dropping the future gives up.
    pub async fn start(request: FollowRequest) -> Result<Self, FollowError> {
        let session = connect(request.clone(), false).await?;
        Ok(Self {
            progress: Progress::new(request.filter.clone(), request.limit),
            request,
            backoff: Backoff::default(),
            state: State::Open(Box::new(session)),
        })
    }

    /// What comes next. After [`FollowEvent::Ended`] it is said again.
    ///
    /// # Errors
    /// Trying again will not help. A further call returns [`FollowEvent::Ended`].
    ///
    /// # Cancel safety
    /// Cancel safe: no record is lost.
    pub async fn next(&mut self) -> Result<FollowEvent, FollowError> {
        loop {
            let outcome = match &mut self.state {
                State::Ended => return Ok(FollowEvent::Ended),
                State::Waiting(until) => {
                    sleep_until((*until).into()).await;
                    let mut task = JoinSet::new();
                    task.spawn(connect(self.request.clone(), true));
                    self.state = State::Connecting(task);
                    continue;
                }
                State::Connecting(task) => match joined(task).await {
                    Ok(session) => {
                        self.state = State::Open(Box::new(session));
                        continue;
                    }
                    Err(error) => Err(error),
                },
                State::Open(session) => {
                    let step = session.step(&mut self.progress).await;
                    if session.is_complete {
                        self.backoff.reset();
                    }
                    step
                }
            };
            match outcome {
                Ok(Some(FollowEvent::Ended)) => self.state = State::Ended,
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(cause) => return self.lost(cause),
            }
        }
    }

    /// Ends the subscription and closes the connection.
    ///
    /// # Cancel safety
    /// Dropping the future does not keep the connection open.
    pub async fn close(self) {
        if let State::Open(session) = self.state {
            session.client.close().await;
        }
    }

    fn lost(&mut self, cause: FollowError) -> Result<FollowEvent, FollowError> {
        self.progress.lost();
        if !cause.is_temporary() {
            self.state = State::Ended;
            return Err(cause);
        }
        let retry_in = self.backoff.next(rand::random());
        self.state = State::Waiting(Instant::now() + retry_in);
        Ok(FollowEvent::Lost { cause, retry_in })
    }
}

impl Session {
    /// Waits for one thing to happen. Cancel safe: what happened is either returned or kept.
    async fn step(&mut self, progress: &mut Progress) -> Result<Option<FollowEvent>, FollowError> {
        let Some(asked) = &mut self.asked else {
            self.ask(progress).await?;
            return Ok(None);
        };
        let (Asked::Query(replies) | Asked::Subscription(replies)) = asked;
        let is_complete = self.is_complete;
        let next_proof = self.next_proof.into();
        tokio::select! {
            // What has come goes first: only when nothing waits is there something to prove.
            biased;
            item = replies.next() => self.take(item?, progress),
            Some(proof) = self.proving.join_next() => {
                // A proof that failed is tried again; a lost connection shows elsewhere.
                if let Ok(Ok(reading)) = proof {
                    progress.prove(reading);
                }
                Ok(None)
            }
            () = sleep_until(next_proof), if is_complete => {
                self.start_proof(progress);
                Ok(None)
            }
        }
    }

    async fn ask(&mut self, progress: &mut Progress) -> Result<(), FollowError> {
        let asked = match progress.ask(self.reading)? {
            Ask::Query(filter, limit) => {
                let results = self.stream.query(filter, limit).await?;
                Asked::Query(results.into_items())
            }
            Ask::Subscribe(filter, limit) => {
                Asked::Subscription(self.stream.subscribe(filter, limit).await?)
            }
        };
        self.asked = Some(asked);
        Ok(())
    }

    fn take(
        &mut self,
        item: Item,
        progress: &mut Progress,
    ) -> Result<Option<FollowEvent>, FollowError> {
        match item {
            Item::Record(record) => {
                let is_new = progress.record(Instant::now(), record.id());
                Ok(is_new.then_some(FollowEvent::Record(record)))
            }
            Item::Rejected(fault) => Ok(Some(FollowEvent::Rejected(fault))),
            Item::LocallyComplete => {
                self.is_complete = true;
                self.next_proof = Instant::now() + limits::FOLLOW_PROOF_INTERVAL;
                let is_first = progress.locally_complete(self.reading);
                Ok(match (is_first, self.resumes) {
                    (true, _) => Some(FollowEvent::LocallyComplete),
                    (false, true) => Some(FollowEvent::Resumed),
                    (false, false) => None,
                })
            }
            Item::Closed(result) => match progress.closed(result) {
                Closed::AskAgain => {
                    self.asked = None;
                    Ok(None)
                }
                Closed::Ended => Ok(Some(FollowEvent::Ended)),
                Closed::Refused(result) => Err(FollowError::Closed(result)),
            },
        }
    }

    /// Nothing waits to be taken: shows that the connection lives, and so that all has come.
    fn start_proof(&mut self, progress: &mut Progress) {
        let now = Instant::now();
        self.next_proof = now + limits::FOLLOW_PROOF_INTERVAL;
        if self.client.has_extensions() {
            if self.proving.is_empty() {
                let stream = self.client.main_stream().clone();
                self.proving
                    .spawn(async move { server_reading(&stream).await });
            }
            return;
        }
        let arrived = arrivals(&self.client, &self.stream);
        let (before, looked_at) = self.contact;
        if arrived > before {
            // Something arrived after the last look, so until then nothing was held up.
            progress.prove(local_reading_at(looked_at));
        }
        self.contact = (arrived, now);
    }
}

async fn connect(request: FollowRequest, resumes: bool) -> Result<Session, FollowError> {
    let client = Client::connect(&request.target, &request.options).await?;
    let stream = client.lone_stream(request.role).await?;
    let now = Instant::now();
    let reading = if client.has_extensions() {
        match server_reading(client.main_stream()).await {
            Ok(reading) => reading,
            Err(RequestError::End(end)) => return Err(RequestError::End(end).into()),
            // It does not tell its time; the subscription itself may be fine.
            Err(_) => local_reading_at(now),
        }
    } else {
        local_reading_at(now)
    };
    Ok(Session {
        contact: (arrivals(&client, &stream), now),
        client,
        stream,
        reading,
        asked: None,
        is_complete: false,
        resumes,
        next_proof: now,
        proving: JoinSet::new(),
    })
}

/// How often something arrived so far that shows what was sent before it to have arrived: packets
/// of the connection, keep-alives among them; over TCP what came on the stream, which may be
/// nothing for long.
fn arrivals(client: &Client, stream: &Stream) -> u64 {
    match client.raw().quic() {
        Some(quic) => quic.stats().udp_rx.datagrams,
        None => stream.arrivals(),
    }
}

/// Waits for the one task of `task`. Cancel safe.
async fn joined(task: &mut JoinSet<Result<Session, FollowError>>) -> Result<Session, FollowError> {
    match task.join_next().await {
        Some(Ok(session)) => session,
        // Nothing aborts the task while it is waited for, so it can only have panicked.
        Some(Err(error)) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(RequestError::End(StreamEnd::Dropped).into()),
        },
        None => Err(RequestError::End(StreamEnd::Dropped).into()),
    }
}

/// The server's clock at the moment INFO is sent, or a little earlier: INFO is answered after it
/// was sent and before the answer is here.
async fn server_reading(stream: &Stream) -> Result<Reading, RequestError> {
    let at = Instant::now();
    let info = stream.info().await?;
    Ok(Reading {
        at,
        time: info.now.saturating_sub(at.elapsed()),
        clock: Clock::Server,
    })
}

fn local_reading_at(at: Instant) -> Reading {
    Reading {
        at,
        time: Timestamp::now().saturating_sub(at.elapsed()),
        clock: Clock::Local,
    }
}
