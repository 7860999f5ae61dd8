//! Rows of values whose names say what they are.

use std::io::{self, Write};

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::cli::error::CliError;
use crate::cli::escape::escape_line;
use crate::cli::output::{Output, Row};
use crate::cli::rows::{Blob, Nanos};
use crate::wire::{AdminRow, AdminValue, PublicKey, RecordId, Reference, Timestamp};

/// One row of an answer.
pub(super) struct ValueRow {
    values: Vec<(String, Shown)>,
}

/// A value, as its name says it is meant.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Nothing(()),
    Truth(bool),
    Number(u64),
    Negative(i64),
    Text(String),
    Time(Nanos),
    Bytes(Blob),
    List(Vec<Shown>),
}

impl ValueRow {
    pub(super) fn new(row: AdminRow) -> Self {
        let mut values: Vec<(String, Shown)> = row
            .into_iter()
            .map(|(name, value)| {
                let shown = Shown::new(&name, value);
                (name, shown)
            })
            .collect();
        // What a row is about comes first, long texts last; the rest by name.
        values.sort_by_key(|(name, _)| place(name));
        Self { values }
    }
}

impl Serialize for ValueRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (name, value) in &self.values {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Row for ValueRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut is_first = true;
        for (name, value) in &self.values {
            let space = if is_first { "" } else { "  " };
            write!(out, "{space}{}={}", escape_line(name), value.text())?;
            is_first = false;
        }
        writeln!(out)
    }
}

impl Shown {
    fn new(name: &str, value: AdminValue) -> Self {
        match value {
            AdminValue::Nil => Self::Nothing(()),
            AdminValue::Bool(is) => Self::Truth(is),
            AdminValue::Unsigned(number) if is_time(name) => Timestamp::from_nanos(number)
                .map_or(Self::Number(number), |time| Self::Time(Nanos(time))),
            AdminValue::Unsigned(number) => Self::Number(number),
            AdminValue::Negative(number) => Self::Negative(number),
            AdminValue::Text(text) => Self::Text(text),
            AdminValue::Bytes(bytes) => Self::Bytes(blob(name, &bytes)),
            AdminValue::List(values) => {
                Self::List(values.into_iter().map(|it| Self::new(name, it)).collect())
            }
        }
    }

    /// For people, in one line.
    fn text(&self) -> String {
        match self {
            Self::Nothing(()) => String::new(),
            Self::Truth(is) => is.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Negative(number) => number.to_string(),
            Self::Text(text) => escape_line(text),
            Self::Time(Nanos(time)) => time.to_string(),
            Self::Bytes(blob) => blob.text().to_owned(),
            Self::List(values) => {
                let texts: Vec<String> = values.iter().map(Self::text).collect();
                texts.join(",")
            }
        }
    }
}

/// The rows of one page in columns.
pub(super) struct Table {
    lines: Vec<String>,
}

impl Table {
    pub(super) fn new(rows: &[ValueRow]) -> Self {
        // One row of many values is read more easily line by line.
        if let [row] = rows {
            let width = row.values.iter().map(|(name, _)| name.len()).max();
            let width = width.unwrap_or(0);
            let lines = row.values.iter();
            let lines = lines
                .map(|(name, value)| format!("{:<width$}  {}", escape_line(name), value.text()));
            return Self {
                lines: lines.collect(),
            };
        }
        let mut columns: Vec<(&str, usize)> = Vec::new();
        for (name, value) in rows.iter().flat_map(|row| &row.values) {
            let width = value.text().chars().count().max(name.len());
            match columns.iter_mut().find(|(column, _)| column == name) {
                Some((_, widest)) => *widest = width.max(*widest),
                None => columns.push((name, width)),
            }
        }
        columns.sort_by_key(|(name, _)| place(name));
        let line = |cell: &dyn Fn(&str) -> String| {
            let cells = columns.iter();
            let cells = cells.map(|(name, width)| format!("{:<width$}", cell(name)));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let head = (!rows.is_empty()).then(|| line(&|name| escape_line(&name.to_uppercase())));
        let body = rows.iter().map(|row| {
            line(&|name| {
                let mut values = row.values.iter();
                let value = values.find(|(column, _)| column == name);
                value.map(|(_, value)| value.text()).unwrap_or_default()
            })
        });
        Self {
            lines: head.into_iter().chain(body).collect(),
        }
    }

    pub(super) fn print(&self, output: &mut Output) -> Result<(), CliError> {
        self.lines
            .iter()
            .try_for_each(|line| output.row(&Line(line)))
    }
}

#[derive(Serialize)]
struct Line<'a>(&'a str);

impl Row for Line<'_> {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.0)
    }
}

fn is_time(name: &str) -> bool {
    TIMES.contains(&name)
}

/// Keys as people write them, IDs as references, everything else in digits.
fn blob(name: &str, bytes: &[u8]) -> Blob {
    let key = || PublicKey::from_bytes(bytes.try_into().ok()?).ok();
    let id = || RecordId::from_bytes(bytes.try_into().ok()?).ok();
    if name == "server"
        && let Some(key) = key()
    {
        return Blob::server(&key);
    }
    if KEYS.contains(&name)
        && let Some(key) = key()
    {
        return Blob::user(&key);
    }
    match id() {
        Some(id) => Blob::reference(Reference::Id(id)),
        None => Blob::hex(bytes),
    }
}

fn place(name: &str) -> (u8, String) {
    let rank = match name {
        "id" | "user" | "target" | "name" | "listener" | "received" | "code" => 0,
        "by" | "call" | "role" | "value" | "hash" => 1,
        "why" | "note" | "text" | "detail" => 3,
        _ => 2,
    };
    (rank, name.to_owned())
}

/// Names of times.
const TIMES: [&str; 7] = [
    "received", "since", "until", "created", "expires", "started", "now",
];

/// Names of keys.
const KEYS: [&str; 6] = ["user", "by", "author", "signer", "submitter", "recipients"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SecretKey;

    fn row(values: &[(&str, AdminValue)]) -> ValueRow {
        let values = values.iter();
        ValueRow::new(
            values
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        )
    }

    fn text(row: &ValueRow) -> String {
        let mut out = Vec::new();
        row.write_text(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_say_how_values_are_shown() {
        let key = SecretKey::from_seed([1; 32]).public();
        let row = row(&[
            ("why", "a\nb\u{1b}[2J".into()),
            ("user", key.into()),
            ("until", 5_u64.into()),
            ("hash", AdminValue::Bytes(vec![0xab; 32])),
        ]);
        let shown = text(&row);
        assert!(
            shown.starts_with(&format!("user={key}  hash=abab")),
            "{shown}"
        );
        assert!(shown.ends_with("why=a\\nb\\u{1b}[2J\n"), "{shown}");
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["user"], key.to_string());
        assert_eq!(json["until"], "5");
        assert_eq!(json["why"], "a\nb\u{1b}[2J");
    }

    #[test]
    fn a_page_has_a_column_for_every_name() {
        let rows = [
            row(&[("name", "one".into()), ("value", 1_u64.into())]),
            row(&[("name", "three".into()), ("why", "x".into())]),
        ];
        let table = Table::new(&rows);
        assert_eq!(
            table.lines,
            ["NAME   VALUE  WHY", "one    1", "three         x"]
        );
        let one = Table::new(&rows[..1]);
        assert_eq!(one.lines, ["name   one", "value  1"]);
        assert!(Table::new(&[]).lines.is_empty());
    }
}
