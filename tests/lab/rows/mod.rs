//! The rows of the table: every topology, what it is proved to be, and the verdict it must get.

mod changes;
mod family;
mod home;
mod onion;
mod paths;
mod probers;
mod public;
mod translated;

use mosaicd::reach::verdict::Verdict;

use crate::Outcome;
use crate::scene::{Built, Scene};
use crate::world::World;

/// A row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// Its number, with a letter where one number has several cases.
    pub(crate) id: &'static str,
    /// What it is about.
    pub(crate) topology: &'static str,
    /// Builds the topology in a world that has the Internet already.
    pub(crate) build: fn(World) -> Built,
    /// Proves that the topology does what the row says, without any server.
    pub(crate) prove: fn(&Scene) -> Outcome,
    /// What the server must find out.
    pub(crate) expect: Expect,
    /// What changes while it runs, and what it must find out then.
    pub(crate) steps: &'static [Step],
}

/// What a server must conclude.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expect {
    /// Its verdict: one of these.
    pub(crate) verdicts: &'static [Verdict],
    /// Whether outbox, inbox and encryption are open.
    pub(crate) is_open: bool,
    /// Endpoints by a part of their name, and the verdict each must have.
    pub(crate) endpoints: &'static [(&'static str, &'static [Verdict])],
}

/// A change of the topology while the server runs.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    /// What happens.
    pub(crate) what: &'static str,
    /// Makes it happen.
    pub(crate) change: fn(&Scene) -> Outcome,
    /// What the server must find out.
    pub(crate) expect: Expect,
    /// Longest time it may take, in seconds that were not shortened.
    pub(crate) within_seconds: u32,
    /// Time for which it must stay like that, in seconds that were not shortened; 0 for a state
    /// that passes, whose roles are not tried.
    pub(crate) for_seconds: u32,
    /// Where a client outside finds the server from now on, if that is another place.
    pub(crate) outside: Option<&'static str>,
}

impl Row {
    /// A row without steps.
    const fn new(
        id: &'static str,
        topology: &'static str,
        build: fn(World) -> Built,
        prove: fn(&Scene) -> Outcome,
        expect: Expect,
    ) -> Self {
        Self {
            id,
            topology,
            build,
            prove,
            expect,
            steps: &[],
        }
    }

    const fn then(mut self, steps: &'static [Step]) -> Self {
        self.steps = steps;
        self
    }

    /// The number without the letter.
    pub(crate) fn number(&self) -> u32 {
        let digits = self.id.trim_end_matches(char::is_alphabetic);
        digits.parse().unwrap()
    }
}

impl Expect {
    /// The verdicts as people read them.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.verdicts.iter().map(|verdict| verdict.name()).collect()
    }

    /// The roles are open.
    const PUBLIC: Self = Self {
        verdicts: &[Verdict::Public],
        is_open: true,
        endpoints: &[],
    };

    /// The roles are closed, for one of these reasons.
    const fn closed(verdicts: &'static [Verdict]) -> Self {
        Self {
            verdicts,
            is_open: false,
            endpoints: &[],
        }
    }

    const fn endpoints(mut self, endpoints: &'static [(&'static str, &'static [Verdict])]) -> Self {
        self.endpoints = endpoints;
        self
    }
}

/// Every row, by number.
pub(crate) fn all() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        public::ROWS,
        home::ROWS,
        translated::ROWS,
        family::ROWS,
        paths::ROWS,
        onion::ROWS,
        changes::ROWS,
        probers::ROWS,
    ]
    .concat();
    rows.sort_by_key(|row| (row.number(), row.id));
    rows
}

/// The row of that name.
pub(crate) fn named(id: &str) -> Row {
    all()
        .into_iter()
        .find(|row| row.id == id)
        .unwrap_or_else(|| panic!("there is no row {id}"))
}
