//! `limit.*`: how much anyone may do.

use super::answer::row;
use super::args::needed;
use super::{Answer, Asked, Order, Refused};
use crate::wire::AdminRow;

/// Keeps the limits. What is set here outlives a restart and goes before the configuration, until it
/// is reset. Changes are durable when a method returns, and in the audit trail.
pub trait Limits: Send + Sync {
    /// Every limit.
    ///
    /// # Errors
    /// [`Refused`].
    fn show(&self) -> Result<Vec<LimitLine>, Refused>;

    /// Sets one.
    ///
    /// # Errors
    /// [`Refused`]: INVALID for a name that is none, or a value out of its range.
    fn set(&self, order: &Order, name: &str, value: u64) -> Result<(), Refused>;

    /// Goes back to what the configuration says, for one limit or for all.
    ///
    /// # Errors
    /// [`Refused`]: INVALID for a name that is none.
    fn reset(&self, order: &Order, name: Option<&str>) -> Result<(), Refused>;
}

/// What there is to say about a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitLine {
    /// Its name.
    pub name: String,
    /// What is in force.
    pub value: u64,
    /// What the configuration says.
    pub configured: u64,
}

impl From<LimitLine> for AdminRow {
    fn from(line: LimitLine) -> Self {
        row([
            ("name", line.name.into()),
            ("value", line.value.into()),
            ("configured", line.configured.into()),
        ])
    }
}

pub(super) fn call(limits: &dyn Limits, asked: Asked<'_>) -> Result<Answer, Refused> {
    match asked.verb {
        "show" => asked.args.end()?,
        "set" => {
            let name = needed(asked.args.text("name")?, "name")?;
            let value = needed(asked.args.number("value")?, "value")?;
            asked.args.end()?;
            limits.set(asked.order, name, value)?;
        }
        "reset" => {
            let name = asked.args.text("name")?;
            asked.args.end()?;
            limits.reset(asked.order, name)?;
        }
        _ => return Err(asked.unknown("limit.show, limit.set, limit.reset")),
    }
    let lines = limits.show()?;
    Ok(Answer::rows(lines.into_iter().map(Into::into).collect()))
}
