//! `mosaic subscribe`: records that pass a filter, stored ones and then new ones as they arrive.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::args::SubscribeCommand;
use super::context::Context;
use super::error::{CliError, Exit, chain};
use super::query::Printer;
use super::{say, trust};
use crate::client::{Follow, FollowError, FollowEvent, FollowRequest};
use crate::wire::Transport;

/// Follows until the count is reached, the time is over, the server ends it, or a signal says so.
///
/// # Errors
/// No connection, a refusal, or records that are not what was asked for.
pub(super) async fn run(context: &Context, command: &SubscribeCommand) -> Result<Exit, CliError> {
    let request = FollowRequest {
        filter: command.filter.filter()?,
        limit: command.filter.limit,
        role: command.role.role(),
        target: trust::target(context).await?,
        options: context.options(context.identity()?),
    };
    let transport = request.target.transport();
    let mut printer = Printer::open(context, command.raw.as_deref())?;
    let mut follow = match Follow::start(request).await {
        Ok(follow) => follow,
        Err(error) => return Err(named(context, error, transport).await),
    };
    let end = tokio::select! {
        end = print_all(&mut follow, &mut printer, command) => end,
        () = signal() => Ok(Exit::Done),
    };
    let end = match end {
        Err(CliError::Follow(error)) => Err(named(context, error, transport).await),
        end => end,
    };
    follow.close().await;
    printer.finish()?;
    end
}

async fn print_all(
    follow: &mut Follow,
    printer: &mut Printer,
    command: &SubscribeCommand,
) -> Result<Exit, CliError> {
    let wanted = command.count.map_or(u64::MAX, |count| count.get());
    let mut printed = 0;
    let seconds = command
        .timeout
        .map(|seconds| Duration::from_secs(seconds.get()));
    let deadline = seconds.and_then(|span| Instant::now().checked_add(span));
    while printed < wanted {
        let event = tokio::select! {
            event = follow.next() => event?,
            () = passed(deadline) => {
                let is_short = command.count.is_some();
                return Ok(if is_short { Exit::Refused } else { Exit::Done });
            }
        };
        match event {
            FollowEvent::Record(record) => {
                printer.record(&record)?;
                // Each record is seen when it arrives, also by a program at the end of a pipe.
                printer.flush()?;
                printed += 1;
            }
            FollowEvent::Rejected(fault) => {
                printer.rejected(1);
                say(&format!("dropped what the server sent: {}", chain(&fault)));
            }
            FollowEvent::LocallyComplete => say("LOCALLY COMPLETE"),
            FollowEvent::Lost { cause, retry_in } => {
                let seconds = retry_in.as_secs_f64();
                say(&format!(
                    "{}; trying again in {seconds:.1} s",
                    chain(&cause)
                ));
            }
            FollowEvent::Resumed => say("resumed"),
            FollowEvent::Ended => break,
        }
    }
    Ok(Exit::Done)
}

/// The error to end with; a changed key is reported at length first.
async fn named(context: &Context, error: FollowError, transport: Transport) -> CliError {
    match error {
        FollowError::Connect(error) => context.cannot_connect(error, transport).await,
        error => CliError::Follow(error),
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Until the terminal or the system asks the process to end.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = terminated => {}
        () = interrupted => {}
    }
}
