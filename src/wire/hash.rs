//! The one hash of Mosaic.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

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

/// The name of a BLOB: BLAKE3 of its data, unkeyed, 32 bytes. Written as 64 hexadecimal digits.
///
/// # Source
/// `mosaic-wire.md` section 7, the BLOB family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobHash([u8; 32]);

/// A text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the hash of a BLOB is written as 64 hexadecimal digits")]
pub struct BlobHashError;

/// Computes a [`BlobHash`] from data that come in pieces.
#[derive(Clone, Debug, Default)]
pub struct BlobHasher(blake3::Hasher);

impl BlobHasher {
    /// Takes the data that follow those taken before.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The hash of all data taken so far.
    #[must_use]
    pub fn hash(&self) -> BlobHash {
        BlobHash(*self.0.finalize().as_bytes())
    }
}

impl BlobHash {
    /// The hash of `data`.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        Self(*blake3::hash(data).as_bytes())
    }

    /// A hash that was computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobHash({self})")
    }
}

impl FromStr for BlobHash {
    type Err = BlobHashError;

    fn from_str(text: &str) -> Result<Self, BlobHashError> {
        let hash = blake3::Hash::from_hex(text).map_err(|_| BlobHashError)?;
        Ok(Self(*hash.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_blob_is_the_same_however_its_data_are_cut_and_is_read_back() {
        let data: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        for bite in [1, 1_000, 65_536, 70_000] {
            let mut hasher = BlobHasher::default();
            data.chunks(bite).for_each(|piece| hasher.update(piece));
            assert_eq!(hasher.hash(), BlobHash::of(&data));
        }
        let hash = BlobHash::of(b"");
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        assert_eq!(
            BlobHash::from_bytes(*Hash64::of(b"").as_bytes().first_chunk().unwrap()),
            hash
        );
        for wrong in [
            "",
            "af",
            &text[1..],
            &format!("{text}0"),
            &text.replace('a', "g"),
        ] {
            assert_eq!(wrong.parse::<BlobHash>(), Err(BlobHashError), "{wrong}");
        }
    }

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
