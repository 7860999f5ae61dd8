//! `mosaic admin`: orders to a server of one's own.

mod args;
mod row;

pub(super) use self::args::AdminCommand;
use self::args::Call;
use self::row::{Table, ValueRow};
use super::context::Context;
use super::error::{CliError, Exit};
use super::escape::escape_line;
use super::output::{Format, Output};
use super::say;
use crate::client::OperatorStream;
use crate::wire::{AdminRow, AdminValue, ResultCode};

/// Gives the orders and prints what comes of them.
///
/// # Errors
/// No connection, no key, or a key that is no operator's.
pub(super) async fn run(context: &Context, command: &AdminCommand) -> Result<Exit, CliError> {
    let client = context.connect_as(Some(context.key()?)).await?;
    let operator = client.operator().await?;
    let mut output = context.output()?;
    let mut exit = Exit::Done;
    for call in command.calls() {
        if carry_out(&operator, call, &mut output).await? == Exit::Refused {
            exit = Exit::Refused;
        }
    }
    client.close().await;
    output.flush()?;
    Ok(exit)
}

async fn carry_out(
    operator: &OperatorStream,
    call: Call,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let mut answer = operator.call(call.name, call.args).await?;
    let mut exit = Exit::Done;
    while let Some(rows) = answer.next().await? {
        // The others were there, and it was done to them.
        if rows.iter().any(names_missing) {
            exit = Exit::Refused;
        }
        let rows: Vec<ValueRow> = rows.into_iter().map(ValueRow::new).collect();
        if output.format() == Format::Human && output.is_for_a_person() {
            // The columns of a page: a listing may be long, and is shown as it comes.
            Table::new(&rows).print(output)?;
        } else {
            rows.iter().try_for_each(|row| output.row(row))?;
        }
        output.flush()?;
    }
    let (result, why) = answer.result().unwrap_or((ResultCode::Success, None));
    if result.is_success() && result != ResultCode::Duplicate {
        return Ok(exit);
    }
    let why = why.map(|why| format!(": {}", escape_line(why)));
    say(&format!(
        "mosaic: {}: {result}{}",
        call.name,
        why.unwrap_or_default()
    ));
    Ok(Exit::Refused)
}

/// Whether a row of an answer says that something of what was asked for is not there.
fn names_missing(row: &AdminRow) -> bool {
    matches!(row.get("missing"), Some(AdminValue::List(missing)) if !missing.is_empty())
}
