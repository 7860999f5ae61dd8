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
    /// The name of each value: its key without the section.
    pub const NAMES: [&str; 10] = [
        "handshakes",
        "streams",
        "submissions",
        "submissions_burst",
        "bytes",
        "query_rows",
        "burst",
        "connections",
        "user_factor",
        "loopback_factor",
    ];

    /// The value of that name, if there is one.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<u32> {
        Some(match name {
            "handshakes" => self.handshakes,
            "streams" => self.streams,
            "submissions" => self.submissions,
            "submissions_burst" => self.submissions_burst,
            "bytes" => self.bytes,
            "query_rows" => self.query_rows,
            "burst" => self.burst_seconds,
            "connections" => self.connections,
            "user_factor" => self.user_factor,
            "loopback_factor" => self.loopback_factor,
            _ => return None,
        })
    }

    /// These, with another value of that name; `None` where there is no such name.
    ///
    /// # Errors
    /// [`ConfigError::Value`]: the value is out of its range.
    pub fn with(&self, name: &str, value: u64) -> Option<Result<Self, ConfigError>> {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        let mut raw = self.raw();
        let place = match name {
            "handshakes" => &mut raw.handshakes,
            "streams" => &mut raw.streams,
            "submissions" => &mut raw.submissions,
            "submissions_burst" => &mut raw.submissions_burst,
            "bytes" => &mut raw.bytes,
            "query_rows" => &mut raw.query_rows,
            "burst" => &mut raw.burst,
            "connections" => &mut raw.connections,
            "user_factor" => &mut raw.user_factor,
            "loopback_factor" => &mut raw.loopback_factor,
            _ => return None,
        };
        *place = value;
        Some(Self::check(&raw))
    }

    fn raw(&self) -> RawRates {
        RawRates {
            handshakes: self.handshakes.into(),
            streams: self.streams.into(),
            submissions: self.submissions.into(),
            submissions_burst: self.submissions_burst.into(),
            bytes: self.bytes.into(),
            query_rows: self.query_rows.into(),
            burst: self.burst_seconds.into(),
            connections: self.connections.into(),
            user_factor: self.user_factor.into(),
            loopback_factor: self.loopback_factor.into(),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_name_and_keeps_its_range() {
        let rates = Rates::check(&RawRates::default()).unwrap();
        for name in Rates::NAMES {
            let changed = rates.with(name, 7).unwrap().unwrap();
            assert_eq!(changed.of(name), Some(7), "{name}");
            let others = Rates::NAMES.iter().filter(|other| **other != name);
            for other in others {
                assert_eq!(changed.of(other), rates.of(other), "{name} {other}");
            }
            assert!(rates.with(name, u64::MAX).unwrap().is_err(), "{name}");
            assert!(
                crate::config::KEYS
                    .iter()
                    .any(|key| key.path == format!("rates.{name}"))
            );
        }
        assert_eq!(rates.of("rate"), None);
        assert!(rates.with("rate", 1).is_none());
    }
}
