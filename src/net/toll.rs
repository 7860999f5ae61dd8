//! What one connection is charged for, and whether its peer is kept out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::requester::Requester;
use super::services::Admission;
use crate::base::limits::{
    RATE_INFO_BYTES, RATE_READ_ROWS, RATE_REPLY_BYTES, RATE_TAGS_PER_SUBMISSION, RECORD_COST_KEYS,
};
use crate::session::{Asker, Limit, Patience, Seat, Settings, Verdict};
use crate::wire::{RecordRef, ResultCode, Timestamp};

/// What one connection is charged for. Its streams and their requests share it.
///
/// In whose name that is is asked each time: the peer may become a user, or cease to be one.
pub(super) struct Toll {
    admission: Admission,
    requester: Arc<Requester>,
    settings: Arc<Settings>,
    patience: Patience,
}

impl Toll {
    pub(super) fn new(
        admission: Admission,
        requester: Arc<Requester>,
        settings: Arc<Settings>,
    ) -> Self {
        Self {
            admission,
            requester,
            settings,
            patience: Patience::default(),
        }
    }

    /// What the peer is told if it is kept out: its address, its key, or the master for whom it was
    /// last known to speak.
    pub(super) fn banned(&self) -> Option<ResultCode> {
        let bans = &self.admission.bans;
        let now = Timestamp::now();
        let reader = self.requester.reader(None, None);
        let keys = reader.peer.key().copied().into_iter().chain(reader.master);
        let of_ip = bans.of_ip(self.requester.address(), now);
        of_ip.or_else(|| keys.into_iter().find_map(|key| bans.of_key(&key, now)))
    }

    /// A share of the connections that the peer may have open, if there is one left.
    pub(super) fn connection(&self) -> Option<Seat> {
        self.admission.rates.connection(&self.asker(), now())
    }

    /// A stream was opened. Returns how long to wait before the next one is accepted.
    pub(super) fn stream(&self) -> Duration {
        self.spend(Limit::Streams, 1)
    }

    /// Bytes arrived. Returns how long to wait before more are read.
    pub(super) fn bytes(&self, count: usize) -> Duration {
        if count == 0 {
            return Duration::ZERO;
        }
        self.spend(Limit::Bytes, u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Messages were answered. Returns how long to wait before more are read.
    pub(super) fn replies(&self, count: usize) -> Duration {
        self.bytes(count.saturating_mul(RATE_REPLY_BYTES))
    }

    /// The server is asked to describe itself. Returns how long to wait before more is read.
    pub(super) fn info(&self) -> Duration {
        self.spend(Limit::Bytes, RATE_INFO_BYTES)
    }

    /// A record is submitted. It counts for more than one where it has many tags, for each of which a key
    /// is written.
    pub(super) fn submission(&self, record: RecordRef<'_>) -> Verdict {
        let more = record.tags().count() / RATE_TAGS_PER_SUBMISSION;
        let units = u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1);
        self.take(Limit::Submissions, units)
    }

    /// A BLOB is handed in.
    pub(super) fn blob(&self) -> Verdict {
        self.take(Limit::Submissions, 1)
    }

    /// A read is begun.
    pub(super) fn read(&self) -> Verdict {
        self.take(Limit::QueryRows, RATE_READ_ROWS)
    }

    /// A page was read for the peer, at a cost as [`PageBudget`](crate::store::PageBudget) counts.
    pub(super) fn page(&self, cost_keys: u64) {
        let rows = cost_keys / u64::from(RECORD_COST_KEYS);
        let rows = u32::try_from(rows).unwrap_or(u32::MAX).max(1);
        // Whoever wants the next page asks how long to wait.
        self.spend(Limit::QueryRows, rows);
    }

    /// Waits until the peer's reads have been made good.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(super) async fn rest(&self) {
        loop {
            let wait = self.spend(Limit::QueryRows, 0);
            if wait.is_zero() {
                return;
            }
            sleep(wait).await;
        }
    }

    fn take(&self, limit: Limit, units: u32) -> Verdict {
        let rates = &self.admission.rates;
        rates.take(limit, &self.asker(), units, &self.patience, now())
    }

    fn spend(&self, limit: Limit, units: u32) -> Duration {
        let rates = &self.admission.rates;
        rates.spend(limit, &self.asker(), units, now())
    }

    fn asker(&self) -> Asker {
        let reader = self.requester.reader(None, None);
        Asker {
            address: self.requester.address(),
            key: reader.master.or_else(|| reader.peer.key().copied()),
            is_user: reader
                .master
                .is_some_and(|master| self.settings.is_user(&master)),
        }
    }
}

impl fmt::Debug for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not who the peer is nor from where: this may go to the trace.
        f.debug_struct("Toll").finish_non_exhaustive()
    }
}

/// The clock of the runtime, which tests can stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
