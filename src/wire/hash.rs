//! The one hash of Mosaic.

use std::fmt;

/// BLAKE3 of some bytes, unkeyed, extended to 64 bytes.
///
/// # Source
/// `mosaic-wire.md` section 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash64([u8; 64]);

impl Hash64 {
    /// The hash of `data`.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        let mut bytes = [0; 64];
        let mut hasher = blake3::Hasher::new();
        hasher.update(data).finalize_xof().fill(&mut bytes);
        Self(bytes)
    }

    /// A hash that was computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Hash64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash64(")?;
        for byte in self.0.iter().take(8) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nothing_is_the_one_blake3_publishes() {
        let expected = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262\
                        e00f03e7b69af26b7faaf09fcd333050338ddfe085b8cc869ca98b206c08243a";
        let got: String = Hash64::of(b"")
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn the_first_half_is_the_ordinary_blake3_hash() {
        let hash = Hash64::of(b"well known");
        assert_eq!(
            hash.as_bytes()[..32],
            blake3::hash(b"well known").as_bytes()[..]
        );
    }
}
