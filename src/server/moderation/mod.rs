//! Moderation of the inbox: whether a user has ever written to somebody, or had a record of theirs
//! released.
//!
//! Which records wait is decided by [`policy::is_held`](crate::policy::is_held), in the order of the log;
//! the operator's orders about them are in `operator/held.rs`.

mod acquaintances;
#[cfg(test)]
mod tests;

pub(super) use self::acquaintances::{Acquaintances, changes_of};
