//! What the double holds, and by which rules: all of it under one lock, so that nothing can come in between.

use std::sync::{Arc, Mutex, MutexGuard};

use mosaicd::identity::Verifier;
use mosaicd::wire::{
    Duplicates, Filter, Hash64, Kind, PublicKey, QueryId, ReadAccess, Record, RecordRef, Reference,
    ResultCode, ServerMessage, Timestamp,
};
use tokio::sync::mpsc::UnboundedSender;

use super::double::Fault;

/// The end of a stream on which the double speaks.
pub(super) type Out = UnboundedSender<ServerMessage>;

/// Shared by all connections.
#[derive(Clone)]
pub(super) struct Shelf {
    pub(super) fault: Fault,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    records: Vec<(Timestamp, Record)>,
    subscriptions: Vec<Subscription>,
    /// Acknowledged, and kept from others until the submitter says something else.
    later: Vec<(usize, Record)>,
    /// Acknowledged last on that connection.
    unconfirmed: Vec<(usize, Record)>,
    connections: Vec<Option<quinn::Connection>>,
}

struct Subscription {
    stream: usize,
    id: QueryId,
    reader: Option<PublicKey>,
    filter: Filter,
    out: Out,
}

/// Who speaks, where.
#[derive(Clone)]
pub(super) struct Speaker {
    pub(super) connection: usize,
    pub(super) stream: usize,
    pub(super) key: Option<PublicKey>,
    pub(super) out: Out,
}

impl Speaker {
    pub(super) fn say(&self, message: ServerMessage) {
        // A client that went away is no failure of the test.
        self.out.send(message).ok();
    }

    fn close(&self, id: QueryId, result: ResultCode) {
        self.say(ServerMessage::QueryClosed { id, result });
    }
}

impl Shelf {
    pub(super) fn new(fault: Fault) -> Self {
        Self {
            fault,
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
            records.retain(|(_, record)| record != lost);
        }
    }

    /// The stream is over, and so are its subscriptions.
    pub(super) fn forget(&self, stream: usize) {
        self.state().subscriptions.retain(|it| it.stream != stream);
    }

