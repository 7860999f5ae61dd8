//! What a check is, and how it can end.

use std::pin::Pin;
use std::sync::Arc;

use super::world::World;

/// One MUST that a client can observe.
pub(super) struct Check {
    /// Its name, which stays the same from version to version.
    pub(super) id: &'static str,
    /// The page and section that demand it: `wire` is the wire page, `roles` the
    /// network-architecture page, `ext` the extension page.
    pub(super) source: &'static str,
    /// What must hold.
    pub(super) text: &'static str,
    /// Tries it.
    pub(super) run: Run,
}

pub(super) type Run = fn(Arc<World>) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub(super) type Outcome = Result<(), Stop>;

/// Why a check ended before it had passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The server does not do what it must.
    Failed {
        /// What must have come.
        expected: String,
        /// What came.
        got: String,
    },
    /// It cannot be tested here, and why.
    Skipped(String),
    /// The server slows its visitors down, as it may: worth another try.
    TooFast,
}

/// The failure that `got` came and not `expected`.
pub(super) fn failed(expected: impl Into<String>, got: impl Into<String>) -> Stop {
    Stop::Failed {
        expected: expected.into(),
        got: got.into(),
    }
}

/// The end of a check that cannot be made here.
pub(super) fn skipped(why: impl Into<String>) -> Stop {
    Stop::Skipped(why.into())
}

/// Fails unless `holds`; `got` says what was there instead.
pub(super) fn ensure(
    holds: bool,
    expected: &str,
    got: impl FnOnce() -> String,
) -> Result<(), Stop> {
    if holds {
        Ok(())
    } else {
        Err(failed(expected, got()))
    }
}

/// The checks of one group: name, source, how it is tried, and the sentence.
macro_rules! checks {
    ($($id:literal, $source:literal, |$world:ident| $call:expr, $text:literal;)*) => {
        /// The checks of this group, in the order in which they are reported.
        pub(in super::super) const CHECKS: &[$crate::cli::conformance::check::Check] = &[$(
            $crate::cli::conformance::check::Check {
                id: $id,
                source: $source,
                text: $text,
                run: |world| Box::pin(async move {
                    let $world = &*world;
                    $call.await
                }),
            },
        )*];
    };
}
pub(super) use checks;
