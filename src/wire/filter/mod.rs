//! Filters: which records a query or subscription asks for. Read here; made in `filter_builder.rs`.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use thiserror::Error;

use super::{
    key::{KeyError, PublicKey},
    kind::{Kind, KindError},
    record::RecordRef,
    tag::TagError,
    tag_set::{self, Span, TagIndex, TagSet},
    time::{TimeError, Timestamp},
};
use crate::base::limits;

/// Why bytes are no filter, or a filter cannot be made. `element` is the type of the element at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// There is no whole header.
    #[error("filter of {len_bytes} bytes is too short")]
    TooShort {
        /// Length of the filter.
        len_bytes: usize,
    },
    /// The header announces another length, or one that is not a multiple of 8.
    #[error("filter has {len_bytes} bytes, its header announces {announced_bytes}")]
    Length {
        /// Length of the filter.
        len_bytes: usize,
        /// What the header says.
        announced_bytes: usize,
    },
    /// An element type that is not defined.
    #[error("filter element {element:#04x} is unknown")]
    UnknownElement {
        /// Type of the element.
        element: u8,
    },
    /// An element whose length is 0 words, so that it does not even hold its own header.
    #[error("filter element {element:#04x} has no length")]
    ZeroLength {
        /// Type of the element.
        element: u8,
    },
    /// An element reaches past the end of the filter.
    #[error("filter element {element:#04x} reaches past the end of the filter")]
    Overrun {
        /// Type of the element.
        element: u8,
    },
    /// The values do not fill the element, or are not exactly one where there must be one.
    #[error("filter element {element:#04x} does not hold whole values")]
    ValueSize {
        /// Type of the element.
        element: u8,
    },
    /// A key is not allowed.
    #[error("key in filter element {element:#04x}")]
    Key {
        /// Type of the element.
        element: u8,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A kind is not allowed.
    #[error("kind in filter")]
    Kind(#[from] KindError),
    /// A timestamp is none.
    #[error("timestamp in filter element {element:#04x}")]
    Timestamp {
        /// Type of the element.
        element: u8,
        /// What is wrong with it.
        source: TimeError,
    },
    /// An excluded ID has its first bit set, so it is none.
    #[error("excluded id in filter is none")]
    Exclude,
    /// Tags are malformed.
    #[error("tags in filter element {element:#04x}")]
    Tags {
        /// Type of the element.
        element: u8,
        /// What is wrong with them.
        source: TagError,
    },
    /// More than [`limits::FILTER_TAG_CONDITIONS_MAX`] elements of included tags.
    #[error("filter has too many elements of included tags")]
    TooManyTagConditions,
    /// More values were given than an element holds (only when a filter is made).
    #[error("filter element {element:#04x} cannot hold that many values")]
    TooManyValues {
        /// Type of the element.
        element: u8,
    },
    /// An element was given twice of which only the first would count (only when a filter is made).
    #[error("filter element {element:#04x} was given twice")]
    Repeated {
        /// Type of the element.
        element: u8,
    },
}

/// Which records are asked for: those that pass every element.
///
/// 8 bytes of header (`0..2` u16 little-endian whole length, others ignored), then elements of one
/// header (`0` type, `1` length in words of 8 bytes, others ignored) and values. Cloning copies
/// nothing.
///
/// An element without values is an empty set: as a condition nothing passes it, as an exclusion
/// everything does.
///
/// # Source
/// `mosaic-wire.md` section 6.
#[derive(Clone)]
pub struct Filter {
    parts: Arc<Parts>,
}

impl Filter {
    /// Reads a filter. The bytes are the filter exactly, nothing behind it.
    ///
    /// # Errors
    /// [`FilterError`]: what is wrong first.
    pub fn parse(bytes: Bytes) -> Result<Self, FilterError> {
        let mut rest = check_header(&bytes)?;
        let mut parts = Parts::default();
        let mut tags = TagSpans::default();
        while !rest.is_empty() {
            let at = bytes.len() - rest.len() + ELEMENT_HEADER_BYTES;
            let (element, behind) = Element::split_from(rest)?;
            parts.add(&element, at, &mut tags)?;
            rest = behind;
        }
        let sets = tags.included.into_iter();
        parts.included = sets.map(|spans| TagSet::new(&bytes, spans)).collect();
        parts.included_index = Some(TagIndex::new(&bytes, &parts.included));
        parts.excluded_tags = Some(TagSet::new(&bytes, tags.excluded)).filter(|it| !it.is_empty());
        parts.bytes = bytes;
        Ok(Self {
            parts: Arc::new(parts),
        })
    }

    /// The whole filter.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.parts.bytes
    }

    /// Whether an element narrows it down enough for an index; a server may refuse one without
    /// (`TOO_OPEN`).
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        let parts = &self.parts;
        parts.authors.is_some()
            || parts.signers.is_some()
            || parts.kinds.is_some()
            || parts.timestamps.is_some()
            || !parts.included.is_empty()
    }

    /// Whether a record passes that this server received at `received`.
    #[must_use]
    pub fn matches(&self, record: &RecordRef<'_>, received: Timestamp) -> bool {
        // What is cheapest to ask comes first; tags cost a look-up each.
        self.passes_times(record.timestamp(), received)
            && passes(self.kinds(), &record.kind().to_bytes())
            && passes(self.authors(), record.author().as_bytes())
            && passes(self.signers(), record.signer().as_bytes())
            && passes(self.timestamps(), &record.timestamp())
            && !self.excludes(record)
            && self.passes_tags(record)
    }

    /// Authors' master keys, sorted, if the filter restricts them.
    #[must_use]
    pub fn authors(&self) -> Option<&[[u8; 32]]> {
        self.parts.authors.as_deref()
    }

    /// Signing keys, sorted, if the filter restricts them.
    #[must_use]
    pub fn signers(&self) -> Option<&[[u8; 32]]> {
        self.parts.signers.as_deref()
    }

    /// Kinds as their big-endian bytes, sorted, if the filter restricts them.
    #[must_use]
    pub fn kinds(&self) -> Option<&[[u8; 8]]> {
        self.parts.kinds.as_deref()
    }

    /// Exact timestamps, sorted, if the filter restricts them.
    #[must_use]
    pub fn timestamps(&self) -> Option<&[Timestamp]> {
        self.parts.timestamps.as_deref()
    }

    /// Sets of tags, of each of which a record must have one.
    #[must_use]
    pub fn included_tags(&self) -> &[TagSet] {
        &self.parts.included
    }

    /// Earliest timestamp of a record.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.parts.since
    }

    /// Latest timestamp of a record.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.parts.until
    }

    /// Earliest time at which this server received a record.
    #[must_use]
    pub fn received_since(&self) -> Option<Timestamp> {
        self.parts.received_since
    }

    /// Latest time at which this server received a record.
    #[must_use]
    pub fn received_until(&self) -> Option<Timestamp> {
        self.parts.received_until
    }

    fn passes_times(&self, timestamp: Timestamp, received: Timestamp) -> bool {
        let parts = &self.parts;
        parts.since.is_none_or(|since| timestamp >= since)
            && parts.until.is_none_or(|until| timestamp <= until)
            && parts.received_since.is_none_or(|since| received >= since)
            && parts.received_until.is_none_or(|until| received <= until)
    }

    fn excludes(&self, record: &RecordRef<'_>) -> bool {
        let ids = self.parts.excluded.as_deref();
        ids.is_some_and(|ids| ids.binary_search(&record.id().prefix().0).is_ok())
    }

    fn passes_tags(&self, record: &RecordRef<'_>) -> bool {
        let parts = &self.parts;
        let index = parts.included_index.as_ref();
        let excluded = parts.excluded_tags.as_ref();
        index.is_none_or(|index| index.all_hold_one_of(&parts.bytes, record.tags()))
            && excluded.is_none_or(|set| !record.tags().any(|tag| set.contains(&tag)))
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Filter {}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("bytes", &self.bytes().len())
            .field("is_narrow", &self.is_narrow())
            .finish_non_exhaustive()
    }
}

