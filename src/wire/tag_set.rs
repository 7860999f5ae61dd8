//! Tags of a filter, sorted so that a record's tag is found by binary search.

use std::fmt;

use bytes::Bytes;

use super::tag::{Tag, TagError, Tags};

/// Where a tag lies in the bytes of its filter; their length is a u16, so both fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u16,
    length: u16,
}

impl Span {
    fn of(self, filter: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        let end = start + usize::from(self.length);
        filter.get(start..end).unwrap_or_default()
    }
}

/// Tags of one filter element: a record's tag is in the set if the whole of it is equal to one.
///
/// Sorted by their bytes, without duplicates; shares the filter's bytes.
#[derive(Clone)]
pub struct TagSet {
    filter: Bytes,
    spans: Box<[Span]>,
}

impl TagSet {
    /// The set of the tags that lie at `spans` of `filter`.
    pub(super) fn new(filter: &Bytes, mut spans: Vec<Span>) -> Self {
        spans.sort_unstable_by(|a, b| a.of(filter).cmp(b.of(filter)));
        spans.dedup_by(|a, b| a.of(filter) == b.of(filter));
        Self {
            filter: filter.clone(),
            spans: spans.into(),
        }
    }

    /// How many tags it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether it holds none; such a set of included tags matches nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The tags, sorted by their bytes.
    pub fn iter(&self) -> impl Iterator<Item = Tag<'_>> {
        let tag = |span: &Span| Tags::new(span.of(&self.filter)).next();
        self.spans.iter().filter_map(tag)
    }

    /// Whether a tag with exactly these bytes is in the set.
    #[must_use]
    pub fn contains(&self, tag: &Tag<'_>) -> bool {
        let compare = |span: &Span| span.of(&self.filter).cmp(tag.bytes());
        self.spans.binary_search_by(compare).is_ok()
    }
}

impl fmt::Debug for TagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Several sets of tags as one sorted list, so that each tag of a record is looked up once, however
/// many sets there are.
#[derive(Clone, Debug)]
pub(super) struct TagIndex {
    /// Sorted by the tag's bytes, without duplicates; with each tag the sets that hold it.
    entries: Box<[(Span, SetBits)]>,
    /// Every set there is.
    sets: SetBits,
}

/// One bit for each set.
type SetBits = u64;

impl TagIndex {
    /// The index of at most 64 sets of tags of one filter.
    pub(super) fn new(filter: &[u8], sets: &[TagSet]) -> Self {
        let bits = || (0..SetBits::BITS).map(|number| 1 << number);
        let mut entries: Vec<(Span, SetBits)> = bits()
            .zip(sets)
            .flat_map(|(bit, set)| set.spans.iter().map(move |span| (*span, bit)))
            .collect();
        entries.sort_unstable_by(|(a, _), (b, _)| a.of(filter).cmp(b.of(filter)));
        entries.dedup_by(|(span, bits), (kept, kept_bits)| {
            let is_same = span.of(filter) == kept.of(filter);
            if is_same {
                *kept_bits |= *bits;
            }
            is_same
        });
        Self {
            entries: entries.into(),
            sets: bits().zip(sets).fold(0, |all, (bit, _)| all | bit),
        }
    }

    /// Whether every set holds one of `tags`.
    pub(super) fn all_hold_one_of(&self, filter: &[u8], tags: Tags<'_>) -> bool {
        let mut missing = self.sets;
        if missing == 0 {
            return true;
        }
        for tag in tags {
            missing &= !self.sets_with(filter, &tag);
            if missing == 0 {
                return true;
            }
        }
        false
    }

    /// The sets that hold `tag`.
    fn sets_with(&self, filter: &[u8], tag: &Tag<'_>) -> SetBits {
        let compare = |(span, _): &(Span, SetBits)| span.of(filter).cmp(tag.bytes());
        let found = self.entries.binary_search_by(compare).ok();
        found
            .and_then(|place| self.entries.get(place))
            .map_or(0, |(_, sets)| *sets)
    }
}

/// Finds the tags of the area that starts at byte `at` of the filter.
///
/// # Errors
/// [`TagError`]: the area is not well-formed to its end, padding included.
pub(super) fn spans(area: &[u8], at: usize) -> Result<Vec<Span>, TagError> {
    let mut start = at;
    let tags = Tags::parse_strict(area)?;
    tags.map(|tag| {
        let length = tag.bytes().len();
        let span = (u16::try_from(start), u16::try_from(length));
        start += length;
        match span {
            (Ok(start), Ok(length)) => Ok(Span { start, length }),
            _ => Err(TagError::Overrun),
        }
    })
    .collect()
}
