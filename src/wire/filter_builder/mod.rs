//! Making filters.

use bytes::{BufMut, BytesMut};

use super::{
    filter::{
        AUTHORS, ELEMENT_HEADER_BYTES, EXCLUDE, EXCLUDED_TAGS, Filter, FilterError, HEADER_BYTES,
        INCLUDED_TAGS, KINDS, RECEIVED_SINCE, RECEIVED_UNTIL, SIGNERS, SINCE, TIMESTAMPS, UNTIL,
    },
    key::PublicKey,
    kind::Kind,
    reference::IdPrefix,
    tag::TagsBuilder,
    time::Timestamp,
};

/// Makes a filter, element by element.
///
/// Each call is one more condition. A call with an empty list is a condition that nothing meets: to
/// ask for anybody's records do not call [`authors`](Self::authors) at all. An element holds 2 032
/// bytes of values, that is 63 keys, 254 kinds or 254 timestamps, and only the two kinds of tags may
/// have several elements.
///
/// # Source
/// `mosaic-wire.md` section 6.
#[derive(Clone, Debug, Default)]
pub struct FilterBuilder {
    elements: Vec<(u8, Vec<u8>)>,
}

impl FilterBuilder {
    /// A filter that every record passes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            elements: Vec::new(),
        }
    }

    /// By one of these authors (master keys).
    #[must_use]
    pub fn authors(self, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        self.with(AUTHORS, keys.into_iter().map(|key| *key.as_bytes()))
    }

    /// Signed by one of these keys.
    #[must_use]
    pub fn signers(self, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        self.with(SIGNERS, keys.into_iter().map(|key| *key.as_bytes()))
    }

    /// Of one of these kinds.
    #[must_use]
    pub fn kinds(self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        self.with(KINDS, kinds.into_iter().map(Kind::to_bytes))
    }

    /// Dated exactly at one of these times.
    #[must_use]
    pub fn timestamps(self, timestamps: impl IntoIterator<Item = Timestamp>) -> Self {
        self.with(TIMESTAMPS, timestamps.into_iter().map(Timestamp::to_bytes))
    }

    /// With at least one of these tags. Each call is one more condition.
    #[must_use]
    pub fn tags(self, tags: TagsBuilder) -> Self {
        self.with(INCLUDED_TAGS, [tags.into_padded_bytes()])
    }

    /// Dated then or later.
    #[must_use]
    pub fn since(self, timestamp: Timestamp) -> Self {
        self.with(SINCE, [timestamp.to_bytes()])
    }

    /// Dated then or earlier.
    #[must_use]
    pub fn until(self, timestamp: Timestamp) -> Self {
        self.with(UNTIL, [timestamp.to_bytes()])
    }

    /// Received by the server then or later.
    #[must_use]
    pub fn received_since(self, timestamp: Timestamp) -> Self {
        self.with(RECEIVED_SINCE, [timestamp.to_bytes()])
    }

    /// Received by the server then or earlier.
    #[must_use]
    pub fn received_until(self, timestamp: Timestamp) -> Self {
        self.with(RECEIVED_UNTIL, [timestamp.to_bytes()])
    }

    /// None of these records.
    #[must_use]
    pub fn exclude(self, ids: impl IntoIterator<Item = IdPrefix>) -> Self {
        self.with(EXCLUDE, ids.into_iter().map(|id| id.0))
    }

    /// With none of these tags.
    #[must_use]
    pub fn exclude_tags(self, tags: TagsBuilder) -> Self {
        self.with(EXCLUDED_TAGS, [tags.into_padded_bytes()])
    }

    /// The filter.
    ///
    /// # Errors
    /// - [`FilterError::TooManyValues`]: an element's values do not fit into it.
    /// - [`FilterError::Repeated`]: an element was given twice that may stand there once.
    /// - [`FilterError::TooManyTagConditions`], [`FilterError::Length`]: too much in all.
    /// - [`FilterError::Exclude`]: an excluded prefix is not that of an ID.
    pub fn build(self) -> Result<Filter, FilterError> {
        let values = self.elements.iter().map(|(_, values)| values.len());
        let len_bytes = HEADER_BYTES + values.map(|len| ELEMENT_HEADER_BYTES + len).sum::<usize>();
        let length = u16::try_from(len_bytes).map_err(|_| FilterError::Length {
            len_bytes,
            announced_bytes: usize::from(u16::MAX),
        })?;
        let mut bytes = BytesMut::with_capacity(len_bytes);
        bytes.put_u16_le(length);
        bytes.put_bytes(0, HEADER_BYTES - 2);
        for (place, (element, values)) in self.elements.iter().enumerate() {
            self.check_repeated(*element, place)?;
            put_element(&mut bytes, *element, values)?;
        }
        Filter::parse(bytes.freeze())
    }

    fn with<V: AsRef<[u8]>>(mut self, element: u8, values: impl IntoIterator<Item = V>) -> Self {
        let mut bytes = Vec::new();
        for value in values {
            bytes.extend_from_slice(value.as_ref());
        }
        self.elements.push((element, bytes));
        self
    }

    fn check_repeated(&self, element: u8, place: usize) -> Result<(), FilterError> {
        let may_repeat = matches!(element, INCLUDED_TAGS | EXCLUDED_TAGS);
        let mut earlier = self.elements.iter().take(place);
        if !may_repeat && earlier.any(|(other, _)| *other == element) {
            return Err(FilterError::Repeated { element });
        }
        Ok(())
    }
}

fn put_element(bytes: &mut BytesMut, element: u8, values: &[u8]) -> Result<(), FilterError> {
    let words = (ELEMENT_HEADER_BYTES + values.len()) / 8;
    let words = u8::try_from(words).map_err(|_| FilterError::TooManyValues { element })?;
    bytes.put_u8(element);
    bytes.put_u8(words);
    bytes.put_bytes(0, ELEMENT_HEADER_BYTES - 2);
    bytes.put_slice(values);
    Ok(())
}

#[cfg(test)]
mod tests;
