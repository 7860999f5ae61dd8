//! Whether this server can be reached from the Internet: found out, proved again and again, and
//! told with its reasons. And the other side of it: the service that dials other servers back.
//!
//! | file | owns |
//! |------|------|
//! | `plan/` | the verdict: a pure state machine over evidence and time, and what to ask next |
//! | `verdict.rs`, `report.rs` | what people are told: verdicts, remedies, evidence |
//! | `evidence.rs`, `endpoint.rs` | the nouns: what is tested, and what is learnt about it |
//! | `timing.rs` | every interval, with the one factor that tests scale them by |
//! | `address/` | address classes of the IANA registries, netgroups |
//! | `interfaces/` | local addresses and their changes, from the kernel |
//! | `onion/` | signs that a listener is an onion service |
//! | `contacts.rs` | to whom this process sent packets lately: who is cold |
//! | `ask/` | asking a prober to dial back |
//! | `canary.rs` | a fresh port that never sent a packet |
//! | `nonces.rs` | the nonces that are out, and the dial-backs that bring them home |
//! | `url_check.rs` | whether it is this server that answers at a configured URL |
//! | `service/` | dialing others back: limits, costs, vouchers |
//! | `runner.rs` | the task that feeds the plan and carries out what it asks for |
//!
//! # Source
//! `reachability.md` section (d); `extensions.md`, the probe messages; docs/REACHABILITY.md for
//! operators.

pub mod address;
pub mod ask;
pub mod canary;
pub mod contacts;
pub mod endpoint;
pub mod evidence;
pub mod interfaces;
pub mod nonces;
pub mod onion;
pub mod plan;
pub mod report;
pub mod runner;
pub mod service;
pub mod timing;
mod url_check;
pub mod verdict;
