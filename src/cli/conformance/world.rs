//! The server under test, and the people who visit it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::timeout;

use super::check::{Stop, failed, skipped};
use super::corpus::Corpus;
use super::talk::{Talk, name};
use crate::base::{Role, limits};
use crate::client::{ConnectError, RawConnection, Target};
use crate::wire::{
    Body, BodyRefusal, EXTENSION_APP, Filter, FilterBuilder, Info, InfoReply, Kind, Record,
    RecordBuilder, ResultCode, RoleCondition, SecretKey, ServerMessage, Timestamp, Transport,
};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Nobody: no certificate.
    Anonymous,
    /// A user of the server.
    User,
    /// Another one.
    Second,
    /// A key that nobody knows.
    Stranger,
}

/// Everything that the checks share.
pub(super) struct World {
    pub(super) target: Target,
    /// Longest wait for one reply.
    pub(super) patience: Duration,
    pub(super) user: SecretKey,
    pub(super) second: SecretKey,
    pub(super) stranger: SecretKey,
    /// Whether the user's key was given, so that the user is one the server serves.
    pub(super) is_user_given: bool,
    /// What the server said of itself, or what came instead; `None` where it does not grant the
    /// extension messages.
    info: Option<Result<InfoReply, Stop>>,
    /// A connection of each, over a transport that has many streams, with its first stream.
    shared: [Mutex<Option<Talk>>; 4],
    corpus: OnceCell<Result<Corpus, Stop>>,
    /// Held while the server is left in peace.
    pace: Mutex<Pace>,
}

/// How the server bears the visits.
#[derive(Debug, Default)]
struct Pace {
    /// It gave no connection however long it was left in peace.
    is_gone: bool,
}

/// The keys to visit with, where they were given.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) user: Option<SecretKey>,
    pub(super) second: Option<SecretKey>,
}

impl World {
    /// Says HELLO to the server at `target`, and asks what it is.
    ///
    /// # Errors
    /// [`ConnectError`]: there is no server to test, or not the one that is meant.
    pub(super) async fn open(
        target: Target,
        keys: Keys,
        patience: Duration,
    ) -> Result<Self, ConnectError> {
        let first = RawConnection::connect(&target, None, patience).await?;
        first.close().await;
        let is_user_given = keys.user.is_some();
        let mut world = Self {
            target,
            patience,
            user: keys.user.unwrap_or_else(SecretKey::generate),
            second: keys.second.unwrap_or_else(SecretKey::generate),
            stranger: SecretKey::generate(),
            is_user_given,
            info: None,
            shared: Default::default(),
            corpus: OnceCell::new(),
            pace: Mutex::default(),
        };
        world.info = Box::pin(world.first_info()).await;
        // Where anybody with a key is served, nobody is before the first visit.
        for who in [Who::User, Who::Second] {
            world.talk(who).await.ok();
        }
        Ok(world)
    }

    /// Asks what the server is. That it did not answer as it must is for the checks to say.
    async fn first_info(&self) -> Option<Result<InfoReply, Stop>> {
        for pause in limits::CONFORMANCE_PAUSES {
            match self.ask_info().await {
                Err(Stop::TooFast) => tokio::time::sleep(pause).await,
                asked => return asked.transpose(),
            }
        }
        Some(Err(skipped("the server answers INFO with TOO_FAST")))
    }

    async fn ask_info(&self) -> Result<Option<InfoReply>, Stop> {
        let mut talk = self.silent(Who::Anonymous).await?;
        if !talk.hello(wanted()).await?.contains(&EXTENSION_APP) {
            return Ok(None);
        }
        talk.send(Info {}.encode(1)).await?;
        let reply = match talk.message().await?.0 {
            ServerMessage::Extension(reply) if reply.kind == InfoReply::KIND => reply,
            other => return Err(failed("INFO REPLY", name(&other))),
        };
        match (
            InfoReply::decode(&reply.body),
            BodyRefusal::decode(&reply.body),
        ) {
            (Ok(info), _) => Ok(Some(info)),
            (Err(_), Ok(refusal)) if refusal.result == ResultCode::TooFast => Err(Stop::TooFast),
            (Err(error), _) => Err(failed(
                "an INFO REPLY that decodes",
                super::super::error::chain(&error),
            )),
        }
    }

    /// The key of `who`; `None` for nobody.
    pub(super) const fn key(&self, who: Who) -> Option<&SecretKey> {
        match who {
            Who::Anonymous => None,
            Who::User => Some(&self.user),
            Who::Second => Some(&self.second),
            Who::Stranger => Some(&self.stranger),
        }
    }

    /// Whether a connection has many streams.
    pub(super) fn has_streams(&self) -> bool {
        self.target.transport() == Transport::Quic
    }

