//! Text for people: a prefix that says what the bytes are, then z-base-32.
//!
//! One value has one text. Anything else that a lenient decoder would take for the same bytes
//! (capital letters, bits behind the last byte, characters too many) is refused.

use thiserror::Error;
use zeroize::Zeroizing;

/// Why a printed key, reference or record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HumanError {
    /// The text is something else than what was asked for.
    #[error("does not start with {expected}")]
    Prefix {
        /// The prefix it should have.
        expected: &'static str,
    },
    /// Not as many characters as the bytes take.
    #[error("has the wrong number of characters")]
    Length,
    /// A character that z-base-32 does not use.
    #[error("holds a character that is not z-base-32")]
    Alphabet,
    /// Bits are set behind the last byte.
    #[error("has bits set behind its last byte")]
    TrailingBits,
}

/// `prefix`, then `bytes` in z-base-32.
pub(super) fn encode(prefix: &str, bytes: &[u8]) -> String {
    let digits = Zeroizing::new(z32::encode(bytes));
    let mut text = String::with_capacity(prefix.len() + digits.len());
    text.push_str(prefix);
    text.push_str(&digits);
    text
}

/// Reads exactly `N` bytes behind `prefix`.
///
/// # Errors
/// One of [`HumanError`]'s, the first that applies in their order.
pub(super) fn decode<const N: usize>(
    prefix: &'static str,
    text: &str,
) -> Result<Zeroizing<[u8; N]>, HumanError> {
    let bytes = Zeroizing::new(decode_bounded(prefix, text, N)?);
    let array = bytes
        .as_slice()
        .try_into()
        .map_err(|_| HumanError::Length)?;
    Ok(Zeroizing::new(array))
}

/// Reads at most `max_bytes` bytes behind `prefix`; the text is measured before it is decoded.
///
/// # Errors
/// One of [`HumanError`]'s, the first that applies in their order.
pub(super) fn decode_bounded(
    prefix: &'static str,
    text: &str,
    max_bytes: usize,
) -> Result<Vec<u8>, HumanError> {
    let digits = text
        .strip_prefix(prefix)
        .ok_or(HumanError::Prefix { expected: prefix })?
        .as_bytes();
    let len_bytes = digits.len() / 8 * 5 + digits.len() % 8 * 5 / 8;
    if len_bytes > max_bytes || digits.len() != digits_of(len_bytes) {
        return Err(HumanError::Length);
    }
    let mut bytes = z32::decode(digits).map_err(|_| HumanError::Alphabet)?;
    if trailing_bits(digits, len_bytes) != Some(0) {
        return Err(HumanError::TrailingBits);
    }
    // The decoder rounds up to whole bytes for some lengths; what it adds is the checked zero bits.
    bytes.truncate(len_bytes);
    Ok(bytes)
}

/// How many characters `len_bytes` bytes take.
const fn digits_of(len_bytes: usize) -> usize {
    len_bytes / 5 * 8 + (len_bytes % 5 * 8).div_ceil(5)
}

/// The bits of the last character that lie behind the last byte.
fn trailing_bits(digits: &[u8], len_bytes: usize) -> Option<usize> {
    let Some(last) = digits.last() else {
        return Some(0);
    };
    let spare_bits = digits.len() * 5 - len_bytes * 8;
    let value = z32::ALPHABET.iter().position(|digit| digit == last)?;
    Some(value & ((1 << spare_bits) - 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_way_to_be_wrong_is_told_apart() {
        let check = |text: &str, expected| {
            assert_eq!(decode::<1>("mo0", text).map(|_| ()), expected, "{text}");
        };
        check("mo0yy", Ok(()));
        check("mx0yy", Err(HumanError::Prefix { expected: "mo0" }));
        check("MO0yy", Err(HumanError::Prefix { expected: "mo0" }));
        check("", Err(HumanError::Prefix { expected: "mo0" }));
        check("mo0", Err(HumanError::Length));
        check("mo0y", Err(HumanError::Length));
        check("mo0yyy", Err(HumanError::Length));
        check("mo0yyyy", Err(HumanError::Length));
        check("mo0y2", Err(HumanError::Alphabet));
        check("mo0yY", Err(HumanError::Alphabet));
        check("mo0yé", Err(HumanError::Length));
        check("mo0yb", Err(HumanError::TrailingBits));
    }

    #[test]
    fn a_length_that_no_whole_bytes_take_is_refused() {
        for digits in [1, 3, 6, 9, 11, 14] {
            let text = "y".repeat(digits);
            assert_eq!(decode_bounded("", &text, 99), Err(HumanError::Length));
        }
    }

    #[test]
    fn a_text_over_the_bound_is_refused_unread() {
        let text = "!".repeat(1 << 20);
        assert_eq!(decode_bounded("", &text, 64), Err(HumanError::Length));
    }

    proptest! {
        #[test]
        fn bytes_come_back_from_their_text(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = encode("mo0", &bytes);
            prop_assert_eq!(decode_bounded("mo0", &text, 200), Ok(bytes));
        }

        #[test]
        fn a_text_that_is_read_is_the_one_that_is_written(text in "[ybndrfg8ejkmcpqxot1uwisza345h769]{0,40}") {
            if let Ok(bytes) = decode_bounded("", &text, 64) {
                prop_assert_eq!(encode("", &bytes), text);
            }
        }

        #[test]
        fn any_text_is_answered(text in ".{0,60}") {
            if let Ok(bytes) = decode_bounded("m", &text, 64) {
                prop_assert_eq!(encode("m", &bytes), text);
            }
        }
    }
}
