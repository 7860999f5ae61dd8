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

/// Most bytes of a bootstrap text, set by the DHT that carries it (`mosaic-wire.md` section 9).
pub const BOOTSTRAP_MAX_BYTES: usize = 983;

/// Highest cost of an encrypted secret key: 2^22 rounds take 4 GiB, more is an attack.
pub const ENCRYPTED_KEY_MAX_LOG_N: u8 = 22;

/// Most queries and subscriptions open on one stream at a time; each holds a page of results.
pub const STREAM_QUERIES_MAX: usize = 64;

/// Most submissions of one stream on their way to the log; past it the stream is not read.
pub const STREAM_SUBMISSIONS_MAX: usize = 256;

/// Most bytes of submissions of one stream on their way to the log; past it the stream is not read.
/// One record of the largest size must fit beside a queue of ordinary ones.
pub const STREAM_SUBMISSIONS_MAX_BYTES: usize = 2 << 20;

/// Bytes waiting to be sent on one stream past which nothing more is read for it, from the peer
/// or from the store. A page of results or one largest record may be added on top.
pub const STREAM_OUTBOX_BYTES: usize = 256 << 10;

/// Most bytes taken from a stream in one read.
pub const STREAM_READ_BYTES: usize = 64 << 10;

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

/// Time from the first packet to the end of the handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time from the end of the handshake, or of the first byte on a later stream, to HELLO.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Silence after which a connection is dropped.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Interval of a client's keep-alives: NAT mappings for UDP live 30 seconds at the least in practice.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Records of one verification batch: the knee of the measured curve (`benches/verify.rs`).
pub const VERIFY_BATCH_MAX_RECORDS: usize = 64;

/// Records waiting for verification, all connections together.
pub const VERIFY_QUEUE_MAX_RECORDS: usize = 4_096;

/// Records of one commit; the next batch gathers while this one syncs.
pub const COMMIT_MAX_RECORDS: usize = 1_024;

/// Bytes of one commit past which no further record joins it.
pub const COMMIT_MAX_BYTES: usize = 4 << 20;

/// Verified records waiting for the writer.
pub const COMMIT_QUEUE_MAX_RECORDS: usize = 2_048;

/// Rows of one page of results.
pub const PAGE_MAX_RECORDS: usize = 256;

/// Bytes of one page of results past which no further record joins it.
pub const PAGE_MAX_BYTES: usize = 128 << 10;

/// Time a reader works on one page before it lets others in.
pub const PAGE_TIME_BUDGET: Duration = Duration::from_millis(10);

/// Records a QUERY without a limit delivers before it is closed with `TOO_OPEN`
/// (configuration `limits.query_results`).
pub const QUERY_RESULTS_MAX: u32 = 1_000_000;

/// Live records queued for one subscription; past it the subscription reads the log instead.
pub const MAILBOX_MAX_RECORDS: usize = 256;

/// Bytes of live records queued for one subscription; past it it reads the log instead.
pub const MAILBOX_MAX_BYTES: usize = 256 << 10;

/// Threads that read the store at a time.
pub const READERS_MAX: usize = 4;

/// Free space under which submissions are turned away (configuration `store.free_space_floor`).
pub const FREE_SPACE_FLOOR_BYTES: u64 = 1 << 30;

/// Users an open registration admits (configuration `users.max`); one takes about 100 bytes.
pub const USERS_MAX: usize = 100_000;

/// Time from SIGTERM to the end of the process.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

const _: () = assert!(RECORD_MAX_BYTES.is_multiple_of(8));
const _: () = assert!(STREAM_SUBMISSIONS_MAX_BYTES > RECORD_MESSAGE_MAX_BYTES);
const _: () = assert!(RECORD_MESSAGE_MAX_BYTES < 1 << 24, "lengths are u24");
