//! A stream of one requester: all that is asked on it, and held against the table.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use mosaicd::base::Role;
use mosaicd::client::RawConnection;
use mosaicd::wire::{
    ClientMessage, MessageType, QueryId, Record, RecordId, ResultCode, ServerMessage,
};
use tokio::task::JoinSet;

use super::asks;
use super::cast::Hand;
use super::play::{Findings, Setting, Stock};
use super::table::{REQUESTERS, Row};
use super::wire::{Talk, kind_of, records};
use crate::support::DevServer;

/// A stream of somebody.
pub(super) struct Watcher {
    hand: Hand,
    bound: Option<Role>,
    pub(super) when: &'static str,
    talk: Talk,
    /// Whether the stream is bound as was asked; else it is of no use.
    is_bound: bool,
    /// Keeps the connection open.
    _connection: RawConnection,
}

/// Opens a connection for every key, and on each an unbound stream and one for each role.
pub(super) async fn watchers(
    server: &DevServer,
    setting: &Setting,
    when: &'static str,
) -> Vec<Watcher> {
    let mut hands = BTreeMap::new();
    for row in setting.rows {
        for requester in REQUESTERS.chars() {
            hands.insert(row.hand(requester), ());
        }
    }
    let mut watchers = Vec::new();
    for hand in hands.into_keys() {
        let connection = server.raw(hand.secret().as_ref()).await;
        for bound in std::iter::once(None).chain(Role::ALL.map(Some)) {
            let mut talk = Talk::open(&connection).await;
            if bound.is_none() {
                talk.hello().await;
            }
            let mut is_bound = true;
            if let Some(role) = bound {
                let answer = talk.bind(role, None).await;
                is_bound = setting.plays(role);
                let expected = if is_bound {
                    ResultCode::Success
                } else {
                    ResultCode::Unauthorized
                };
                assert_eq!(answer, expected, "{}: {hand:?} opens {role}", setting.name);
            }
            watchers.push(Watcher {
                hand,
                bound,
                when,
                talk,
                is_bound,
                _connection: connection.clone(),
            });
        }
    }
    watchers
}

pub(super) type Step<'a> = Pin<Box<dyn Future<Output = Watcher> + Send + 'a>>;

/// Has every watcher do the same, all at once.
pub(super) async fn each(
    watchers: Vec<Watcher>,
    stock: &Arc<Stock>,
    step: for<'a> fn(&'a Stock, Watcher, &'a mut Findings) -> Step<'a>,
) -> (Vec<Watcher>, Findings) {
    let mut tasks = JoinSet::new();
    for watcher in watchers {
        let stock = Arc::clone(stock);
        tasks.spawn(async move {
            let mut findings = Findings::default();
            let watcher = step(&stock, watcher, &mut findings).await;
            (watcher, findings)
        });
    }
    let mut findings = Findings::default();
    let mut watchers = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (watcher, found) = done.unwrap();
        watchers.push(watcher);
        findings.add(found);
    }
    (watchers, findings)
}

impl Watcher {
    /// Whether a row's record is there for this stream; to whom it means nothing it is a stranger.
    fn sees(&self, row: &Row) -> bool {
        let requester = row.requester(self.hand).unwrap_or('S');
        self.is_bound && row.is_for(requester, self.bound)
    }

    /// Whether this stream may read at all.
    fn reads(&self) -> bool {
        let is_turned_away = self.hand == Hand::Nobody && self.bound == Some(Role::Encryption);
        self.is_bound && !is_turned_away
    }

    fn case(&self, stock: &Stock, row: &Row) -> String {
        let stream = self
            .bound
            .map_or_else(|| "unbound".to_owned(), |role| role.to_string());
        let Row { shape, access, .. } = row;
        let (name, hand, when) = (stock.setting.name, self.hand, self.when);
        format!("{name}: {access:?} for {shape}, {hand:?}, {stream}, {when}")
    }

