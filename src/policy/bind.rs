//! Whether a stream may be given to a role.

use super::gate::{Gate, RoleState};
use super::rules::Rules;
use crate::base::Role;
use crate::wire::ResultCode;

/// Whether a stream may be bound to `role`, and there to the application `app` if one is named,
/// which can be with the application role only.
///
/// Anyone may open a stream for `encryption`, to deliver: what can be read on it is for
/// [`visible`](super::visible()) to say, and to a stranger that is nothing.
///
/// # Errors
/// What the peer is told, and why, for people to read:
/// - `UNAUTHORIZED`: the role is not configured, or that application is not.
/// - `TEMPORARY_ERROR`: the role is shut; the text names the verdict that keeps it so.
///
/// # Source
/// `extensions.md`, "A stream belongs to a role".
pub fn bind(
    rules: &Rules,
    gate: &Gate,
    role: Role,
    app: Option<u32>,
) -> Result<(), (ResultCode, String)> {
    match gate.state(role) {
        RoleState::Open { .. } => {}
        RoleState::Closed { why, .. } => {
            return Err((ResultCode::TemporaryError, why.to_string()));
        }
        RoleState::Off => {
            let why = format!("the role {role} is not served here");
            return Err((ResultCode::Unauthorized, why));
        }
    }
    match app {
        Some(app) if !rules.applications.apps.serves(app) => {
            let why = format!("the application {app} is not served here");
            Err((ResultCode::Unauthorized, why))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, APP};
    use super::*;
    use crate::base::RoleSet;

    fn check(gate: &Gate, role: Role, app: Option<u32>, expected: Result<(), ResultCode>) {
        let bound = bind(&testing::rules(), gate, role, app);
        if let Err((_, why)) = &bound {
            assert!(!why.is_empty(), "{role} is refused without a reason");
        }
        assert_eq!(bound.map_err(|(code, _)| code), expected, "{role} {app:?}");
    }

    #[test]
    fn an_open_role_takes_a_stream() {
        let gate = Gate::dev(RoleSet::ALL, testing::NOW);
        for role in Role::ALL {
            check(&gate, role, None, Ok(()));
        }
        check(&gate, Role::Application, Some(APP), Ok(()));
    }

    #[test]
    fn a_role_that_is_not_configured_is_unauthorized() {
        let gate = Gate::dev(RoleSet::EMPTY, testing::NOW);
        for role in Role::ALL {
            check(&gate, role, None, Err(ResultCode::Unauthorized));
        }
    }

    #[test]
    fn a_role_kept_shut_by_the_verdict_is_a_temporary_error_that_names_the_verdict() {
        let gate = Gate::closed(RoleSet::ALL, "UNKNOWN: no probe yet", testing::NOW);
        for role in [Role::Outbox, Role::Inbox, Role::Encryption] {
            check(&gate, role, None, Err(ResultCode::TemporaryError));
            let (_, why) = bind(&testing::rules(), &gate, role, None).unwrap_err();
            assert!(why.contains("UNKNOWN"), "{why}");
        }
        check(&gate, Role::Application, None, Ok(()));
    }

    #[test]
    fn an_application_that_is_not_configured_is_unauthorized() {
        let gate = Gate::dev(RoleSet::ALL, testing::NOW);
        let refused = Err(ResultCode::Unauthorized);
        check(&gate, Role::Application, Some(APP + 1), refused);
    }
}
