//! Hashes and signatures of records, one by one and in batches.
//!
//! The rules are stricter than RFC 8032 in what encodings may be, and use its equation with the
//! cofactor, so that every server gives the same answer to the same bytes whether it checks them
//! alone or in a batch. Everything here is computation; [`Stage`] alone has threads.

mod core_kinds;
mod equation;
mod error;
mod lanes;
mod recent;
mod stage;
mod verifier;

#[cfg(test)]
mod equation_tests;
#[cfg(test)]
mod stage_tests;
#[cfg(test)]
mod testing;

pub use core_kinds::core_kinds;
pub use error::VerifyError;
pub use stage::{Checked, Full, Stage, StagePanicked};
pub use verifier::{Verifier, signature};

pub(crate) use recent::Recent;

use crate::wire::RecordRef;

/// Whether `record` is valid: its hash, its keys, its signature, and the rules of core kinds.
///
/// # Errors
/// The first [`VerifyError`] that was found.
///
/// # Source
/// `mosaic-wire.md` sections 1, 4 and 9. What [`RecordRef::parse`] checks is not checked again.
pub fn record(record: RecordRef<'_>) -> Result<(), VerifyError> {
    Verifier::new(0).record(record)
}

/// Whether each of `records` is valid; the same answers as [`record`] gives, for half the work.
///
/// [`Verifier`] also remembers keys from one batch to the next.
pub fn batch(records: &[RecordRef<'_>]) -> Vec<Result<(), VerifyError>> {
    Verifier::new(0).batch(records)
}
