//! `log-level.*`, `reload` and `status`: the process that runs.

use super::answer::row;
use super::args::needed;
use super::{Answer, Asked, Order, Refused};
use crate::wire::AdminRow;

/// Changes what the trace says, until the next restart.
pub trait LogLevel: Send + Sync {
    /// The directives in force.
    fn show(&self) -> String;

    /// Takes a level (`debug`) or directives (`warn,mosaicd::net=trace`) from now on. In the audit
    /// trail.
    ///
    /// # Errors
    /// [`Refused`]: INVALID where it is neither.
    fn set(&self, order: &Order, filter: &str) -> Result<(), Refused>;

    /// Goes back to what the configuration says. In the audit trail.
    ///
    /// # Errors
    /// [`Refused`].
    fn reset(&self, order: &Order) -> Result<(), Refused>;
}

/// Reads the configuration again.
pub trait Reload: Send + Sync {
    /// Takes what can be changed while the server runs from its configuration; all of it or nothing.
    /// In the audit trail. Returns the keys that have changed and wait for a restart.
    ///
    /// # Errors
    /// [`Refused`]: INVALID with what is wrong with the configuration.
    fn reload(&self, order: &Order) -> Result<Vec<String>, Refused>;
}

/// Knows how the server is.
pub trait Status: Send + Sync {
    /// What there is to say, by name.
    ///
    /// # Errors
    /// [`Refused`].
    fn status(&self) -> Result<AdminRow, Refused>;
}

pub(super) fn log_level(level: &dyn LogLevel, asked: Asked<'_>) -> Result<Answer, Refused> {
    match asked.verb {
        "show" => asked.args.end()?,
        "set" => {
            let filter = needed(asked.args.text("filter")?, "filter")?;
            asked.args.end()?;
            level.set(asked.order, filter)?;
        }
        "reset" => {
            asked.args.end()?;
            level.reset(asked.order)?;
        }
        _ => return Err(asked.unknown("log-level.show, log-level.set, log-level.reset")),
    }
    Ok(Answer::rows(vec![row([("filter", level.show().into())])]))
}

pub(super) fn reload(reload: &dyn Reload, asked: Asked<'_>) -> Result<Answer, Refused> {
    if !asked.verb.is_empty() {
        return Err(asked.unknown("reload"));
    }
    asked.args.end()?;
    let waiting = reload.reload(asked.order)?;
    let rows = waiting
        .into_iter()
        .map(|key| row([("needs_restart", key.into())]));
    Ok(Answer::rows(rows.collect()))
}

pub(super) fn status(status: &dyn Status, asked: Asked<'_>) -> Result<Answer, Refused> {
    if !asked.verb.is_empty() {
        return Err(asked.unknown("status"));
    }
    asked.args.end()?;
    Ok(Answer::rows(vec![status.status()?]))
}
