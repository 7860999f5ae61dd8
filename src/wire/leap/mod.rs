//! Leap seconds: how far the Mosaic clock is ahead of the Unix clock, and when that changes.
//!
//! The Unix clock counts days of 86 400 seconds and so leaves leap seconds out; the Mosaic clock
//! counts them. A table tells when the difference changes. It is known half a year ahead at most,
//! so every table expires; an expired one is still the best guess and stays in use.

use std::{
    fs::File,
    io::{self, Read},
    sync::{Once, OnceLock},
    time::Duration,
};

use thiserror::Error;
use tracing::{debug, warn};

use super::time::Timestamp;
use crate::base::limits;

/// Why a text is no table of leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LeapError {
    /// A line is neither a comment nor a time and a difference.
    #[error("line {line} is not a time and a difference")]
    Line {
        /// Number of the line, from 1.
        line: usize,
    },
    /// The changes are not in order of time, or one is by more than a second.
    #[error("line {line} does not follow from the change before it")]
    Order {
        /// Number of the line, from 1.
        line: usize,
    },
    /// The date of its making or of its expiry is missing.
    #[error("date of update or expiry is missing")]
    Dates,
    /// Leap seconds of the past are not those that were.
    #[error("contradicts the leap seconds of the past")]
    History,
}

/// When leap seconds were inserted, and until when that is known.
///
/// # Source
/// `mosaic-wire.md` section 2; the format is that of the `leap-seconds.list` of the IERS and IANA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeapTable {
    /// In order of time; never empty.
    changes: Vec<Change>,
    /// Unix time at which the table was made, in seconds.
    updated_s: u64,
    /// Unix time until which the table is complete, in seconds.
    expires_s: u64,
}

/// From a moment on the Mosaic clock is so many seconds ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    /// Unix time of the first second after the change.
    unix_s: u64,
    /// Seconds by which the Mosaic clock is ahead from then on.
    ahead_s: u64,
}

impl Change {
    /// Mosaic time of the first second after the change.
    const fn mosaic_s(self) -> u64 {
        self.unix_s + self.ahead_s
    }
}

/// A timestamp in parts that a calendar can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Unix time in seconds; inside a leap second, that of the second before it.
    pub(super) unix_s: u64,
    /// How many seconds of a leap the moment lies behind `unix_s`: 0, or 1 inside a leap second.
    pub(super) leap_s: u64,
    /// Nanoseconds within the second.
    pub(super) nanos: u32,
}

impl LeapTable {
    /// The table this program was built with.
    #[must_use]
    pub fn builtin() -> Self {
        let change = |&(ntp_s, tai_s)| Change {
            unix_s: ntp_s - NTP_TO_UNIX_S,
            ahead_s: tai_s - TAI_TO_MOSAIC_S,
        };
        Self {
            changes: BUILTIN.iter().map(change).collect(),
            updated_s: BUILTIN_UPDATED_NTP_S - NTP_TO_UNIX_S,
            expires_s: BUILTIN_EXPIRES_NTP_S - NTP_TO_UNIX_S,
        }
    }

