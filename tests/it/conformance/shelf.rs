//! What the double holds, and by which rules: all of it under one lock, so that nothing can come in between.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use mosaicd::identity::{Verifier, VerifyError};
use mosaicd::wire::{
    Duplicates, Filter, Kind, PublicKey, QueryId, ReadAccess, Record, RecordRef, Reference,
    ResultCode, ServerMessage, StreamRole, Timestamp,
};
use tokio::sync::mpsc::UnboundedSender;

use super::bend::bent;
use super::families::Families;
use super::fault::Fault;

/// The end of a stream on which the double speaks.
pub(super) type Out = UnboundedSender<Bytes>;

/// Shared by all connections.
#[derive(Clone)]
pub(super) struct Shelf {
    pub(super) fault: Fault,
    pub(super) key: PublicKey,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(super) struct State {
    records: Vec<Held>,
    families: Families,
    pub(super) blobs: HashMap<[u8; 32], Bytes>,
    subscriptions: Vec<Subscription>,
    /// Acknowledged, and kept from others until the submitter says something else.
    later: Vec<(usize, Record)>,
    /// Acknowledged last on that connection.
    unconfirmed: Vec<(usize, Record)>,
    connections: Vec<Option<quinn::Connection>>,
}

/// A record that is there.
struct Held {
    received: Timestamp,
    record: Record,
    /// A later one has its place; only where that is what is wrong.
    is_replaced: bool,
}

struct Subscription {
    stream: usize,
    id: QueryId,
    reader: Reader,
    filter: Filter,
    out: Out,
    /// It was ended; only where that is what is wrong.
    is_over: bool,
}

/// Who reads, and where.
#[derive(Clone, Copy)]
struct Reader {
    key: Option<PublicKey>,
    role: Option<StreamRole>,
}

/// Who speaks, where.
#[derive(Clone)]
pub(super) struct Speaker {
    pub(super) connection: usize,
    pub(super) stream: usize,
    pub(super) key: Option<PublicKey>,
    pub(super) binding: Arc<Mutex<Binding>>,
    pub(super) out: Out,
}

/// What was said on a stream.
#[derive(Default)]
pub(super) struct Binding {
    /// Something beside HELLO.
    pub(super) has_spoken: bool,
    pub(super) role: Option<StreamRole>,
    /// The hash that is claimed of a BLOB, its length, and its data so far.
    pub(super) upload: Option<([u8; 32], u64, Vec<u8>)>,
}

impl Speaker {
    pub(super) fn say(&self, message: ServerMessage) {
        // A client that went away is no failure of the test.
        self.out.send(message.encode()).ok();
    }

    pub(super) fn binding(&self) -> MutexGuard<'_, Binding> {
        self.binding.lock().unwrap()
    }

    pub(super) fn has_spoken(&self, has_spoken: bool) {
        self.binding().has_spoken |= has_spoken;
    }

    fn reader(&self) -> Reader {
        Reader {
            key: self.key,
            role: self.binding().role,
        }
    }

    /// Whether the speaker may read at all; if not, that was answered.
    fn may_read(&self, id: QueryId) -> bool {
        let is_shut = self.reader().role == Some(StreamRole::Encryption) && self.key.is_none();
        if is_shut {
            self.close(id, ResultCode::RequiresAuthentication);
        }
        !is_shut
    }

    fn close(&self, id: QueryId, result: ResultCode) {
        self.say(ServerMessage::QueryClosed { id, result });
    }
}

impl Shelf {
    pub(super) fn new(fault: Fault, key: PublicKey) -> Self {
        Self {
            fault,
            key,
            state: Arc::default(),
        }
    }

    /// A number for a connection; `quic` tells when it has ended.
    pub(super) fn connected(&self, quic: Option<quinn::Connection>) -> usize {
        let mut state = self.state();
        state.connections.push(quic);
        state.connections.len() - 1
    }

