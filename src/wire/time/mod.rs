//! Timestamps: nanoseconds since 1970, leap seconds counted.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use thiserror::Error;

use super::{
    civil::Date,
    leap::{LeapTable, Moment},
};

/// Why a number or text is no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TimeError {
    /// The first bit is set.
    #[error("timestamp has its first bit set")]
    FirstBit,
    /// The text is neither a count of nanoseconds nor a time as RFC 3339 writes it.
    #[error("neither nanoseconds nor a time like 2025-01-31T12:00:00Z")]
    Text,
    /// There was no such day, or no leap second at that time.
    #[error("no such time")]
    NoSuchTime,
    /// Before 1970, or after what 63 bits of nanoseconds reach (April 2262).
    #[error("time is out of range")]
    Range,
}

/// A moment: nanoseconds since 1970-01-01 UTC including leap seconds, below 2^63.
///
/// On the wire 8 bytes, big-endian, the first bit 0. Printed like `2025-01-31T12:00:00.000000000Z`,
/// a leap second as `:60`; read in that form with any offset and up to 9 digits of a second, or as
/// the count.
///
/// # Source
/// `mosaic-wire.md` section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The earliest moment, 1970-01-01.
    pub const MIN: Self = Self(0);

    /// The latest moment, in April 2262.
    pub const MAX: Self = Self(u64::MAX >> 1);

    /// The timestamp with that count of nanoseconds.
    ///
    /// # Errors
    /// [`TimeError::FirstBit`]: it is 2^63 or more.
    pub const fn from_nanos(nanos: u64) -> Result<Self, TimeError> {
        if nanos <= Self::MAX.0 {
            Ok(Self(nanos))
        } else {
            Err(TimeError::FirstBit)
        }
    }

    /// The timestamp with those 8 bytes, big-endian.
    ///
    /// # Errors
    /// [`TimeError::FirstBit`]: the first bit is set.
    pub const fn from_bytes(bytes: [u8; 8]) -> Result<Self, TimeError> {
        Self::from_nanos(u64::from_be_bytes(bytes))
    }

    /// A timestamp whose bytes went through [`from_bytes`](Self::from_bytes) before.
    pub(super) const fn from_checked(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// The 8 bytes, big-endian, so that their order is the order of time.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The count of nanoseconds.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The time of the system's clock.
    #[must_use]
    pub fn now() -> Self {
        // A clock before 1970 is a machine without a battery before its first synchronisation.
        let unix = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let table = LeapTable::current();
        table.warn_if_expired(unix);
        table.to_mosaic(unix)
    }

    /// The timestamp of a Unix time, by the process's table of leap seconds; past
    /// [`MAX`](Self::MAX) it is that.
    #[must_use]
    pub fn from_unix(unix: Duration) -> Self {
        LeapTable::current().to_mosaic(unix)
    }

    /// The Unix time of the timestamp, by the process's table of leap seconds; all of a leap second
    /// is the first moment after it.
    #[must_use]
    pub fn to_unix(self) -> Duration {
        LeapTable::current().to_unix(self)
    }

    /// The moment `span` later, or [`MAX`](Self::MAX).
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        self.plus(span).unwrap_or(Self::MAX)
    }

    /// The moment `span` earlier, or [`MIN`](Self::MIN).
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }

    /// The time that passed since `earlier`; none if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `span` later, if it is in range.
    pub(super) fn plus(self, span: Duration) -> Option<Self> {
        let nanos = u64::try_from(span.as_nanos()).ok()?;
        Self::from_nanos(self.0.checked_add(nanos)?).ok()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = LeapTable::current().moment(*self);
        let Date { year, month, day } = Date::from_days(moment.unix_s / DAY_S);
        let second_of_day = moment.unix_s % DAY_S;
        let hour = second_of_day / 3_600;
        let minute = second_of_day / 60 % 60;
        let second = second_of_day % 60 + moment.leap_s;
        let nanos = moment.nanos;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z"
        )
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
            let nanos = text.parse().map_err(|_| TimeError::Range)?;
            return Self::from_nanos(nanos).map_err(|_| TimeError::Range);
        }
        let parts = Rfc3339::read(text).ok_or(TimeError::Text)?;
        LeapTable::current()
            .timestamp_of(parts.moment()?)
            .ok_or(TimeError::NoSuchTime)
    }
}

