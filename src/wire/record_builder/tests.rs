use proptest::prelude::*;

use super::*;
use crate::wire::{
    record::RecordRef,
    tag::{TagKind, Tags},
    testing::{array, bytes, vectors},
};

/// The secret key of the vectors whose public half is printed so.
fn secret_of(public: &str) -> SecretKey {
    let keys = vectors()["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["public"] == public).unwrap();
    SecretKey::from_seed(array(&key["secret_hex"]))
}

fn rebuild(whole: &[u8]) -> Record {
    let record = RecordRef::parse(whole).unwrap();
    let tags = record.tags().fold(TagsBuilder::new(), |tags, tag| {
        tags.raw(tag.kind(), tag.value()).unwrap()
    });
    RecordBuilder::new(record.kind(), record.author())
        .nonce(record.nonce())
        .timestamp(record.timestamp())
        .from_author(record.flags().from_author())
        .zstd(record.flags().zstd())
        .tags(tags)
        .payload(record.payload().to_vec())
        .sign(&secret_of(&record.signer().to_string()))
        .unwrap()
}

#[test]
fn every_record_of_the_vectors_is_made_again_byte_for_byte() {
    for case in vectors()["records"].as_array().unwrap() {
        let whole = bytes(&case["hex"]);
        assert_eq!(rebuild(&whole).bytes(), &whole);
    }
}

#[test]
fn the_smallest_record_is_header_and_signature() {
    let key = SecretKey::from_seed([1; 32]);
    let made = RecordBuilder::new(Kind::PROFILE, key.public()).sign(&key);
    let made = made.unwrap();
    assert_eq!(made.bytes().len(), 152 + 64);
    assert!(RecordRef::parse(made.bytes()).is_ok());
    let [first, ..] = made.view().nonce();
    assert!(first & 0x80 != 0);
    assert!(made.view().timestamp() <= Timestamp::now());
}

#[test]
fn two_records_of_one_kind_are_put_at_different_addresses() {
    let key = SecretKey::from_seed([1; 32]);
    let make = || RecordBuilder::new(Kind::BLOG_POST, key.public()).sign(&key);
    let (one, other) = (make().unwrap(), make().unwrap());
    assert_ne!(one.view().nonce(), other.view().nonce());
}

#[test]
fn what_does_not_fit_into_a_record_is_refused() {
    let key = SecretKey::from_seed([1; 32]);
    let builder = || RecordBuilder::new(Kind::BLOG_POST, key.public());
    let largest = limits::RECORD_MAX_BYTES - HEADER_BYTES - SIGNATURE_BYTES;
    let made = builder().payload(vec![1; largest]).sign(&key).unwrap();
    assert_eq!(made.bytes().len(), limits::RECORD_MAX_BYTES);
    let error = builder().payload(vec![1; largest + 1]).sign(&key);
    let len_bytes = limits::RECORD_MAX_BYTES + 8;
    assert_eq!(error, Err(BuildError::TooLong { len_bytes }));
    let tags = (0..2).fold(TagsBuilder::new(), |tags, _| {
        tags.raw(TagKind(9), &[0; 40_000]).unwrap()
    });
    let error = builder().tags(tags).sign(&key);
    assert_eq!(error, Err(BuildError::TagsTooLong { len_bytes: 80_008 }));
}

#[test]
fn a_flag_can_be_taken_back() {
    let key = SecretKey::from_seed([1; 32]);
    let builder = RecordBuilder::new(Kind::PROFILE, key.public()).from_author(true);
    let flags = |builder: RecordBuilder| builder.sign(&key).unwrap().view().flags();
    assert!(flags(builder.clone()).from_author());
    assert!(!flags(builder.from_author(false)).from_author());
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        seed: [u8; 32],
        nonce: [u8; 8],
        nanos in 0..=u64::MAX >> 1,
        value in prop::collection::vec(any::<u8>(), 0..50),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (author, key) = (SecretKey::from_seed(seed).public(), SecretKey::from_seed([5; 32]));
        let timestamp = Timestamp::from_nanos(nanos).unwrap();
        let made = RecordBuilder::new(Kind::CHAT_MESSAGE, author)
            .nonce(nonce)
            .timestamp(timestamp)
            .tags(TagsBuilder::new().raw(TagKind(77), &value).unwrap())
            .payload(payload.clone())
            .sign(&key)
            .unwrap();
        let view = RecordRef::parse(made.bytes()).unwrap();
        prop_assert_eq!(view.address(), Address::new(nonce, Kind::CHAT_MESSAGE, author));
        prop_assert_eq!((view.author(), view.signer()), (author, key.public()));
        prop_assert_eq!(view.timestamp(), timestamp);
        prop_assert_eq!(view.payload(), payload);
        prop_assert_eq!(view.tags().next().unwrap().value(), value);
        prop_assert!(Tags::parse_strict(view.tag_bytes()).is_ok());
        prop_assert_eq!(made.id(), view.id());
    }
}