    /// A stream of `who`, on which HELLO need not be said: one more of a connection that several
    /// checks use, where a connection can have several.
    pub(super) async fn talk(&self, who: Who) -> Result<Talk, Stop> {
        if !self.has_streams() {
            return self.fresh(who).await;
        }
        let mut shared = self.shared_of(who).lock().await;
        let is_open = |talk: &Talk| {
            let quic = talk.connection.quic();
            quic.is_some_and(|quic| quic.close_reason().is_none())
        };
        let first = match shared.take().filter(is_open) {
            Some(first) => first,
            None => Box::pin(self.fresh(who)).await?,
        };
        let connection = shared.insert(first).connection.clone();
        drop(shared);
        self.stream_of(connection).await
    }

    /// A stream of a new connection of `who`, on which HELLO was said.
    pub(super) async fn fresh(&self, who: Who) -> Result<Talk, Stop> {
        let mut talk = self.silent(who).await?;
        talk.hello(wanted()).await?;
        Ok(talk)
    }

    /// A stream of a new connection of whoever holds `key`, on which HELLO was said.
    pub(super) async fn fresh_as(&self, key: &SecretKey) -> Result<Talk, Stop> {
        let mut talk = self.silent_as(Some(key)).await?;
        talk.hello(wanted()).await?;
        Ok(talk)
    }

    /// A stream of a new connection of `who`, on which nothing was said.
    pub(super) async fn silent(&self, who: Who) -> Result<Talk, Stop> {
        self.silent_as(self.key(who)).await
    }

    /// A server that slows its visitors down is asked again, while nobody else asks it for one.
    async fn silent_as(&self, key: Option<&SecretKey>) -> Result<Talk, Stop> {
        self.turn().await;
        let connect = || Box::pin(RawConnection::connect(&self.target, key, self.patience));
        let mut error = match connect().await {
            Ok(connection) => return self.stream_of(connection).await,
            Err(error) => error,
        };
        let mut pace = self.pace.lock().await;
        for pause in limits::CONFORMANCE_PAUSES.into_iter().take(CONNECT_RETRIES) {
            if pace.is_gone {
                break;
            }
            tokio::time::sleep(pause).await;
            error = match connect().await {
                Ok(connection) => return self.stream_of(connection).await,
                Err(error) => error,
            };
        }
        pace.is_gone = true;
        Err(failed("a connection", super::super::error::chain(&error)))
    }

    /// Waits while the server is left in peace.
    pub(super) async fn turn(&self) {
        drop(self.pace.lock().await);
    }

    /// Leaves the server in peace for that long: nothing new is begun.
    pub(super) async fn rest(&self, pause: Duration) {
        let _pace = self.pace.lock().await;
        tokio::time::sleep(pause).await;
    }

    /// One more stream of `connection`.
    pub(super) async fn stream_of(&self, connection: RawConnection) -> Result<Talk, Stop> {
        let stream = match timeout(self.patience, connection.open()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(failed("a stream", super::super::error::chain(&error))),
            Err(_) => return Err(failed("a stream", "the server allows no further one")),
        };
        Ok(Talk::new(connection, stream, self.patience))
    }

    const fn shared_of(&self, who: Who) -> &Mutex<Option<Talk>> {
        let [anonymous, user, second, stranger] = &self.shared;
        match who {
            Who::Anonymous => anonymous,
            Who::User => user,
            Who::Second => second,
            Who::Stranger => stranger,
        }
    }

    /// Has `who` hand in `record`, which is a valid one, and waits until the server is through
    /// with it. A server that has no place for it ends the check as not testable.
    pub(super) async fn publish(&self, who: Who, record: &Record) -> Result<(), Stop> {
        let mut talk = self.talk(who).await?;
        let result = talk.submit(record.bytes()).await?;
        taken(result)?;
        talk.fence().await
    }

    /// The records that the checks of filters ask for, handed in when the first of them needs them.
    pub(super) async fn corpus(&self) -> Result<&Corpus, Stop> {
        let publishing = || async {
            match Box::pin(Corpus::publish(self)).await {
                // The check that hears it comes again.
                Err(Stop::TooFast) => Err(Stop::TooFast),
                done => Ok(done),
            }
        };
        let corpus = self.corpus.get_or_try_init(publishing).await?;
        corpus.as_ref().map_err(Clone::clone)
    }

    /// Whether the server says that it plays `role` now; `None` where it does not tell.
    pub(super) fn says_open(&self, role: Role) -> Option<bool> {
        let info = self.info()?;
        let report = info.roles.get(&role.into());
        Some(report.is_some_and(|report| report.state == RoleCondition::Open))
    }

    /// Whether the server must take what that role takes: it says that it plays the role, and the
    /// user is one whom it serves.
    pub(super) fn must_take(&self, role: Role) -> bool {
        self.is_user_given && self.says_open(role) == Some(true)
    }

    /// Whether the server grants the extension messages.
    pub(super) const fn has_extensions(&self) -> bool {
        self.info.is_some()
    }

    /// What the server said of itself, where it did.
    pub(super) fn info(&self) -> Option<&InfoReply> {
        self.info.as_ref()?.as_ref().ok()
    }

