//! The way of a submission: network -> verification -> writer -> reply.

use std::sync::{Arc, OnceLock};

use super::judge::Submission;
use super::users::Registrar;
use crate::net::{Ingest, SubmitJob};
use crate::store::{SubmitError, Writer};
use crate::verify::{Checked, Full, Stage};
use crate::wire::ResultCode;

/// Takes submissions from the network. A reply that is dropped on the way, by a panic for one,
/// answers `TEMPORARY_ERROR` by itself.
pub(super) struct Pipeline {
    pub(super) stage: Arc<Stage<Submission>>,
}

impl Ingest for Pipeline {
    fn submit(&self, job: SubmitJob) {
        let SubmitJob {
            lane,
            record,
            submitter,
            from,
            settings,
            reply,
        } = job;
        let gate = Arc::clone(&settings.gate);
        let submission = Submission {
            submitter,
            from,
            gate,
            reply,
            over_quota: OnceLock::new(),
        };
        match self.stage.submit(lane, record, submission) {
            Ok(()) => {}
            Err(Full::Queue { context, .. } | Full::Stopped { context, .. }) => {
                context.reply.send(ResultCode::TemporaryError);
            }
        }
    }
}

/// What the verification threads do with what they verified.
#[derive(Clone)]
pub(super) struct ToWriter {
    pub(super) writer: Writer<Submission>,
    pub(super) registrar: Arc<Registrar>,
}

impl ToWriter {
    /// Hands valid records to the writer, waiting for room, and answers the others.
    pub(super) fn hand_on(&self, checked: Vec<Checked<Submission>>) {
        for Checked {
            record,
            context,
            outcome,
        } in checked
        {
            if let Err(fault) = outcome {
                tracing::debug!(%fault, "submission is not valid");
                context.reply.send(ResultCode::Invalid);
                continue;
            }
            // Here, so that a new user's entry is in the log before the user's first record.
            if let Some(key) = context.submitter.peer.key() {
                self.registrar.register(key, context.from);
            }
            if let Err(SubmitError::Closed(_, context)) = self.writer.submit(record, context) {
                context.reply.send(ResultCode::TemporaryError);
            }
        }
    }
}
