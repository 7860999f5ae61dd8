//! Every bound of the crate: its unit is the last word of its name, its reason stands beside it.
//!
//! A bound that an operator may set is the default of its configuration key.

mod blobs;
mod client;
mod net;
mod people;
mod process;
mod rates;
mod reach;
mod store;
mod wire;

pub use blobs::*;
pub use client::*;
pub use net::*;
pub use people::*;
pub use process::*;
pub use rates::*;
pub use reach::*;
pub use store::*;
pub use wire::*;

const _: () = assert!(RECORD_MAX_BYTES.is_multiple_of(8));
// What one commit teaches must not push itself out before the store returns it. An entry of a key
// schedule takes 152 bytes, its tag 40; its key and its master are kept.
const _: () = assert!(DIRECTORY_SCHEDULES_MAX / 2 > (COMMIT_MAX_BYTES + RECORD_MAX_BYTES) / 152);
const _: () = assert!(DIRECTORY_KEYS_MAX / 2 > 2 * (COMMIT_MAX_BYTES + RECORD_MAX_BYTES) / 192);
const _: () = assert!(CONNECTION_PAGES_MAX_BYTES >= LARGE_PAGE_ROOM_BYTES);
const _: () = assert!(OUTPUT_MAX_BYTES >= CONNECTION_PAGES_MAX_BYTES);
const _: () = assert!(PAGE_ROOM_BYTES >= BLOB_PAGE_BYTES);
const _: () = assert!(CONNECTION_READS_MAX_BYTES >= FILTER_MAX_BYTES);
const _: () = assert!(STREAM_SUBMISSIONS_MAX_BYTES > RECORD_MESSAGE_MAX_BYTES);
const _: () = assert!(BLOB_QUEUE_MAX_BYTES >= BLOB_CHUNK_BYTES);
const _: () = assert!(BLOB_QUEUE_MAX_BYTES < COMMIT_MAX_BYTES);
const _: () = assert!(CLIENT_QUEUE_MAX_BYTES >= RECORD_MESSAGE_MAX_BYTES);
const _: () = assert!(RECORD_MESSAGE_MAX_BYTES < 1 << 24, "lengths are u24");
// What is sent to an address that proved nothing is never more than what was received for it.
const _: () = assert!(PROBE_COLD_COST_BYTES >= PROBE_DIAL_MAX_BYTES);
const _: () = assert!(VOUCHER_COST_BYTES >= PROBE_COLD_COST_BYTES);
const _: () = assert!(VOUCHER_COST_BYTES + (1 << 10) <= EXTENSION_BODY_MAX_BYTES);
const _: () = assert!(PROBE_PORT_ADDRESSES_MAX > 60 * PROBES_PER_MINUTE_MAX);
// The minutes for which nonces are remembered at the least, and those that a voucher is good for.
const _: () = assert!(VOUCHER_NONCES_MAX / VOUCHERS_PER_MINUTE_MAX > 300);
const _: () = assert!(VOUCHERS_OF_STRANGERS_PER_MINUTE_MAX < VOUCHERS_PER_MINUTE_MAX);
