//! How much room the file system has left.

use std::{io, path::Path};

/// Tells the free space of a file system; a test may lie.
pub trait FreeSpace: Send + Sync {
    /// Bytes an unprivileged process may still write to the file system that holds `path`.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn available_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// How much room there is above nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Space {
    /// Less than half of the floor: nothing is written but what takes away.
    Out,
    /// Less than the floor: the rest is for operators, who have to be able to defend the server.
    Reserve,
    /// At least the floor.
    Free,
}

impl Space {
    /// What `available_bytes` are against a floor of `floor_bytes`.
    pub(super) const fn of(available_bytes: u64, floor_bytes: u64) -> Self {
        if available_bytes >= floor_bytes {
            Self::Free
        } else if available_bytes >= floor_bytes.div_ceil(2) {
            Self::Reserve
        } else {
            Self::Out
        }
    }
}

/// The operating system's answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSystem;

impl FreeSpace for FileSystem {
    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
