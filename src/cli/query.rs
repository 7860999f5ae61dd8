//! `mosaic query`: stored records that pass a filter; and printing records, for other commands too.

use std::path::Path;

use super::args::QueryCommand;
use super::context::Context;
use super::error::{CliError, Exit};
use super::output::{Output, RawOutput};
use super::refusal::Refusal;
use super::rows::RecordRow;
use crate::wire::{Record, ResultCode};

/// Lists the records that pass. An answer without records is an answer: exit code 0.
///
/// # Errors
/// No connection, a refusal, or records that are not what was asked for.
pub(super) async fn run(context: &Context, command: &QueryCommand) -> Result<Exit, CliError> {
    let filter = command.filter.filter()?;
    let client = context.connect().await?;
    let mut printer = Printer::open(context, command.raw.as_deref())?;
    let stream = command.role.open(&client).await?;
    let mut results = stream.query(filter, command.filter.limit).await?;
    while let Some(record) = results.next().await? {
        printer.record(&record)?;
    }
    printer.rejected(results.rejected_count());
    let refusal = match results.result() {
        Some(ResultCode::Success) | None => None,
        Some(refused) => Some(Refusal::explained(refused, &client).await),
    };
    client.close().await;
    printer.finish()?;
    match refusal {
        None => Ok(Exit::Done),
        Some(refusal) => Err(CliError::Refused(refusal)),
    }
}

/// Prints records, as text or as they are.
pub(super) struct Printer {
    sink: Sink,
    rejected: u64,
}

enum Sink {
    Rows(Output),
    Raw(RawOutput),
}

impl Printer {
    /// Prints into the raw file where one is given, else into the output of the command line.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn open(context: &Context, raw: Option<&Path>) -> Result<Self, CliError> {
        let sink = match raw {
            Some(path) => Sink::Raw(RawOutput::open(path)?),
            None => Sink::Rows(context.output()?),
        };
        Ok(Self { sink, rejected: 0 })
    }

    /// Prints one record. It may wait in a buffer.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn record(&mut self, record: &Record) -> Result<(), CliError> {
        match &mut self.sink {
            Sink::Rows(output) => output.row(&RecordRow::new(record, output.format())),
            Sink::Raw(raw) => raw.record(record.bytes()),
        }
    }

    /// Takes note of records that the server should not have sent.
    pub(super) const fn rejected(&mut self, count: u64) {
        self.rejected = self.rejected.saturating_add(count);
    }

    /// Hands on what was printed.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        match &mut self.sink {
            Sink::Rows(output) => output.flush(),
            Sink::Raw(raw) => raw.flush(),
        }
    }

    /// Ends the output.
    ///
    /// # Errors
    /// The output cannot be written, or the server sent records that it should not have sent.
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        self.flush()?;
        match self.rejected {
            0 => Ok(()),
            count => Err(CliError::BadRecords(count)),
        }
    }
}
