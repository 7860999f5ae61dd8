use super::*;
use crate::wire::{
    key::SecretKey,
    testing::{bytes, vectors},
};

fn keys(count: u8) -> Vec<PublicKey> {
    let key = |seed| SecretKey::from_seed([seed; 32]).public();
    (0..count).map(key).collect()
}

fn vector(name: &str) -> Vec<u8> {
    let filters = vectors()["filters"].as_array().unwrap();
    let filter = filters.iter().find(|filter| filter["name"] == name);
    bytes(&filter.unwrap()["hex"])
}

fn key(index: usize) -> PublicKey {
    let text = vectors()["keys"][index]["public"].as_str().unwrap();
    text.parse().unwrap()
}

#[test]
fn filters_of_the_vectors_are_made_byte_for_byte() {
    let check = |name, builder: FilterBuilder| {
        assert_eq!(builder.build().unwrap().bytes(), &vector(name), "{name}");
    };
    let authors = || FilterBuilder::new().authors((0..4).map(key));
    let notify = || TagsBuilder::new().notify(key(1));
    let since: Timestamp = {
        let text = vectors()["records"][12]["timestamp_ns"].as_str().unwrap();
        text.parse().unwrap()
    };
    check("author 0", FilterBuilder::new().authors([key(0)]));
    check(
        "authors 0,2",
        FilterBuilder::new().authors([key(0), key(2)]),
    );
    check("signer 4", FilterBuilder::new().signers([key(4)]));
    let kinds = [Kind::MICROBLOG_ROOT, Kind::PROFILE];
    check(
        "kind microblog or profile",
        FilterBuilder::new().kinds(kinds),
    );
    check("notify tag of key 1", FilterBuilder::new().tags(notify()));
    check("authors 0..4 since record 12", authors().since(since));
    check("authors 0..4 until record 12", authors().until(since));
    check(
        "authors 0..4 without notify tag of key 1",
        authors().exclude_tags(notify()),
    );
}

#[test]
fn an_element_holds_63_keys_and_no_more() {
    let filter = FilterBuilder::new().authors(keys(63)).build().unwrap();
    assert_eq!(filter.authors().unwrap().len(), 63);
    let error = FilterBuilder::new().authors(keys(64)).build().err();
    assert_eq!(error, Some(FilterError::TooManyValues { element: AUTHORS }));
}

#[test]
fn a_unique_element_given_twice_is_refused_rather_than_dropped() {
    let twice = FilterBuilder::new().authors(keys(1)).authors(keys(2));
    let error = twice.build().err();
    assert_eq!(error, Some(FilterError::Repeated { element: AUTHORS }));
}

#[test]
fn a_filter_longer_than_its_length_field_can_say_is_refused() {
    let ids = |_| (0..63).map(|_| IdPrefix([0; 32]));
    let tags = |_| {
        let tags = TagsBuilder::new();
        tags.raw(crate::wire::tag::TagKind(1), &[0; 2_000]).unwrap()
    };
    let builder = (0..33).fold(FilterBuilder::new(), |it, n| it.exclude_tags(tags(n)));
    let error = builder.exclude(ids(0)).build().err();
    assert!(matches!(error, Some(FilterError::Length { .. })));
}

#[test]
fn an_excluded_prefix_must_be_that_of_an_id() {
    let builder = FilterBuilder::new().exclude([IdPrefix([0xff; 32])]);
    assert_eq!(builder.build().err(), Some(FilterError::Exclude));
}
