//! Who may leave a record here and who may read it: pure functions, no I/O, no clock, no task.
//!
//! Each role is one file that holds its row of the table: [`outbox`](Role::Outbox),
//! [`inbox`](Role::Inbox), [`encryption`](Role::Encryption) and [`other`](Role::Application).
//! Each question is asked in one place only:
//!
//! * [`claims()`]: which configured roles a record belongs to;
//! * [`admit()`]: under which open roles a submission is stored, or why it is refused;
//! * [`visible()`]: whether a reader may learn that a record exists. Every path that lets a record,
//!   its ID, its count or its existence out asks this function and has no rule of its own;
//! * [`admit_blob()`] and [`reads_blobs()`]: who may leave a BLOB here and who may fetch one;
//! * [`Gate::open`]: which roles a listener serves at this moment.
//!
//! # Source
//! `network-architecture.md`, "Server Roles"; `mosaic-wire.md` section 3, "read access"; the answers
//! to what those leave open are in docs/SPEC_NOTES.md.

mod admit;
mod bind;
mod blobs;
mod claims;
mod encryption;
mod gate;
mod inbox;
mod other;
mod outbox;
mod refusal;
mod rules;
mod visible;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

#[cfg(doc)]
use crate::base::Role;

pub use admit::{Submitter, admit};
pub use bind::bind;
pub use blobs::{BlobAccess, BlobAccount, BlobRefusal, BlobRules, admit_blob, reads_blobs};
pub use claims::claims;
pub use gate::{Gate, RoleState, Roles};
pub use refusal::{Refusal, already_here};
pub use rules::{AppRules, AppSubmit, Apps, Rules, Served};
pub use visible::{Facts, Reader, visible};
