//! The caller's filter with one of its times set anew.

use bytes::{BufMut, BytesMut};

use crate::wire::{Filter, FilterError, Timestamp};

/// A time element of filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeElement {
    Until = 0x81,
    ReceivedSince = 0x82,
    ReceivedUntil = 0x83,
}

/// `filter` with `element` set to `time`, in place of what it said about that before.
///
/// # Errors
/// [`FilterError::Length`]: the filter is so large that it has no room for one more time.
///
/// # Source
/// `mosaic-wire.md` section 6.
pub(super) fn with_time(
    filter: &Filter,
    element: TimeElement,
    time: Timestamp,
) -> Result<Filter, FilterError> {
    let kind = element as u8;
    let mut bytes = BytesMut::from(&[0; HEADER_BYTES][..]);
    for old in elements(filter.bytes()).filter(|old| old.first() != Some(&kind)) {
        bytes.put_slice(old);
    }
    bytes.put_slice(&[kind, TIME_WORDS, 0, 0, 0, 0, 0, 0]);
    bytes.put_slice(&time.to_bytes());
    let len_bytes = bytes.len();
    let length = u16::try_from(len_bytes).map_err(|_| FilterError::Length {
        len_bytes,
        announced_bytes: usize::from(u16::MAX),
    })?;
    for (to, from) in bytes.iter_mut().zip(length.to_le_bytes()) {
        *to = from;
    }
    Filter::parse(bytes.freeze())
}

/// The elements of a filter that parsed, each with its header.
fn elements(filter: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = filter.get(HEADER_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let words = rest.get(1)?;
        let (element, behind) = rest.split_at_checked(usize::from(*words) * 8)?;
        rest = behind;
        Some(element)
    })
}

const HEADER_BYTES: usize = 8;

/// A header and one timestamp.
const TIME_WORDS: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FilterBuilder, Kind};

    fn everything() -> Filter {
        FilterBuilder::new().build().unwrap()
    }

    fn time(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos).unwrap()
    }

    #[test]
    fn one_time_is_set_and_everything_else_stays() {
        let filter = FilterBuilder::new()
            .received_since(time(5))
            .kinds([Kind::CHAT_MESSAGE])
            .until(time(9))
            .build()
            .unwrap();
        let narrowed = with_time(&filter, TimeElement::ReceivedSince, time(7)).unwrap();
        assert_eq!(narrowed.received_since(), Some(time(7)));
        assert_eq!(narrowed.until(), Some(time(9)));
        assert_eq!(narrowed.kinds(), filter.kinds());
        assert_eq!(narrowed.bytes().len(), filter.bytes().len());

        let narrowed = with_time(&narrowed, TimeElement::Until, time(8)).unwrap();
        assert_eq!(narrowed.until(), Some(time(8)));
        let narrowed = with_time(&narrowed, TimeElement::ReceivedUntil, time(8)).unwrap();
        assert_eq!(narrowed.received_until(), Some(time(8)));
        assert_eq!(narrowed.received_since(), Some(time(7)));
    }

    #[test]
    fn a_filter_without_elements_gets_its_first() {
        let narrowed = with_time(&everything(), TimeElement::Until, time(1)).unwrap();
        assert_eq!(narrowed.bytes().len(), 24);
        assert_eq!(narrowed.until(), Some(time(1)));
    }

    #[test]
    fn a_filter_that_is_full_is_refused() {
        let mut bytes = vec![0xf8, 0xff, 0, 0, 0, 0, 0, 0];
        while bytes.len() < 65_528 - 16 {
            bytes.extend_from_slice(&[0x81, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        }
        bytes.extend_from_slice(&[0x84, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[0x85, 1, 0, 0, 0, 0, 0, 0]);
        let filter = Filter::parse(bytes.into()).unwrap();
        let full = with_time(&filter, TimeElement::ReceivedSince, time(1));
        assert!(matches!(full, Err(FilterError::Length { .. })), "{full:?}");
    }
}
