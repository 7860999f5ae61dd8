//! Profiles: what users say about themselves.

use std::collections::BTreeMap;

use ciborium::Value;
use thiserror::Error;

use super::{kind::Kind, record::RecordRef};
use crate::base::limits;

/// Why a record is no valid profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// The record is of another kind.
    #[error("record is not a profile")]
    Kind,
    /// Somebody else than the master key itself signed it.
    #[error("profile is not signed by its master key")]
    Signer,
    /// The payload is compressed, and has to be unpacked before it is read.
    #[error("profile is compressed")]
    Compressed,
    /// More than [`limits::PROFILE_MAX_BYTES`].
    #[error("profile is too large")]
    TooLarge,
    /// Not CBOR, nested deeper than [`limits::PROFILE_DEPTH_MAX`], or with bytes behind its end.
    #[error("profile is not one CBOR value")]
    NotCbor,
    /// Some other CBOR value than a map whose keys are texts, each there once.
    #[error("profile is not a map of texts")]
    NotAMap,
    /// There is no text `name`.
    #[error("profile has no name")]
    NoName,
}

/// The content of a profile record.
///
/// # Source
/// `mosaic-wire.md` section 9, "Profile". The names of the fields: Mosaic specification,
/// "Profile", content.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    name: String,
    fields: BTreeMap<String, Value>,
}

impl Profile {
    /// Reads the profile in `record`.
    ///
    /// # Errors
    /// [`ProfileError`]. [`Kind`](ProfileError::Kind) and [`Signer`](ProfileError::Signer) are the
    /// ones that make the record itself invalid; the others concern whoever wants to show it.
    pub fn parse(record: RecordRef<'_>) -> Result<Self, ProfileError> {
        Self::check_signer(record)?;
        if record.flags().zstd() {
            return Err(ProfileError::Compressed);
        }
        Self::from_payload(record.payload())
    }

    /// Checks only what makes a profile valid as a record: its kind, and who signed it.
    ///
    /// # Errors
    /// [`ProfileError::Kind`], [`ProfileError::Signer`].
    pub fn check_signer(record: RecordRef<'_>) -> Result<(), ProfileError> {
        if record.kind() != Kind::PROFILE {
            return Err(ProfileError::Kind);
        }
        if record.signer() != record.author() {
            return Err(ProfileError::Signer);
        }
        Ok(())
    }

    /// Reads a payload, unpacked.
    ///
    /// # Errors
    /// [`ProfileError`], but neither [`Kind`](ProfileError::Kind),
    /// [`Signer`](ProfileError::Signer) nor [`Compressed`](ProfileError::Compressed).
    pub fn from_payload(payload: &[u8]) -> Result<Self, ProfileError> {
        if payload.len() > limits::PROFILE_MAX_BYTES {
            return Err(ProfileError::TooLarge);
        }
        let mut rest = payload;
        // Values are grown as they are read: no claimed length makes the decoder reserve anything.
        let value: Value =
            ciborium::de::from_reader_with_recursion_limit(&mut rest, limits::PROFILE_DEPTH_MAX)
                .map_err(|_| ProfileError::NotCbor)?;
        if !rest.is_empty() {
            return Err(ProfileError::NotCbor);
        }
        let Value::Map(pairs) = value else {
            return Err(ProfileError::NotAMap);
        };
        let mut fields = BTreeMap::new();
        for (key, value) in pairs {
            let Value::Text(key) = key else {
                return Err(ProfileError::NotAMap);
            };
            if fields.insert(key, value).is_some() {
                return Err(ProfileError::NotAMap);
            }
        }
        match fields.get("name") {
            Some(Value::Text(name)) => Ok(Self {
                name: name.clone(),
                fields,
            }),
            _ => Err(ProfileError::NoName),
        }
    }

