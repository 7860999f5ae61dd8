//! The client library: what the CLI, the tests and the self-check speak to a server with.
//!
//! | file | owns |
//! |------|------|
//! | `target.rs` | which server: host, port, and the key it must show |
//! | `raw/` | a connection and a stream as they are, over QUIC or TCP: bytes out, messages in |
//! | `connection.rs` | [`Client`]: connecting, HELLO, which stream a request goes on |
//! | `stream.rs` | [`Stream`]: requests on one stream, several at a time |
//! | `demux.rs` | the task of one stream: replies to the requests that wait for them |
//! | `replies.rs` | records as they arrive, checked: [`Results`] and [`Subscription`] |
//! | `operator.rs` | [`OperatorStream`]: orders to a server of one's own |
//! | `submissions.rs` | many records in flight at a time: [`Submissions`] |
//! | `blobs.rs` | BLOBs, piece by piece |
//! | `catcher/` | [`Catcher`]: waits for dial-backs on a port of its own |
//! | `follow/` | [`Follow`]: a subscription that outlives its connections |
//! | `error.rs` | what can go wrong, sorted by who is at fault |
//!
//! Nothing here grows with what a server sends: replies wait in queues bounded in messages and
//! bytes, and past them the stream is not read, which QUIC's flow control passes on to the server.
//! Every record is checked before the caller sees it: hash, signature, and that it was asked for.

mod blobs;
mod catcher;
mod connection;
mod demux;
mod error;
mod follow;
mod operator;
mod raw;
mod replies;
mod stream;
mod submissions;
mod target;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use blobs::{BlobError, BlobProgress};
pub use catcher::{Catcher, CatcherError, Caught};
pub use connection::{Client, Options};
pub use error::{ConnectError, RecordFault, RequestError, ServerFault, StreamEnd};
pub use follow::{Follow, FollowError, FollowEvent, FollowRequest};
pub use operator::{AdminAnswer, OperatorStream};
pub use raw::{RawConnection, RawStream};
pub use replies::{Item, Results, Subscription};
pub use stream::Stream;
pub use submissions::{Submissions, Submitted};
pub use target::{Target, TargetError};

pub use crate::identity::{EarlyDataOffer, ServerTrust, Trial, key_file, signature};
