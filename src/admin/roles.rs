//! `role.*`: roles that the operator closes by hand.

use super::answer::row;
use super::args::needed;
use super::{Answer, Asked, Order, Refused};
use crate::base::Role;
use crate::wire::{AdminRow, RoleCondition, Timestamp};

/// Closes roles, and lifts that. Changes are durable when a method returns, in the audit trail, and in
/// force on every listener.
pub trait Roles: Send + Sync {
    /// Every role on every listener.
    fn list(&self) -> Vec<RoleLine>;

    /// Closes a role by hand, whatever reachability says.
    ///
    /// # Errors
    /// [`Refused`]: INVALID for a role that is not configured.
    fn close(&self, order: &Order, role: Role, why: &str) -> Result<(), Refused>;

    /// Lifts a closing. Whether the role opens is then for reachability to say.
    ///
    /// # Errors
    /// [`Refused`]: NOT_FOUND where the role was not closed by hand.
    fn open(&self, order: &Order, role: Role) -> Result<(), Refused>;
}

/// Where one role of a listener stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleLine {
    /// The listener: its transport and address.
    pub listener: String,
    /// The role.
    pub role: Role,
    /// Open, closed or off.
    pub state: RoleCondition,
    /// Why, for people.
    pub why: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
}

impl From<RoleLine> for AdminRow {
    fn from(line: RoleLine) -> Self {
        row([
            ("listener", line.listener.into()),
            ("role", line.role.name().into()),
            ("state", line.state.name().into()),
            ("why", line.why.into()),
            ("since", line.since.into()),
        ])
    }
}

pub(super) fn call(roles: &dyn Roles, asked: Asked<'_>) -> Result<Answer, Refused> {
    match asked.verb {
        "list" => asked.args.end()?,
        "close" => {
            let role = needed(asked.args.role("role")?, "role")?;
            let why = asked.args.text("why")?.unwrap_or_default();
            asked.args.end()?;
            roles.close(asked.order, role, why)?;
        }
        "open" => {
            let role = needed(asked.args.role("role")?, "role")?;
            asked.args.end()?;
            roles.open(asked.order, role)?;
        }
        _ => return Err(asked.unknown("role.list, role.close, role.open")),
    }
    Ok(Answer::rows(
        roles.list().into_iter().map(Into::into).collect(),
    ))
}
