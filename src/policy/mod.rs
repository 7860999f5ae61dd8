//! Who may leave a record here and who may read it: pure functions, no I/O, no clock, no task.
//!
//! Each role is one file that holds its row of the table: [`outbox`](Role::Outbox),
//! [`inbox`](Role::Inbox), [`encryption`](Role::Encryption) and [`other`](Role::Application).
//! Each question is asked in one place only:
//!
//! * [`claims()`]: which configured roles a record belongs to;
//! * [`admit()`]: under which open roles a submission is stored, or why it is refused;
//! * [`is_held()`]: whether a record that is taken waits for the operator's word;
//! * [`visible()`]: whether a reader may learn that a record exists. Every path that lets a record,
//!   its ID, its count or its existence out asks this function and has no rule of its own;
//! * [`admit_blob()`] and [`reads_blobs()`]: who may leave a BLOB here and who may fetch one;
//! * [`Gate::open`]: which roles a listener serves at this moment.
//!
//! Beside them stands how much a peer may use, whatever its roles: [`Rates`], and [`Bans`] of those who
//! may use nothing. They count and remember, but look at no clock.
//!
//! # Source
//! `network-architecture.md`, "Server Roles"; `mosaic-wire.md` section 3, "read access"; the answers
//! to what those leave open are in docs/SPEC_NOTES.md.

mod admit;
mod bans;
mod bind;
mod blobs;
mod claims;
mod encryption;
mod gate;
mod inbox;
mod live;
mod moderation;
mod other;
mod outbox;
mod rates;
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
pub use bans::{Ban, BanTarget, BanTargetError, Bans};
pub use bind::bind;
pub use blobs::{BlobAccess, BlobAccount, BlobRefusal, BlobRules, admit_blob, reads_blobs};
pub use claims::claims;
pub use gate::{Closing, Gate, RoleState, Roles};
pub use live::LiveRules;
pub use moderation::{Moderation, answers_for, is_held};
pub use rates::{
    Allowance, Asker, Count, Counters, Limit, Patience, RateRules, Rates, Seat, Verdict,
};
pub use refusal::{Refusal, already_here};
pub use rules::{AppRules, AppSubmit, Apps, Rules, Served};
pub use visible::{Facts, Reader, visible};
