//! The server: every part of it built, joined and stopped in order, and the commands of `mosaicd`.
//!
//! | file | owns |
//! |------|------|
//! | `start/` | [`Server`]: building the parts in the order in which they depend on each other |
//! | `shutdown.rs` | the order in which they stop, and how long each may take |
//! | `ingest.rs` | the way of a submission: network -> verification -> writer |
//! | `judge.rs` | where policy meets the store: roles and replies, in the order of the log |
//! | `admission.rs` | who is kept out, and who may use how much |
//! | `users/` | who is served, how much is kept for them, and who becomes a user |
//! | `moderation/` | which records of the inbox wait, and the operator's word about them |
//! | `schedule_source.rs` | key schedules out of the store, for `identity` |
//! | `info.rs` | what the server says of itself |
//! | `reachability/` | dial-backs in, verdicts out to the gates, the control socket |
//! | `storeless.rs` | a server without a store: a witness, or a test of the addresses alone |
//! | `operator/` | the operators, and how their calls reach the parts of the server |
//! | `live.rs` | the configuration that is in force, and reloading it |
//! | `key.rs`, `data.rs`, `files.rs` | the secret key, what is where in the data folder, open files |
//! | `commands/` | `init`, `serve`, `check`, `status`, `witness`, `store verify`, `store stats` |
//!
//! Tokio tasks are owned by the network and by one supervisor; verification, the writer and the
//! newcomers have threads of their own. Policy is asked in `judge.rs` alone on the way in, and by
//! `net` through [`policy::visible`](crate::policy::visible) on the way out.

mod admission;
pub mod commands;
mod data;
mod error;
mod files;
mod info;
mod ingest;
mod judge;
mod key;
mod ledger;
mod live;
mod moderation;
mod operator;
mod reachability;
mod schedule_source;
mod shutdown;
mod start;
mod storeless;
mod trace;
mod users;

pub use error::{EndError, ReloadError, ServerError, Step};
pub use key::load_key;
pub use live::Reloaded;
pub use start::Server;
pub use trace::{TraceError, install};