    /// Whatever `connection` said last is followed by something.
    pub(super) fn heard(&self, connection: usize) {
        let mut state = self.state();
        let (due, later) = std::mem::take(&mut state.later)
            .into_iter()
            .partition(|(of, _)| *of == connection);
        state.later = later;
        let due: Vec<(usize, Record)> = due;
        for (_, record) in due {
            self.store(&mut state, record);
        }
        state.unconfirmed.retain(|(of, _)| *of != connection);
        let State {
            unconfirmed,
            connections,
            records,
            ..
        } = &mut *state;
        let is_gone = |of: usize| {
            let quic = connections[of].as_ref();
            quic.is_some_and(|quic| quic.close_reason().is_some())
        };
        for (_, lost) in unconfirmed.iter().filter(|(of, _)| is_gone(*of)) {
            records.retain(|held| held.record != *lost);
        }
    }

    /// The stream is over, and so are its subscriptions.
    pub(super) fn forget(&self, speaker: &Speaker) {
        let mut state = self.state();
        state.subscriptions.retain(|it| it.stream != speaker.stream);
        let upload = speaker.binding().upload.take();
        if let (Fault::BlobsInPart, Some((hash, _, data))) = (self.fault, upload) {
            state.blobs.insert(hash, data.into());
        }
    }

    /// Whether this error is the one that is overlooked.
    pub(super) fn believes(&self, error: &dyn Debug) -> bool {
        match self.fault {
            Fault::Believes(name) => format!("{error:?}").contains(name),
            _ => false,
        }
    }

    pub(super) fn get(&self, speaker: &Speaker, id: QueryId, references: &[Reference]) {
        if !speaker.may_read(id) {
            return;
        }
        let (state, reader) = (self.state(), speaker.reader());
        let mut sent: Vec<&Record> = Vec::new();
        let mut is_hidden = false;
        for reference in references {
            let before = sent.len();
            for held in &state.records {
                let record = &held.record;
                let is_meant = match reference {
                    Reference::Id(id) => *id == record.id(),
                    Reference::Address(address) => {
                        *address == record.view().address() && !held.is_replaced
                    }
                };
                if !is_meant || sent.contains(&record) {
                    continue;
                }
                if self.may_see(&state, held, reader) {
                    sent.push(record);
                } else {
                    is_hidden = true;
                }
            }
            if self.fault == Fault::StopsAtMissing && sent.len() == before {
                break;
            }
        }
        for record in &sent {
            let record = record.bytes().clone();
            speaker.say(ServerMessage::Record { id, record });
        }
        let nothing = match self.fault {
            Fault::NothingIsSuccess => ResultCode::Success,
            Fault::RefusesTheInvisible if is_hidden => ResultCode::Unauthorized,
            _ => ResultCode::NotFound,
        };
        let result = match sent.is_empty() {
            true => nothing,
            false if self.fault == Fault::FoundIsNotFound => ResultCode::NotFound,
            false => ResultCode::Success,
        };
        speaker.close(id, result);
    }

    pub(super) fn query(&self, speaker: &Speaker, id: QueryId, limit: u16, filter: &Filter) {
        if !speaker.may_read(id) {
            return;
        }
        if self.fault == Fault::OpenIsInvalid && !filter.is_narrow() {
            return speaker.close(id, ResultCode::Invalid);
        }
        let mut state = self.state();
        let is_same = |it: &Subscription| it.stream == speaker.stream && it.id == id;
        if self.fault != Fault::QueryLeavesOpen {
            state.subscriptions.retain(|it| !is_same(it));
        }
        let mut reader = speaker.reader();
        if self.fault == Fault::IgnoresTagsInQueries {
            reader.role = Some(StreamRole::Operator);
        }
        let found = self.found(&state, reader, limit, filter);
        let result = match self.fault {
            Fault::NothingIsNotFound if found.is_empty() => ResultCode::NotFound,
            _ => ResultCode::Success,
        };
        send(speaker, id, found);
        speaker.close(id, result);
    }