/// The numbers of a time as RFC 3339 writes it, each in its own range, not yet a time that was.
struct Rfc3339 {
    date: Date,
    hour: u64,
    minute: u64,
    second: u64,
    nanos: u32,
    /// Minutes by which local time is ahead of (`+`) or behind (`-`) UTC.
    offset_minutes: u64,
    is_behind: bool,
}

impl Rfc3339 {
    fn read(text: &str) -> Option<Self> {
        let mut rest = text.as_bytes();
        let year = digits(&mut rest, 4)?;
        let month = one_of(&mut rest, b"-").and_then(|_| digits(&mut rest, 2))?;
        let day = one_of(&mut rest, b"-").and_then(|_| digits(&mut rest, 2))?;
        let hour = one_of(&mut rest, b"Tt ").and_then(|_| digits(&mut rest, 2))?;
        let minute = one_of(&mut rest, b":").and_then(|_| digits(&mut rest, 2))?;
        let second = one_of(&mut rest, b":").and_then(|_| digits(&mut rest, 2))?;
        let nanos = fraction(&mut rest)?;
        let (offset_minutes, is_behind) = match one_of(&mut rest, b"Zz+-")? {
            b'Z' | b'z' => (0, false),
            sign => (offset(&mut rest)?, sign == b'-'),
        };
        let in_range = hour < 24 && minute < 60 && second <= 60 && rest.is_empty();
        in_range.then_some(Self {
            date: Date { year, month, day },
            hour,
            minute,
            second,
            nanos,
            offset_minutes,
            is_behind,
        })
    }

    fn moment(&self) -> Result<Moment, TimeError> {
        if self.date.year < 1970 {
            return Err(TimeError::Range);
        }
        let days = self.date.days().ok_or(TimeError::NoSuchTime)?;
        let leap_s = u64::from(self.second == 60);
        let local_s = days * DAY_S + self.hour * 3_600 + self.minute * 60 + self.second - leap_s;
        let offset_s = self.offset_minutes * 60;
        let unix_s = if self.is_behind {
            Some(local_s + offset_s)
        } else {
            local_s.checked_sub(offset_s)
        };
        let unix_s = unix_s.filter(|unix_s| *unix_s <= LAST_UNIX_S);
        Ok(Moment {
            unix_s: unix_s.ok_or(TimeError::Range)?,
            leap_s,
            nanos: self.nanos,
        })
    }
}

/// The next byte, if it is one of `allowed`.
fn one_of(rest: &mut &[u8], allowed: &[u8]) -> Option<u8> {
    let (byte, behind) = rest.split_first()?;
    allowed.contains(byte).then(|| {
        *rest = behind;
        *byte
    })
}

/// The next `count` bytes as a decimal number.
fn digits(rest: &mut &[u8], count: usize) -> Option<u64> {
    let (number, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    number.iter().try_fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A point and 1 to 9 digits as nanoseconds, or 0 where there is no point.
fn fraction(rest: &mut &[u8]) -> Option<u32> {
    if one_of(rest, b".").is_none() {
        return Some(0);
    }
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let missing = 9_u32.checked_sub(u32::try_from(count).ok()?)?;
    let value = digits(rest, count).filter(|_| count > 0)?;
    u32::try_from(value * 10_u64.pow(missing)).ok()
}

/// `hh:mm` as minutes.
fn offset(rest: &mut &[u8]) -> Option<u64> {
    let hours = digits(rest, 2)?;
    let minutes = one_of(rest, b":").and_then(|_| digits(rest, 2))?;
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// Seconds of a day without a leap second.
const DAY_S: u64 = 86_400;

/// Unix seconds past which no timestamp lies.
const LAST_UNIX_S: u64 = Timestamp::MAX.0 / 1_000_000_000;

#[cfg(test)]
mod tests;
