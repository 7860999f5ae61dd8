//! How records are named: by ID, by address, and by either.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{
    hash::Hash64,
    human::{self, HumanError},
    key::{KeyError, PublicKey},
    kind::{Kind, KindError},
    layout::field,
    time::Timestamp,
};

/// Why bytes or a text name no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// An ID starts with a timestamp, whose first bit is 0.
    #[error("first bit is not that of an id")]
    NotAnId,
    /// The nonce of an address has its first bit set.
    #[error("first bit is not that of an address")]
    NotAnAddress,
    /// The kind inside the address is not allowed.
    #[error("kind inside the address")]
    Kind(#[from] KindError),
    /// The author's key inside the address is not allowed.
    #[error("author key inside the address")]
    Author(#[from] KeyError),
    /// The text is no printed reference.
    #[error("not a printed reference")]
    Text(#[from] HumanError),
}

/// Name of exactly one record.
///
/// | bytes   | field                                             |
/// |---------|---------------------------------------------------|
/// | `0..8`  | the record's [`Timestamp`], so its first bit is 0 |
/// | `8..48` | first 40 bytes of the record's [`Hash64`]         |
///
/// # Source
/// `mosaic-wire.md` section 4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId([u8; 48]);

impl RecordId {
    /// The ID of the record with that timestamp and hash.
    #[must_use]
    pub fn new(timestamp: Timestamp, hash: &Hash64) -> Self {
        let mut id = [0; 48];
        let parts = timestamp.to_bytes().into_iter().chain(*hash.as_bytes());
        for (to, from) in id.iter_mut().zip(parts) {
            *to = from;
        }
        Self(id)
    }

    /// The ID with those bytes.
    ///
    /// # Errors
    /// [`ReferenceError::NotAnId`]: the first bit is set.
    pub const fn from_bytes(bytes: &[u8; 48]) -> Result<Self, ReferenceError> {
        if bytes[0] & FIRST_BIT == 0 {
            Ok(Self(*bytes))
        } else {
            Err(ReferenceError::NotAnId)
        }
    }

    /// An ID whose bytes went through [`from_bytes`](Self::from_bytes) before.
    pub(super) const fn from_checked(bytes: &[u8; 48]) -> Self {
        Self(*bytes)
    }

    /// The 48 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 48] {
        &self.0
    }

    /// The record's timestamp.
    #[must_use]
    pub const fn timestamp(&self) -> Timestamp {
        Timestamp::from_checked(*field::<0, 8, 48>(&self.0))
    }

    /// The first 40 bytes of the record's hash.
    #[must_use]
    pub const fn hash_start(&self) -> &[u8; 40] {
        field::<8, 40, 48>(&self.0)
    }

    /// The first 32 bytes.
    #[must_use]
    pub const fn prefix(&self) -> IdPrefix {
        IdPrefix(*field::<0, 32, 48>(&self.0))
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&human::encode(PREFIX, &self.0))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_short(f, "RecordId", &self.0)
    }
}

impl FromStr for RecordId {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::from_bytes(&*human::decode(PREFIX, text)?)
    }
}

/// First 32 bytes of a [`RecordId`]: how SUBMISSION RESULT and filters name a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdPrefix(pub [u8; 32]);

impl fmt::Debug for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_short(f, "IdPrefix", &self.0)
    }
}

/// Name of a group of records: a record with its replacements or versions.
///
/// | bytes    | field                                   |
/// |----------|-----------------------------------------|
/// | `0..8`   | nonce, first bit 1                      |
/// | `8..16`  | [`Kind`]                                |
/// | `16..48` | the author's master key ([`PublicKey`]) |
///
/// # Source
/// `mosaic-wire.md` section 4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 48]);

impl Address {
    /// The address of those parts; the first bit of the nonce is set whatever it was.
    #[must_use]
    pub fn new(nonce: [u8; 8], kind: Kind, author: PublicKey) -> Self {
        let mut address = [0; 48];
        let parts = nonce
            .into_iter()
            .chain(kind.to_bytes())
            .chain(*author.as_bytes());
        for (to, from) in address.iter_mut().zip(parts) {
            *to = from;
        }
        address[0] |= FIRST_BIT;
        Self(address)
    }

    /// The address whose nonce is derived from fixed bytes, so that everybody can compute it.
    #[must_use]
    pub fn derived(bytes: &[u8], kind: Kind, author: PublicKey) -> Self {
        let hash = Hash64::of(bytes);
        Self::new(*field::<0, 8, 64>(hash.as_bytes()), kind, author)
    }

    /// The address with those bytes.
    ///
    /// # Errors
    /// - [`ReferenceError::NotAnAddress`]: the first bit is 0.
    /// - [`ReferenceError::Kind`], [`ReferenceError::Author`]: a part is not allowed.
    pub fn from_bytes(bytes: &[u8; 48]) -> Result<Self, ReferenceError> {
        if bytes[0] & FIRST_BIT == 0 {
            return Err(ReferenceError::NotAnAddress);
        }
        let address = Self(*bytes);
        Kind::from_bytes(*address.kind_bytes())?;
        PublicKey::from_bytes(address.author())?;
        Ok(address)
    }

    /// An address whose bytes went through [`from_bytes`](Self::from_bytes) before.
    pub(super) const fn from_checked(bytes: &[u8; 48]) -> Self {
        Self(*bytes)
    }

