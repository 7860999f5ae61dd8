//! Every bound of the crate: its unit is the last word of its name, its reason stands beside it.
//!
//! A bound that an operator may set is the default of its configuration key.

use std::time::Duration;

/// Smallest record: a header of 152 bytes with nothing behind it (`mosaic-wire.md` section 4).
pub const RECORD_MIN_BYTES: usize = 152;

/// Largest record (`mosaic-wire.md` section 4).
pub const RECORD_MAX_BYTES: usize = 1 << 20;

/// Largest filter: its length is a u16, and a multiple of 8 (`mosaic-wire.md` section 6).
pub const FILTER_MAX_BYTES: usize = 65_536;

/// Most bytes of a message that carries a record: the record and its longest message header.
pub const RECORD_MESSAGE_MAX_BYTES: usize = RECORD_MAX_BYTES + 8;

/// Most references in one GET: a page of a long listing; more is a second request.
pub const GET_REFERENCES_MAX: usize = 1_024;

/// Most records a GET returns for one address; a longer history is paged by QUERY.
pub const GET_GROUP_MAX_RECORDS: usize = 1_000;

/// Most application IDs in one HELLO; a client wants a handful.
pub const HELLO_APPS_MAX: usize = 256;

/// Most bytes in the body of an extension message other than synchronisation (`extensions.md`).
pub const EXTENSION_BODY_MAX_BYTES: usize = 64 << 10;

/// Longest table of leap seconds that is read from the system; the real one has 5 KiB.
pub const LEAP_FILE_MAX_BYTES: u64 = 64 << 10;

/// Most included-tag elements of one filter. Each is one more condition, so a handful says a lot;
/// the bound keeps the cost of a match to one look-up per tag of the record.
pub const FILTER_TAG_CONDITIONS_MAX: usize = 64;

/// Nesting of maps and arrays in the body of an extension message; the deepest defined one has 3.
pub const EXTENSION_DEPTH_MAX: usize = 16;

/// Most characters of a `why` that quotes what the peer sent.
pub const WHY_MAX_CHARS: usize = 200;

/// Most bytes of a message that has a type but no defined content (HELLO AUTH, DHT LOOKUP).
pub const UNDEFINED_MESSAGE_MAX_BYTES: usize = 4 << 10;

/// Most keys a key schedule lists. Its tags, 65 535 bytes of 40 each, can name 1 638; a nostr key
/// may be listed twice, for signing and for encryption. One signature check each.
pub const KEY_SCHEDULE_ENTRIES_MAX: usize = 2_048;

/// Most bytes of a profile's payload: a name, a few lines and addresses, never a picture.
pub const PROFILE_MAX_BYTES: usize = 64 << 10;

/// Nesting of maps, arrays and tags in a profile; the defined fields have none.
pub const PROFILE_DEPTH_MAX: usize = 16;

/// Most bytes of a bootstrap text, set by the DHT that carries it (`mosaic-wire.md` section 9).
pub const BOOTSTRAP_MAX_BYTES: usize = 983;

/// Highest cost of an encrypted secret key: 2^22 rounds take 4 GiB, more is an attack.
pub const ENCRYPTED_KEY_MAX_LOG_N: u8 = 22;

/// Most queries and subscriptions open on one stream at a time; each holds a page of results.
pub const STREAM_QUERIES_MAX: usize = 64;

/// Most bytes that the open requests of one connection hold, all its streams together: sixteen
/// filters of the largest size. It also bounds what one connection can make the fan-out compare
/// with each new record.
pub const CONNECTION_READS_MAX_BYTES: usize = 1 << 20;

/// Most submissions of one stream on their way to the log; past it the stream is not read.
pub const STREAM_SUBMISSIONS_MAX: usize = 256;

/// Most bytes of submissions of one stream on their way to the log; past it the stream is not read.
/// One record of the largest size must fit beside a queue of ordinary ones.
pub const STREAM_SUBMISSIONS_MAX_BYTES: usize = 2 << 20;

/// INFO requests of one stream without an answer; past it the stream is not read. Each answer is
/// a hundred times as long as its request.
pub const STREAM_INFOS_MAX: usize = 16;

