//! One server, and everybody who asks it for everything.

use std::collections::BTreeMap;

use bytes::Bytes;
use mosaicd::base::Role;
use mosaicd::client::{Client, RawConnection};
use mosaicd::wire::{
    ClientMessage, Filter, MessageType, QueryId, ReadAccess, Record, RecordId, ResultCode,
    ServerMessage,
};
use tokio::task::JoinSet;

use super::asks::{self, Draft, Made, OTHER_APP, Path, SERVED_APP};
use super::cast::{Hand, Person, first_schedules, last_schedules};
use super::table::{REQUESTERS, Row};
use super::wire::{Talk, kind_of, records};
use crate::support::DevServer;

/// A server, and the rows of the table that are for it.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// Beside the application role, under which the key schedules are.
    pub(super) roles: &'static [Role],
    pub(super) rows: &'static [Row],
    pub(super) inbox_public: bool,
}

/// What was found.
#[derive(Default)]
pub(super) struct Findings {
    /// Cells of the matrix that were tried.
    pub(super) cells: usize,
    /// Everything in which the server and the table disagree.
    pub(super) disagreements: Vec<String>,
}

impl Findings {
    pub(super) fn add(&mut self, others: Self) {
        self.cells += others.cells;
        self.disagreements.extend(others.disagreements);
    }
}

/// All that is stored on a server, or should not be.
struct Stock {
    setting: Setting,
    /// Of each wave, the record of each row.
    waves: [Vec<Made>; 2],
    /// Of each wave, one record for each role that is open, to be delivered behind the others.
    last_ones: [Vec<(Role, Made)>; 2],
    /// A record for each row, signed by a key that was good when it was taken and is revoked since.
    disowned: Vec<Made>,
    /// A record for each row that nobody ever handed in.
    absent: Vec<Made>,
    /// Filters that find all of them.
    wide: Vec<Filter>,
}

impl Stock {
    fn new(setting: Setting) -> Self {
        let rows = |from: u16, signer: fn(&Row) -> Hand| -> Vec<Made> {
            let rows = setting.rows.iter().zip(from..);
            rows.map(|(row, number)| asks::of_row(row, signer(row), number))
                .collect()
        };
        let own = |row: &Row| Hand::Own(row.author());
        let waves = [rows(100, own), rows(200, |row| Hand::Subkey(row.author()))];
        let last_ones = [150, 250].map(|from| {
            let roles = Role::ALL.into_iter().zip(from..);
            roles
                .filter(|(role, _)| setting.plays(*role))
                .map(|(role, number)| (role, last_one(role, number)))
                .collect::<Vec<_>>()
        });
        let disowned = rows(300, |row| Hand::Revoked(row.author()));
        let all = waves.iter().flatten().chain(&disowned);
        let all = all.chain(last_ones.iter().flatten().map(|(_, made)| made));
        let wide = asks::for_all(all);
        Self {
            absent: rows(400, own),
            setting,
            waves,
            last_ones,
            disowned,
            wide,
        }
    }

    /// Whether the last record of that role is there for `hand`: to all of them it is addressed.
    fn last_one_is_for(&self, hand: Hand, role: Role) -> bool {
        let is_private = role == Role::Encryption;
        let is_shy = role == Role::Inbox && !self.setting.inbox_public;
        !(is_private || is_shy) || hand.speaks_for_somebody()
    }
}

impl Setting {
    fn plays(&self, role: Role) -> bool {
        role == Role::Application || self.roles.contains(&role)
    }

    async fn start(&self) -> DevServer {
        let roles = Role::ALL.into_iter().filter(|role| self.plays(*role));
        let roles: Vec<&str> = roles.map(Role::name).collect();
        let served = Person::SERVED.map(|person| person.key().to_string());
        // Applications 0:1 are the key schedules, 98 the last ones of each wave.
        let is_served = |row: &Row| row.shape == Role::Application;
        let served_app = if self.rows.iter().any(is_served) {
            format!(", {SERVED_APP}")
        } else {
            String::new()
        };
        let config = format!(
            "roles = {roles:?}\n{}\n[users]\nmode = \"list\"\nlist = {served:?}\n\
             [inbox]\npublic = {}\n\
             [application]\nids = [\"0:1\", {LAST_ONES_APP}{served_app}]\nsubmit = \"anyone\"\n",
            operators(),
            self.inbox_public
        );
        DevServer::start_with(&["--dev"], &config).await
    }
}

/// The line of the configuration that makes [`Person::Operator`] one, where there is such a line.
fn operators() -> String {
    String::new()
}

fn last_one(role: Role, number: u16) -> Made {
    let everyone = Person::ALL;
    let (author, access, notified, app) = match role {
        Role::Outbox => (
            Person::ServedAuthor,
            ReadAccess::Everybody,
            &[][..],
            OTHER_APP,
        ),
        Role::Inbox => (
            Person::OtherAuthor,
            ReadAccess::Everybody,
            &everyone[..],
            OTHER_APP,
        ),
        Role::Encryption => (
            Person::OtherAuthor,
            ReadAccess::AuthorAndTagged,
            &everyone[..],
            OTHER_APP,
        ),
        Role::Application => (
            Person::OtherAuthor,
            ReadAccess::Everybody,
            &[][..],
            LAST_ONES_APP,
        ),
    };
    let draft = Draft {
        author,
        signer: Hand::Own(author),
        notified,
        access,
        app,
        number,
    };
    draft.make()
}

