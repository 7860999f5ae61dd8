//! What a record is: its application, its place in it, and how it is kept and who reads it.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// Why a number or text is no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KindError {
    /// A flag bit is set that has no meaning.
    #[error("kind has a reserved flag set")]
    ReservedFlags,
    /// The read access is the value that is not in use.
    #[error("kind has the reserved read access")]
    ReservedAccess,
    /// The text is neither a known name nor 16 hexadecimal digits.
    #[error("kind is neither a known name nor 16 hexadecimal digits")]
    Text,
}

/// What happens to records that share an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duplicates {
    /// Each is a thing of its own; all are kept.
    Unique,
    /// Delivered to current subscribers only, never stored.
    Ephemeral,
    /// Only the one with the latest timestamp is served.
    Replaceable,
    /// All are kept, as a history.
    Versioned,
}

/// Who may read a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadAccess {
    /// The author.
    AuthorOnly,
    /// The author and the keys that its notify tags name.
    AuthorAndTagged,
    /// Everybody.
    Everybody,
}

/// The kind of a record.
///
/// 8 bytes, big-endian:
///
/// | bytes  | field                                                                     |
/// |--------|---------------------------------------------------------------------------|
/// | `0..4` | application ID                                                            |
/// | `4..6` | the application's number for it                                           |
/// | `6..8` | flags: bits 1–0 [`Duplicates`], 3–2 [`ReadAccess`], 4 printable, others 0 |
///
/// Printed as 16 hexadecimal digits; the kinds that have a constant here are also read by name.
///
/// # Source
/// `mosaic-wire.md` section 3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u64);

impl Kind {
    /// A master key's list of subkeys.
    pub const KEY_SCHEDULE: Self = Self(0x0000_0000_0001_000e);
    /// What a user says about themselves.
    pub const PROFILE: Self = Self(0x0000_0000_0002_000e);
    /// A short public text that starts a thread.
    pub const MICROBLOG_ROOT: Self = Self(0x0000_0001_0001_001c);
    /// An answer to another record.
    pub const REPLY_COMMENT: Self = Self(0x0000_0001_0002_001c);
    /// A long public text.
    pub const BLOG_POST: Self = Self(0x0000_0001_0003_001c);
    /// A line in a chat, posted to the server of the chat.
    pub const CHAT_MESSAGE: Self = Self(0x0000_0001_0004_001c);

    /// The kind with that number.
    ///
    /// # Errors
    /// - [`KindError::ReservedFlags`]: one of bits 15–5 is set.
    /// - [`KindError::ReservedAccess`]: bits 3–2 are `10`.
    pub const fn new(number: u64) -> Result<Self, KindError> {
        if number & RESERVED_BITS != 0 {
            return Err(KindError::ReservedFlags);
        }
        if number & ACCESS_BITS == RESERVED_ACCESS {
            return Err(KindError::ReservedAccess);
        }
        Ok(Self(number))
    }

    /// The kind with those 8 bytes, big-endian.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub const fn from_bytes(bytes: [u8; 8]) -> Result<Self, KindError> {
        Self::new(u64::from_be_bytes(bytes))
    }

    /// A kind whose bytes went through [`from_bytes`](Self::from_bytes) before.
    pub(super) const fn from_checked(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// The 8 bytes, big-endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The application ID.
    #[must_use]
    pub const fn app(self) -> u32 {
        let [a, b, c, d, ..] = self.to_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The application's own number for this kind.
    #[must_use]
    pub const fn number(self) -> u16 {
        let [_, _, _, _, e, f, ..] = self.to_bytes();
        u16::from_be_bytes([e, f])
    }

    /// What happens to records of this kind that share an address.
    #[must_use]
    pub const fn duplicates(self) -> Duplicates {
        match self.0 & DUPLICATES_BITS {
            0b00 => Duplicates::Unique,
            0b01 => Duplicates::Ephemeral,
            0b10 => Duplicates::Replaceable,
            _ => Duplicates::Versioned,
        }
    }

    /// Who may read records of this kind.
    #[must_use]
    pub const fn access(self) -> ReadAccess {
        match self.0 & ACCESS_BITS {
            0b0000 => ReadAccess::AuthorOnly,
            0b0100 => ReadAccess::AuthorAndTagged,
            _ => ReadAccess::Everybody,
        }
    }

    /// Whether the payload is text for people, in UTF-8.
    #[must_use]
    pub const fn is_printable(self) -> bool {
        self.0 & PRINTABLE_BIT != 0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({self})")
    }
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        if let Some((_, kind)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*kind);
        }
        let is_hex = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        match u64::from_str_radix(text, 16) {
            Ok(number) if is_hex => Self::new(number),
            _ => Err(KindError::Text),
        }
    }
}

