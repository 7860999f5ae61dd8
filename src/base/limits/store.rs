//! Verification, the record store, and reading from it.

use std::time::Duration;

/// Records of one verification batch: the knee of the measured curve (`benches/verify.rs`).
pub const VERIFY_BATCH_MAX_RECORDS: usize = 64;

/// Records waiting for verification, all connections together.
pub const VERIFY_QUEUE_MAX_RECORDS: usize = 4_096;

/// Bytes of records waiting for verification, all connections together.
pub const VERIFY_QUEUE_MAX_BYTES: usize = 64 << 20;

/// Keys that one verification thread remembers decompressed: about 250 bytes each, 4 MB in all.
pub const VERIFY_KEYS_MAX: usize = 16_384;

/// Connections that one verification thread remembers for a wrong signature.
pub const VERIFY_SINGLED_OUT_MAX: usize = 4_096;

/// Records of one commit; the next batch gathers while this one syncs.
pub const COMMIT_MAX_RECORDS: usize = 1_024;

/// Bytes of one commit past which no further record joins it.
pub const COMMIT_MAX_BYTES: usize = 4 << 20;

/// Verified records waiting for the writer.
pub const COMMIT_QUEUE_MAX_RECORDS: usize = 2_048;

/// Bytes of verified records waiting for the writer; one record may exceed them.
pub const COMMIT_QUEUE_MAX_BYTES: usize = 16 << 20;

/// Index keys of one commit past which no further record joins it: a record of nothing but tags
/// has up to 16 383, at about 1.5 microseconds each.
pub const COMMIT_MAX_INDEX_KEYS: usize = 16_384;

/// Memory for blocks of database files that were read.
pub const STORE_CACHE_BYTES: usize = 256 << 20;

/// Memory for what is in the write-ahead log but not in tables yet, all column families together.
pub const STORE_MEMTABLE_BYTES: usize = 256 << 20;

/// Size of one memtable of the record log.
pub const STORE_LOG_BUFFER_BYTES: usize = 64 << 20;

/// Size of one memtable of the index.
pub const STORE_INDEX_BUFFER_BYTES: usize = 32 << 20;

/// Size of one memtable of the state: users' accounts, rewritten by every batch that concerns them.
pub const STORE_STATE_BUFFER_BYTES: usize = 8 << 20;

/// Bytes of write-ahead log past which memtables are flushed; a start after a crash reads them all.
pub const STORE_WAL_BYTES: u64 = 512 << 20;

/// Files the database holds open; the default limit of a process is 1024.
pub const STORE_OPEN_FILES_MAX: i32 = 256;

/// Entries at the end of the log that are looked at when a store is opened: more than two commits.
pub const STORE_OPEN_CHECK_ENTRIES: u64 = 4_096;

/// Users for whom one record counts: its author and the first of those whom it was delivered to.
/// Each takes 35 bytes with the record, and one look-up when it is stored.
pub const CHARGED_MAX: usize = 8;

/// Users whose usage the writer keeps at hand; one takes about 100 bytes.
pub const STORE_ACCOUNTS_CACHED_MAX: usize = 65_536;

/// Most bytes of the name of an act in the audit trail.
pub const ACT_CALL_MAX_BYTES: usize = 64;

/// Most bytes of what the audit trail says about an act: a line or two with the reason given.
pub const ACT_DETAIL_MAX_BYTES: usize = 4 << 10;

/// Changes that one act makes, of state and of records together.
pub const ACT_CHANGES_MAX: usize = 1_024;

/// Most bytes of an act in the log; a list of bans of which each has a reason fits.
pub const ACT_MAX_BYTES: usize = 1 << 20;

/// Bytes of records that one act changes, which the writer holds in memory all at once. One record
/// of the largest size always fits.
pub const ACT_RECORDS_MAX_BYTES: usize = 32 << 20;

/// Keys of the index that one act adds or takes out, about: some half a second of the writer's time.
/// One record always fits.
pub const ACT_MAX_INDEX_KEYS: usize = 16 * COMMIT_MAX_INDEX_KEYS;

