//! The operator's calls: what each takes, whom it asks, and what it answers.
//!
//! A call comes as a name and arguments ([`AdminCall`]), such as `ban.set` with `target` and `seconds`.
//! The word in front of the dot names a family, which has a file of its own here: the arguments of its
//! calls, the trait of the part of the server that carries them out, and the rows it answers with.
//! Everything is read and checked before a part is asked; what is not known is refused by name.
//!
//! | file | owns |
//! |------|------|
//! | `args.rs` | reading of arguments |
//! | `answer.rs` | rows, listings, refusals |
//! | `order.rs` | what goes into the audit trail |
//! | `users.rs`, `invitations.rs` | who is served |
//! | `bans.rs`, `limits.rs` | who is kept out, and how much anyone may do |
//! | `held.rs`, `records.rs`, `blobs.rs` | what is stored |
//! | `roles.rs`, `running.rs` | roles closed by hand; configuration, trace and state of the process |
//! | `audit.rs` | who did what |
//!
//! No call shows a record that its caller could not read as anybody else: an operator has no way
//! round the visibility gate, but for records held for moderation that are meant for everybody.

mod answer;
mod args;
mod audit;
mod bans;
mod blobs;
mod held;
mod invitations;
mod limits;
mod order;
mod records;
mod roles;
mod running;
mod users;

use std::fmt;
use std::sync::Arc;

pub use self::answer::{Answer, Listing, Refused};
use self::args::Args;
pub use self::audit::{Audit, AuditLine};
pub use self::bans::{BanLine, Bans};
pub use self::blobs::{BlobLine, Blobs};
pub use self::held::{Held, HeldLine};
pub use self::invitations::{Invitation, InvitationLine, Invitations};
pub use self::limits::{LimitLine, Limits};
pub use self::order::Order;
pub use self::records::Records;
pub use self::roles::{RoleLine, Roles};
pub use self::running::{LogLevel, Reload, Status};
pub use self::users::{QuotaChange, UserLine, Users};
use crate::wire::{AdminCall, PublicKey, ResultCode};

/// The parts of the server that carry out calls. A call whose part is missing is refused.
#[derive(Clone, Default)]
pub struct Parts {
    /// Who is served.
    pub users: Option<Arc<dyn Users>>,
    /// How others become so.
    pub invitations: Option<Arc<dyn Invitations>>,
    /// Who is kept out.
    pub bans: Option<Arc<dyn Bans>>,
    /// Records that wait for moderation.
    pub held: Option<Arc<dyn Held>>,
    /// Records.
    pub records: Option<Arc<dyn Records>>,
    /// BLOBs.
    pub blobs: Option<Arc<dyn Blobs>>,
    /// How much anyone may do.
    pub limits: Option<Arc<dyn Limits>>,
    /// Roles closed by hand.
    pub roles: Option<Arc<dyn Roles>>,
    /// The configuration file.
    pub reload: Option<Arc<dyn Reload>>,
    /// What the trace says.
    pub log_level: Option<Arc<dyn LogLevel>>,
    /// Who did what.
    pub audit: Option<Arc<dyn Audit>>,
    /// How the server is.
    pub status: Option<Arc<dyn Status>>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Carries out the calls of operators.
#[derive(Clone, Debug, Default)]
pub struct Admin {
    parts: Parts,
}

impl Admin {
    /// An `Admin` that asks `parts`.
    #[must_use]
    pub const fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// Carries out `call` of the operator `by`; `from` is where an earlier part of the same listing
    /// ended. Blocks: it reads the store, and waits until a change is durable.
    #[must_use]
    pub fn call(&self, by: PublicKey, call: &AdminCall, from: Option<&[u8]>) -> Answer {
        match self.carry_out(by, call, from) {
            Ok(answer) => answer,
            Err(refused) => {
                let Refused { result, why } = &refused;
                tracing::info!(%by, call = ?cut(&call.call), %result, why, "an operator's call was refused");
                refused.into()
            }
        }
    }

    fn carry_out(
        &self,
        by: PublicKey,
        call: &AdminCall,
        from: Option<&[u8]>,
    ) -> Result<Answer, Refused> {
        let (family, verb) = call.call.split_once('.').unwrap_or((&call.call, ""));
        let order = Order::of(by, call);
        let mut args = Args::of(&call.args);
        let asked = Asked {
            verb,
            args: &mut args,
            order: &order,
            from,
        };
        let parts = &self.parts;
        match family {
            "user" => users::call(part(parts.users.as_deref(), family)?, asked),
            "invite" => invitations::call(part(parts.invitations.as_deref(), family)?, asked),
            "ban" => bans::call(part(parts.bans.as_deref(), family)?, asked),
            "held" => held::call(part(parts.held.as_deref(), family)?, asked),
            "record" => records::call(part(parts.records.as_deref(), family)?, asked),
            "blob" => blobs::call(part(parts.blobs.as_deref(), family)?, asked),
            "limit" => limits::call(part(parts.limits.as_deref(), family)?, asked),
            "role" => roles::call(part(parts.roles.as_deref(), family)?, asked),
            "audit" => audit::call(part(parts.audit.as_deref(), family)?, asked),
            "log-level" => running::log_level(part(parts.log_level.as_deref(), family)?, asked),
            "reload" => running::reload(part(parts.reload.as_deref(), family)?, asked),
            "status" => running::status(part(parts.status.as_deref(), family)?, asked),
            _ => Err(asked.unknown(FAMILIES)),
        }
    }
}

/// One call, as its family sees it.
struct Asked<'a> {
    /// What is behind the dot.
    verb: &'a str,
    args: &'a mut Args<'a>,
    order: &'a Order,
    /// Where an earlier part of the listing ended.
    from: Option<&'a [u8]>,
}

impl Asked<'_> {
    /// The refusal of a call that is not known; `known` are those that are.
    fn unknown(&self, known: &str) -> Refused {
        let why = format!("no call {:?}; there are {known}", cut(&self.order.call));
        Refused::invalid(&why)
    }
}

/// The part of a family, if the server has it.
fn part<'a, T: ?Sized>(part: Option<&'a T>, family: &str) -> Result<&'a T, Refused> {
    part.ok_or_else(|| Refused {
        result: ResultCode::PersistentError,
        why: format!("this server carries out no calls of {family}"),
    })
}

/// The beginning of a name that a caller made up.
fn cut(name: &str) -> String {
    name.chars().take(NAME_MAX_CHARS).collect()
}

const FAMILIES: &str =
    "user, invite, ban, held, record, blob, limit, role, audit, log-level, reload, status";

const NAME_MAX_CHARS: usize = 48;

#[cfg(test)]
mod tests;
