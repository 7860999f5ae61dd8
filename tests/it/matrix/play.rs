//! One server, and everybody who asks it for everything.

use std::sync::Arc;

use mosaicd::base::Role;
use mosaicd::client::Client;
use mosaicd::wire::{Filter, ReadAccess, Record, ResultCode};

use super::asks::{self, Draft, Made, OTHER_APP, Path, SERVED_APP};
use super::cast::{Hand, Person, first_schedules, last_schedules};
use super::table::Row;
use super::watcher::{Watcher, each, watchers};
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
pub(super) struct Stock {
    pub(super) setting: Setting,
    /// Of each wave, the record of each row.
    pub(super) waves: [Vec<Made>; 2],
    /// Of each wave, one record for each role that is open, to be delivered behind the others.
    pub(super) last_ones: [Vec<(Role, Made)>; 2],
    /// A record for each row, signed by a key that was good when it was taken and is revoked since.
    pub(super) disowned: Vec<Made>,
    /// A record for each row that nobody ever handed in.
    pub(super) absent: Vec<Made>,
    /// Filters that find all of them.
    pub(super) wide: Vec<Filter>,
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
    pub(super) fn last_one_is_for(&self, hand: Hand, role: Role) -> bool {
        let is_private = role == Role::Encryption;
        let is_shy = role == Role::Inbox && !self.setting.inbox_public;
        !(is_private || is_shy) || hand.speaks_for_somebody()
    }
}

impl Setting {
    pub(super) fn plays(&self, role: Role) -> bool {
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
            "roles = {roles:?}\noperators = [\"{}\"]\n[users]\nmode = \"list\"\nlist = {served:?}\n\
             [inbox]\npublic = {}\n\
             [rates]\n{}\n\
             [application]\nids = [\"0:1\", {LAST_ONES_APP}{served_app}]\nsubmit = \"anyone\"\n",
            Person::Operator.key(),
            self.inbox_public,
            unlimited()
        );
        DevServer::start_with(&["--dev"], &config).await
    }
}

/// The settings by which nobody asks too much: here one address asks everything in everybody's name.
fn unlimited() -> String {
    let rates = [
        "handshakes",
        "streams",
        "submissions",
        "bytes",
        "query_rows",
        "connections",
    ];
    rates.map(|rate| format!("{rate} = 0\n")).concat()
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
    let stock = Arc::new(Stock::new(setting));
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
    pub(super) fn expect(&mut self, agrees: bool, disagreement: impl FnOnce() -> String) {
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

/// Ways to ask, each of which is a cell of every row, requester, stream and moment.
pub(super) fn paths() -> usize {
    asks::one_by_one().len() + [Path::Live].len()
}

/// The application of the records that everybody waits for.
const LAST_ONES_APP: u32 = 98;
