//! What a peer may use in a time.

use serde::{Deserialize, Serialize};

use super::check::integer;
use super::error::ConfigError;
use crate::base::limits;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRates {
    handshakes: i64,
    streams: i64,
    submissions: i64,
    submissions_burst: i64,
    bytes: i64,
    query_rows: i64,
    burst: i64,
    connections: i64,
    user_factor: i64,
    loopback_factor: i64,
}

impl Default for RawRates {
    fn default() -> Self {
        Self {
            handshakes: limits::RATE_HANDSHAKES_PER_SECOND.into(),
            streams: limits::RATE_STREAMS_PER_SECOND.into(),
            submissions: limits::RATE_SUBMISSIONS_PER_SECOND.into(),
            submissions_burst: limits::RATE_SUBMISSIONS_BURST.into(),
            bytes: limits::RATE_BYTES_PER_SECOND.into(),
            query_rows: limits::RATE_QUERY_ROWS_PER_SECOND.into(),
            burst: limits::RATE_BURST_SECONDS.into(),
            connections: limits::ADDRESS_CONNECTIONS_MAX.into(),
            user_factor: limits::RATE_USER_FACTOR.into(),
            loopback_factor: limits::RATE_LOOPBACK_FACTOR.into(),
        }
    }
}

/// What one address, or one stranger's key, may use. A rate of 0 sets no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Handshakes in a second.
    pub handshakes: u32,
    /// Streams in a second.
    pub streams: u32,
    /// Submissions in a second.
    pub submissions: u32,
    /// Submissions at once.
    pub submissions_burst: u32,
    /// Bytes in a second.
    pub bytes: u32,
    /// Rows looked at in a second.
    pub query_rows: u32,
    /// Seconds' worth of the other rates that may be used at once.
    pub burst_seconds: u32,
    /// Connections open at a time; 0 sets no limit.
    pub connections: u32,
    /// How many times as much a user may use.
    pub user_factor: u32,
    /// How many times as much a loopback address may use.
    pub loopback_factor: u32,
}

impl Rates {
    pub(super) fn check(raw: &RawRates) -> Result<Self, ConfigError> {
        let rate = |key, value| integer(key, value, 0..=RATE_MAX);
        let factor = |key, value| integer(key, value, 1..=FACTOR_MAX);
        Ok(Self {
            handshakes: rate("rates.handshakes", raw.handshakes)?,
            streams: rate("rates.streams", raw.streams)?,
            submissions: rate("rates.submissions", raw.submissions)?,
            submissions_burst: integer(
                "rates.submissions_burst",
                raw.submissions_burst,
                1..=RATE_MAX,
            )?,
            bytes: integer("rates.bytes", raw.bytes, 0..=BYTES_MAX)?,
            query_rows: rate("rates.query_rows", raw.query_rows)?,
            burst_seconds: integer("rates.burst", raw.burst, 1..=BURST_MAX_SECONDS)?,
            connections: integer("rates.connections", raw.connections, 0..=1_000_000)?,
            user_factor: factor("rates.user_factor", raw.user_factor)?,
            loopback_factor: factor("rates.loopback_factor", raw.loopback_factor)?,
        })
    }
}

/// The highest rate: more than any machine serves.
const RATE_MAX: i64 = 10_000_000;

/// The highest rate of bytes: 8 Gbit/s.
const BYTES_MAX: i64 = 1_000_000_000;

/// The longest burst, an hour.
const BURST_MAX_SECONDS: i64 = 3_600;

/// The largest factor.
const FACTOR_MAX: i64 = 1_000;
