//! The access matrix: every record, for every requester, on every path, over real QUIC.
//!
//! | file | holds |
//! |------|-------|
//! | `table.rs` | the expected answers, written by hand from the specification |
//! | `cast.rs` | the people and their keys |
//! | `asks.rs` | the ways to ask, and what is answered where there is something and where there is not |
//! | `wire.rs` | a stream whose replies are kept as bytes |
//! | `play.rs` | one server, and the order in which things happen there |
//! | `watcher.rs` | a stream of one requester, on which every cell is tried |
//! | `leaks.rs` | leaks of comparable servers that the table has no room for |
//! | `revoked.rs` | what comes of the records of a key that is revoked |

mod asks;
mod cast;
mod leaks;
mod play;
mod revoked;
mod table;
mod watcher;
mod wire;

use mosaicd::base::Role;

use self::play::{Findings, Setting, play};
use self::table::{ALONE, REQUESTERS, SHY_INBOX, TOGETHER};

const fn alone(name: &'static str, roles: &'static [Role], place: usize) -> Setting {
    Setting {
        name,
        roles,
        rows: &ALONE[place],
        inbox_public: true,
    }
}

const SETTINGS: [Setting; 6] = [
    alone("an outbox", &[Role::Outbox], 0),
    alone("an inbox", &[Role::Inbox], 1),
    alone("an encryption server", &[Role::Encryption], 2),
    alone("an application", &[], 3),
    Setting {
        name: "a server of every role",
        roles: &Role::ALL,
        rows: &TOGETHER,
        inbox_public: true,
    },
    Setting {
        name: "an outbox with a shy inbox",
        roles: &[Role::Outbox, Role::Inbox],
        rows: &SHY_INBOX,
        inbox_public: false,
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_is_there_for_those_for_whom_the_table_says_it_is_and_for_nobody_else() {
    let began = std::time::Instant::now();
    let mut findings = Findings::default();
    for setting in SETTINGS {
        findings.add(play(setting).await);
        println!("{}: {:?}", setting.name, began.elapsed());
    }
    let rows: usize = SETTINGS.iter().map(|setting| setting.rows.len()).sum();
    let requesters = REQUESTERS.len();
    let streams = 1 + Role::ALL.len();
    let moments = ["before the record and the key schedules", "after them"].len();
    let product = rows * requesters * play::paths() * streams * moments;
    println!("{} cells in {:?}", findings.cells, began.elapsed());
    let disagreements = &findings.disagreements;
    assert!(
        disagreements.is_empty(),
        "{} disagreements with the table:\n{}",
        disagreements.len(),
        disagreements[..disagreements.len().min(200)].join("\n")
    );
    assert_eq!(findings.cells, product, "every cell is tried");
}