    /// Subscribes to everything, by every element of filters. `wave` is what is stored already.
    pub(super) async fn subscribe(
        &mut self,
        stock: &Stock,
        wave: Option<usize>,
        findings: &mut Findings,
    ) {
        if !self.reads() {
            return;
        }
        for (filter, id) in stock.wide.iter().zip(FIRST_LIVE..) {
            let subscribe = ClientMessage::Subscribe {
                id: QueryId(id),
                limit: 0,
                filter: filter.clone(),
            };
            self.talk.say(&subscribe).await;
        }
        for id in live_ids(stock) {
            let is_complete = |reply: &Bytes| kind_of(reply) == MessageType::LocallyComplete;
            while !self.talk.heard(id).iter().any(is_complete) {
                self.talk.listen().await;
            }
            let stored = self.talk.take(id);
            if let Some(wave) = wave {
                let path = format!("SUBSCRIBE, stored, {}", element(id));
                self.expect_all(stock, wave, &stored, &path, findings);
            }
        }
    }

    /// Waits until the wave has arrived, and judges what came with it: the cells of the live phase.
    pub(super) async fn expect_live(
        &mut self,
        stock: &Stock,
        wave: usize,
        findings: &mut Findings,
    ) {
        if self.reads() {
            for id in live_ids(stock) {
                self.await_last_ones(stock, wave, id).await;
                let came = self.talk.take(id);
                let path = format!("SUBSCRIBE, live, {}", element(id));
                self.expect_all(stock, wave, &came, &path, findings);
            }
        }
        // The first wave is the early ones', the second the late ones'.
        if (wave == 0) == (self.when == "early") {
            findings.cells += self.cells(stock);
        }
    }

    /// Rows for which this stream is that of one of the requesters.
    fn cells(&self, stock: &Stock) -> usize {
        let rows = stock.setting.rows.iter();
        rows.filter(|row| row.requester(self.hand).is_some())
            .count()
    }

    /// Waits for the last records of the wave. Where there is none for this stream, two round trips
    /// have to do: all that was published before is in its mailbox since.
    async fn await_last_ones(&mut self, stock: &Stock, wave: usize, id: u16) {
        let mut waits = false;
        for (role, made) in &stock.last_ones[wave] {
            let is_asked = self.bound.is_none_or(|bound| bound == *role);
            if !is_asked || !stock.last_one_is_for(self.hand, *role) {
                continue;
            }
            waits = true;
            while !has(self.talk.heard(id), &made.record) {
                self.talk.listen().await;
            }
        }
        if !waits {
            for _ in 0..2 {
                let id = QueryId(0);
                let references = Vec::new();
                let get = ClientMessage::Get { id, references };
                self.talk.ask(&[get]).await;
            }
        }
    }

    /// Whether the wave's records in `replies` are those that are for this stream, each once, and
    /// none that was disowned.
    fn expect_all(
        &self,
        stock: &Stock,
        wave: usize,
        replies: &[Bytes],
        path: &str,
        findings: &mut Findings,
    ) {
        let mut times = BTreeMap::<RecordId, usize>::new();
        for record in records(replies) {
            let id = RecordId::from_bytes(record[..48].try_into().unwrap()).unwrap();
            *times.entry(id).or_default() += 1;
        }
        let rows = &stock.setting.rows;
        for (row, made) in rows.iter().zip(&stock.waves[wave]) {
            let came = times.get(&made.record.id()).copied().unwrap_or(0);
            findings.expect(came == usize::from(self.sees(row)), || {
                format!("{}, {path}: came {came} times", self.case(stock, row))
            });
        }
        for (row, made) in rows.iter().zip(&stock.disowned) {
            findings.expect(!times.contains_key(&made.record.id()), || {
                let case = self.case(stock, row);
                format!("{case}, {path}: what a revoked key signed came")
            });
        }
    }

