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

/// The operating system's answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSystem;

impl FreeSpace for FileSystem {
    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