    /// Reads a `leap-seconds.list`.
    ///
    /// Its checksum line is not looked at: the file comes from the system, not from a peer, and
    /// what it says must continue the built-in history.
    ///
    /// # Errors
    /// - [`LeapError::Line`], [`LeapError::Order`]: that line cannot be right.
    /// - [`LeapError::Dates`]: there is no `#$` or no `#@` line.
    /// - [`LeapError::History`]: it does not start with the leap seconds that were.
    pub fn parse(text: &str) -> Result<Self, LeapError> {
        let (mut updated_s, mut expires_s) = (None, None);
        let mut changes: Vec<Change> = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            if let Some(date) = content.strip_prefix("#$") {
                updated_s = Some(unix_seconds(date).ok_or(LeapError::Line { line })?);
            } else if let Some(date) = content.strip_prefix("#@") {
                expires_s = Some(unix_seconds(date).ok_or(LeapError::Line { line })?);
            } else if let Some(change) = change_of(content, line)? {
                let follows = changes.last().is_none_or(|last| {
                    last.unix_s < change.unix_s && last.ahead_s.abs_diff(change.ahead_s) == 1
                });
                if !follows {
                    return Err(LeapError::Order { line });
                }
                changes.push(change);
            }
        }
        let (Some(updated_s), Some(expires_s)) = (updated_s, expires_s) else {
            return Err(LeapError::Dates);
        };
        let table = Self {
            changes,
            updated_s,
            expires_s,
        };
        table
            .continues_history()
            .then_some(table)
            .ok_or(LeapError::History)
    }

    /// The newer of two tables: made later, or else complete for longer.
    #[must_use]
    pub fn newest(one: Self, other: Self) -> Self {
        let age = |table: &Self| (table.updated_s, table.expires_s);
        if age(&other) > age(&one) { other } else { one }
    }

    /// The table of this process: the newest of the built-in one and the system's, chosen when it is
    /// first needed and kept.
    #[must_use]
    pub fn current() -> &'static Self {
        static CURRENT: OnceLock<LeapTable> = OnceLock::new();
        CURRENT.get_or_init(|| match read_system_file() {
            Ok(table) => Self::newest(Self::builtin(), table),
            Err(reason) => {
                debug!(%reason, path = SYSTEM_FILE, "system's leap seconds not used");
                Self::builtin()
            }
        })
    }

    /// Until when the table is complete, in Unix time.
    #[must_use]
    pub const fn expires(&self) -> Duration {
        Duration::from_secs(self.expires_s)
    }

    /// Warns, once in the life of the process, when the table is past its expiry.
    pub(super) fn warn_if_expired(&self, unix: Duration) {
        static WARNED: Once = Once::new();
        if unix > self.expires() {
            WARNED.call_once(|| {
                let expired = self.to_mosaic(self.expires());
                warn!(
                    %expired,
                    "table of leap seconds is past its expiry: update tzdata, or times may be \
                     off by a second after the next leap second"
                );
            });
        }
    }

    /// The timestamp of a Unix time; past [`Timestamp::MAX`] it is that.
    #[must_use]
    pub fn to_mosaic(&self, unix: Duration) -> Timestamp {
        // The last change is nearly always the one that counts.
        let unix_s = unix.as_secs();
        let last = self.changes.iter().rev().find(|it| it.unix_s <= unix_s);
        let ahead = Duration::from_secs(last.map_or(0, |it| it.ahead_s));
        saturating_timestamp(unix.saturating_add(ahead))
    }

    /// The Unix time of a timestamp. The Unix clock has no time for a leap second: all of it is the
    /// first moment after it, so that time never runs backwards.
    #[must_use]
    pub fn to_unix(&self, timestamp: Timestamp) -> Duration {
        let moment = self.moment(timestamp);
        match moment.leap_s {
            0 => Duration::new(moment.unix_s, moment.nanos),
            _ => Duration::from_secs(moment.unix_s + 1),
        }
    }

    /// The timestamp taken apart.
    pub(super) fn moment(&self, timestamp: Timestamp) -> Moment {
        let since = Duration::from_nanos(timestamp.nanos());
        let mosaic_s = since.as_secs();
        let nanos = since.subsec_nanos();
        let after = |it: &&Change| it.mosaic_s() <= mosaic_s;
        let ahead_s = self
            .changes
            .iter()
            .rev()
            .find(after)
            .map_or(0, |it| it.ahead_s);
        let unix_s = mosaic_s - ahead_s;
        // Before the change is over on the Mosaic clock, though the Unix clock would be there.
        let in_leap = self
            .changes
            .iter()
            .rev()
            .any(|it| it.unix_s == unix_s && it.ahead_s > ahead_s);
        Moment {
            unix_s: unix_s - u64::from(in_leap),
            leap_s: u64::from(in_leap),
            nanos,
        }
    }

    /// The timestamp of a moment, or `None` where its leap second never was or it is out of range.
    pub(super) fn timestamp_of(&self, moment: Moment) -> Option<Timestamp> {
        let unix = Duration::new(moment.unix_s, moment.nanos);
        let timestamp = self
            .to_mosaic(unix)
            .plus(Duration::from_secs(moment.leap_s))?;
        (self.moment(timestamp) == moment).then_some(timestamp)
    }

    fn continues_history(&self) -> bool {
        self.changes.starts_with(&Self::builtin().changes)
    }
}

