//! How much one address or key may use, and who may use nothing.

use std::time::Duration;

/// Handshakes that one address may begin in a second (configuration `rates.handshakes`): a minute
/// of them takes about a second of CPU.
pub const RATE_HANDSHAKES_PER_SECOND: u32 = 20;

/// Streams that one address may open in a second (configuration `rates.streams`).
pub const RATE_STREAMS_PER_SECOND: u32 = 50;

/// Records that one address may submit in a second (configuration `rates.submissions`): each costs
/// about 50 microseconds of CPU and a place on the disk for good.
pub const RATE_SUBMISSIONS_PER_SECOND: u32 = 50;

/// Tags of a record that count for as much as one more record: to write a key of the index for each
/// takes about as long. A record of nothing but tags counts for 512.
pub const RATE_TAGS_PER_SUBMISSION: usize = 32;

/// Records that one address may submit at once after it was quiet (configuration
/// `rates.submissions_burst`); a user's 20 000 is what somebody brings who moves in.
pub const RATE_SUBMISSIONS_BURST: u32 = 5_000;

/// Bytes that are taken from one address in a second (configuration `rates.bytes`).
pub const RATE_BYTES_PER_SECOND: u32 = 4 << 20;

/// Rows that are looked at for one address in a second (configuration `rates.query_rows`).
pub const RATE_QUERY_ROWS_PER_SECOND: u32 = 20_000;

/// Seconds' worth of a rate that may be used at once (configuration `rates.burst`).
pub const RATE_BURST_SECONDS: u32 = 10;

/// How many times a stranger's rates a user has (configuration `rates.user_factor`).
pub const RATE_USER_FACTOR: u32 = 4;

/// How many times the rates of others a loopback address has (configuration
/// `rates.loopback_factor`): all visitors of an onion service come from one.
pub const RATE_LOOPBACK_FACTOR: u32 = 10;

/// Connections that one address, or one key, may have open at a time (configuration
/// `rates.connections`): 40 addresses fill [`CONNECTIONS_MAX`](super::CONNECTIONS_MAX).
pub const ADDRESS_CONNECTIONS_MAX: u32 = 256;

/// Handshakes that one address may have in flight; a household has a few.
pub const ADDRESS_HANDSHAKES_MAX: u32 = 32;

/// How many times one user's rates all users together have who come from one address: where
/// registration is open, everybody can be a user, and a user again.
pub const RATE_USERS_OF_ADDRESS_FACTOR: u32 = 8;

/// Addresses whose use is counted one by one, as many keys, and as many addresses that registered users:
/// about 150 bytes each, 30 MB in all.
pub const RATE_ENTRIES_MAX: usize = 65_536;

/// Entries that are looked at to find one that counts for nothing any more and can make room.
pub const RATE_EVICTION_LOOKS_MAX: usize = 32;

/// Most that one address or key can owe, as the time in which it is made good.
pub const RATE_DEBT_MAX: Duration = Duration::from_secs(30);

/// Requests refused for each that is let through, past which a client counts as far too fast: at ten
/// times its rate nine are refused.
pub const RATE_REFUSALS_FACTOR: u32 = 5;

/// Time for which a client can be far too fast before its connection is closed, and again as much
/// for each time that it was not.
pub const RATE_PATIENCE: Duration = Duration::from_secs(10);

/// What an INFO request counts for, in bytes: its answer is a hundred times as long as it is.
pub const RATE_INFO_BYTES: u32 = 4 << 10;

/// What each reply at once counts for, in bytes: most of what a flood of messages of 8 bytes costs is
/// the work on each.
pub const RATE_REPLY_BYTES: usize = 64;

/// Rows that a request to read counts for before it looked at any.
pub const RATE_READ_ROWS: u32 = 10;

/// Bytes of a BLOB that count for as much as a row that is looked at. Reading them takes less; but
/// so they leave at 20 MB a second and address, and nobody reads for others by way of BLOBs.
pub const RATE_BLOB_ROW_BYTES: usize = 1 << 10;

/// Ranges and keys that can be banned: about 200 bytes each, and a reason of up to
/// [`ADMIN_NOTE_MAX_BYTES`](super::ADMIN_NOTE_MAX_BYTES), 30 MB at most.
pub const BANS_MAX: usize = 65_536;

/// Connections from banned addresses that are let in for a moment, to be told that they are, in a
/// second, all together; the others are turned away without a word.
pub const BANNED_TOLD_PER_SECOND: u32 = 10;
