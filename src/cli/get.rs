//! `mosaic get`: records by reference.

use super::args::GetCommand;
use super::context::Context;
use super::error::{CliError, Exit};
use super::query::Printer;
use super::refusal::Refusal;
use super::say;
use crate::base::limits;
use crate::client::Client;
use crate::wire::{Record, Reference, ResultCode};

/// Fetches the records and prints them.
///
/// # Errors
/// No connection, a refusal, or records that are not what was asked for.
pub(super) async fn run(context: &Context, command: &GetCommand) -> Result<Exit, CliError> {
    let client = context.connect().await?;
    let mut printer = Printer::open(context, command.raw.as_deref())?;
    let mut is_all_there = true;
    for references in command.references.chunks(limits::GET_REFERENCES_MAX) {
        is_all_there &= fetch(&client, references, &mut printer).await?;
    }
    client.close().await;
    printer.finish()?;
    Ok(if is_all_there {
        Exit::Done
    } else {
        Exit::Refused
    })
}

/// Fetches what one request can ask for. Whether each reference brought something.
async fn fetch(
    client: &Client,
    references: &[Reference],
    printer: &mut Printer,
) -> Result<bool, CliError> {
    let mut missing = references.to_vec();
    let mut results = client.get(references.to_vec()).await?;
    while let Some(record) = results.next().await? {
        missing.retain(|reference| !is_named_by(*reference, &record));
        printer.record(&record)?;
    }
    printer.rejected(results.rejected_count());
    match results.result() {
        Some(ResultCode::Success | ResultCode::NotFound) | None => {}
        Some(refused) => {
            let refusal = Refusal::explained(refused, client).await;
            return Err(CliError::Refused(refusal));
        }
    }
    for reference in &missing {
        say(&format!("not found: {reference}"));
    }
    Ok(missing.is_empty())
}

fn is_named_by(reference: Reference, record: &Record) -> bool {
    match reference {
        Reference::Id(id) => id == record.id(),
        Reference::Address(address) => address == record.view().address(),
    }
}