    pub(super) fn subscribe(&self, speaker: &Speaker, id: QueryId, limit: u16, filter: Filter) {
        if !speaker.may_read(id) {
            return;
        }
        let mut state = self.state();
        let complete = ServerMessage::LocallyComplete { id };
        if self.fault == Fault::CompleteFirst {
            speaker.say(complete.clone());
        }
        let found = self.found(&state, speaker.reader(), limit, &filter);
        send(speaker, id, found);
        if self.fault != Fault::CompleteFirst {
            speaker.say(complete.clone());
        }
        if self.fault == Fault::CompleteTwice {
            speaker.say(complete);
        }
        let is_same = |it: &Subscription| it.stream == speaker.stream && it.id == id;
        if self.fault != Fault::SubscribeLeavesOpen {
            state.subscriptions.retain(|it| !is_same(it));
        }
        state.subscriptions.push(Subscription {
            stream: speaker.stream,
            id,
            reader: speaker.reader(),
            filter: bent(&filter, self.fault),
            is_over: false,
            out: speaker.out.clone(),
        });
    }

    pub(super) fn unsubscribe(&self, speaker: &Speaker, id: QueryId) {
        let mut state = self.state();
        let is_it = |it: &Subscription| it.stream == speaker.stream && it.id == id;
        let was_there = state
            .subscriptions
            .iter()
            .any(|it| is_it(it) && !it.is_over);
        match self.fault {
            Fault::NeverUnsubscribes => {}
            Fault::TellsTheEnded => {
                let ended = state.subscriptions.iter_mut().filter(|it| is_it(it));
                ended.for_each(|it| it.is_over = true);
            }
            _ => state.subscriptions.retain(|it| !is_it(it)),
        }
        let result = match was_there || self.fault == Fault::UnknownIsSuccess {
            true => ResultCode::Success,
            false => ResultCode::NotFound,
        };
        speaker.close(id, result);
    }

