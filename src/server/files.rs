//! Open files of the process: how many it may have, and what is left of them for connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::base::limits;

/// Raises the number of files that the process may have open to what the system allows it, and
/// returns that. Where it cannot be raised it stays as it is.
pub(super) fn raise_limit() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::debug!(%error, "the number of open files stays as it was");
    }
    // No number means no limit.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Connections that may be open where each may take a file, as those over TCP do: the record store
/// must always find one, for a write that fails halts it.
pub(super) fn connections_max(configured: usize, files_max: u64) -> usize {
    let reserved = limits::STORE_OPEN_FILES_MAX.unsigned_abs() + limits::RESERVED_FILES;
    let left = files_max.saturating_sub(reserved.into());
    let left = usize::try_from(left).unwrap_or(usize::MAX).max(1);
    if left < configured {
        tracing::warn!(
            configured,
            left,
            files_max,
            "too few open files are allowed for the configured connections"
        );
    }
    configured.min(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_store_its_files() {
        assert_eq!(connections_max(12_000, u64::MAX), 12_000);
        let left = connections_max(12_000, 1_024);
        assert!(left > 0 && left < 1_024 - 256, "{left}");
        assert_eq!(connections_max(5, 10), 1);
    }

    #[test]
    fn the_limit_is_raised_to_what_the_system_allows() {
        let raised = raise_limit();
        let maximum = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(raised, maximum);
    }
}