    /// Ends the check as not testable where the server does not grant the extension messages.
    pub(super) fn need_extensions(&self) -> Result<(), Stop> {
        match self.has_extensions() {
            true => Ok(()),
            false => Err(skipped("the server does not have the extension messages")),
        }
    }

    /// What the server said of itself, for a check that needs it: one that has the extension
    /// messages must say it.
    pub(super) fn need_info(&self) -> Result<&InfoReply, Stop> {
        self.need_extensions()?;
        let refused = || skipped("the server says nothing of itself");
        let info = self.info.as_ref().ok_or_else(refused)?;
        info.as_ref().map_err(Clone::clone)
    }
}

/// Whether a valid record was taken. A refusal is the server's right: not every visitor is served.
pub(super) fn taken(result: ResultCode) -> Result<(), Stop> {
    match result {
        ResultCode::Accepted => Ok(()),
        ResultCode::Invalid | ResultCode::Duplicate | ResultCode::NoConsumers => Err(failed(
            "SUBMISSION RESULT (ACCEPTED) for a valid new record",
            result.to_string(),
        )),
        _ => Err(skipped(format!(
            "the server does not take such a record of this visitor ({result})"
        ))),
    }
}

/// Judges what came of a record that is INVALID. A server that refuses the visitor for another
/// reason need not have looked at it.
pub(super) fn judge_bad(result: ResultCode) -> Result<(), Stop> {
    match result {
        ResultCode::Invalid => Ok(()),
        other if other.is_success() => {
            Err(failed("SUBMISSION RESULT (INVALID)", other.to_string()))
        }
        other => taken(other),
    }
}

/// What HELLO asks for.
fn wanted() -> Vec<u32> {
    vec![EXTENSION_APP, TEST_APP]
}

/// A kind of the example application with those flags and a number that no other check of this run
/// has, and no run has had on the same server a moment ago.
pub(super) fn kind(flags: u16) -> Result<Kind, Stop> {
    // Not drawn: of 65 536 numbers two of the few hundred of a run would often be one. They begin
    // where the clock stands, and no run takes one in each tick of it.
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let ticks = RUN_START.nanos() / KIND_TICK_NANOS;
    let [.., high, low] = ticks.to_be_bytes();
    let first = u16::from_be_bytes([high, low]);
    let number = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
    let bits = u64::from(TEST_APP) << 32 | u64::from(number) << 16 | u64::from(flags);
    Kind::new(bits).map_err(|error| skipped(error.to_string()))
}

/// A record of a new kind with those flags.
pub(super) fn record(author: &SecretKey, flags: u16) -> Result<RecordBuilder, Stop> {
    Ok(RecordBuilder::new(kind(flags)?, author.public())
        .payload(Bytes::from_static(b"mosaic conformance test")))
}

/// Signs `record` with its author's key.
pub(super) fn signed(record: RecordBuilder, key: &SecretKey) -> Result<Record, Stop> {
    record.sign(key).map_err(|error| skipped(error.to_string()))
}

/// A record of a new kind with those flags, signed by its author.
pub(super) fn plain(author: &SecretKey, flags: u16) -> Result<Record, Stop> {
    signed(record(author, flags)?, author)
}

/// The filter, which is one that can be made.
pub(super) fn built(filter: FilterBuilder) -> Result<Filter, Stop> {
    filter.build().map_err(|error| skipped(error.to_string()))
}

/// The filter for records of those kinds, but for what earlier runs left behind.
pub(super) fn of_kinds(kinds: impl IntoIterator<Item = Kind>) -> Result<Filter, Stop> {
    built(FilterBuilder::new().kinds(kinds).since(this_run()))
}

/// What is dated earlier is of another run.
pub(super) fn this_run() -> Timestamp {
    RUN_START.saturating_sub(DATED_BACK)
}

/// When the first kind was taken.
static RUN_START: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);

/// No check that looks for kinds dates its records further back.
const DATED_BACK: Duration = Duration::from_secs(15);

/// All numbers have had their turn when this has passed 65 536 times.
const KIND_TICK_NANOS: u64 = 1_000_000;
const _: () = assert!(KIND_TICK_NANOS << 16 > DATED_BACK.as_secs() * 1_000_000_000);

/// How often a connection is tried again within one check.
const CONNECT_RETRIES: usize = 3;

/// The example application.
pub(super) const TEST_APP: u32 = 99;

/// Flags of kinds: how duplicates are handled, for everybody.
pub(super) const UNIQUE: u16 = 0x0c;
pub(super) const EPHEMERAL: u16 = 0x0d;
pub(super) const REPLACEABLE: u16 = 0x0e;
pub(super) const VERSIONED: u16 = 0x0f;

/// Flags of kinds: unique, and who reads.
pub(super) const AUTHOR_ONLY: u16 = 0x00;
pub(super) const AUTHOR_AND_TAGGED: u16 = 0x04;
