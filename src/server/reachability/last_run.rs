//! When a server of this data folder last ran, so that its successor knows whom it cannot call a
//! stranger.
//!
//! A firewall that lets in whoever was sent a packet remembers what an earlier process sent. The
//! file's date is all there is of it: to whom the packets went is not written down.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use crate::reach::timing::Timing;

/// The file in a data folder whose date is kept up while a server runs.
#[derive(Clone, Debug)]
pub(in crate::server) struct LastRun {
    file: PathBuf,
    interval: Duration,
}

impl LastRun {
    /// That of the data folder `data_dir`.
    pub(in crate::server) fn of(data_dir: &Path, timing: Timing) -> Self {
        Self {
            file: data_dir.join("running"),
            interval: timing.contact_ttl() / INTERVALS,
        }
    }

    /// How long ago the last server may still have run; `None` where none ever did. One whose date
    /// lies ahead may have run just now. Blocks on the disk.
    pub(in crate::server) fn ago(&self) -> Option<Duration> {
        let written = std::fs::metadata(&self.file)
            .and_then(|it| it.modified())
            .ok()?;
        let ago = SystemTime::now()
            .duration_since(written)
            .unwrap_or_default();
        Some(ago.saturating_sub(self.interval))
    }

    /// Keeps the date up until it is dropped.
    pub(in crate::server) async fn keep(self) {
        loop {
            // Without it the next server waits for nothing that it should wait for; so it is said.
            if let Err(error) = tokio::fs::write(&self.file, b"").await {
                tracing::warn!(%error, file = %self.file.display(), "cannot note that a server runs");
            }
            sleep(self.interval).await;
        }
    }
}

/// How often the date is written in the time that a contact counts.
const INTERVALS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_ran_just_now_is_noticed_and_one_that_never_ran_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let last = LastRun::of(folder.path(), Timing::REAL);
        assert_eq!(last.ago(), None);
        let keeping = tokio::spawn(last.clone().keep());
        while last.ago().is_none() {
            tokio::task::yield_now().await;
        }
        keeping.abort();
        assert!(last.ago().unwrap() < Duration::from_secs(30));
    }
}