/// Bytes waiting to be sent on one stream past which nothing more is read for it, from the peer
/// or from the store. A page of results or one largest record may be added on top.
pub const STREAM_OUTBOX_BYTES: usize = 256 << 10;

/// Most bytes taken from a stream in one read.
pub const STREAM_READ_BYTES: usize = 64 << 10;

/// Largest BLOB that is taken (configuration `blobs.bytes_max`): a long video of a phone, or a large
/// archive, is for other places.
pub const BLOB_MAX_BYTES: u64 = 64 << 20;

/// Bytes of BLOBs that one user may leave here (configuration `blobs.user_bytes`).
pub const BLOB_USER_BYTES: u64 = 1 << 30;

/// What a BLOB counts for beside its data: its entries in the log and the index. Without it, a
/// quota in bytes would admit any number of tiny ones.
pub const BLOB_OVERHEAD_BYTES: u64 = 1 << 10;

/// Bytes of a BLOB that are stored under one key. Also what one upload holds in memory.
pub const BLOB_CHUNK_BYTES: usize = 64 << 10;

/// Bytes of a BLOB that are read at a time, and on their way to a stream at most twice.
pub const BLOB_PAGE_BYTES: usize = 2 * BLOB_CHUNK_BYTES;

/// BLOBs that are being handed in at a time, on all connections together: with
/// [`BLOB_CHUNK_BYTES`], and four reads of their stream on the way, 40 MB.
pub const BLOB_UPLOADS_MAX: usize = 128;

/// BLOBs that are being handed in at a time on one connection.
pub const CONNECTION_UPLOADS_MAX: usize = 4;

/// Bytes of BLOBs on their way from all streams to the disk. They share the writer with the
/// records, so this is less than one of its batches.
pub const BLOB_QUEUE_MAX_BYTES: usize = 2 << 20;

/// Pieces of a BLOB on their way from a stream to the task that takes them, each of at most
/// [`STREAM_READ_BYTES`].
pub const BLOB_FEED_MAX: usize = 4;

/// Data of a refused BLOB that are thrown away so that the stream can go on behind them, as those
/// of a record that is too large are. Past it the stream is not read any more.
pub const BLOB_DISCARD_MAX_BYTES: u64 = 1 << 20;

/// Bytes of a BLOB that must arrive within [`MESSAGE_TIMEOUT`]: 2 kB/s.
pub const BLOB_PROGRESS_BYTES: u64 = 256 << 10;

/// Memory for chunks of BLOBs that are in the write-ahead log but not in files yet, twice while
/// one half is being written out.
pub const STORE_BLOB_BUFFER_BYTES: usize = 32 << 20;

/// BLOBs that are listed in one page.
pub const BLOB_LISTING_MAX: usize = 1_000;

/// Bidirectional streams a known client may have open at a time.
pub const KNOWN_STREAMS_MAX: u32 = 64;

/// Bidirectional streams an anonymous client may have open at a time.
pub const ANONYMOUS_STREAMS_MAX: u32 = 16;

/// Unread bytes a peer may have in flight on one stream: 2.6 MB/s at a round trip of 100 ms.
pub const STREAM_RECEIVE_WINDOW_BYTES: u32 = 256 << 10;

/// Unread bytes a peer may have in flight on all streams of one connection.
pub const CONNECTION_RECEIVE_WINDOW_BYTES: u32 = 1 << 20;

/// Unacknowledged bytes kept for one connection.
pub const CONNECTION_SEND_WINDOW_BYTES: u64 = 1 << 20;

/// Connections open at a time, all listeners together (configuration `limits.connections`):
/// at about 50 kB idle each they take 600 MB.
pub const CONNECTIONS_MAX: usize = 12_000;

/// Handshakes in flight at a time; each costs about a millisecond of CPU.
pub const HANDSHAKES_MAX: usize = 512;

/// Handshakes that one address may begin in a second (configuration `rates.handshakes`): a minute
/// of them takes about a second of CPU.
pub const RATE_HANDSHAKES_PER_SECOND: u32 = 20;