/// What a filter says, sorted for look-up.
#[derive(Default)]
struct Parts {
    bytes: Bytes,
    authors: Option<Box<[[u8; 32]]>>,
    signers: Option<Box<[[u8; 32]]>>,
    kinds: Option<Box<[[u8; 8]]>>,
    timestamps: Option<Box<[Timestamp]>>,
    included: Box<[TagSet]>,
    included_index: Option<TagIndex>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    received_since: Option<Timestamp>,
    received_until: Option<Timestamp>,
    excluded: Option<Box<[[u8; 32]]>>,
    excluded_tags: Option<TagSet>,
}

/// Tags found while a filter is read.
#[derive(Default)]
struct TagSpans {
    included: Vec<Vec<Span>>,
    excluded: Vec<Span>,
}

impl Parts {
    /// Takes in an element whose values start at byte `at` of the filter.
    fn add(
        &mut self,
        element: &Element<'_>,
        at: usize,
        tags: &mut TagSpans,
    ) -> Result<(), FilterError> {
        match element.kind {
            AUTHORS => first(&mut self.authors, || element.keys()),
            SIGNERS => first(&mut self.signers, || element.keys()),
            KINDS => first(&mut self.kinds, || element.kinds()),
            TIMESTAMPS => first(&mut self.timestamps, || element.timestamps()),
            SINCE => first(&mut self.since, || element.timestamp()),
            UNTIL => first(&mut self.until, || element.timestamp()),
            RECEIVED_SINCE => first(&mut self.received_since, || element.timestamp()),
            RECEIVED_UNTIL => first(&mut self.received_until, || element.timestamp()),
            EXCLUDE => first(&mut self.excluded, || element.id_prefixes()),
            INCLUDED_TAGS if tags.included.len() == limits::FILTER_TAG_CONDITIONS_MAX => {
                Err(FilterError::TooManyTagConditions)
            }
            INCLUDED_TAGS => {
                tags.included.push(element.tags(at)?);
                Ok(())
            }
            EXCLUDED_TAGS => {
                tags.excluded.extend(element.tags(at)?);
                Ok(())
            }
            element => Err(FilterError::UnknownElement { element }),
        }
    }
}

