//! What is printed of a run.

use std::io::{self, Write};

use serde::Serialize;

use super::super::escape::escape_line;
use super::super::output::Row;
use super::super::rows::Blob;
use super::check::{Check, Outcome, Stop};
use super::world::World;

/// One check, as `--list` shows it.
#[derive(Debug, Serialize)]
pub(super) struct ListRow {
    id: &'static str,
    source: &'static str,
    text: &'static str,
}

impl ListRow {
    pub(super) const fn new(check: &Check) -> Self {
        Self {
            id: check.id,
            source: check.source,
            text: check.text,
        }
    }
}

impl Row for ListRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{:<32} {} ({})", self.id, self.text, self.source)
    }
}

/// One check and how it ended.
#[derive(Debug, Serialize)]
pub(super) struct CheckRow {
    id: &'static str,
    source: &'static str,
    text: &'static str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    got: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl CheckRow {
    pub(super) fn new(check: &Check, outcome: &Outcome) -> Self {
        let (verdict, expected, got, why) = match outcome {
            Ok(()) => ("pass", None, None, None),
            Err(Stop::Failed { expected, got }) => {
                ("fail", Some(expected.clone()), Some(got.clone()), None)
            }
            Err(Stop::Skipped(why)) => ("skip", None, None, Some(why.clone())),
            // It is made again, so no check ends with this.
            Err(Stop::TooFast) => ("skip", None, None, Some("TOO_FAST".into())),
        };
        Self {
            id: check.id,
            source: check.source,
            text: check.text,
            verdict,
            expected,
            got,
            why,
        }
    }
}

impl Row for CheckRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} {:<32} {}", self.verdict, self.id, self.text)?;
        if let (Some(expected), Some(got)) = (&self.expected, &self.got) {
            writeln!(out, "       source:   {}", self.source)?;
            writeln!(out, "       expected: {}", escape_line(expected))?;
            writeln!(out, "       got:      {}", escape_line(got))?;
        }
        if let Some(why) = &self.why {
            writeln!(out, "       not testable here: {}", escape_line(why))?;
        }
        Ok(())
    }
}

/// The run as a whole.
#[derive(Debug, Serialize)]
pub(super) struct SummaryRow {
    summary: &'static str,
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Blob>,
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl SummaryRow {
    pub(super) fn new(world: &World) -> Self {
        Self {
            summary: "pass",
            server: world.target.address(),
            key: match world.target.trust() {
                crate::client::ServerTrust::Exact(key) => Some(Blob::server(key)),
                crate::client::ServerTrust::Any => None,
            },
            passed: 0,
            failed: 0,
            skipped: 0,
        }
    }

    pub(super) fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(Stop::Failed { .. }) => {
                self.failed += 1;
                self.summary = "fail";
            }
            Err(Stop::Skipped(_) | Stop::TooFast) => self.skipped += 1,
        }
    }

    /// Whether no check failed.
    pub(super) const fn has_passed(&self) -> bool {
        self.failed == 0
    }
}

impl Row for SummaryRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}: {} passed, {} failed, {} not testable here",
            escape_line(&self.server),
            self.passed,
            self.failed,
            self.skipped
        )
    }
}
