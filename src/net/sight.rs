//! What one request may see.

use std::sync::Arc;
use std::time::Instant;

use super::readers::ReaderPanicked;
use super::requester::Requester;
use super::toll::Toll;
use crate::base::Role;
use crate::session::Settings;
use crate::store::Entry;

/// What one request may see: the one visibility gate, asked of every record at the moment it is
/// let out, so that a role that shuts, or a key that is revoked, stops showing at once.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) settings: Arc<Settings>,
    pub(super) requester: Arc<Requester>,
    /// What the connection is charged for.
    pub(super) toll: Arc<Toll>,
    /// The role the stream is bound to.
    pub(super) bound: Option<Role>,
    /// The one application the stream is bound to.
    pub(super) app: Option<u32>,
}

impl Sight {
    /// Whether the request may learn that the entry exists.
    pub(super) fn sees(&self, entry: &Entry) -> bool {
        let reader = self.requester.reader(self.bound, self.app);
        self.settings
            .shows(entry.record.view(), entry.roles, &reader)
    }

    /// Whether a new entry may be put into the request's mailbox. Where it is not known for whom
    /// the peer speaks now, it is: [`sees`](Self::sees) is asked before it is let out.
    pub(super) fn might_see(&self, entry: &Entry) -> bool {
        !self.requester.is_fresh() || self.sees(entry)
    }

    /// Runs `work` on the connection's share of the pool that reads the store, at its peer's expense.
    ///
    /// # Errors
    /// [`ReaderPanicked`].
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReaderPanicked> {
        let toll = Arc::clone(&self.toll);
        let work = move || {
            let began = Instant::now();
            let done = work();
            toll.page(began.elapsed());
            done
        };
        self.requester.readers().run(work).await
    }

    /// Looks again for whom the peer speaks, if that may have changed.
    pub(super) async fn refresh(&self) {
        self.requester.refresh().await;
    }
}