/// Streams that one address may open in a second (configuration `rates.streams`).
pub const RATE_STREAMS_PER_SECOND: u32 = 50;

/// Records that one address may submit in a second (configuration `rates.submissions`): each costs
/// about 50 microseconds of CPU and a place on the disk for good.
pub const RATE_SUBMISSIONS_PER_SECOND: u32 = 50;

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
/// `rates.connections`): 40 addresses fill [`CONNECTIONS_MAX`].
pub const ADDRESS_CONNECTIONS_MAX: u32 = 256;

/// Handshakes that one address may have in flight; a household has a few.
pub const ADDRESS_HANDSHAKES_MAX: u32 = 32;

/// How many times one user's rates all users together have who come from one address: where
/// registration is open, everybody can be a user, and a user again.
pub const RATE_USERS_OF_ADDRESS_FACTOR: u32 = 8;

/// Addresses whose use is counted one by one, and as many keys: about 150 bytes each, 10 MB.
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

/// Ranges and keys that can be banned: about 200 bytes each, 13 MB.
pub const BANS_MAX: usize = 65_536;

/// Most bytes of the reason of a ban that are kept.
pub const BAN_WHY_MAX_BYTES: usize = 1 << 10;

/// Connections from banned addresses that are let in for a moment, to be told that they are, in a
/// second, all together; the others are turned away without a word.
pub const BANNED_TOLD_PER_SECOND: u32 = 10;

/// Time from the first packet to the end of the handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time from the end of the handshake, or of the first byte on a later stream, to HELLO.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Time from the first byte of a message to its last: 1 MiB at 10 kB/s.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);

/// Buffers asked for a UDP socket, each way: the usual default of 208 KiB is a burst of 150 packets.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Connection attempts waiting for the accept loop, which does no work of its own on them.
pub const INCOMING_MAX: usize = 1_024;

/// Bytes kept for one connection attempt that waits for the accept loop.
pub const INCOMING_BUFFER_BYTES: u64 = 16 << 10;

/// Bytes kept for all connection attempts that wait for the accept loop.
pub const INCOMING_BUFFERS_MAX_BYTES: u64 = 8 << 20;

/// Chunks taken from a stream in one read: a burst of packets is worth one turn of its task.
pub const STREAM_READ_CHUNKS_MAX: usize = 32;

/// Chunks handed to a stream in one write.
pub const STREAM_WRITE_CHUNKS_MAX: usize = 64;

/// Messages up to that size are copied together before they are sent; larger ones are shared.
pub const SEND_COPY_MAX_BYTES: usize = 1 << 10;

/// Bytes copied together into one chunk to send.
pub const SEND_CHUNK_BYTES: usize = 16 << 10;

/// Pages of results on their way from the store to one stream, all its requests together, that its
/// outbox has not taken.
pub const STREAM_PAGES_MAX: usize = 2;

/// Pages of results of one connection between the store and the transport, beside one for each of
/// its streams: 2 MiB of ordinary records.
pub const CONNECTION_PAGES_MAX: usize = 16;

/// Bytes waiting to be sent on all streams of one connection, past which a stream has room for
/// [`STREAM_OUTBOX_MIN_BYTES`] only.
pub const CONNECTION_OUTBOX_BYTES: usize = 2 << 20;

/// Bytes that may wait on a stream however much waits on others: a burst of small answers.
pub const STREAM_OUTBOX_MIN_BYTES: usize = 16 << 10;

/// Time in which a stream's peer has to take something of what waits for it. Slow is well: one byte
/// counts. It is as long as somebody may look at the first page of a long answer, say.
pub const STALLED_TIMEOUT: Duration = Duration::from_secs(300);

/// Time that the last words on a stream have to arrive before its connection is closed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Time that the streams of a connection have to finish when the server goes down.
pub const STREAMS_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(6);

/// Time that closed connections have to reach their peers when the server goes down.
pub const ENDPOINT_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Silence after which a connection is dropped.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Interval of a client's keep-alives: NAT mappings for UDP live 30 seconds at the least in practice.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

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
/// has up to 16 383, at about 5 microseconds each.
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

/// Free space under which submissions are turned away (configuration `store.free_space_floor`).
pub const FREE_SPACE_FLOOR_BYTES: u64 = 1 << 30;