/// A line's change, or `None` for a comment.
fn change_of(content: &str, line: usize) -> Result<Option<Change>, LeapError> {
    let content = content
        .split_once('#')
        .map_or(content, |(before, _)| before);
    let mut fields = content.split_ascii_whitespace();
    let Some(time) = fields.next() else {
        return Ok(None);
    };
    let tai_s = fields.next().and_then(|field| field.parse::<u32>().ok());
    let ahead_s = tai_s.and_then(|tai_s| u64::from(tai_s).checked_sub(TAI_TO_MOSAIC_S));
    match (unix_seconds(time), ahead_s, fields.next()) {
        (Some(unix_s), Some(ahead_s), None) => Ok(Some(Change { unix_s, ahead_s })),
        _ => Err(LeapError::Line { line }),
    }
}

/// Reads seconds since 1900 as seconds since 1970.
fn unix_seconds(ntp_s: &str) -> Option<u64> {
    let ntp_s: u64 = ntp_s.trim().parse().ok()?;
    let unix_s = ntp_s.checked_sub(NTP_TO_UNIX_S)?;
    (unix_s <= MAX_UNIX_S).then_some(unix_s)
}

fn saturating_timestamp(since: Duration) -> Timestamp {
    u64::try_from(since.as_nanos())
        .ok()
        .and_then(|nanos| Timestamp::from_nanos(nanos).ok())
        .unwrap_or(Timestamp::MAX)
}

/// Why the system's table is not used.
#[derive(Debug, Error)]
enum SystemFileError {
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("is longer than a table can be")]
    TooLong,
    #[error(transparent)]
    Content(#[from] LeapError),
}

fn read_system_file() -> Result<LeapTable, SystemFileError> {
    let mut text = String::new();
    let limit = limits::LEAP_FILE_MAX_BYTES;
    let length = File::open(SYSTEM_FILE)?
        .take(limit + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(length).is_ok_and(|length| length <= limit) {
        Ok(LeapTable::parse(&text)?)
    } else {
        Err(SystemFileError::TooLong)
    }
}

/// Where tzdata keeps its table.
const SYSTEM_FILE: &str = "/usr/share/zoneinfo/leap-seconds.list";

/// Seconds from 1900-01-01, where the list counts from, to 1970-01-01.
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

/// What the list's difference (TAI − UTC) is more than Mosaic's: 10 there is 1 here.
const TAI_TO_MOSAIC_S: u64 = 9;

/// Later times than a timestamp can hold, in seconds; keeps sums far from overflow.
const MAX_UNIX_S: u64 = 1 << 34;

/// When the IERS made the built-in table, in seconds since 1900 (8 July 2025).
const BUILTIN_UPDATED_NTP_S: u64 = 3_960_835_200;

/// When the built-in table expires, in seconds since 1900 (28 June 2026).
const BUILTIN_EXPIRES_NTP_S: u64 = 3_991_593_600;

/// Seconds since 1900, and TAI − UTC from then on (IERS, `leap-seconds.list`).
const BUILTIN: [(u64, u64); 28] = [
    (2_272_060_800, 10),
    (2_287_785_600, 11),
    (2_303_683_200, 12),
    (2_335_219_200, 13),
    (2_366_755_200, 14),
    (2_398_291_200, 15),
    (2_429_913_600, 16),
    (2_461_449_600, 17),
    (2_492_985_600, 18),
    (2_524_521_600, 19),
    (2_571_782_400, 20),
    (2_603_318_400, 21),
    (2_634_854_400, 22),
    (2_698_012_800, 23),
    (2_776_982_400, 24),
    (2_840_140_800, 25),
    (2_871_676_800, 26),
    (2_918_937_600, 27),
    (2_950_473_600, 28),
    (2_982_009_600, 29),
    (3_029_443_200, 30),
    (3_076_704_000, 31),
    (3_124_137_600, 32),
    (3_345_062_400, 33),
    (3_439_756_800, 34),
    (3_550_089_600, 35),
    (3_644_697_600, 36),
    (3_692_217_600, 37),
];

#[cfg(test)]
mod tests;