    /// The 48 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 48] {
        &self.0
    }

    /// The nonce, first bit 1.
    #[must_use]
    pub const fn nonce(&self) -> [u8; 8] {
        *field::<0, 8, 48>(&self.0)
    }

    /// The kind that all records of the group have.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        Kind::from_checked(*self.kind_bytes())
    }

    /// The master key of the author of all records of the group.
    #[must_use]
    pub const fn author(&self) -> &[u8; 32] {
        field::<16, 32, 48>(&self.0)
    }

    /// The author as a key.
    #[must_use]
    pub const fn author_key(&self) -> PublicKey {
        PublicKey::from_checked(self.author())
    }

    const fn kind_bytes(&self) -> &[u8; 8] {
        field::<8, 8, 48>(&self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&human::encode(PREFIX, &self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_short(f, "Address", &self.0)
    }
}

impl FromStr for Address {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::from_bytes(&*human::decode(PREFIX, text)?)
    }
}

/// Either name of a record: 48 bytes whose first bit tells which.
///
/// Printed as `moref0` and z-base-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// One exact record (first bit 0).
    Id(RecordId),
    /// The group of records that share an address (first bit 1).
    Address(Address),
}

impl Reference {
    /// The reference with those bytes.
    ///
    /// # Errors
    /// [`ReferenceError::Kind`], [`ReferenceError::Author`]: it is an address, and a part of it is
    /// not allowed.
    pub fn from_bytes(bytes: &[u8; 48]) -> Result<Self, ReferenceError> {
        if bytes[0] & FIRST_BIT == 0 {
            Ok(Self::Id(RecordId(*bytes)))
        } else {
            Address::from_bytes(bytes).map(Self::Address)
        }
    }

    /// The 48 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 48] {
        match self {
            Self::Id(id) => id.as_bytes(),
            Self::Address(address) => address.as_bytes(),
        }
    }
}

impl From<RecordId> for Reference {
    fn from(id: RecordId) -> Self {
        Self::Id(id)
    }
}

impl From<Address> for Reference {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::from_bytes(&*human::decode(PREFIX, text)?)
    }
}

/// The first bytes of a name, for traces.
fn fmt_short(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    write!(f, "{name}(")?;
    for byte in bytes.iter().take(16) {
        write!(f, "{byte:02x}")?;
    }
    f.write_str("…)")
}

const PREFIX: &str = "moref0";
const FIRST_BIT: u8 = 0x80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::testing::{array, vectors};

    #[test]
    fn ids_and_addresses_of_the_vectors_are_printed_and_read_back() {
        for record in vectors()["records"].as_array().unwrap() {
            let id = RecordId::from_bytes(&array(&record["id"])).unwrap();
            let hash = Hash64::from_bytes(array(&record["hash64"]));
            assert_eq!(RecordId::new(id.timestamp(), &hash), id);
            assert_eq!(id.to_string(), record["id_printable"].as_str().unwrap());
            assert_eq!(id.to_string().parse(), Ok(Reference::Id(id)));
            let address = Address::from_bytes(&array(&record["address"])).unwrap();
            let printed = record["address_printable"].as_str().unwrap();
            assert_eq!(address.to_string(), printed);
            assert_eq!(printed.parse(), Ok(Reference::Address(address)));
            let parts = Address::new(address.nonce(), address.kind(), address.author_key());
            assert_eq!(parts, address);
        }
    }

    #[test]
    fn a_derived_address_is_the_one_of_the_vectors() {
        let case = &vectors()["deterministic_address"];
        let key = case["key_utf8"].as_str().unwrap();
        let kind = case["kind"].as_str().unwrap().parse().unwrap();
        let author = case["author"].as_str().unwrap().parse().unwrap();
        let expected: [u8; 48] = array(&case["address"]);
        let derived = Address::derived(key.as_bytes(), kind, author);
        assert_eq!(derived.as_bytes(), &expected);
    }

    #[test]
    fn each_part_of_an_address_is_checked() {
        let good: [u8; 48] = array(&vectors()["records"][0]["address"]);
        let check = |at: usize, byte: u8, expected| {
            let mut bytes = good;
            bytes[at] = byte;
            assert_eq!(Reference::from_bytes(&bytes), Err(expected));
        };
        check(14, 0x20, ReferenceError::Kind(KindError::ReservedFlags));
        check(15, 0x08, ReferenceError::Kind(KindError::ReservedAccess));
        let mut small = good;
        small[16..].fill(0);
        let expected = ReferenceError::Author(KeyError::SmallOrder);
        assert_eq!(Reference::from_bytes(&small), Err(expected));
        let mut id = good;
        id[0] &= 0x7f;
        assert_eq!(Address::from_bytes(&id), Err(ReferenceError::NotAnAddress));
        assert_eq!(RecordId::from_bytes(&good), Err(ReferenceError::NotAnId));
    }

    #[test]
    fn the_prefix_of_an_id_is_its_first_32_bytes() {
        let id = RecordId::from_bytes(&array(&vectors()["records"][3]["id"])).unwrap();
        assert_eq!(id.prefix().0, id.as_bytes()[..32]);
        assert_eq!(id.hash_start()[..], id.as_bytes()[8..]);
    }

    proptest! {
        #[test]
        fn any_48_bytes_are_answered_and_come_back(start: [u8; 16], end: [u8; 32]) {
            let mut bytes = [0; 48];
            bytes[..16].copy_from_slice(&start);
            bytes[16..].copy_from_slice(&end);
            if let Ok(reference) = Reference::from_bytes(&bytes) {
                prop_assert_eq!(reference.as_bytes(), &bytes);
                prop_assert_eq!(reference.to_string().parse(), Ok(reference));
            }
        }
    }
}
