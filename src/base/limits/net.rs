//! Connections, streams and what is on its way on them.

use std::time::Duration;

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

/// Bytes of pages, of records and of BLOBs, that one connection has between the store and the
/// transport, beside [`SMALL_PAGE_BYTES`] twice for each of its streams: sixteen pages of ordinary
/// records, or two of the largest.
pub const CONNECTION_PAGES_MAX_BYTES: usize = 2 << 20;

/// The same for all connections together: what five hundred of them may have.
pub const OUTPUT_MAX_BYTES: usize = 1 << 30;

/// Bytes of the one page of records, and the one of a BLOB, that a stream may have on their way
/// however much is on its way on others: many posts, and few bytes for a hundred thousand streams.
pub const SMALL_PAGE_BYTES: usize = 16 << 10;

/// Bytes for which an ordinary page takes room before it is read: its last record may exceed
/// [`PAGE_MAX_BYTES`](super::PAGE_MAX_BYTES) by as much as one that is not large.
pub const PAGE_ROOM_BYTES: usize = super::PAGE_MAX_BYTES + (64 << 10);

/// The same for a page whose last record may be as large as any.
pub const LARGE_PAGE_ROOM_BYTES: usize = super::PAGE_MAX_BYTES + super::RECORD_MAX_BYTES;

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

/// Probes, vouchers, dial-backs and invitations of one stream that are not over; past it the stream is not read.
/// A server that tests one of its listeners has one or two under way with one prober.
pub const STREAM_PROBES_MAX: usize = 4;

/// Bytes that TLS over TCP holds back for one connection while the system takes no more: four of
/// its largest records.
pub const TLS_SEND_BUFFER_BYTES: usize = 64 << 10;

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