/// Users an open registration admits (configuration `users.max`); one takes about 100 bytes.
pub const USERS_MAX: usize = 100_000;

/// Key schedules that are looked at to find out who listed a key; anybody can publish one that
/// names it, so most of what is found may be rubbish. A signature check each.
pub const DIRECTORY_SCAN_MAX_RECORDS: usize = 1_024;

/// Clients that wait to be registered as users, or to redeem an invitation; past it one is registered
/// with its first submission, or when it connects again.
pub const ARRIVALS_MAX: usize = 1_024;

/// Time a client waits for a connection, for HELLO ACK, and for the next reply that it is owed.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(15);

/// Most addresses of one host name that a client tries.
pub const CLIENT_ADDRESSES_MAX: usize = 8;

/// Head start of one address before the next is tried beside it (RFC 8305 section 5).
pub const CLIENT_ADDRESS_HEAD_START: Duration = Duration::from_millis(250);

/// Unread bytes a server may have in flight to a client on one stream: 20 MB/s at 100 ms.
pub const CLIENT_STREAM_WINDOW_BYTES: u32 = 2 << 20;

/// Unread bytes a server may have in flight to a client on all its streams.
pub const CLIENT_CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Messages of one client stream that wait to be sent, or to be taken by the caller.
pub const CLIENT_QUEUE_MAX_MESSAGES: usize = 256;

/// Replies to one order that wait in a client for its caller: at [`EXTENSION_BODY_MAX_BYTES`] each,
/// half a megabyte.
pub const CLIENT_REPLIES_MAX: usize = 8;

/// Bytes of one client stream that wait to be sent, and as many that wait to be taken by the
/// caller; past it the stream is neither written nor read. One largest message must fit.
pub const CLIENT_QUEUE_MAX_BYTES: usize = 2 << 20;

/// Submissions of one client stream without an answer, those included that nobody waits for any more.
pub const CLIENT_SUBMISSIONS_MAX: usize = 1 << 16;

/// First wait before `mosaic publish` hands in again what was TOO_FAST.
pub const PUBLISH_BACKOFF_MIN: Duration = Duration::from_millis(500);

/// Longest such wait.
pub const PUBLISH_BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Such waits after which nothing got through and TOO_FAST is the result: three minutes of them.
pub const PUBLISH_BACKOFFS_MAX: u32 = 10;

/// Keys whose curve points one open query remembers; an author's records come in runs.
pub const CLIENT_KEYS_REMEMBERED_MAX: usize = 256;

/// Before `mosaic conformance` makes a check again, or gives it up, after the server said TOO_FAST:
/// rates are counted in seconds, so a minute in all is enough for any that a visitor can live with.
pub const CONFORMANCE_PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
    Duration::from_secs(40),
];

/// How far behind the last proof of delivery a lost subscription resumes: what a server may take
/// from receiving a record to putting it on a stream that keeps up, and what its clock may slip.
pub const FOLLOW_OVERLAP: Duration = Duration::from_secs(30);

/// The same where only the local clock tells the time: what a clock may be wrong by.
pub const FOLLOW_OVERLAP_LOCAL_CLOCK: Duration = Duration::from_secs(300);

/// Interval of the proofs of delivery of a subscription that waits for records.
pub const FOLLOW_PROOF_INTERVAL: Duration = Duration::from_secs(45);

/// Most record IDs that a followed subscription remembers: those of 105 seconds, which is twice
/// the overlap and one interval of proofs, at 5 000 records a second. One takes about 100 bytes.
pub const FOLLOW_REMEMBERED_MAX_RECORDS: usize = 1 << 19;

/// First wait before a lost subscription connects again.
pub const FOLLOW_BACKOFF_MIN: Duration = Duration::from_millis(500);

/// Longest wait before a lost subscription connects again.
pub const FOLLOW_BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Most bytes of a peer's certificate; a self-signed Ed25519 one takes about 300.
pub const CERTIFICATE_MAX_BYTES: usize = 8 << 10;

/// Most bytes of a key file: one line and a page of comments.
pub const KEY_FILE_MAX_BYTES: usize = 4 << 10;