/// Fills `slot` from the first element of its type; a second one is ignored, unread.
fn first<T>(
    slot: &mut Option<T>,
    read: impl FnOnce() -> Result<T, FilterError>,
) -> Result<(), FilterError> {
    if slot.is_none() {
        *slot = Some(read()?);
    }
    Ok(())
}

/// One element: its type, and its values as bytes.
struct Element<'a> {
    kind: u8,
    values: &'a [u8],
}

impl<'a> Element<'a> {
    /// The first element of `rest`, and what stands behind it.
    fn split_from(rest: &'a [u8]) -> Result<(Self, &'a [u8]), FilterError> {
        let len_bytes = rest.len();
        let ([kind, words, ..], _) = rest
            .split_first_chunk::<ELEMENT_HEADER_BYTES>()
            .ok_or(FilterError::TooShort { len_bytes })?;
        let (element, kind) = (*kind, *kind);
        let (whole, behind) = rest
            .split_at_checked(usize::from(*words) * 8)
            .ok_or(FilterError::Overrun { element })?;
        let (_, values) = whole
            .split_at_checked(ELEMENT_HEADER_BYTES)
            .ok_or(FilterError::ZeroLength { element })?;
        Ok((Self { kind, values }, behind))
    }

    /// The values, each `N` bytes.
    fn whole<const N: usize>(&self) -> Result<&'a [[u8; N]], FilterError> {
        match self.values.as_chunks() {
            (values, []) => Ok(values),
            _ => Err(FilterError::ValueSize { element: self.kind }),
        }
    }

    fn keys(&self) -> Result<Box<[[u8; 32]]>, FilterError> {
        let element = self.kind;
        let keys = self.whole()?;
        for key in keys {
            PublicKey::from_bytes(key).map_err(|source| FilterError::Key { element, source })?;
        }
        Ok(sorted(keys.to_vec()))
    }

    fn kinds(&self) -> Result<Box<[[u8; 8]]>, FilterError> {
        let kinds = self.whole()?;
        for kind in kinds {
            Kind::from_bytes(*kind)?;
        }
        Ok(sorted(kinds.to_vec()))
    }

    fn timestamps(&self) -> Result<Box<[Timestamp]>, FilterError> {
        let element = self.kind;
        let timestamps = self.whole()?.iter().copied().map(Timestamp::from_bytes);
        let timestamps: Result<Vec<Timestamp>, TimeError> = timestamps.collect();
        match timestamps {
            Ok(timestamps) => Ok(sorted(timestamps)),
            Err(source) => Err(FilterError::Timestamp { element, source }),
        }
    }

    fn timestamp(&self) -> Result<Timestamp, FilterError> {
        let element = self.kind;
        match self.whole()? {
            [one] => Timestamp::from_bytes(*one)
                .map_err(|source| FilterError::Timestamp { element, source }),
            _ => Err(FilterError::ValueSize { element }),
        }
    }

    fn id_prefixes(&self) -> Result<Box<[[u8; 32]]>, FilterError> {
        let ids = self.whole::<32>()?;
        if ids.iter().any(|id| id[0] & 0x80 != 0) {
            return Err(FilterError::Exclude);
        }
        Ok(sorted(ids.to_vec()))
    }

    fn tags(&self, at: usize) -> Result<Vec<Span>, FilterError> {
        let element = self.kind;
        tag_set::spans(self.values, at).map_err(|source| FilterError::Tags { element, source })
    }
}

