//! `mosaic publish`: records made from text, or made before, handed in.
//!
//! `compose.rs` makes records from flags and text, `source.rs` reads records that exist already,
//! `steady.rs` hands them in as fast as the server bears, `tally.rs` prints what became of each and
//! keeps count.

mod compose;
mod source;
mod steady;
mod tally;

use std::path::{Path, PathBuf};

use clap::Args;
use tokio::io::{AsyncBufReadExt, BufReader};

use self::compose::{ComposeArgs, Composer};
use self::source::{Entry, RecordSource};
use self::steady::Steady;
use self::tally::Tally;
use super::context::Context;
use super::error::{CliError, Exit};
use super::filter_args::RoleArgs;
use crate::client::Client;
use crate::wire::{Record, SecretKey};

/// `mosaic publish`.
#[derive(Debug, Args)]
pub(super) struct PublishCommand {
    /// The text of the record
    #[arg(group = "input")]
    text: Option<String>,

    /// Take the payload from FILE (- is standard input)
    #[arg(long, value_name = "FILE", group = "input")]
    file: Option<PathBuf>,

    /// Publish each line of standard input as a record of its own, as it comes
    #[arg(long, group = "input")]
    stdin_lines: bool,

    /// Hand in the records in FILE (- is standard input) as they are
    ///
    /// Either lines of JSON, {"hex": "…"} or {"morecord": "morecord0…"}, other keys ignored, as
    /// `mosaic query --json` prints them; or records as they are, one after the other, as
    /// `mosaic query --raw` writes them. The first byte tells which.
    #[arg(
        long,
        value_name = "FILE",
        group = "input",
        conflicts_with_all = compose::FLAGS
    )]
    records: Option<PathBuf>,

    #[command(flatten)]
    compose: ComposeArgs,

    #[command(flatten)]
    role: RoleArgs,
}

/// Hands in what the command line names, and prints what became of each record.
///
/// # Errors
/// No input, no key, no connection; refused records are no error, but exit code 1.
pub(super) async fn run(context: &Context, command: &PublishCommand) -> Result<Exit, CliError> {
    if let Some(path) = &command.records {
        return publish_records(context, command, path).await;
    }
    let payload = match (&command.text, &command.file) {
        (Some(text), _) => Some(text.clone().into_bytes()),
        (None, Some(path)) => Some(source::read_payload(path)?),
        (None, None) if command.stdin_lines => None,
        (None, None) => {
            return Err(CliError::BadValue {
                what: "nothing to publish",
                why: "give TEXT, --file, --stdin-lines or --records".into(),
            });
        }
    };
    let key = context.key()?;
    let client = context.connect_as(signing_in(context, &key)).await?;
    let composer = command.compose.composer(key, &client).await?;
    let mut submissions = submissions(&client, command).await?;
    let mut tally = Tally::new(context.output()?);
    let handed_in = match payload {
        Some(payload) => hand_in(&composer.record(payload)?, &mut submissions, &mut tally).await,
        None => publish_lines(&composer, &mut submissions, &mut tally).await,
    };
    finish(handed_in, submissions, tally, client).await
}

/// The key to sign in with.
fn signing_in(context: &Context, key: &SecretKey) -> Option<SecretKey> {
    (!context.common().anonymous).then(|| key.clone())
}

async fn submissions(client: &Client, command: &PublishCommand) -> Result<Steady, CliError> {
    let stream = command.role.open(client).await?;
    Ok(Steady::new(&stream))
}

/// Publishes each line as it comes, and prints each result as it comes.
async fn publish_lines(
    composer: &Composer,
    submissions: &mut Steady,
    tally: &mut Tally,
) -> Result<(), CliError> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            // Both are cancel safe.
            submitted = submissions.next(), if !submissions.is_empty() => {
                if let Some(submitted) = submitted? {
                    tally.answered(submitted)?;
                    tally.flush()?;
                }
            }
            line = lines.next_line(), if !submissions.is_full() => {
                let line = line.map_err(|source| CliError::Read {
                    path: PathBuf::from("-"),
                    source,
                })?;
                match line {
                    Some(line) => {
                        let record = composer.record(line.into_bytes())?;
                        hand_in(&record, submissions, tally).await?;
                    }
                    None => return Ok(()),
                }
            }
        }
    }
}

/// Hands in the records of a file, as they are.
async fn publish_records(
    context: &Context,
    command: &PublishCommand,
    path: &Path,
) -> Result<Exit, CliError> {
    let mut source = RecordSource::open(path)?;
    let client = context.connect().await?;
    let mut submissions = submissions(&client, command).await?;
    let mut tally = Tally::with_progress(context.output()?, source.size_bytes());
    let handed_in = publish_all(&mut source, &mut submissions, &mut tally).await;
    finish(handed_in, submissions, tally, client).await
}

async fn publish_all(
    source: &mut RecordSource,
    submissions: &mut Steady,
    tally: &mut Tally,
) -> Result<(), CliError> {
    while let Some(read) = source.next().await {
        let read = read?;
        match read.entry {
            Entry::Record(record) => hand_in(&record, submissions, tally).await?,
            Entry::Bad(why) => tally.not_a_record(why)?,
        }
        tally.advance(read.end_bytes);
    }
    Ok(())
}

/// Hands in one record; where many are on their way, prints the result of the oldest.
async fn hand_in(
    record: &Record,
    submissions: &mut Steady,
    tally: &mut Tally,
) -> Result<(), CliError> {
    tally.handed_in();
    match submissions.push(record).await? {
        Some(submitted) => tally.answered(submitted),
        None => Ok(()),
    }
}

/// Waits for the results that are left, and sums up, also after something went wrong.
async fn finish(
    handed_in: Result<(), CliError>,
    mut submissions: Steady,
    mut tally: Tally,
    client: Client,
) -> Result<Exit, CliError> {
    let outcome = loop {
        match submissions.next().await {
            Ok(Some(submitted)) => tally.answered(submitted)?,
            Ok(None) => break handed_in,
            Err(error) => break handed_in.and(Err(error.into())),
        }
    };
    let all_accepted = tally.finish()?;
    client.close().await;
    outcome?;
    Ok(if all_accepted {
        Exit::Done
    } else {
        Exit::Refused
    })
}
