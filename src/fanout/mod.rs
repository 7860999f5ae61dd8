//! Which subscriptions a new record concerns, and what each of them still has to be told.
//!
//! The writer publishes every entry once, after it is durable. [`Fanout`] finds the subscriptions
//! whose filter can match through an inverted index, asks each candidate's filter and its
//! visibility, and puts one shared copy of the entry into the mailboxes of those that agree.
//!
//! Two properties hold, and the model test in this folder is about them:
//!
//! * The hand-over from stored to live has no gap and no duplicate: registering and publishing are
//!   ordered by one lock, so that a subscription knows the position after which it hears everything.
//! * A slow subscriber costs bounded memory and loses nothing: when its mailbox is full it is told
//!   the position from which to read the log, and nothing is queued until it has caught up.
//!
//! # Source
//! `mosaic-wire.md` section 7, SUBSCRIBE: stored records, LOCALLY COMPLETE, then each new match as
//! it arrives.

mod hub;
mod index;
mod mailbox;

#[cfg(test)]
mod tests;

pub use hub::{Fanout, Sees, Subscription};
pub use mailbox::Delivery;