/// What stands behind the header, if that announces exactly these bytes.
fn check_header(bytes: &[u8]) -> Result<&[u8], FilterError> {
    let len_bytes = bytes.len();
    let ([low, high, ..], rest) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(FilterError::TooShort { len_bytes })?;
    let announced_bytes = usize::from(u16::from_le_bytes([*low, *high]));
    if announced_bytes != len_bytes || !len_bytes.is_multiple_of(8) {
        return Err(FilterError::Length {
            len_bytes,
            announced_bytes,
        });
    }
    Ok(rest)
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Box<[T]> {
    values.sort_unstable();
    values.dedup();
    values.into()
}

/// Whether a condition that may be absent holds for `value`.
fn passes<T: Ord>(allowed: Option<&[T]>, value: &T) -> bool {
    allowed.is_none_or(|allowed| allowed.binary_search(value).is_ok())
}

pub(super) const HEADER_BYTES: usize = 8;
pub(super) const ELEMENT_HEADER_BYTES: usize = 8;

pub(super) const AUTHORS: u8 = 0x1;
pub(super) const SIGNERS: u8 = 0x2;
pub(super) const KINDS: u8 = 0x3;
pub(super) const TIMESTAMPS: u8 = 0x4;
pub(super) const INCLUDED_TAGS: u8 = 0x5;
pub(super) const SINCE: u8 = 0x80;
pub(super) const UNTIL: u8 = 0x81;
pub(super) const RECEIVED_SINCE: u8 = 0x82;
pub(super) const RECEIVED_UNTIL: u8 = 0x83;
pub(super) const EXCLUDE: u8 = 0x84;
pub(super) const EXCLUDED_TAGS: u8 = 0x85;

const _: () = assert!(limits::FILTER_TAG_CONDITIONS_MAX <= 64, "one bit each");

#[cfg(test)]
mod tests;