    /// Asks for the first wave in every way that has an end: all at once by each element of filters,
    /// and one by one.
    pub(super) async fn expect_stored(&mut self, stock: &Stock, findings: &mut Findings) {
        let paths = asks::one_by_one();
        findings.cells += self.cells(stock) * paths.len();
        if !self.is_bound {
            return;
        }
        self.expect_wide(stock, findings).await;
        let foreign = &stock.absent[0];
        let absent = asks::for_one(&stock.absent[1], foreign);
        let absent = self.talk.ask(&absent).await;
        for ((path, id), said) in paths.iter().zip(0..).zip(&absent) {
            let nothing = asks::nothing(*path, id, self.hand, self.bound);
            findings.expect(*said == nothing, || {
                let (name, hand, bound) = (stock.setting.name, self.hand, self.bound);
                format!("{name}: {hand:?} {bound:?} {path:?}: of nothing it is told {said:?}")
            });
        }
        let hidden = stock.disowned.iter().map(|made| (made, false));
        let hidden = stock.setting.rows.iter().zip(hidden);
        let rows = stock.setting.rows.iter().zip(&stock.waves[0]);
        let rows = rows.map(|(row, made)| (row, (made, self.sees(row))));
        let asked: Vec<_> = rows.chain(hidden).collect();
        for (row, (made, is_there)) in asked {
            let answers = self.talk.ask(&asks::for_one(made, foreign)).await;
            for (((path, id), said), absent) in paths.iter().zip(0..).zip(&answers).zip(&absent) {
                let expected = if is_there {
                    asks::found(*path, id, made)
                } else {
                    // To the byte what is said of a record that never was.
                    absent.clone()
                };
                findings.expect(*said == expected, || {
                    let case = self.case(stock, row);
                    let came = records(said).count();
                    let there = if is_there { "is" } else { "is not" };
                    format!("{case}, {path:?}: {there} there, {came} records: {said:?}")
                });
            }
        }
    }

    async fn expect_wide(&mut self, stock: &Stock, findings: &mut Findings) {
        if !self.reads() {
            return;
        }
        let queries = stock.wide.iter().zip(0..).map(|(filter, id)| {
            let filter = filter.clone();
            let id = QueryId(id);
            ClientMessage::Query {
                id,
                limit: 0,
                filter,
            }
        });
        let queries: Vec<_> = queries.collect();
        for (id, said) in (FIRST_LIVE..).zip(self.talk.ask(&queries).await) {
            let path = format!("QUERY of all, {}", element(id));
            self.expect_all(stock, 0, &said, &path, findings);
        }
    }

    /// Ends the subscriptions to everything.
    pub(super) async fn unsubscribe(&mut self, stock: &Stock) {
        if !self.reads() {
            return;
        }
        for id in live_ids(stock) {
            let id = QueryId(id);
            self.talk.say(&ClientMessage::Unsubscribe { id }).await;
        }
        for id in live_ids(stock) {
            let is_closed = |reply: &Bytes| kind_of(reply) == MessageType::QueryClosed;
            while !self.talk.heard(id).iter().any(is_closed) {
                self.talk.listen().await;
            }
        }
    }

    /// Hands in again what is here, and beside it something new of the same kind: where the record
    /// is not there for this stream, both are answered alike.
    pub(super) async fn expect_submissions(&mut self, stock: &Stock, findings: &mut Findings) {
        if !self.is_bound {
            return;
        }
        let known: Vec<Record> = stock.waves[0].iter().map(|it| it.record.clone()).collect();
        let rows = stock.setting.rows.iter();
        let new = rows.map(|row| asks::of_row(row, Hand::Own(row.author()), 500).record);
        let new: Vec<Record> = new.collect();
        let known = self.talk.submit(&known).await;
        let new = self.talk.submit(&new).await;
        for ((row, known), new) in stock.setting.rows.iter().zip(&known).zip(&new) {
            let is_new = result(new) == ResultCode::Accepted;
            let agrees = if self.sees(row) && is_new {
                result(known) == ResultCode::Duplicate
            } else {
                known == new
            };
            findings.expect(agrees, || {
                let case = self.case(stock, row);
                format!("{case}, SUBMISSION: {known:?}, of a new record {new:?}")
            });
        }
    }
}

fn live_ids(stock: &Stock) -> impl Iterator<Item = u16> + use<> {
    (FIRST_LIVE..).take(stock.wide.len())
}

/// What the filter in that place of [`asks::for_all`] has.
fn element(id: u16) -> String {
    let place = usize::from(id - FIRST_LIVE);
    let element = place.checked_sub(1).map(|place| asks::ELEMENTS[place]);
    element.map_or_else(|| "no element".to_owned(), |it| format!("{it:?}"))
}

fn has(replies: &[Bytes], record: &Record) -> bool {
    records(replies).any(|bytes| bytes == record.bytes())
}

fn result(answer: &Bytes) -> ResultCode {
    match ServerMessage::parse(answer) {
        Ok(ServerMessage::SubmissionResult { result, .. }) => result,
        other => panic!("SUBMISSION is answered {other:?}"),
    }
}

/// The query IDs of what stays open; the others are below.
const FIRST_LIVE: u16 = 100;