    pub(super) fn get(&self, speaker: &Speaker, id: QueryId, references: &[Reference]) {
        let state = self.state();
        let mut sent: Vec<&Record> = Vec::new();
        let mut is_hidden = false;
        for reference in references {
            for (_, record) in &state.records {
                let view = record.view();
                let is_meant = match reference {
                    Reference::Id(id) => *id == record.id(),
                    Reference::Address(address) => *address == view.address(),
                };
                if !is_meant || sent.contains(&record) {
                    continue;
                }
                if self.may_see(view, speaker.key) {
                    sent.push(record);
                } else {
                    is_hidden = true;
                }
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
        let result = if sent.is_empty() {
            nothing
        } else {
            ResultCode::Success
        };
        speaker.close(id, result);
    }

    pub(super) fn query(&self, speaker: &Speaker, id: QueryId, limit: u16, filter: &Filter) {
        let mut state = self.state();
        let is_same = |it: &Subscription| it.stream == speaker.stream && it.id == id;
        if self.fault != Fault::QueryLeavesOpen {
            state.subscriptions.retain(|it| !is_same(it));
        }
        self.send_stored(&state, speaker, id, limit, filter);
        speaker.close(id, ResultCode::Success);
    }

    pub(super) fn subscribe(&self, speaker: &Speaker, id: QueryId, limit: u16, filter: Filter) {
        let mut state = self.state();
        let complete = ServerMessage::LocallyComplete { id };
        if self.fault == Fault::CompleteFirst {
            speaker.say(complete.clone());
        }
        self.send_stored(&state, speaker, id, limit, &filter);
        if self.fault != Fault::CompleteFirst {
            speaker.say(complete.clone());
        }
        if self.fault == Fault::CompleteTwice {
            speaker.say(complete);
        }
        let is_same = |it: &Subscription| it.stream == speaker.stream && it.id == id;
        state.subscriptions.retain(|it| !is_same(it));
        state.subscriptions.push(Subscription {
            stream: speaker.stream,
            id,
            reader: speaker.key,
            filter,
            out: speaker.out.clone(),
        });
    }

    pub(super) fn unsubscribe(&self, speaker: &Speaker, id: QueryId) {
        let mut state = self.state();
        let before = state.subscriptions.len();
        let is_it = |it: &Subscription| it.stream == speaker.stream && it.id == id;
        if self.fault != Fault::NeverUnsubscribes {
            state.subscriptions.retain(|it| !is_it(it));
        }
        let was_there = before > state.subscriptions.len() || state.subscriptions.iter().any(is_it);
        speaker.close(
            id,
            match was_there {
                true => ResultCode::Success,
                false => ResultCode::NotFound,
            },
        );
    }

    /// Newest first, unless that is what is wrong.
    fn send_stored(
        &self,
        state: &State,
        speaker: &Speaker,
        id: QueryId,
        limit: u16,
        filter: &Filter,
    ) {
        let mut found: Vec<&Record> = state
            .records
            .iter()
            .filter(|(received, record)| filter.matches(&record.view(), *received))
            .map(|(_, record)| record)
            .filter(|record| self.may_see(record.view(), speaker.key))
            .collect();
        found.sort_by_key(|record| std::cmp::Reverse(record.id()));
        if self.fault == Fault::OldestFirst {
            found.reverse();
        }
        if limit != 0 && self.fault != Fault::NoLimit {
            found.truncate(usize::from(limit));
        }
        for record in found {
            let record = record.bytes().clone();
            speaker.say(ServerMessage::Record { id, record });
        }
    }

    pub(super) fn submit(&self, speaker: &Speaker, record: Record) -> ResultCode {
        if !self.is_valid(&record) {
            return ResultCode::Invalid;
        }
        let view = record.view();
        let is_author = speaker.key == Some(view.author());
        if view.flags().from_author() && !is_author {
            return match speaker.key {
                None => ResultCode::RequiresAuthentication,
                Some(_) => ResultCode::Unauthorized,
            };
        }
        // It knows no schedules, so masters alone sign.
        if view.kind() == Kind::KEY_SCHEDULE || view.signer() != view.author() {
            return ResultCode::Unauthorized;
        }
        let mut state = self.state();
        if view.kind().duplicates() == Duplicates::Ephemeral {
            if self.fault == Fault::KeepsEphemeral {
                state.records.push((Timestamp::now(), record.clone()));
            }
            return match self.announce(&state, &record) {
                0 => ResultCode::NoConsumers,
                _ => ResultCode::Accepted,
            };
        }
        let is_beaten = |(_, other): &&(Timestamp, Record)| {
            let is_same = other == &record;
            is_same || self.replaces(other.view(), view)
        };
        if let Some((_, winner)) = state.records.iter().find(is_beaten) {
            let is_told =
                self.may_see(winner.view(), speaker.key) || self.fault == Fault::DuplicateTells;
            return match is_told {
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

    fn is_valid(&self, record: &Record) -> bool {
        let view = record.view();
        if self.fault == Fault::BelievesSignatures {
            let hash = Hash64::of(view.signed_bytes());
            return hash.as_bytes().starts_with(view.id().hash_start());
        }
        Verifier::new(16).record(view).is_ok()
    }

    /// Whether `new` takes the place of `old`.
    fn replaces(&self, new: RecordRef<'_>, old: RecordRef<'_>) -> bool {
        let is_one =
            new.kind().duplicates() == Duplicates::Replaceable && new.address() == old.address();
        is_one
            && self.fault != Fault::LastReplaces
            && (new.timestamp(), new.id()) > (old.timestamp(), old.id())
    }

    fn store(&self, state: &mut State, record: Record) {
        let view = record.view();
        let is_group = |other: &Record| {
            let other = other.view();
            other.kind().duplicates() == Duplicates::Replaceable
                && other.address() == view.address()
        };
        state.records.retain(|(_, other)| !is_group(other));
        state.records.push((Timestamp::now(), record.clone()));
        self.announce(state, &record);
    }

    /// Tells subscribers, and how many there were.
    fn announce(&self, state: &State, record: &Record) -> usize {
        let now = Timestamp::now();
        let mut told = 0;
        for it in &state.subscriptions {
            let view = record.view();
            if it.out.is_closed()
                || !it.filter.matches(&view, now)
                || !self.may_see(view, it.reader)
            {
                continue;
            }
            told += 1;
            let times = if self.fault == Fault::LiveTwice { 2 } else { 1 };
            for _ in 0..times {
                let (id, record) = (it.id, record.bytes().clone());
                it.out.send(ServerMessage::Record { id, record }).ok();
            }
        }
        told
    }

    fn may_see(&self, record: RecordRef<'_>, reader: Option<PublicKey>) -> bool {
        let is_author = reader == Some(record.author());
        let tags = match self.fault {
            Fault::FirstTagOnly => 1,
            _ => usize::MAX,
        };
        let is_notified = record.notifies().take(tags).any(|key| reader == Some(key));
        match record.kind().access() {
            ReadAccess::Everybody => true,
            ReadAccess::AuthorOnly => is_author || self.fault == Fault::LeaksToStrangers,
            ReadAccess::AuthorAndTagged => {
                is_author || is_notified || self.fault == Fault::IgnoresTags
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
