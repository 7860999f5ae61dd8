//! The client library and its commands.

use std::time::Duration;

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

/// Replies to one order that wait in a client for its caller: at [`EXTENSION_BODY_MAX_BYTES`](super::EXTENSION_BODY_MAX_BYTES) each,
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

/// Most messages of one answer that a check of `mosaic conformance` hears: far more than any check
/// asks for.
pub const CONFORMANCE_ANSWER_MAX_MESSAGES: usize = 4_096;

/// Most bytes of one answer that such a check hears, and so keeps: the largest that one asks for is
/// a single record of a megabyte, and a hostile server must not fill the memory of its tester.
pub const CONFORMANCE_ANSWER_MAX_BYTES: usize = 8 << 20;

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
