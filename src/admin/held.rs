//! `held.*`: records that wait for moderation.

use super::answer::row;
use super::args::needed;
use super::{Answer, Asked, Listing, Order, Refused};
use crate::base::limits;
use crate::wire::{AdminRow, AdminValue, PublicKey, RecordId, Timestamp};

/// Moderates the inbox. Changes are durable when a method returns, and in the audit trail.
pub trait Held: Send + Sync {
    /// The held records behind `from`, newest first.
    ///
    /// # Errors
    /// [`Refused`].
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<HeldLine>, Refused>;

    /// One of them, with all of its text that may be shown.
    ///
    /// # Errors
    /// [`Refused`]: NOT_FOUND where it is not held; stored records are none of the operator's.
    fn show(&self, id: &RecordId) -> Result<HeldLine, Refused>;

    /// Lets records in, as if they came now. Returns those that were not held.
    ///
    /// # Errors
    /// [`Refused`].
    fn release(&self, order: &Order, ids: &[RecordId]) -> Result<Vec<RecordId>, Refused>;

    /// Takes records away, for good: their IDs do not come in again. Returns those that were not held.
    ///
    /// # Errors
    /// [`Refused`].
    fn reject(&self, order: &Order, ids: &[RecordId]) -> Result<Vec<RecordId>, Refused>;
}

/// What there is to say about a held record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLine {
    /// Its ID.
    pub id: RecordId,
    /// When it came.
    pub received: Timestamp,
    /// Its author.
    pub author: PublicKey,
    /// Who signed it.
    pub signer: PublicKey,
    /// Who handed it in, where that one proved a key.
    pub submitter: Option<PublicKey>,
    /// Its kind.
    pub kind: u64,
    /// Bytes of the record.
    pub bytes: u64,
    /// The users it is for; not more than a few of them are listed.
    pub recipients: Vec<PublicKey>,
    /// Its text, where it is one and is meant for everybody.
    pub text: Option<String>,
}

impl From<HeldLine> for AdminRow {
    fn from(line: HeldLine) -> Self {
        let recipients = line.recipients.iter().take(RECIPIENTS_SHOWN_MAX);
        let recipients = recipients.map(|key| AdminValue::from(*key)).collect();
        row([
            ("id", line.id.into()),
            ("received", line.received.into()),
            ("author", line.author.into()),
            ("signer", line.signer.into()),
            ("submitter", line.submitter.into()),
            ("kind", line.kind.into()),
            ("bytes", line.bytes.into()),
            ("recipients", AdminValue::List(recipients)),
            ("text", line.text.into()),
        ])
    }
}

pub(super) fn call(held: &dyn Held, asked: Asked<'_>) -> Result<Answer, Refused> {
    match asked.verb {
        "list" => {
            asked.args.end()?;
            let listing = held.list(asked.from, limits::ADMIN_PAGE_MAX_ROWS)?;
            Ok(Answer::listed(listing))
        }
        "show" => {
            let id = needed(asked.args.id("id")?, "id")?;
            asked.args.end()?;
            Ok(Answer::rows(vec![held.show(&id)?.into()]))
        }
        "release" | "reject" => {
            let ids = needed(asked.args.ids("ids")?, "ids")?;
            asked.args.end()?;
            let missing = if asked.verb == "release" {
                held.release(asked.order, &ids)?
            } else {
                held.reject(asked.order, &ids)?
            };
            Ok(Answer::records(ids.len(), &missing))
        }
        _ => Err(asked.unknown("held.list, held.show, held.release, held.reject")),
    }
}

/// Recipients that a row names.
const RECIPIENTS_SHOWN_MAX: usize = 16;
