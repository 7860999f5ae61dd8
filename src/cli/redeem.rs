//! `mosaic redeem`: becoming a user by an invitation.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;
use zeroize::Zeroizing;

use super::args::RedeemCommand;
use super::context::Context;
use super::error::{CliError, Exit};
use super::escape::escape_line;
use super::output::Row;
use super::password;
use crate::wire::{HumanError, InvitationCode, RedeemResult, ResultCode};

/// Redeems the invitation for the user's key, and prints what came of it.
///
/// # Errors
/// No invitation, no key, no connection, or no answer.
pub(super) async fn run(context: Context, command: RedeemCommand) -> Result<Exit, CliError> {
    let context = context.with_server(command.at);
    let code = invitation(command.code)?;
    let key = context.key()?;
    let client = context.connect_as(Some(key)).await?;
    let reply = client.redeem(&code.to_string()).await?;
    client.close().await;
    let mut output = context.output()?;
    output.row(&RedeemRow::of(&reply))?;
    output.flush()?;
    Ok(if reply.result.is_success() {
        Exit::Done
    } else {
        Exit::Refused
    })
}

/// The invitation of the command line; `-` is standard input.
fn invitation(given: String) -> Result<InvitationCode, CliError> {
    let text = match given.as_str() {
        "-" => password::from_input("Invitation: ").map_err(|source| CliError::Read {
            path: PathBuf::from("-"),
            source,
        })?,
        _ => Zeroizing::new(given),
    };
    let parsed = text.trim().parse();
    parsed.map_err(|why: HumanError| CliError::BadValue {
        what: "the invitation",
        why: why.to_string(),
    })
}

/// What the server said.
#[derive(Debug, Serialize)]
struct RedeemRow {
    result: ResultCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl RedeemRow {
    fn of(reply: &RedeemResult) -> Self {
        Self {
            result: reply.result,
            why: reply.why.clone(),
        }
    }
}

impl Row for RedeemRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let said = match self.result {
            ResultCode::Success => "you are a user of this server now".to_owned(),
            result => format!("{result}"),
        };
        match &self.why {
            Some(why) => writeln!(out, "{said}: {}", escape_line(why)),
            None => writeln!(out, "{said}"),
        }
    }
}
