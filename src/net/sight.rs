//! What one request may see.

use std::sync::Arc;
use std::time::Instant;

use super::readers::ReaderPanicked;
use super::requester::Requester;
use super::toll::Toll;
use crate::base::Role;
use crate::identity::Standing;
use crate::session::{Facts, Settings};
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
    /// Whether the request may learn that the entry exists. May read the store for what the key
    /// schedules say of its signer, so it belongs on the pool.
    pub(super) fn sees(&self, entry: &Entry) -> bool {
        // What is not for this reader anyway is not worth looking its signer up.
        self.shows(entry, Standing::Unknown) && self.shows(entry, self.requester.standing(entry))
    }

    /// As [`sees`](Self::sees), but it never blocks; `None` where the store would have to be read.
    fn sees_at_hand(&self, entry: &Entry) -> Option<bool> {
        if !self.shows(entry, Standing::Unknown) {
            return Some(false);
        }
        let standing = self.requester.standing_at_hand(entry)?;
        Some(self.shows(entry, standing))
    }

    /// Whether a new entry may be put into the request's mailbox. Where it is not known for whom
    /// the peer or the record's signer speaks now, it is: [`seen_of`](Self::seen_of) is asked before
    /// it is let out.
    pub(super) fn might_see(&self, entry: &Entry) -> bool {
        !self.requester.is_fresh() || self.sees_at_hand(entry).unwrap_or(true)
    }

    /// Those of `entries` that the request may learn of at this moment.
    ///
    /// # Errors
    /// [`ReaderPanicked`].
    pub(super) async fn seen_of(
        self: &Arc<Self>,
        mut entries: Vec<Arc<Entry>>,
    ) -> Result<Vec<Arc<Entry>>, ReaderPanicked> {
        self.refresh().await;
        let at_hand = entries.iter().map(|entry| self.sees_at_hand(entry));
        if let Some(seen) = at_hand.collect::<Option<Vec<bool>>>() {
            let mut seen = seen.into_iter();
            entries.retain(|_| seen.next() == Some(true));
            return Ok(entries);
        }
        let sight = Arc::clone(self);
        let work = move || {
            entries.retain(|entry| sight.sees(entry));
            entries
        };
        self.read(work).await
    }

    fn shows(&self, entry: &Entry, standing: Standing) -> bool {
        let facts = Facts {
            record: entry.record.view(),
            roles: entry.roles,
            held: entry.held,
            standing,
        };
        let reader = self.requester.reader(self.bound, self.app);
        self.settings.shows(&facts, &reader)
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