/// Plays the whole on one server.
///
/// Half of the streams are there before anything else: before the records, and before the key
/// schedules that make their keys those of somebody, or of nobody any more. The others come when
/// all of it is there.
pub(super) async fn play(setting: Setting) -> Findings {
    let server = setting.start().await;
    let stock = std::sync::Arc::new(Stock::new(setting));
    let anonymous = server.client(None).await;
    let mut findings = Findings::default();
    hand_in(&anonymous, &first_schedules()).await;
    for (row, made) in setting.rows.iter().zip(&stock.disowned) {
        let answer = anonymous.submit(&made.record).await.unwrap();
        findings.expect(answer == row.answer, || {
            format!("{}: {row:?} is answered {answer}", setting.name)
        });
    }

    let early = watchers(&server, &setting, "early").await;
    let early = each(early, &stock, |stock, mut it, findings| {
        Box::pin(async move {
            it.subscribe(stock, None, findings).await;
            it
        })
    });
    let early = findings.of(early).await;
    hand_in(&anonymous, &last_schedules()).await;
    findings.add(wave(&anonymous, &stock, 0).await);
    let early = each(early, &stock, |stock, mut it, findings| {
        Box::pin(async move {
            it.expect_live(stock, 0, findings).await;
            it.expect_stored(stock, findings).await;
            it
        })
    });
    let early = findings.of(early).await;

    let late = watchers(&server, &setting, "late").await;
    let late = each(late, &stock, |stock, mut it, findings| {
        Box::pin(async move {
            it.subscribe(stock, Some(0), findings).await;
            it.expect_stored(stock, findings).await;
            it
        })
    });
    let late = findings.of(late).await;
    findings.add(wave(&anonymous, &stock, 1).await);
    let all = early.into_iter().chain(late).collect();
    let all = each(all, &stock, |stock, mut it, findings| {
        Box::pin(async move {
            it.expect_live(stock, 1, findings).await;
            it.unsubscribe(stock).await;
            it
        })
    });
    let mut all = findings.of(all).await;
    all.retain(|watcher| watcher.when == "late");
    let ended = each(all, &stock, |stock, mut it, findings| {
        Box::pin(async move {
            it.expect_submissions(stock, findings).await;
            it
        })
    });
    drop(findings.of(ended).await);
    server.stop_cleanly().await;
    findings
}

impl Findings {
    fn expect(&mut self, agrees: bool, disagreement: impl FnOnce() -> String) {
        if !agrees {
            self.disagreements.push(disagreement());
        }
    }

    async fn of(&mut self, done: impl Future<Output = (Vec<Watcher>, Self)>) -> Vec<Watcher> {
        let (watchers, findings) = done.await;
        self.add(findings);
        watchers
    }
}

/// Stores key schedules.
async fn hand_in(client: &Client, schedules: &[Record]) {
    for schedule in schedules {
        let answer = client.submit(schedule).await.unwrap();
        assert_eq!(answer, ResultCode::Accepted);
    }
}

/// Hands in a record of each row, and behind them those that everybody waits for.
async fn wave(client: &Client, stock: &Stock, wave: usize) -> Findings {
    let mut findings = Findings::default();
    let setting = &stock.setting;
    for (row, made) in setting.rows.iter().zip(&stock.waves[wave]) {
        let answer = client.submit(&made.record).await.unwrap();
        findings.expect(answer == row.answer, || {
            format!("{}: {row:?} is answered {answer}", setting.name)
        });
    }
    for (role, made) in &stock.last_ones[wave] {
        let answer = client.submit(&made.record).await.unwrap();
        assert_eq!(answer, ResultCode::Accepted, "{}: {role}", setting.name);
    }
    findings
}

/// A stream of somebody.
pub(super) struct Watcher {
    hand: Hand,
    bound: Option<Role>,
    when: &'static str,
    talk: Talk,
    /// Whether the stream is bound as was asked; else it is of no use.
    is_bound: bool,
    /// Keeps the connection open.
    _connection: RawConnection,
}

/// Opens a connection for every key, and on each an unbound stream and one for each role.
async fn watchers(server: &DevServer, setting: &Setting, when: &'static str) -> Vec<Watcher> {
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

type Step<'a> = std::pin::Pin<Box<dyn Future<Output = Watcher> + Send + 'a>>;

/// Has every watcher do the same, all at once.
async fn each(
    watchers: Vec<Watcher>,
    stock: &std::sync::Arc<Stock>,
    step: for<'a> fn(&'a Stock, Watcher, &'a mut Findings) -> Step<'a>,
) -> (Vec<Watcher>, Findings) {
    let mut tasks = JoinSet::new();
    for watcher in watchers {
        let stock = std::sync::Arc::clone(stock);
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
    async fn subscribe(&mut self, stock: &Stock, wave: Option<usize>, findings: &mut Findings) {
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
    async fn expect_live(&mut self, stock: &Stock, wave: usize, findings: &mut Findings) {
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
    async fn expect_stored(&mut self, stock: &Stock, findings: &mut Findings) {
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
    async fn unsubscribe(&mut self, stock: &Stock) {
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
    async fn expect_submissions(&mut self, stock: &Stock, findings: &mut Findings) {
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

/// The application of the records that everybody waits for.
const LAST_ONES_APP: u32 = 98;

/// Ways to ask, each of which is a cell of every row, requester, stream and moment.
pub(super) fn paths() -> usize {
    asks::one_by_one().len() + [Path::Live].len()
}
