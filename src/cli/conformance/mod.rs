//! `mosaic conformance`: tries every MUST that a client can observe, on any Mosaic server.
//!
//! | file | owns |
//! |------|------|
//! | `check.rs` | what a check is, and how it can end |
//! | `world.rs` | the server under test, its visitors, and the records they make |
//! | `made_up.rs` | keys that belong to nobody |
//! | `talk.rs` | one stream, byte for byte |
//! | `corpus.rs` | the records that filters are tried on |
//! | `ways.rs` | how one comes upon a record |
//! | `groups/` | the checks |
//! | `row.rs` | what is printed |
//!
//! Only the public protocol is spoken. Nothing is cleaned up, for a client cannot delete: what a run
//! leaves behind is in docs/CONFORMANCE.md, beside the list of the checks.

mod check;
mod corpus;
mod groups;
mod made_up;
mod row;
mod talk;
mod ways;
mod world;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::check::{Check, Outcome, Stop, failed, skipped};
use self::row::{CheckRow, ListRow, SummaryRow};
use self::world::{Keys, World};
use super::args::ConformanceCommand;
use super::context::Context;
use super::error::{CliError, Exit};
use super::{password, trust};
use crate::base::limits;
use crate::client::key_file;
use crate::wire::SecretKey;

/// Tries the server, prints a line for each check, and tells whether all passed.
///
/// # Errors
/// The command line, or why there is no connection. A check that fails is none: it is a result.
pub(super) async fn run(context: &Context, command: &ConformanceCommand) -> Result<Exit, CliError> {
    let checks: Vec<&'static Check> = groups::all()
        .filter(|check| is_wanted(check, &command.only))
        .collect();
    if checks.is_empty() {
        return Err(CliError::BadValue {
            what: "--only",
            why: "no check has such an ID; --list shows them all".into(),
        });
    }
    let mut output = context.output()?;
    if command.list {
        for check in checks {
            output.row(&ListRow::new(check))?;
        }
        output.flush()?;
        return Ok(Exit::Done);
    }
    let server = command.server.as_deref();
    let target =
        trust::target_named(context, server.or(context.common().server.as_deref())).await?;
    let transport = target.transport();
    let keys = Keys {
        user: key(context, command.user.as_deref())?,
        second: key(context, command.second_user.as_deref())?,
    };
    let opening = World::open(target, keys, context.patience());
    let world = match Box::pin(opening).await {
        Ok(world) => Arc::new(world),
        Err(error) => return Err(context.cannot_connect(error, transport).await),
    };
    let mut summary = SummaryRow::new(&world);
    let jobs = Arc::new(Semaphore::new(usize::from(command.jobs.get())));
    let patience = context.patience().saturating_mul(CHECK_PATIENCE);
    let running: Vec<(&Check, JoinHandle<Outcome>)> = checks
        .into_iter()
        .map(|check| {
            let (world, jobs) = (Arc::clone(&world), Arc::clone(&jobs));
            (check, tokio::spawn(perform(check, world, jobs, patience)))
        })
        .collect();
    for (check, handle) in running {
        let outcome = outcome_of(handle).await;
        summary.count(&outcome);
        output.row(&CheckRow::new(check, &outcome))?;
        // Whoever watches sees each line when it is known.
        output.flush()?;
    }
    output.row(&summary)?;
    output.flush()?;
    Ok(if summary.has_passed() {
        Exit::Done
    } else {
        Exit::Refused
    })
}

/// How the check ended. One that broke off proved nothing, so the run must not be called a success.
async fn outcome_of(check: JoinHandle<Outcome>) -> Outcome {
    let broke_off = |_| Err(failed("an end", "the check itself broke off"));
    check.await.unwrap_or_else(broke_off)
}

/// Makes one check, as often as the server calls for patience.
async fn perform(
    check: &'static Check,
    world: Arc<World>,
    jobs: Arc<Semaphore>,
    patience: Duration,
) -> Outcome {
    let Ok(_job) = jobs.acquire().await else {
        return Err(skipped("the run ended before it"));
    };
    let mut pauses = limits::CONFORMANCE_PAUSES.into_iter();
    loop {
        world.turn().await;
        let outcome = match timeout(patience, (check.run)(Arc::clone(&world))).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let seconds = patience.as_secs();
                return Err(failed("an end", format!("not done within {seconds} s")));
            }
        };
        match (outcome, pauses.next()) {
            (Err(Stop::TooFast), Some(pause)) => world.rest(pause).await,
            (Err(Stop::TooFast), None) => {
                let why = "the server answers TOO_FAST; try again later, or with --jobs 1";
                return Err(skipped(why));
            }
            (outcome, _) => return outcome,
        }
    }
}

/// Whether one of the patterns, if there are any, fits the ID: as its beginning, up to a dot, or as
/// a part of it between asterisks.
fn is_wanted(check: &Check, patterns: &[String]) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| fits(check.id, pattern))
}

fn fits(id: &str, pattern: &str) -> bool {
    let pattern = pattern.trim_end_matches('.');
    if pattern.contains('*') {
        let mut rest = id;
        return pattern.split('*').enumerate().all(|(place, part)| {
            let found = rest.find(part).filter(|at| place > 0 || *at == 0);
            let after = found.and_then(|at| rest.get(at + part.len()..));
            rest = after.unwrap_or_default();
            found.is_some()
        }) && (rest.is_empty() || pattern.ends_with('*'));
    }
    id.strip_prefix(pattern)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn key(context: &Context, path: Option<&Path>) -> Result<Option<SecretKey>, CliError> {
    let Some(path) = path else { return Ok(None) };
    let loaded = key_file::load(path, || password::existing(context.password_file()));
    loaded.map(Some).map_err(|source| CliError::KeyFile {
        path: path.to_owned(),
        source,
    })
}

/// A check may wait for that many replies of a server that is as slow as may be.
const CHECK_PATIENCE: u32 = 8;
