//! mosaicd: a server for the Mosaic protocol, and the client that goes with it.
//!
//! The binaries are `mosaicd` (server) and `mosaic` (client); this library is all of both. Data goes one way:
//!
//! ```text
//! datagrams → net (quinn, TLS identity) → session (frames → requests, no I/O)
//!    submission → verify (batches) → store writer (one thread: roles, duplicates, one batch, one fsync) → result
//!                                         └→ fanout → subscribers' streams
//!    query      → store planner (narrowest index) → store reader → visibility → stream
//! ```
//!
//! A module imports only what stands below it here; `tests/it/tidy.rs` holds that.
//!
//! | module | owns |
//! |--------|------|
//! | [`cli`] | commands, output and exit codes of the client |
//! | [`server`] | builds every part, joins policy and store, orders the shutdown |
//! | [`admin`] | the calls of operators |
//! | [`client`] | client library: connections, requests, subscriptions that resume |
//! | [`net`] | endpoints, admission, the driver of a stream, running of requests |
//! | [`session`] | state of the protocol; no I/O, no clock |
//! | [`fanout`] | which live subscriptions a record concerns |
//! | [`policy`] | role rules and the one visibility gate |
//! | [`store`] | the record log, its indexes, the one writer |
//! | [`verify`] | hashes and signatures, alone and in batches |
//! | [`identity`] | our key and certificate, checks of theirs, key schedules |
//! | [`config`] | text file to checked configuration |
//! | [`wire`] | bytes to typed messages and records, and back |
//! | [`base`] | roles, positions, every bound |
//!
//! The whole is explained in `docs/ARCHITECTURE.md`.

pub mod admin;
pub mod base;
pub mod cli;
pub mod client;
pub mod config;
pub mod fanout;
pub mod identity;
pub mod net;
pub mod policy;
pub mod reach;
pub mod server;
pub mod session;
pub mod store;
pub mod verify;
pub mod wire;
