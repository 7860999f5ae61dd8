//! Positions in the record log.

use std::fmt;

/// Place of one entry in the record log: a dense count that starts at 1.
///
/// `Seq::ZERO` is no entry; it is the tail of an empty log and a position before every entry.
/// Positions never leave the process: nothing on the wire or in a client's file depends on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// The position before the first entry.
    pub const ZERO: Self = Self(0);

    /// A position no entry ever reaches.
    pub const MAX: Self = Self(u64::MAX);

    /// The position with that count.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// The count.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one; `Seq::MAX` stays where it is.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one; `Seq::ZERO` stays where it is.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Big-endian bytes, so that the order of bytes is the order of age.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The position whose [`to_be_bytes`](Self::to_be_bytes) these are.
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
