//! `ban.*`: who is kept out.

use std::time::Duration;

use super::answer::row;
use super::args::needed;
use super::{Answer, Asked, Listing, Order, Refused};
use crate::base::limits;
use crate::wire::{AdminRow, PublicKey, Timestamp};

/// Keeps the bans. Changes are durable when a method returns, in the audit trail, and in force for
/// connections that are open, too.
pub trait Bans: Send + Sync {
    /// The bans behind `from`, in an order that stays.
    ///
    /// # Errors
    /// [`Refused`].
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<BanLine>, Refused>;

    /// Bans a range of addresses or a key, for that time or for good. An earlier ban of the same
    /// target is replaced.
    ///
    /// # Errors
    /// [`Refused`]: INVALID where `target` names nobody, or an operator.
    fn set(
        &self,
        order: &Order,
        target: &str,
        lifetime: Option<Duration>,
        why: &str,
    ) -> Result<BanLine, Refused>;

    /// Ends a ban.
    ///
    /// # Errors
    /// [`Refused`]: NOT_FOUND where that target itself is not banned.
    fn lift(&self, order: &Order, target: &str) -> Result<(), Refused>;
}

/// What there is to say about a ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanLine {
    /// Who is kept out: `203.0.113.0/24`, `2001:db8::/48`, `mopub0…`.
    pub target: String,
    /// Until when; `None`: for good.
    pub until: Option<Timestamp>,
    /// Why, for the operator.
    pub why: String,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// Who did it, where that is known.
    pub by: Option<PublicKey>,
}

impl From<BanLine> for AdminRow {
    fn from(line: BanLine) -> Self {
        row([
            ("target", line.target.into()),
            ("until", line.until.into()),
            ("why", line.why.into()),
            ("since", line.since.into()),
            ("by", line.by.into()),
        ])
    }
}

pub(super) fn call(bans: &dyn Bans, asked: Asked<'_>) -> Result<Answer, Refused> {
    match asked.verb {
        "list" => {
            asked.args.end()?;
            let listing = bans.list(asked.from, limits::ADMIN_PAGE_MAX_ROWS)?;
            Ok(Answer::listed(listing))
        }
        "set" => {
            let target = needed(asked.args.text("target")?, "target")?;
            let lifetime = asked.args.number("seconds")?.map(Duration::from_secs);
            let why = asked.args.text("why")?.unwrap_or_default();
            asked.args.end()?;
            let line = bans.set(asked.order, target, lifetime, why)?;
            Ok(Answer::rows(vec![line.into()]))
        }
        "lift" => {
            let target = needed(asked.args.text("target")?, "target")?;
            asked.args.end()?;
            bans.lift(asked.order, target)?;
            Ok(Answer::done())
        }
        _ => Err(asked.unknown("ban.list, ban.set, ban.lift")),
    }
}