    /// The user's name. Anybody may take any name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of a field such as `display_name`, `about`, `avatar`, `website`, `banner` or
    /// `lud16`; `None` where it is absent or no text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_text()
    }

    /// Whether a field such as `org` or `bot` is there and true.
    #[must_use]
    pub fn flag(&self, field: &str) -> bool {
        self.fields.get(field).and_then(Value::as_bool) == Some(true)
    }

    /// The names of all fields that are there.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{key::SecretKey, record_builder::RecordBuilder};

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = vec![0x60 | u8::try_from(text.len()).unwrap()];
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    fn ann() -> Vec<u8> {
        [
            vec![0xa4],
            text("name"),
            text("ann"),
            text("about"),
            text("me"),
            text("bot"),
            vec![0xf5],
            text("age"),
            vec![0x18, 0x2a],
        ]
        .concat()
    }

    fn check(payload: &[u8], expected: ProfileError) {
        assert_eq!(
            Profile::from_payload(payload),
            Err(expected),
            "{payload:02x?}"
        );
    }

    #[test]
    fn the_fields_of_a_profile_are_read() {
        let profile = Profile::from_payload(&ann()).unwrap();
        assert_eq!(profile.name(), "ann");
        assert_eq!(profile.text("about"), Some("me"));
        assert_eq!(profile.text("age"), None);
        assert_eq!(profile.text("website"), None);
        assert!(profile.flag("bot"));
        assert!(!profile.flag("org"));
        assert!(!profile.flag("age"));
        let fields: Vec<_> = profile.fields().collect();
        assert_eq!(fields, ["about", "age", "bot", "name"]);
    }

    #[test]
    fn each_way_to_be_wrong_is_told_apart() {
        check(&[], ProfileError::NotCbor);
        check(&[0xff], ProfileError::NotCbor);
        check(&[0x80], ProfileError::NotAMap);
        check(&[0xa0], ProfileError::NoName);
        check(&[0xa1, 0x01, 0x01], ProfileError::NotAMap);
        check(
            &[&[0xa1][..], &text("name"), &[0x01]].concat(),
            ProfileError::NoName,
        );
        check(&[ann(), vec![0]].concat(), ProfileError::NotCbor);
        let twice = [
            &[0xa2][..],
            &text("name"),
            &text("a"),
            &text("name"),
            &text("b"),
        ];
        check(&twice.concat(), ProfileError::NotAMap);
        let large = vec![0; limits::PROFILE_MAX_BYTES + 1];
        check(&large, ProfileError::TooLarge);
    }

    #[test]
    fn nesting_and_claimed_lengths_are_bounded() {
        check(&[0x81; 1_000], ProfileError::NotCbor);
        check(&[0xc6; 1_000], ProfileError::NotCbor);
        for major in [0x40_u8, 0x60, 0x80, 0xa0] {
            let claim = [major | 0x1b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
            check(&claim, ProfileError::NotCbor);
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = ann();
        for end in 0..whole.len() {
            check(&whole[..end], ProfileError::NotCbor);
        }
    }

    #[test]
    fn a_profile_is_signed_by_its_master_key_and_by_no_other() {
        let master = SecretKey::from_seed([1; 32]);
        let other = SecretKey::from_seed([2; 32]);
        let profile = RecordBuilder::new(Kind::PROFILE, master.public()).payload(ann());
        let own = profile.clone().sign(&master).unwrap();
        assert_eq!(Profile::parse(own.view()).unwrap().name(), "ann");
        let foreign = profile.clone().sign(&other).unwrap();
        assert_eq!(Profile::parse(foreign.view()), Err(ProfileError::Signer));
        let packed = profile.zstd(true).sign(&master).unwrap();
        assert_eq!(Profile::parse(packed.view()), Err(ProfileError::Compressed));
        assert_eq!(Profile::check_signer(packed.view()), Ok(()));
        let note = RecordBuilder::new(Kind::MICROBLOG_ROOT, master.public());
        let note = note.sign(&master).unwrap();
        assert_eq!(Profile::parse(note.view()), Err(ProfileError::Kind));
    }

    proptest! {
        #[test]
        fn any_payload_is_answered(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let profile = Profile::from_payload(&payload);
            prop_assert!(profile.is_err() || payload.len() >= 7, "less than the key of a name");
        }

        #[test]
        fn any_map_is_answered(content in prop::collection::vec(any::<u8>(), 0..60)) {
            let profile = Profile::from_payload(&[ann()[..9].to_vec(), content].concat());
            if let Ok(profile) = profile {
                prop_assert_eq!(profile.fields().count(), 4);
            }
        }
    }
}
