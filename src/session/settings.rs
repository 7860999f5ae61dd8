//! What all connections of a listener have in common.

use std::sync::Arc;

use crate::base::Role;
use crate::policy::{
    BlobAccount, BlobRefusal, Facts, Gate, LiveRules, Reader, Submitter, admit_blob, reads_blobs,
    visible,
};
use crate::wire::{PublicKey, ResultCode};

/// What all connections of a listener have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which roles the listener serves at this moment.
    pub gate: Arc<Gate>,
    /// Whom and what the server serves.
    pub rules: Arc<LiveRules>,
    /// Whether a filter without a narrow element is refused with `TOO_OPEN`.
    pub refuse_wide_filters: bool,
}

impl Settings {
    /// Whether `reader` may learn at this moment that the record exists: the one visibility gate
    /// with what this listener serves.
    #[must_use]
    pub fn shows(&self, facts: &Facts<'_>, reader: &Reader) -> bool {
        visible(&self.rules.now(), self.gate.open(), facts, reader)
    }

    /// Whether the user with that master key is served here.
    #[must_use]
    pub fn is_user(&self, master: &PublicKey) -> bool {
        self.rules.now().served.contains(master)
    }

    /// Whether a BLOB of `data_bytes` is taken from the submitter at this moment, and to whom it is
    /// charged.
    ///
    /// # Errors
    /// What the peer is told.
    pub fn admits_blob(
        &self,
        submitter: &Submitter,
        data_bytes: u64,
    ) -> Result<BlobAccount, ResultCode> {
        admit_blob(&self.rules.now(), self.gate.roles(), submitter, data_bytes).map_err(|refusal| {
            tracing::debug!(%refusal, "BLOB refused");
            refusal.of_submission()
        })
    }

    /// Whether the reader may fetch BLOBs at this moment.
    ///
    /// # Errors
    /// What the peer is told, whatever hash it asked for.
    pub fn reads_blobs(&self, reader: &Reader) -> Result<(), ResultCode> {
        reads_blobs(&self.rules.now(), self.gate.roles(), reader).map_err(BlobRefusal::of_read)
    }

    /// Whether HELLO ACK grants the application to those who ask for it: records of it can be left
    /// here at this moment. The user roles take records of every application.
    pub(super) fn serves(&self, app: u32) -> bool {
        self.gate.open().iter().any(|role| match role {
            Role::Outbox | Role::Inbox | Role::Encryption => true,
            Role::Application => self.rules.now().applications.apps.serves(app),
        })
    }
}
