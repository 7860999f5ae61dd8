//! The listener: sockets, admission, and the dull loops that drive the sessions.
//!
//! ```text
//! Listener ── accept loop per socket ── connection task ── stream task ── request tasks
//!                 Retry, permits          accept streams     session        pages of the store
//! ```
//!
//! Every task is owned by the one before it in that line, which joins it and traces its panic.
//! What a stream does is decided by [`session`](crate::session); this module reads, writes, waits,
//! and carries out. Two things keep it in bounds: a stream whose outbox is full reads nothing more,
//! neither from its peer nor from the store, and whatever is counted is a permit that is given back
//! when its owner is dropped.
//!
//! A connection and its streams know their transport by small traits only (`link.rs`), so that others
//! can stand beside QUIC: each has a folder with its settings, its accept loop and its traits, and a
//! line in `listener/`. Each socket has its own gate, for each is reached, or not, by itself.
//!
//! # Source
//! `mosaic-wire.md` section 8: QUIC, streams, Retry.

mod blobs;
mod connection;
mod door;
mod effort;
mod error;
mod gets;
mod ingest;
mod link;
mod listener;
mod live;
mod newcomers;
mod operating;
mod outbox;
mod probing;
mod quic;
mod readers;
mod requester;
mod requests;
mod room;
mod services;
mod sight;
mod signals;
mod socket;
mod stored;
mod stream;
mod submissions;
mod tcp;
#[cfg(test)]
mod testing;
mod toll;
mod turn_away;

pub use error::NetError;
pub use ingest::{Ingest, Reply, SubmitJob};
pub use listener::{Listener, Socket};
pub use newcomers::Newcomers;
pub use operating::{Operator, Part};
pub use probing::{Answers, Arrival, Probing};
pub use services::{Admission, InfoSource, Records, Services};
pub use signals::Control;
