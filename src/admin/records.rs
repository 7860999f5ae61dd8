//! `record.*`: stored records. There is no call that shows one: whoever may read it can query it.

use super::args::needed;
use super::{Answer, Asked, Order, Refused};
use crate::wire::RecordId;

/// Deletes records. Changes are durable when a method returns, and in the audit trail.
pub trait Records: Send + Sync {
    /// Takes records away, for good: their IDs do not come in again. Returns those that were not
    /// there.
    ///
    /// # Errors
    /// [`Refused`].
    fn delete(&self, order: &Order, ids: &[RecordId]) -> Result<Vec<RecordId>, Refused>;
}

pub(super) fn call(records: &dyn Records, asked: Asked<'_>) -> Result<Answer, Refused> {
    match asked.verb {
        "delete" => {
            let ids = needed(asked.args.ids("ids")?, "ids")?;
            asked.args.end()?;
            let missing = records.delete(asked.order, &ids)?;
            Ok(Answer::records(ids.len(), &missing))
        }
        _ => Err(asked.unknown("record.delete")),
    }
}