    /// Newest first, unless that is what is wrong.
    fn found<'a>(
        &self,
        state: &'a State,
        reader: Reader,
        limit: u16,
        filter: &Filter,
    ) -> Vec<&'a Record> {
        let filter = bent(filter, self.fault);
        let received = |held: &Held| match self.fault {
            Fault::ReceivedIsDated => held.record.view().timestamp(),
            _ => held.received,
        };
        let mut found: Vec<&Record> = state
            .records
            .iter()
            .filter(|held| filter.matches(&held.record.view(), received(held)))
            .filter(|held| self.may_see(state, held, reader))
            .map(|held| &held.record)
            .collect();
        found.sort_by_key(|record| std::cmp::Reverse(record.id()));
        if self.fault == Fault::OldestFirst {
            found.reverse();
        }
        if limit != 0 && self.fault != Fault::NoLimit {
            found.truncate(usize::from(limit));
        }
        found
    }

    pub(super) fn submit(&self, speaker: &Speaker, record: Record) -> ResultCode {
        let mut state = self.state();
        if let Some(refusal) = self.refusal(&state, speaker, &record) {
            return refusal;
        }
        let view = record.view();
        if view.kind().duplicates() == Duplicates::Ephemeral {
            if self.fault == Fault::KeepsEphemeral {
                state.records.push(held(record.clone()));
            }
            return match self.announce(&state, &record) {
                0 if self.fault != Fault::EphemeralIsHeard => ResultCode::NoConsumers,
                _ => ResultCode::Accepted,
            };
        }
        let is_beaten = |other: &&Held| {
            let is_same = other.record == record;
            is_same || self.replaces(&state, other.record.view(), view)
        };
        if let Some(winner) = state.records.iter().find(is_beaten) {
            let is_told = self.may_see(&state, winner, speaker.reader())
                || self.fault == Fault::DuplicateTells;
            return match is_told && self.fault != Fault::NothingIsDuplicate {
                true => ResultCode::Duplicate,
                false => ResultCode::Accepted,
            };
        }
        match self.fault {
            Fault::StoresLater => state.later.push((speaker.connection, record)),
            _ => {
                state.unconfirmed.push((speaker.connection, record.clone()));
                if self.fault != Fault::ForgetsOnClose {
                    state.unconfirmed.clear();
                }
                self.store(&mut state, record);
            }
        }
        ResultCode::Accepted
    }

    /// Why the record is not taken.
    fn refusal(&self, state: &State, speaker: &Speaker, record: &Record) -> Option<ResultCode> {
        if let Some(result) = self.judged(record) {
            return Some(result);
        }
        let view = record.view();
        let now = Timestamp::now();
        let is_author = self.speaks_for(state, speaker.key, view.author());
        if view.flags().from_author() && self.fault == Fault::FromAuthorIsInvalid {
            return Some(ResultCode::Invalid);
        }
        if view.flags().from_author() && !is_author && self.fault != Fault::FromAuthorByAnybody {
            return Some(match speaker.key {
                None => ResultCode::RequiresAuthentication,
                Some(_) => ResultCode::Unauthorized,
            });
        }
        if !is_author && self.fault == Fault::LettersAreInvalid {
            return Some(ResultCode::Invalid);
        }
        let is_plain = self.fault == Fault::Plain;
        if is_plain && (view.kind() == Kind::KEY_SCHEDULE || view.signer() != view.author()) {
            return Some(ResultCode::Unauthorized);
        }
        let is_revoked = state.families.is_void(view, now) && self.fault != Fault::RevokedSign;
        let is_future = self.fault == Fault::RefusesFuture && view.timestamp() > now;
        (is_revoked || is_future).then_some(ResultCode::Unauthorized)
    }

    /// What is said of a record that is not valid, and of one that is only said to be.
    fn judged(&self, record: &Record) -> Option<ResultCode> {
        let view = record.view();
        if self.fault == Fault::ReadsIgnoredFlags && record.bytes()[139..144] != [0; 5] {
            return Some(ResultCode::Invalid);
        }
        match Verifier::new(16).record(view) {
            Ok(_) => None,
            Err(
                VerifyError::ScalarOutOfRange
                | VerifyError::PointNotCanonical
                | VerifyError::WrongSignature,
            ) if self.fault == Fault::BelievesSignatures => None,
            Err(error) if self.believes(&error) => Some(ResultCode::Accepted),
            Err(_) => Some(ResultCode::Invalid),
        }
    }

    /// Whether `new` takes the place of `old`.
    fn replaces(&self, state: &State, new: RecordRef<'_>, old: RecordRef<'_>) -> bool {
        self.is_group(state, new, old)
            && self.fault != Fault::LastReplaces
            && (new.timestamp(), new.id()) > (old.timestamp(), old.id())
    }

    /// Whether of the two records only one is kept.
    fn is_group(&self, state: &State, new: RecordRef<'_>, old: RecordRef<'_>) -> bool {
        let is_single = match new.kind().duplicates() {
            Duplicates::Replaceable => true,
            Duplicates::Unique => self.fault == Fault::UniqueReplaces,
            Duplicates::Versioned => self.fault == Fault::VersionedReplaces,
            Duplicates::Ephemeral => false,
        };
        let may_replace = match self.fault {
            Fault::SubkeysDoNotReplace => new.signer() == old.signer(),
            Fault::UnlistedReplaces => true,
            _ => {
                new.signer() == old.signer()
                    || state.families.vouch(new) && state.families.vouch(old)
            }
        };
        is_single && may_replace && new.address() == old.address()
    }

    fn store(&self, state: &mut State, record: Record) {
        if record.view().kind() == Kind::KEY_SCHEDULE {
            state.families.learn(record.view());
        }
        let mut records = std::mem::take(&mut state.records);
        match self.fault {
            Fault::ReplacesByAddressAlone => {
                for held in &mut records {
                    held.is_replaced |= self.is_group(state, record.view(), held.record.view());
                }
            }
            _ => records.retain(|held| !self.is_group(state, record.view(), held.record.view())),
        }
        records.push(held(record.clone()));
        state.records = records;
        self.announce(state, &record);
    }

    /// Tells subscribers, and how many there were.
    fn announce(&self, state: &State, record: &Record) -> usize {
        let new = held(record.clone());
        let is_told = |it: &&Subscription| {
            let mut reader = it.reader;
            if self.fault == Fault::IgnoresTagsInNews {
                reader.role = Some(StreamRole::Operator);
            }
            !it.out.is_closed()
                && it.filter.matches(&record.view(), new.received)
                && self.may_see(state, &new, reader)
        };
        let told: Vec<&Subscription> = state.subscriptions.iter().filter(is_told).collect();
        let open = told.iter().filter(|it| !it.is_over);
        let is_heard = open.clone().next().is_some();
        let over = told.iter().filter(|it| it.is_over && is_heard);
        for it in open.chain(over) {
            let times = if self.fault == Fault::LiveTwice { 2 } else { 1 };
            for _ in 0..times {
                let (id, record) = (it.id, record.bytes().clone());
                it.out
                    .send(ServerMessage::Record { id, record }.encode())
                    .ok();
            }
        }
        told.len()
    }

    /// Whether whoever holds `key` is `author`, or has a key that speaks for it.
    fn speaks_for(&self, state: &State, key: Option<PublicKey>, author: PublicKey) -> bool {
        let Some(key) = key else { return false };
        let speaks = match self.fault {
            Fault::SubkeysAreNobody => false,
            Fault::RevokedRead => state.families.lists(key, author),
            _ => state.families.speaks_for(key, author),
        };
        speaks || key == author
    }

    fn may_see(&self, state: &State, held: &Held, reader: Reader) -> bool {
        let record = held.record.view();
        let is_void = match self.fault {
            Fault::RevokedStay => false,
            Fault::RevokedFromIsWhole => state.families.is_revoked_ever(record),
            Fault::OutOfUseIsRevoked => !state.families.is_in_use(record),
            Fault::SubkeysAreHidden => record.signer() != record.author(),
            _ => state.families.is_void(record, held.received),
        };
        if is_void {
            return false;
        }
        let tags = match self.fault {
            Fault::TaggedSeeNothing => 0,
            Fault::FirstTagOnly => 1,
            _ => usize::MAX,
        };
        let is_one = |key| self.speaks_for(state, reader.key, key);
        let is_author = is_one(record.author()) && self.fault != Fault::AuthorsSeeNothing;
        let is_notified = record.notifies().take(tags).any(is_one);
        let is_bound = reader.role == Some(StreamRole::Encryption);
        let is_ignored = match self.fault {
            Fault::IgnoresTags => true,
            // The reader is made an operator there.
            Fault::IgnoresTagsInQueries | Fault::IgnoresTagsInNews => {
                reader.role == Some(StreamRole::Operator)
            }
            Fault::IgnoresTagsWhereBound => is_bound,
            Fault::AuthorReadsLetters => is_bound && is_author,
            _ => false,
        };
        match record.kind().access() {
            ReadAccess::AuthorAndTagged if is_bound => is_notified || is_ignored,
            _ if is_bound => false,
            ReadAccess::Everybody => {
                self.fault != Fault::AnonymousSeeNothing || reader.key.is_some()
            }
            ReadAccess::AuthorOnly => is_author || self.fault == Fault::LeaksToStrangers,
            ReadAccess::AuthorAndTagged => is_author || is_notified || is_ignored,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// A record that is received now.
fn held(record: Record) -> Held {
    Held {
        received: Timestamp::now(),
        record,
        is_replaced: false,
    }
}

fn send(speaker: &Speaker, id: QueryId, records: Vec<&Record>) {
    for record in records {
        let record = record.bytes().clone();
        speaker.say(ServerMessage::Record { id, record });
    }
}
