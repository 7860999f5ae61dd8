//! How often each limit was met.

use std::sync::atomic::{AtomicU64, Ordering};

use super::rules::Limit;

/// How often each limit was met since the start, for the operator.
#[derive(Debug, Default)]
pub struct Counters {
    limits: [Count; Limit::COUNT],
    /// Connections that were turned away because their address or key had as many as it may have.
    pub connections_refused: AtomicU64,
    /// Connections that were closed because their client was far too fast for a while.
    pub far_too_fast: AtomicU64,
    /// Connections that were turned away, or closed, because their address or key is banned.
    pub banned: AtomicU64,
}

/// How often one limit was met.
#[derive(Debug, Default)]
pub struct Count {
    /// What was within the limit.
    pub passed: AtomicU64,
    /// What was over it and was refused.
    pub refused: AtomicU64,
    /// What was over it and had to wait.
    pub delayed: AtomicU64,
}

impl Counters {
    /// How often that limit was met.
    #[must_use]
    pub const fn of(&self, limit: Limit) -> &Count {
        let [handshakes, streams, submissions, bytes, rows] = &self.limits;
        match limit {
            Limit::Handshakes => handshakes,
            Limit::Streams => streams,
            Limit::Submissions => submissions,
            Limit::Bytes => bytes,
            Limit::QueryRows => rows,
        }
    }
}

/// Counts one more.
pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
