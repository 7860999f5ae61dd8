//! Fields of fixed layouts, found at compile time instead of by index.

/// The `N` bytes of `block` that start at `AT`. A field outside the block does not compile.
pub(super) const fn field<const AT: usize, const N: usize, const BLOCK: usize>(
    block: &[u8; BLOCK],
) -> &[u8; N] {
    const { assert!(AT + N <= BLOCK, "the field ends behind its block") };
    let (_, rest) = block.split_at(AT);
    match rest.first_chunk() {
        Some(field) => field,
        None => unreachable!(),
    }
}

/// `len_bytes` rounded up to the next multiple of 8, as every area of a record and filter is padded.
pub(super) const fn padded(len_bytes: usize) -> usize {
    len_bytes.next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_the_bytes_at_its_place() {
        let block = [0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(field::<0, 2, 8>(&block), &[0, 1]);
        assert_eq!(field::<6, 2, 8>(&block), &[6, 7]);
    }

    #[test]
    fn padding_reaches_the_next_multiple_of_eight() {
        let lengths = [(0, 0), (1, 8), (7, 8), (8, 8), (9, 16)];
        for (len_bytes, expected) in lengths {
            assert_eq!(padded(len_bytes), expected, "{len_bytes}");
        }
    }
}