/// Most bytes of a key of the state: the name of a setting, or a key of a person with some room.
pub const STATE_KEY_MAX_BYTES: usize = 256;

/// Most bytes of a value of the state: a user or a ban with its notes.
pub const STATE_VALUE_MAX_BYTES: usize = 16 << 10;

/// Index entries that one query reads ahead, all its streams together; one takes 24 bytes.
pub const MERGE_AHEAD_MAX_HITS: usize = 4_096;

/// Entries of the log between *received since* and *until* up to which a query reads the log
/// instead of an index. It remembers 24 bytes for each match.
pub const LOG_WALK_MAX_ENTRIES: u64 = 8_192;

/// Rows of one page of results.
pub const PAGE_MAX_RECORDS: usize = 256;

/// Bytes of one page of results past which no further record joins it.
pub const PAGE_MAX_BYTES: usize = 128 << 10;

/// Time a reader works on one page before it lets others in.
pub const PAGE_TIME_BUDGET: Duration = Duration::from_millis(10);

/// What reading a record from the log and holding a filter against it costs, measured in steps from
/// one key of the index to the next.
pub const RECORD_COST_KEYS: u32 = 8;

/// What one page costs at most: 4 096 records that are read.
pub const PAGE_MAX_COST_KEYS: u64 = 4_096 * RECORD_COST_KEYS as u64;

/// How long a thread that carries out long reads works before it rests for as long: a part of what
/// a short read takes from request to answer.
pub const PACED_BURST: Duration = Duration::from_micros(200);

/// What the first pages of a request cost together before its further ones stand in the queue of
/// those that read much: 256 records, or the newest posts of a hundred authors.
pub const SHORT_READ_COST_KEYS: u64 = 256 * RECORD_COST_KEYS as u64;

/// Records that a query may look at without delivering them, before it is closed with `TOO_OPEN`
/// (configuration `limits.query_scan`): half a second of one processor.
pub const QUERY_SCAN_MAX: u32 = 250_000;

/// How many times as many a query may look at that asks for what was received since some time:
/// whoever was away goes on so, and may have missed much.
pub const QUERY_SCAN_RESUMED_FACTOR: u64 = 4;

/// Records a QUERY without a limit delivers before it is closed with `TOO_OPEN`
/// (configuration `limits.query_results`).
pub const QUERY_RESULTS_MAX: u32 = 1_000_000;

/// Live records queued for one subscription; past it the subscription reads the log instead.
pub const MAILBOX_MAX_RECORDS: usize = 256;

/// Bytes of live records queued for one subscription; past it it reads the log instead.
pub const MAILBOX_MAX_BYTES: usize = 256 << 10;

/// Threads that read the store at a time.
pub const READERS_MAX: usize = 4;

/// Of these, most that one connection has at a time, so that others always get in.
pub const CONNECTION_READERS_MAX: usize = 2;

/// Of these, most that the connections of one address have at a time; in IPv6 of a /64.
pub const ADDRESS_READERS_MAX: usize = READERS_MAX - 1;

/// Threads for the further pages of reads that have had [`SHORT_READ_COST_KEYS`]. Each rests half
/// of the time, so at most one processor works on them.
pub const SCANNERS_MAX: usize = 2;

/// How far these threads stand back for others: each gets about a tenth of what any other thread
/// gets, and all of what nobody wants.
pub const SCANNER_NICENESS: i32 = 10;

/// Pages of long reads that one connection has in their queue at a time.
pub const CONNECTION_SCANS_MAX: usize = 1;

/// The same for the connections of one address.
pub const ADDRESS_SCANS_MAX: usize = 1;

/// How many times these two shares of an address loopback has, as with rates: all visitors of an
/// onion service come from there, and are no single home. Others may then wait for 30 short reads at
/// a time, which take a few hundredths of a second.
pub const LOOPBACK_SHARE_FACTOR: usize = super::RATE_LOOPBACK_FACTOR as usize;

/// Free space under which submissions are turned away (configuration `store.free_space_floor`).
pub const FREE_SPACE_FLOOR_BYTES: u64 = 1 << 30;