/// Entries of newest key schedules kept at hand, a master counted as one more: 22 MB.
pub const DIRECTORY_SCHEDULES_MAX: usize = 131_072;

/// Signing keys of which it is kept at hand who may have listed them, each such master counted as
/// one more: 14 MB.
pub const DIRECTORY_KEYS_MAX: usize = 131_072;

/// Masters looked at for one signing key. Each needs the key's own attestation, so only the key's
/// holder can reach this.
pub const DIRECTORY_MASTERS_MAX: usize = 64;

/// Time from SIGTERM to the end of the process.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// Probes of this server that are under way at a time; a round has five and two canaries.
pub const PROBES_OUT_MAX: usize = 64;

/// Local addresses that are looked at; a machine with more has them for other purposes.
pub const LOCAL_ADDRESSES_MAX: usize = 1_024;

/// Spontaneous handshakes that wait for the self-check; past it they are passed over, for a few
/// tell as much as many.
pub const SPONTANEOUS_QUEUE_MAX: usize = 64;

/// Requests of the dial-back service under way at a time, those that are about to be refused
/// included; a refusal takes microseconds.
pub const PROBE_SERVICE_TASKS_MAX: usize = 256;

/// Files kept free of connections over TCP, beside those of the record store: its logs and the new
/// tables of a compaction, listeners, dials, netlink, and what the libraries open.
pub const RESERVED_FILES: u32 = 256;

/// Connections open at a time to a server without a store: askers, helpers and dial-backs, each for
/// seconds.
pub const STORELESS_CONNECTIONS_MAX: usize = 1_024;

/// Most bytes of a request on the control socket: one short line.
pub const CONTROL_REQUEST_MAX_BYTES: u64 = 4 << 10;

/// Most bytes of a reply on the control socket: the evidence of sixteen listeners.
pub const CONTROL_REPLY_MAX_BYTES: u64 = 16 << 20;

/// Connections to the control socket at a time; its user is the operator.
pub const CONTROL_CONNECTIONS_MAX: usize = 8;

/// Time that an operator's program has to send its request, and to take the reply.
pub const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// Records that a user of a server with open registration or invitations may publish there, and as
/// many may be left for them, where the operator says nothing else: thirty a day for ten years.
pub const QUOTA_RECORDS: u64 = 100_000;

/// The same in bytes: one disk of 4 TB has room for two thousand users who fill both.
pub const QUOTA_BYTES: u64 = 1 << 30;

/// Served recipients of one record of whom is asked whether they know its writer: each can cost a
/// look into the indexes. Who writes to more at once is judged by the first ones.
pub const MODERATION_RECIPIENTS_MAX: usize = 8;

/// Pages of the index that are looked through to find out whether a user has ever written to
/// somebody. Where there is more with the same tag, the writer counts as a stranger until the operator
/// releases a record.
pub const MODERATION_SCAN_MAX_PAGES: usize = 4;

/// Keys that one record makes acquainted with its author at once: what is kept of others must not be
/// pushed out by it. The store knows the rest.
pub const ACQUAINTED_AT_ONCE_MAX: usize = 64;

/// Characters of a held record that an operator is shown.
pub const HELD_TEXT_MAX_CHARS: usize = 1_024;

/// Pairs of a user and a writer of whom it is remembered whether they know each other: 8 MB.
pub const ACQUAINTANCES_MAX: usize = 65_536;

/// Held records that are released or rejected by one order: with their recipients they stay within
/// the changes that one act may have.
pub const MODERATION_IDS_MAX: usize = 100;

/// Invitations that wait to be used. All of them are in memory, at some 200 bytes.
pub const INVITATIONS_MAX: usize = 100_000;

/// Bytes of what an operator notes with an invitation.
pub const INVITATION_NOTE_MAX_BYTES: usize = 256;

/// Wrong invitations of one key in a row after which it is told to wait, for [`REDEEM_PAUSE`]. Guessing
/// is hopeless at 128 bits; this keeps the trace and the thread that redeems from being flooded.
pub const REDEEM_TRIES_MAX: u32 = 8;

