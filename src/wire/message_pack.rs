//! Shape of a MessagePack value, checked before anything is decoded from it.
//!
//! A decoder makes room for as many elements as a length claims. After this check every claimed
//! element is known to be there, so what a body makes us allocate is in proportion to its size.

use thiserror::Error;

/// Why bytes are not one whole MessagePack map within the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// More bytes than are allowed.
    #[error("too large")]
    TooLarge,
    /// The value is not a map, or there is none.
    #[error("not a map")]
    NotAMap,
    /// Maps and arrays inside each other, too many.
    #[error("nested too deeply")]
    TooDeep,
    /// A length claims more than there is.
    #[error("ends too early")]
    Truncated,
    /// Bytes behind the map.
    #[error("bytes behind the end")]
    Trailing,
    /// 0xC1, which MessagePack never uses.
    #[error("the byte 0xc1")]
    Reserved,
}

/// Checks that `body` is exactly one map. Looks at each byte once at most; reserves nothing but
/// a counter for each open map or array.
pub(super) fn check_map(body: &[u8], max_bytes: usize, max_depth: usize) -> Result<(), ShapeError> {
    if body.len() > max_bytes {
        return Err(ShapeError::TooLarge);
    }
    if !matches!(body.first(), Some(0x80..=0x8f | 0xde | 0xdf)) {
        return Err(ShapeError::NotAMap);
    }
    let mut rest = Input(body);
    // How many values each open map or array still lacks.
    let mut open: Vec<usize> = Vec::new();
    loop {
        let children = rest.value()?;
        // Each value takes a byte at least.
        if children > rest.0.len() {
            return Err(ShapeError::Truncated);
        }
        if children > 0 {
            if open.len() >= max_depth {
                return Err(ShapeError::TooDeep);
            }
            open.push(children);
            continue;
        }
        // A value is complete, and with it perhaps the maps and arrays that it is the last of.
        while let Some(lacking) = open.last_mut() {
            *lacking -= 1;
            if *lacking > 0 {
                break;
            }
            open.pop();
        }
        if open.is_empty() {
            break;
        }
    }
    if rest.0.is_empty() {
        Ok(())
    } else {
        Err(ShapeError::Trailing)
    }
}

/// What is still to be looked at.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    /// Passes over one value up to its first child; how many children it has.
    fn value(&mut self) -> Result<usize, ShapeError> {
        let marker = self.number::<1>()?;
        let small = |bits: usize| marker & ((1 << bits) - 1);
        match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Ok(0),
            0x80..=0x8f => Ok(small(4) * 2),
            0x90..=0x9f => Ok(small(4)),
            0xa0..=0xbf => self.pass(small(5)),
            0xc4 | 0xd9 => self.number::<1>().and_then(|length| self.pass(length)),
            0xc5 | 0xda => self.number::<2>().and_then(|length| self.pass(length)),
            0xc6 | 0xdb => self.number::<4>().and_then(|length| self.pass(length)),
            // An extension has a type byte before its data.
            0xc7 => self.number::<1>().and_then(|length| self.pass(length + 1)),
            0xc8 => self.number::<2>().and_then(|length| self.pass(length + 1)),
            0xc9 => self
                .number::<4>()
                .and_then(|length| self.pass(length.saturating_add(1))),
            0xcc | 0xd0 => self.pass(1),
            0xcd | 0xd1 | 0xd4 => self.pass(2),
            0xd5 => self.pass(3),
            0xca | 0xce | 0xd2 => self.pass(4),
            0xd6 => self.pass(5),
            0xcb | 0xcf | 0xd3 => self.pass(8),
            0xd7 => self.pass(9),
            0xd8 => self.pass(17),
            0xdc => self.number::<2>(),
            0xdd => self.number::<4>(),
            0xde => self.number::<2>().map(|pairs| pairs * 2),
            0xdf => self.number::<4>().map(|pairs| pairs.saturating_mul(2)),
            // Only 0xC1 is left of what one byte can be.
            _ => Err(ShapeError::Reserved),
        }
    }

    /// A big-endian number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Result<usize, ShapeError> {
        let (bytes, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(ShapeError::Truncated)?;
        self.0 = rest;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Passes over the bytes of a value without children.
    fn pass(&mut self, length: usize) -> Result<usize, ShapeError> {
        self.0 = self.0.get(length..).ok_or(ShapeError::Truncated)?;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(body: &[u8], expected: Result<(), ShapeError>) {
        assert_eq!(check_map(body, 64, 3), expected, "{body:02x?}");
    }

    #[test]
    fn each_way_to_be_wrong_is_told_apart() {
        check(&[0x80], Ok(()));
        check(&[], Err(ShapeError::NotAMap));
        check(&[0x90], Err(ShapeError::NotAMap));
        check(&[0xc0], Err(ShapeError::NotAMap));
        check(&[0x81, 0xa1, b'a'], Err(ShapeError::Truncated));
        check(&[0x81, 0xa1, b'a', 1], Ok(()));
        check(&[0x81, 0xa1, b'a', 1, 1], Err(ShapeError::Trailing));
        check(&[0x81, 0xa1, b'a', 0xc1], Err(ShapeError::Reserved));
        check(&[0x81, 0xa1, b'a', 0x91, 0x91, 1], Ok(()));
        check(
            &[0x81, 0xa1, b'a', 0x91, 0x91, 0x91, 1],
            Err(ShapeError::TooDeep),
        );
        check(&[0x81; 65], Err(ShapeError::TooLarge));
    }

    #[test]
    fn a_claimed_length_without_its_bytes_is_refused() {
        check(&[0xdf, 0xff, 0xff, 0xff, 0xff], Err(ShapeError::Truncated));
        for marker in [
            0xc4_u8, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xd9, 0xda, 0xdb, 0xdc, 0xdd,
        ] {
            let body = [0x81, 0xa0, marker, 0xff, 0xff, 0xff, 0xff];
            check(&body, Err(ShapeError::Truncated));
        }
    }

    #[test]
    fn every_marker_is_passed_over_by_its_size() {
        let sizes = [
            (0xc0, 0),
            (0xc2, 0),
            (0xc3, 0),
            (0x7f, 0),
            (0xff, 0),
            (0xca, 4),
            (0xcb, 8),
            (0xcc, 1),
            (0xcd, 2),
            (0xce, 4),
            (0xcf, 8),
            (0xd0, 1),
            (0xd1, 2),
            (0xd2, 4),
            (0xd3, 8),
            (0xd4, 2),
            (0xd5, 3),
            (0xd6, 5),
            (0xd7, 9),
            (0xd8, 17),
        ];
        for (marker, size) in sizes {
            let mut body = vec![0x81, 0xa0, marker];
            body.resize(3 + size, 0);
            check(&body, Ok(()));
            body.push(0);
            check(&body, Err(ShapeError::Trailing));
        }
    }

    proptest! {
        #[test]
        fn what_passes_the_check_is_decoded_whole(
            body in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut map = vec![0x81, 0xa0];
            map.extend(body);
            if check_map(&map, 64, 16).is_ok() {
                let mut rest = map.as_slice();
                // The decoder refuses more (text that is no UTF-8), but never reads past the end.
                let decoded: Result<serde::de::IgnoredAny, _> = rmp_serde::from_read(&mut rest);
                prop_assert!(decoded.is_err() || rest.is_empty());
            }
        }
    }
}