const DUPLICATES_BITS: u64 = 0b11;
const ACCESS_BITS: u64 = 0b1100;
const RESERVED_ACCESS: u64 = 0b1000;
const PRINTABLE_BIT: u64 = 1 << 4;
const RESERVED_BITS: u64 = 0xffe0;

/// Kinds by the names under which [`FromStr`] knows them.
const NAMES: [(&str, Kind); 6] = [
    ("key-schedule", Kind::KEY_SCHEDULE),
    ("profile", Kind::PROFILE),
    ("microblog", Kind::MICROBLOG_ROOT),
    ("reply", Kind::REPLY_COMMENT),
    ("blog", Kind::BLOG_POST),
    ("chat", Kind::CHAT_MESSAGE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_kind_are_where_the_specification_puts_them() {
        let kind = Kind::new(0x0000_0063_000a_001f).unwrap();
        assert_eq!((kind.app(), kind.number()), (99, 10));
        assert_eq!(kind.duplicates(), Duplicates::Versioned);
        assert_eq!(kind.access(), ReadAccess::Everybody);
        assert!(kind.is_printable());
        assert_eq!(kind.to_bytes(), [0, 0, 0, 0x63, 0, 0x0a, 0, 0x1f]);
        assert_eq!(Kind::from_bytes(kind.to_bytes()), Ok(kind));
    }

    #[test]
    fn every_value_of_the_flags_means_what_the_table_says() {
        let duplicates = |flags| Kind::new(flags).unwrap().duplicates();
        assert_eq!(duplicates(0b00), Duplicates::Unique);
        assert_eq!(duplicates(0b01), Duplicates::Ephemeral);
        assert_eq!(duplicates(0b10), Duplicates::Replaceable);
        assert_eq!(duplicates(0b11), Duplicates::Versioned);
        let access = |flags| Kind::new(flags).map(Kind::access);
        assert_eq!(access(0b0000), Ok(ReadAccess::AuthorOnly));
        assert_eq!(access(0b0100), Ok(ReadAccess::AuthorAndTagged));
        assert_eq!(access(0b1000), Err(KindError::ReservedAccess));
        assert_eq!(access(0b1100), Ok(ReadAccess::Everybody));
    }

    #[test]
    fn each_reserved_bit_alone_is_refused() {
        for bit in 0..64 {
            let expected = match bit {
                3 => Err(KindError::ReservedAccess),
                5..=15 => Err(KindError::ReservedFlags),
                _ => Ok(()),
            };
            assert_eq!(Kind::new(1 << bit).map(|_| ()), expected, "bit {bit}");
        }
    }

    #[test]
    fn the_known_kinds_are_allowed_ones() {
        for (name, kind) in NAMES {
            assert_eq!(Kind::from_bytes(kind.to_bytes()), Ok(kind), "{name}");
            assert_eq!(name.parse(), Ok(kind));
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!(Kind::KEY_SCHEDULE.duplicates(), Duplicates::Replaceable);
        assert_eq!(Kind::KEY_SCHEDULE.access(), ReadAccess::Everybody);
    }

    #[test]
    fn a_text_that_is_no_kind_is_refused() {
        for text in [
            "",
            "microblogs",
            "1c",
            "+00000010001001c",
            "000000010001001c0",
        ] {
            assert_eq!(text.parse::<Kind>(), Err(KindError::Text), "{text}");
        }
        let reserved = "0000000100010020".parse::<Kind>();
        assert_eq!(reserved, Err(KindError::ReservedFlags));
    }
}