/// How long such a key has to wait.
pub const REDEEM_PAUSE: Duration = Duration::from_secs(60);

/// Keys of whom wrong invitations are remembered, the most recent ones.
pub const REDEEM_KEYS_MAX: usize = 4_096;

/// Users that one answer to an operator lists.
pub const USERS_PAGE_MAX: usize = 256;

/// Probes, vouchers, dial-backs and invitations of one stream that are not over; past it the stream is not read.
/// A server that tests one of its listeners has one or two under way with one prober.
pub const STREAM_PROBES_MAX: usize = 4;

/// Orders of operators that are carried out at a time, all connections together: each holds a thread
/// while it reads the store or waits for its sync. There are few operators.
pub const ADMIN_CALLS_AT_ONCE_MAX: usize = 2;

/// Rows of one step of a listing for an operator: with the longest texts 256 KiB, as much as a stream's
/// outbox holds. Between two steps the operator's client has to take what was sent.
pub const ADMIN_PAGE_MAX_ROWS: usize = 64;

/// Longest note, reason, name or filter in an operator's order.
pub const ADMIN_NOTE_MAX_BYTES: usize = 256;

/// Longest text in a row for an operator; a longer one is cut.
pub const ADMIN_TEXT_MAX_BYTES: usize = 4 << 10;

/// Records that one order names, to delete, release or reject them.
pub const ADMIN_LIST_MAX: usize = MODERATION_IDS_MAX;

/// Links of this machine that the self-check looks at; each container may have one.
pub const LOCAL_LINKS_MAX: usize = 8_192;

/// Routes as wide as a 256th of a family that the self-check looks at. There are 256 of them in one
/// table, and policies have a handful of tables.
pub const LOCAL_ROUTES_MAX: usize = 4_096;

/// Gateways of default routes that the self-check keeps.
pub const LOCAL_GATEWAYS_MAX: usize = 16;

/// Time the kernel has to list links, addresses and routes.
pub const INTERFACES_TIMEOUT: Duration = Duration::from_secs(5);

/// Between the first change of links, addresses or routes and reading them anew: changes come in
/// bursts.
pub const INTERFACES_SETTLE: Duration = Duration::from_millis(50);

/// Bytes of one part of a list of links, addresses or routes: the kernel sends up to 32 KiB.
pub const INTERFACES_ANSWER_BYTES: usize = 64 << 10;

/// Bytes taken of one message about a change of links, addresses or routes. A longer one counts as
/// a change, whatever it says.
pub const INTERFACES_EVENT_BYTES: usize = 4 << 10;

/// Changes that are taken off together before links, addresses and routes are read anew.
pub const INTERFACES_EVENTS_MAX: usize = 1_024;

/// Times that links, addresses and routes are listed because they changed while they were.
pub const INTERFACES_TRIES_MAX: usize = 3;

/// Addresses that this process sent to within the last five minutes, as many before that, and as
/// many with a connection: at most 30 MB. Past it nobody counts as cold. It is ten times the
/// connections that can be open.
pub const CONTACTS_MAX: usize = 131_072;

/// Dials of the dial-back service in a minute, for everybody together: with
/// [`PROBE_DIAL_MAX_BYTES`], less than 10 kB/s. Addresses that asked themselves and those that
/// others vouch for are counted apart, here and in the limits below; of the latter,
/// [`VOUCHERS_PER_MINUTE_MAX`] lets less in.
pub const PROBES_PER_MINUTE_MAX: usize = 60;

/// The same for one asker's key: two full rounds of its self-check.
pub const PROBES_PER_KEY_PER_MINUTE_MAX: usize = 12;

/// The same for one asker's address, which in IPv6 is a network of 56 bits, as one home has.
pub const PROBES_PER_ADDRESS_PER_MINUTE_MAX: usize = 6;

/// The same for the askers of one network, a /16 or in IPv6 a /32: a quarter, so that whoever rents
/// many addresses of one provider leaves something to the others.
pub const PROBES_PER_NETGROUP_PER_MINUTE_MAX: usize = PROBES_PER_MINUTE_MAX / 4;

