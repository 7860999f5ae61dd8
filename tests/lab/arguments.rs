//! The command line of the laboratory, and what it must understand of that of other tests:
//! `cargo test` gives all of them the same arguments.

use crate::Outcome;
use crate::rows::Row;

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    pub(crate) task: Task,
    /// Rows that were chosen; empty: all.
    rows: Vec<Choice>,
    /// Names that were given, as for other tests.
    filters: Vec<String>,
    /// How many rows are played at a time.
    pub(crate) jobs: usize,
    /// The factor on all intervals.
    pub(crate) scale: f64,
    /// How often a row is played in a hunt.
    pub(crate) repeat: usize,
    /// Whether the evidence is printed where all agreed, too.
    pub(crate) shows: bool,
}

/// What the laboratory can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Prove the topologies, then play every row.
    Table,
    /// Prove the topologies.
    SelfTest,
    /// Play the rows in which a false PUBLIC lurks, again and again.
    Hunt,
    /// List the rows.
    List,
    /// One of the scenes beside the table.
    Scenario(&'static str),
}

/// Rows by number, or one by its whole name.
#[derive(Clone, Debug)]
enum Choice {
    Numbers(u32, u32),
    Id(String),
}

impl Arguments {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// What was not understood.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut arguments = Self {
            task: Task::Table,
            rows: Vec::new(),
            filters: Vec::new(),
            jobs: JOBS,
            scale: SCALE,
            repeat: HUNTS,
            shows: false,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let (name, mut value) = match word.split_once('=') {
                Some((name, value)) if name.starts_with('-') => {
                    (name.to_owned(), Some(value.to_owned()))
                }
                _ => (word, None),
            };
            let mut value = || {
                let given = value.take().or_else(|| words.next());
                given.ok_or(format!("{name} needs a value"))
            };
            match name.as_str() {
                "--rows" => arguments.rows = choices(&value()?)?,
                "--jobs" => arguments.jobs = number(&value()?)?,
                "--repeat" => arguments.repeat = number(&value()?)?,
                "--scale" => arguments.scale = number(&value()?)?,
                "--show" => arguments.shows = true,
                "--selftest" | "selftest" => arguments.task = Task::SelfTest,
                "--list" | "list" => arguments.task = Task::List,
                "hunt" => arguments.task = Task::Hunt,
                flag if WITH_VALUE.contains(&flag) => drop(value()?),
                flag if flag.starts_with('-') => {}
                other => match crate::scenarios::named(other) {
                    Some(scenario) => arguments.task = Task::Scenario(scenario),
                    None => arguments.filters.push(other.to_owned()),
                },
            }
        }
        Ok(arguments)
    }

    /// Whether rows were named by number.
    pub(crate) fn names_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Whether anything is to be done: names that are no row's are those of other tests.
    pub(crate) fn chooses_any(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| self.chooses(row))
    }

    /// Whether the scene of that name is to be played with the table.
    pub(crate) fn chooses_scenario(&self, name: &str) -> bool {
        let is_named =
            self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter));
        self.rows.is_empty() && is_named
    }

    /// Whether `row` is to be played.
    pub(crate) fn chooses(&self, row: &Row) -> bool {
        let is_chosen = self.rows.is_empty()
            || self.rows.iter().any(|choice| match choice {
                Choice::Numbers(first, last) => (*first..=*last).contains(&row.number()),
                Choice::Id(id) => id == row.id,
            });
        let name = format!("row_{} {}", row.id, row.topology);
        let is_named =
            self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter));
        is_chosen && is_named
    }
}

fn choices(text: &str) -> Outcome<Vec<Choice>> {
    text.split(',')
        .map(|part| match part.split_once('-') {
            Some((first, last)) => Ok(Choice::Numbers(number(first)?, number(last)?)),
            None if part.ends_with(char::is_alphabetic) => Ok(Choice::Id(part.to_owned())),
            None => number(part).map(|only| Choice::Numbers(only, only)),
        })
        .collect()
}

fn number<T: std::str::FromStr>(text: &str) -> Outcome<T> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// Options of other tests that have a value of their own.
const WITH_VALUE: [&str; 8] = [
    "--test-threads",
    "--skip",
    "--format",
    "--color",
    "--logfile",
    "--shuffle-seed",
    "--report-time",
    "-Z",
];

/// An hour in two minutes.
const SCALE: f64 = 1.0 / 30.0;

/// A false PUBLIC would be rare.
const HUNTS: usize = 20;

/// A row waits for most of its time.
const JOBS: usize = 6;
