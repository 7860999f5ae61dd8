//! The part of DER that a certificate's outline needs, read without any leniency.

/// Why bytes are not DER, or not the expected element of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotDer;

/// Reads elements one after the other.
///
/// Lengths must be definite and as short as possible, and [`end`](Self::end) refuses anything left
/// over, so one certificate has one encoding. The general parsers at hand let longer lengths and
/// left-over bytes pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// One element: its content, and the whole of it with tag and length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) content: &'a [u8],
    pub(super) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next element, if its tag is `tag`.
    pub(super) fn element(&mut self, tag: u8) -> Result<Element<'a>, NotDer> {
        self.optional(tag)?.ok_or(NotDer)
    }

    /// The next element if its tag is `tag`; otherwise nothing is read.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, NotDer> {
        if self.rest.first() != Some(&tag) {
            return Ok(None);
        }
        let (element, rest) = split_element(self.rest)?;
        self.rest = rest;
        Ok(Some(element))
    }

    /// Refuses bytes that are left over.
    pub(super) fn end(self) -> Result<(), NotDer> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(NotDer)
        }
    }
}

/// Splits off the first element. Tags of more than one byte and lengths above 65 535 do not occur
/// in a certificate of the size that is accepted.
fn split_element(bytes: &[u8]) -> Result<(Element<'_>, &[u8]), NotDer> {
    let (content_len, header_len) = match *bytes {
        [tag, ..] if tag & 0x1f == 0x1f => return Err(NotDer),
        [_, len @ 0..=0x7f, ..] => (usize::from(len), 2),
        [_, 0x81, len @ 0x80..=0xff, ..] => (usize::from(len), 3),
        [_, 0x82, high @ 0x01..=0xff, low, ..] => (usize::from(u16::from_be_bytes([high, low])), 4),
        _ => return Err(NotDer),
    };
    let (whole, rest) = bytes
        .split_at_checked(header_len + content_len)
        .ok_or(NotDer)?;
    let (_, content) = whole.split_at_checked(header_len).ok_or(NotDer)?;
    Ok((Element { content, whole }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<&[u8], NotDer>) {
        let mut reader = Reader::new(bytes);
        let content = reader.element(0x04).and_then(|element| {
            reader.end()?;
            Ok(element.content)
        });
        assert_eq!(content, expected, "{bytes:02x?}");
    }

    #[test]
    fn only_the_shortest_definite_length_is_read() {
        check(&[0x04, 0x02, 7, 8], Ok(&[7, 8]));
        check(&[0x04, 0x00], Ok(&[]));
        check(&[0x04, 0x81, 0x02, 7, 8], Err(NotDer));
        check(&[0x04, 0x82, 0x00, 0x02, 7, 8], Err(NotDer));
        check(&[0x04, 0x80, 7, 8, 0, 0], Err(NotDer));
        check(&[0x04, 0x83, 0x00, 0x00, 0x02, 7, 8], Err(NotDer));
        check(&[0x04, 0xff], Err(NotDer));
        for len in [0x7f_u8, 0x80, 0xff] {
            let header: &[u8] = if len < 0x80 { &[len] } else { &[0x81, len] };
            let content = vec![9; usize::from(len)];
            check(&[&[0x04], header, &content].concat(), Ok(&content));
        }
        let content = vec![9; 0x0100];
        check(
            &[&[0x04, 0x82, 0x01, 0x00], &content[..]].concat(),
            Ok(&content),
        );
    }

    #[test]
    fn what_is_cut_short_or_left_over_is_refused() {
        check(&[], Err(NotDer));
        check(&[0x04], Err(NotDer));
        check(&[0x04, 0x02, 7], Err(NotDer));
        check(&[0x04, 0x01, 7, 8], Err(NotDer));
        check(&[0x04, 0x82, 0x01], Err(NotDer));
        check(&[0x05, 0x01, 7], Err(NotDer));
        check(&[0x1f, 0x04, 0x00], Err(NotDer));
    }

    #[test]
    fn an_element_that_is_not_there_is_not_read() {
        let mut reader = Reader::new(&[0x04, 0x01, 7]);
        assert!(reader.optional(0xa0).unwrap().is_none());
        let element = reader.optional(0x04).unwrap().unwrap();
        assert_eq!(element.whole, [0x04, 0x01, 7]);
        assert!(reader.optional(0x04).unwrap().is_none());
        reader.end().unwrap();
    }
}