/// Probes under way at a time, for everybody together; one address has one.
pub const PROBES_AT_ONCE_MAX: usize = 16;

/// Different ports of one address and transport that are dialed within an hour: the listener's and
/// two canaries'. More would make the service a scanner of what shares the address.
pub const PROBE_PORTS_PER_HOUR_MAX: usize = 3;

/// Addresses whose dialed ports are remembered: more than an hour of [`PROBES_PER_MINUTE_MAX`] has.
pub const PROBE_PORT_ADDRESSES_MAX: usize = 4_096;

/// Vouchers that are carried out in a minute, from everybody together: with
/// [`PROBE_DIAL_MAX_BYTES`], 3 kB/s.
pub const VOUCHERS_PER_MINUTE_MAX: usize = 24;

/// The same from probers that are not pinned; what is left is for the pinned ones.
pub const VOUCHERS_OF_STRANGERS_PER_MINUTE_MAX: usize = VOUCHERS_PER_MINUTE_MAX / 2;

/// The same from those in one network, a /16 or in IPv6 a /32.
pub const VOUCHERS_PER_NETGROUP_PER_MINUTE_MAX: usize = VOUCHERS_PER_MINUTE_MAX / 4;

/// The same from one prober, those counted that are not carried out.
pub const VOUCHERS_PER_KEY_PER_MINUTE_MAX: usize = 6;

/// The same from one address, which in IPv6 is a network of 56 bits, of a prober that is not
/// pinned: keys cost nothing.
pub const VOUCHERS_PER_ADDRESS_PER_MINUTE_MAX: usize = 6;

/// Vouchers of the last minute that were not carried out and are remembered for their senders. Past
/// it the oldest are forgotten, which costs no more than looking at signatures in vain; to turn
/// everybody away would cost more.
pub const VOUCHERS_IN_VAIN_MAX: usize = 256;

/// Vouchers that one helper is given in a minute for askers of one address (IPv6: 56 bits): a half
/// of what it takes from this server.
pub const RELAYS_PER_HELPER_PER_MINUTE_MAX: usize = VOUCHERS_PER_KEY_PER_MINUTE_MAX / 2;

/// Names of helpers that are looked up for one probe; each can take as long as the probe may.
pub const PROBE_LOOKUPS_MAX: usize = 8;

/// Nonces of vouchers that are remembered, the newest: about 100 bytes each. At
/// [`VOUCHERS_PER_MINUTE_MAX`] that many come in more than five hours, and from strangers alone in
/// eleven; in laboratories, whose minutes are shorter, in less.
pub const VOUCHER_NONCES_MAX: usize = 8_192;

/// How far another server's clock may be off for its vouchers to count.
pub const VOUCHER_CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// Handshakes in a minute that show nothing but that our own way out works.
pub const CONTROL_DIALS_PER_MINUTE_MAX: usize = 6;

/// Third servers that are asked to dial before a cold probe is given up.
pub const PROBE_HELPERS_TRIED_MAX: usize = 3;

/// Keys that an asker of a cold probe can exclude: 8 KiB of them.
pub const PROBE_AVOID_MAX: usize = 256;

/// Bytes of a PROBE REQUEST of which the asker itself is dialed: one full datagram.
pub const PROBE_REQUEST_MIN_BYTES: usize = 1_200;

/// Most bytes that a dial sends to an address that never answers, headers of IPv6 and UDP
/// included. In 5 seconds, the time of a dial, QUIC sends one datagram of 1200 bytes at once, two
/// after 1 second and two after 3 (RFC 9002 section 6.2, from a round trip of 333 ms), and one that
/// gives up. TCP sends three segments without content.
pub const PROBE_DIAL_MAX_BYTES: usize = 6 * (1_200 + 48);

/// Bytes of `pad` that a dial to an address not proved to the dialer costs at the least, also for a
/// prober whom the dialer's operator vouches for, and for the asker of a cold probe.
pub const PROBE_COLD_COST_BYTES: usize = 8 << 10;

/// The same for probers whom the dialer's operator does not vouch for: four times what is sent, as
/// libp2p demands it.
pub const VOUCHER_COST_BYTES: usize = 32 << 10;

