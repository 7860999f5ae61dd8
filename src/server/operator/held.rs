//! Records that wait for moderation, as operators see them.

use std::sync::Arc;

use super::people::refused;
use super::records::place;
use crate::admin::{Held, HeldLine, Listing, Order, Refused};
use crate::server::moderation::{HeldRecord, ModerationDesk};
use crate::wire::RecordId;

/// Hands orders about held records on to who carries them out, and writes them into the trail.
pub(super) struct HeldDesk {
    pub(super) moderation: Arc<ModerationDesk>,
}

impl Held for HeldDesk {
    fn list(&self, from: Option<&[u8]>, max: usize) -> Result<Listing<HeldLine>, Refused> {
        let held = self.moderation.held(place(from), max).map_err(refused)?;
        let next = held.last().map(|it| it.place().to_be_bytes().to_vec());
        let lines = held.into_iter().map(|record| HeldLine {
            text: record.text.as_deref().map(preview),
            ..line(&record)
        });
        Ok(Listing {
            lines: lines.collect(),
            next,
        })
    }

    fn show(&self, id: &RecordId) -> Result<HeldLine, Refused> {
        let record = self.moderation.one(id).map_err(refused)?;
        Ok(line(&record))
    }

    fn release(&self, order: &Order, ids: &[RecordId]) -> Result<Vec<RecordId>, Refused> {
        let released = self.moderation.release(order.by, ids).map_err(refused)?;
        Ok(released.missing)
    }

    fn reject(&self, order: &Order, ids: &[RecordId]) -> Result<Vec<RecordId>, Refused> {
        let rejected = self.moderation.reject(order.by, ids).map_err(refused)?;
        Ok(rejected.missing)
    }
}

fn line(record: &HeldRecord) -> HeldLine {
    HeldLine {
        id: record.id,
        received: record.received,
        author: record.author,
        signer: record.signer,
        submitter: record.submitter,
        kind: u64::from_be_bytes(record.kind.to_bytes()),
        bytes: u64::try_from(record.bytes).unwrap_or(u64::MAX),
        recipients: record.recipients.clone(),
        text: record.text.clone(),
    }
}

/// What a listing shows of a text.
fn preview(text: &str) -> String {
    text.chars().take(PREVIEW_MAX_CHARS).collect()
}

const PREVIEW_MAX_CHARS: usize = 200;
