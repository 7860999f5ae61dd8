//! The protocol state of a connection and of its streams, without I/O and without a clock.
//!
//! A [`Stream`] is told what happened ([`Event`]) and says what is to be done ([`Action`]). Its
//! driver is a dull loop: it reads bytes while [`Stream::wants_bytes`] says so, hands every event
//! to [`Stream::handle`], carries out every action of [`Stream::poll_action`] until there is none
//! left, and sleeps until [`Stream::next_deadline`]. All streams of one connection share one
//! [`Connection`], which remembers what HELLO settled.
//!
//! ```text
//! bytes → FrameReader → ClientMessage ─→ Action::Read, Submit, Info, Ask ─┐
//!                          └ reply                                       │ (policy, store, reach)
//! bytes ← Action::Send, SendRecord ←─── Event::Records, Submitted, …  ←─┘
//! ```
//!
//! BLOBs pass through piece by piece: [`BlobOrder`] and [`BlobNews`].
//!
//! Everything a peer can make grow here has its bound: queries and subscriptions, submissions,
//! INFO requests, probes and an operator's order in flight, and bytes of unfinished messages. Where a bound is reached, messages
//! already read wait unparsed and the stream wants no more bytes.
//!
//! # Source
//! `mosaic-wire.md` sections 7, 8 and 10; `extensions.md`.

mod asks;
mod blobs;
mod connection;
mod countdown;
mod event;
mod excess;
mod fault;
mod open;
mod output;
mod reads;
mod settings;
mod stream;
mod submissions;

#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use event::{
    Action, Answer, Ask, BlobNews, BlobOrder, Event, Intake, Order, ReadRequest, Report, Ticket,
};
pub use excess::Excess;
pub use settings::Settings;
pub use stream::Stream;

/// In whose name a request is made; a driver fills them in and hands them on unread.
pub use crate::policy::{BlobAccount, Facts, Reader, Submitter};

/// Who is kept out, and who may use how much; a driver asks them before it bothers a session.
pub use crate::policy::{Asker, Bans, Limit, Patience, Rates, Seat, Verdict};