/// Bytes that TLS over TCP holds back for one connection while the system takes no more: four of
/// its largest records.
pub const TLS_SEND_BUFFER_BYTES: usize = 64 << 10;

/// Local addresses of one listener that are tested: each costs its own rounds of probes.
pub const PLAN_CANDIDATES_MAX: usize = 8;

/// Servers that are asked to probe; the ones configured past it are not.
pub const PLAN_PROBERS_MAX: usize = 64;

/// Configured URLs that are looked at.
pub const PLAN_URLS_MAX: usize = 16;

/// Networks whose last word about one endpoint is kept. Third servers are strangers, so there can
/// be more of them than probers.
pub const PLAN_VOTES_MAX: usize = 128;

/// Servers remembered as spoken with a short while ago.
pub const PLAN_CONTACTS_MAX: usize = 256;

/// Servers that one cold probe is asked to avoid: 32 bytes each in the request.
pub const PLAN_AVOID_MAX: usize = 64;

/// Dial-backs without a meaning that one endpoint remembers for the report.
pub const PLAN_DISCARDED_MAX: usize = 16;

/// Cold probes that one endpoint asks for in one round: what it needs, and as many liars.
pub const PLAN_COLD_ASKS_MAX: usize = 6;

/// Changes of an observed address in one hour, past which it is left unknown.
pub const PLAN_OBSERVED_CHANGES_MAX: usize = 4;

/// Endpoints whose past flips are remembered.
pub const PLAN_HISTORIES_MAX: usize = 64;

/// Connections at a time on a port that waits for dial-backs: one prober is expected, and others may
/// come across the port.
pub const CATCHER_CONNECTIONS_MAX: usize = 8;

/// Time such a connection has in all; a dial-back has five seconds.
pub const CATCHER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes such a connection may send: HELLO and DIALBACK take 300.
pub const CATCHER_MAX_BYTES: u16 = 8 << 10;

/// Bytes kept on such a port for all connection attempts that wait to be taken.
pub const CATCHER_INCOMING_MAX_BYTES: u64 = 64 << 10;

/// Ports that are tried to find one on which nothing listens yet. Of 20 000 few are taken.
pub const CANARY_TRIES_MAX: usize = 32;

/// Configuration files of Tor that are read in one go, included ones counted.
pub const TORRC_FILES_MAX: usize = 64;

/// Names in a folder that such a file includes, past which no further one is looked at.
pub const TORRC_ENTRIES_MAX: usize = 1_024;

/// Bytes of such a file that are read; one with hundreds of services has 50 KiB.
pub const TORRC_MAX_BYTES: u64 = 256 << 10;

/// Time that Tor's control port has to answer everything.
pub const TOR_CONTROL_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes taken from Tor's control port, for the same hundreds of services.
pub const TOR_CONTROL_MAX_BYTES: u64 = 256 << 10;

/// Buffers of one TCP connection in the system, each way; it doubles what is asked for. As much as
/// a QUIC stream may have in flight.
pub const TCP_BUFFER_BYTES: usize = STREAM_RECEIVE_WINDOW_BYTES as usize;

/// TCP connections that wait to be accepted.
pub const TCP_BACKLOG: i32 = 1_024;

/// Of the handshakes in flight, those that one TCP socket may have: a peer that connects and says
/// nothing holds one for the whole of its time, and others must get in meanwhile.
pub const TCP_HANDSHAKES_MAX: usize = HANDSHAKES_MAX / 4;

/// Wait before the next TCP connection is accepted where the system had no socket or memory left.
pub const TCP_ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const _: () = assert!(RECORD_MAX_BYTES.is_multiple_of(8));
// What one commit teaches must not push itself out before the store returns it. An entry of a key
// schedule takes 152 bytes, its tag 40; its key and its master are kept.
const _: () = assert!(DIRECTORY_SCHEDULES_MAX / 2 > (COMMIT_MAX_BYTES + RECORD_MAX_BYTES) / 152);
const _: () = assert!(DIRECTORY_KEYS_MAX / 2 > 2 * (COMMIT_MAX_BYTES + RECORD_MAX_BYTES) / 192);
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
