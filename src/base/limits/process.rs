//! The process: its files, its end, and its control socket.

use std::time::Duration;

/// Most bytes of a peer's certificate; a self-signed Ed25519 one takes about 300.
pub const CERTIFICATE_MAX_BYTES: usize = 8 << 10;

/// Most bytes of a key file: one line and a page of comments.
pub const KEY_FILE_MAX_BYTES: usize = 4 << 10;

/// Time from SIGTERM to the end of the process.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

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
