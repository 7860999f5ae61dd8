//! BLOBs.

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

/// Of these, those of one account, whose owner may have many connections: sixteen accounts fill
/// them. Strangers share one account.
pub const BLOB_OWNER_UPLOADS_MAX: u64 = 8;

/// BLOBs that are being handed in at a time on one connection.
pub const CONNECTION_UPLOADS_MAX: usize = 4;

/// Bytes of BLOBs on their way from all streams to the disk. They share the writer with the
/// records, so this is less than one of its batches.
pub const BLOB_QUEUE_MAX_BYTES: usize = 2 << 20;

/// Pieces of a BLOB on their way from a stream to the task that takes them, each of at most
/// [`STREAM_READ_BYTES`](super::STREAM_READ_BYTES).
pub const BLOB_FEED_MAX: usize = 4;

/// Data of a refused BLOB that are thrown away so that the stream can go on behind them, as those
/// of a record that is too large are. Past it the stream is not read any more.
pub const BLOB_DISCARD_MAX_BYTES: u64 = 1 << 20;

/// Bytes of a BLOB that must arrive within [`MESSAGE_TIMEOUT`](super::MESSAGE_TIMEOUT): 2 kB/s.
pub const BLOB_PROGRESS_BYTES: u64 = 256 << 10;

/// Memory for chunks of BLOBs that are in the write-ahead log but not in files yet, twice while
/// one half is being written out.
pub const STORE_BLOB_BUFFER_BYTES: usize = 32 << 20;

/// BLOBs that are listed in one page.
pub const BLOB_LISTING_MAX: usize = 1_000;
