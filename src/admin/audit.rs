//! `audit.*`: who did what.

use super::answer::row;
use super::{Answer, Asked, Listing, Refused};
use crate::base::limits;
use crate::wire::{AdminRow, PublicKey, Timestamp};

/// Reads the audit trail.
pub trait Audit: Send + Sync {
    /// The acts behind `from`, newest first, up to `max`.
    ///
    /// # Errors
    /// [`Refused`].
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<AuditLine>, Refused>;
}

/// One line of the audit trail. It has no number: a position in the log never leaves the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// When.
    pub received: Timestamp,
    /// Who; nobody, where the server did it by itself.
    pub by: Option<PublicKey>,
    /// What.
    pub call: String,
    /// What with, as JSON.
    pub detail: String,
}

impl From<AuditLine> for AdminRow {
    fn from(line: AuditLine) -> Self {
        row([
            ("received", line.received.into()),
            ("by", line.by.into()),
            ("call", line.call.into()),
            ("detail", line.detail.into()),
        ])
    }
}

pub(super) fn call(audit: &dyn Audit, asked: Asked<'_>) -> Result<Answer, Refused> {
    if asked.verb != "list" {
        return Err(asked.unknown("audit.list"));
    }
    let since = asked.args.number("since")?;
    let most = asked.args.number("max")?.unwrap_or(u64::MAX);
    asked.args.end()?;
    let (place, given) = unpack(asked.from);
    let left = usize::try_from(most.saturating_sub(given)).unwrap_or(usize::MAX);
    let max = left.min(limits::ADMIN_PAGE_MAX_ROWS);
    if max == 0 {
        return Ok(Answer::done());
    }
    let Listing { mut lines, next } = audit.list(place, max)?;
    let listed = lines.len();
    let is_new = |line: &AuditLine| since.is_none_or(|since| line.received.nanos() >= since);
    lines.retain(is_new);
    let given = given.saturating_add(u64::try_from(listed).unwrap_or(u64::MAX));
    // The trail is in the order of the log, so that behind an older act no newer one comes.
    let next = next.filter(|_| lines.len() == listed && given < most);
    let next = next.map(|place| [&given.to_be_bytes()[..], &place].concat());
    Ok(Answer::listed(Listing { lines, next }))
}

/// Where an earlier part ended, and how many lines were given until then.
fn unpack(from: Option<&[u8]>) -> (Option<&[u8]>, u64) {
    match from.and_then(|from| from.split_first_chunk::<8>()) {
        Some((given, place)) => (Some(place), u64::from_be_bytes(*given)),
        None => (None, 0),
    }
}
