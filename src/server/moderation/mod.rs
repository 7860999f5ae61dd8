//! Moderation of the inbox: who knows whom, and the operator's orders about records that wait.
//!
//! | file | owns |
//! |------|------|
//! | `acquaintances.rs` | whether a user has ever written to somebody, or had a record of theirs released |
//! | `desk.rs` | [`ModerationDesk`]: what waits, letting it in, turning it away, deleting |
//!
//! Which records wait is decided by [`policy::is_held`](crate::policy::is_held), in the order of the log.

mod acquaintances;
mod desk;
#[cfg(test)]
mod tests;

pub(super) use self::acquaintances::Acquaintances;
pub use self::desk::{HeldRecord, Moderated, ModerationDesk};
