//! What became of each record, and how many of each.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};

use super::super::error::CliError;
use super::super::output::Output;
use super::super::rows::SubmittedRow;
use super::super::say;
use crate::client::Submitted;
use crate::wire::ResultCode;

/// Prints results and counts them.
pub(super) struct Tally {
    output: Output,
    counts: BTreeMap<ResultCode, u64>,
    not_records: u64,
    handed_in: u64,
    /// With a bar the results are many: a person sees those that were refused, and the sum.
    bar: Option<ProgressBar>,
}

impl Tally {
    /// Every result is printed.
    pub(super) const fn new(output: Output) -> Self {
        Self {
            output,
            counts: BTreeMap::new(),
            not_records: 0,
            handed_in: 0,
            bar: None,
        }
    }

    /// Shows how far an input of `size_bytes` was handed in, on standard error where that is a
    /// terminal.
    pub(super) fn with_progress(output: Output, size_bytes: Option<u64>) -> Self {
        let bar = match size_bytes {
            Some(size_bytes) => ProgressBar::new(size_bytes),
            None => ProgressBar::new_spinner(),
        };
        let template = match size_bytes {
            Some(_) => "{wide_bar} {bytes}/{total_bytes} {msg} {eta}",
            None => "{spinner} {bytes} {msg}",
        };
        // A template that does not parse would leave the default style.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar: Some(bar),
            ..Self::new(output)
        }
    }

    /// A record is handed in, and an answer owed.
    pub(super) const fn handed_in(&mut self) {
        self.handed_in += 1;
    }

    /// The server answered.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn answered(&mut self, submitted: Submitted) -> Result<(), CliError> {
        *self.counts.entry(submitted.result).or_default() += 1;
        let row = SubmittedRow::answered(submitted.id, submitted.result);
        self.print(&row, submitted.result.is_success())
    }

    /// Part of the input is no record, and was not sent.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn not_a_record(&mut self, why: String) -> Result<(), CliError> {
        self.not_records += 1;
        self.print(&SubmittedRow::not_a_record(why), false)
    }

    /// The input was handed in up to there.
    pub(super) fn advance(&self, end_bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(end_bytes);
            bar.set_message(format!("{} records", self.total()));
        }
    }

    /// Hands on what was printed.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        self.output.flush()
    }

    /// Sums up on standard error. Whether every record was accepted.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn finish(mut self) -> Result<bool, CliError> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.output.flush()?;
        let unanswered = self.handed_in.saturating_sub(self.answers());
        if self.bar.is_some() || self.total() > 1 || unanswered > 0 {
            say(&self.summary(unanswered));
        }
        let refused = self.counts.keys().any(|result| !result.is_success());
        Ok(!refused && self.not_records == 0 && unanswered == 0)
    }

    fn summary(&self, unanswered: u64) -> String {
        let mut parts: Vec<String> = self
            .counts
            .iter()
            .map(|(result, count)| format!("{count} {result}"))
            .collect();
        if self.not_records > 0 {
            parts.push(format!("{} not sent", self.not_records));
        }
        if unanswered > 0 {
            parts.push(format!("{unanswered} unanswered"));
        }
        let parts = if parts.is_empty() {
            "none".to_owned()
        } else {
            parts.join(", ")
        };
        format!("records: {parts}")
    }

    fn print(&mut self, row: &SubmittedRow, is_success: bool) -> Result<(), CliError> {
        match &self.bar {
            Some(_) if is_success && self.output.is_for_a_person() => Ok(()),
            Some(bar) if self.output.is_for_a_person() => bar.suspend(|| {
                self.output.row(row)?;
                self.output.flush()
            }),
            _ => self.output.row(row),
        }
    }

    fn total(&self) -> u64 {
        self.answers() + self.not_records
    }

    fn answers(&self) -> u64 {
        self.counts.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::output::Format;
    use super::*;
    use crate::wire::{Hash64, RecordId, Timestamp};

    fn tally() -> Tally {
        Tally::new(Output::into_writer(Format::Json, std::io::sink()))
    }

    fn submitted(result: ResultCode) -> Submitted {
        let id = RecordId::new(Timestamp::MIN, &Hash64::of(b""));
        Submitted { id, result }
    }

    #[test]
    fn only_when_every_record_was_accepted_is_all_well() {
        let check = |results: &[ResultCode], not_records, unanswered, expected| {
            let mut tally = tally();
            for _ in 0..unanswered {
                tally.handed_in();
            }
            for result in results {
                tally.handed_in();
                tally.answered(submitted(*result)).unwrap();
            }
            for _ in 0..not_records {
                tally.not_a_record("why".into()).unwrap();
            }
            assert_eq!(tally.finish().unwrap(), expected, "{results:?}");
        };
        use ResultCode::{Accepted, Duplicate, NoConsumers, Unauthorized};
        check(&[], 0, 0, true);
        check(&[Accepted, Duplicate, NoConsumers], 0, 0, true);
        check(&[Accepted, Unauthorized], 0, 0, false);
        check(&[Accepted], 1, 0, false);
        check(&[Accepted], 0, 1, false);
    }

    #[test]
    fn the_sum_names_every_result() {
        let mut tally = tally();
        for result in [
            ResultCode::Accepted,
            ResultCode::Duplicate,
            ResultCode::Accepted,
        ] {
            tally.answered(submitted(result)).unwrap();
        }
        tally.not_a_record("why".into()).unwrap();
        let expected = "records: 2 ACCEPTED, 1 DUPLICATE, 1 not sent, 3 unanswered";
        assert_eq!(tally.summary(3), expected);
    }
}
