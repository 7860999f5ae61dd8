//! `user.*`: who is served, and how much each may store.

use super::answer::row;
use super::args::{Args, needed};
use super::{Answer, Asked, Listing, Order, Refused};
use crate::base::limits;
use crate::config::Quotas;
use crate::wire::{AdminRow, PublicKey, Timestamp};

/// Knows who is served. Changes are durable when a method returns, and in the audit trail.
pub trait Users: Send + Sync {
    /// The users behind `from`, in an order that stays.
    ///
    /// # Errors
    /// [`Refused`].
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<UserLine>, Refused>;

    /// One user.
    ///
    /// # Errors
    /// [`Refused`]: NOT_FOUND for a key that is not served.
    fn show(&self, user: &PublicKey) -> Result<UserLine, Refused>;

    /// Serves a user from now on, with the quotas of `quota` and otherwise the usual ones.
    ///
    /// # Errors
    /// [`Refused`]: DUPLICATE for one who is served already.
    fn add(
        &self,
        order: &Order,
        user: PublicKey,
        quota: QuotaChange,
        note: Option<&str>,
    ) -> Result<(), Refused>;

    /// Serves a user no longer. What is stored stays.
    ///
    /// # Errors
    /// [`Refused`]: NOT_FOUND, or INVALID for one whom the configuration names.
    fn remove(&self, order: &Order, user: &PublicKey) -> Result<(), Refused>;

    /// Changes what a user may store. What is stored already stays.
    ///
    /// # Errors
    /// [`Refused`]: NOT_FOUND for a key that is not served.
    fn set_quota(&self, order: &Order, user: &PublicKey, quota: QuotaChange)
    -> Result<(), Refused>;
}

/// What is to be different about a user's quotas. `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaChange {
    /// Whether all of them become those of the configuration first.
    pub to_default: bool,
    /// Records the user published.
    pub records: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// Records that were delivered to the user.
    pub delivered_records: Option<u64>,
    /// Their bytes.
    pub delivered_bytes: Option<u64>,
}

impl QuotaChange {
    /// Nothing is to be different.
    pub const NONE: Self = Self {
        to_default: false,
        records: None,
        bytes: None,
        delivered_records: None,
        delivered_bytes: None,
    };

    /// `quotas` with the change made.
    #[must_use]
    pub fn over(&self, quotas: Quotas) -> Quotas {
        Quotas {
            records: self.records.unwrap_or(quotas.records),
            bytes: self.bytes.unwrap_or(quotas.bytes),
            delivered_records: self.delivered_records.unwrap_or(quotas.delivered_records),
            delivered_bytes: self.delivered_bytes.unwrap_or(quotas.delivered_bytes),
        }
    }
}

/// What there is to say about a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLine {
    /// The master key.
    pub user: PublicKey,
    /// How the key came to be served: `listed`, `registered`, `invited`, `added`.
    pub source: String,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// What the operator noted.
    pub note: Option<String>,
    /// What the user published: records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was delivered to the user: records.
    pub delivered_records: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Most of each, in the same order; `None`: no bound.
    pub quotas: [Option<u64>; 4],
}

impl From<UserLine> for AdminRow {
    fn from(line: UserLine) -> Self {
        let [
            records_max,
            bytes_max,
            delivered_records_max,
            delivered_bytes_max,
        ] = line.quotas;
        row([
            ("user", line.user.into()),
            ("source", line.source.into()),
            ("since", line.since.into()),
            ("note", line.note.into()),
            ("records", line.records.into()),
            ("bytes", line.bytes.into()),
            ("delivered_records", line.delivered_records.into()),
            ("delivered_bytes", line.delivered_bytes.into()),
            ("records_max", records_max.into()),
            ("bytes_max", bytes_max.into()),
            ("delivered_records_max", delivered_records_max.into()),
            ("delivered_bytes_max", delivered_bytes_max.into()),
        ])
    }
}

pub(super) fn call(users: &dyn Users, asked: Asked<'_>) -> Result<Answer, Refused> {
    let Asked {
        verb, order, from, ..
    } = asked;
    match verb {
        "list" => {
            asked.args.end()?;
            let listing = users.list(from, limits::ADMIN_PAGE_MAX_ROWS)?;
            Ok(Answer::listed(listing))
        }
        "show" | "remove" => {
            let user = needed(asked.args.key("user")?, "user")?;
            asked.args.end()?;
            if verb == "show" {
                return Ok(Answer::rows(vec![users.show(&user)?.into()]));
            }
            users.remove(order, &user)?;
            Ok(Answer::done())
        }
        "add" => {
            let user = needed(asked.args.key("user")?, "user")?;
            let note = asked.args.text("note")?;
            let quota = quota(asked.args)?;
            asked.args.end()?;
            users.add(order, user, quota, note)?;
            Ok(Answer::done())
        }
        "quota" => {
            let user = needed(asked.args.key("user")?, "user")?;
            let to_default = asked.args.flag("default")?;
            let quota = QuotaChange {
                to_default,
                ..quota(asked.args)?
            };
            asked.args.end()?;
            if quota == QuotaChange::default() {
                return Err(Refused::invalid("nothing is to be changed"));
            }
            users.set_quota(order, &user, quota)?;
            Ok(Answer::rows(vec![users.show(&user)?.into()]))
        }
        _ => Err(asked.unknown("user.list, user.show, user.add, user.remove, user.quota")),
    }
}

/// The quotas that are given.
pub(super) fn quota(args: &mut Args<'_>) -> Result<QuotaChange, Refused> {
    Ok(QuotaChange {
        to_default: false,
        records: args.number("records")?,
        bytes: args.number("bytes")?,
        delivered_records: args.number("delivered_records")?,
        delivered_bytes: args.number("delivered_bytes")?,
    })
}
