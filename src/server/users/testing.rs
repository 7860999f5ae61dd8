//! A judge for tests of what is no submission.

use std::sync::Arc;

use crate::server::judge::Submission;
use crate::store::{Entry, Judge, Judgement, Outcome};
use crate::wire::{Record, RecordRef, ResultCode, Timestamp};

/// Decides nothing: nobody submits anything here.
pub(in crate::server) struct Nothing;

impl Judge for Nothing {
    type Context = Submission;

    fn judge(&mut self, _: RecordRef<'_>, _: &Submission, _: Timestamp) -> Judgement {
        Judgement::Refuse(ResultCode::Unauthorized)
    }

    fn stored(&mut self, _: &Record) {}

    fn publish(&mut self, _: &[Arc<Entry>]) {}

    fn announce(&mut self, _: &Arc<Entry>) -> usize {
        0
    }

    fn reply(&mut self, _: Submission, _: Outcome) {}
}
