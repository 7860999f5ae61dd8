use proptest::prelude::*;

use super::*;
use crate::wire::{
    filter_builder::FilterBuilder,
    key::SecretKey,
    record::Record,
    record_builder::RecordBuilder,
    tag::{TagKind, TagsBuilder},
    testing::{bytes, hex, record, vectors},
};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos).unwrap()
}

/// A filter of `elements`, each type and values, with the right header.
fn filter(elements: &[(u8, &[u8])]) -> Result<Filter, FilterError> {
    let mut body = Vec::new();
    for (element, values) in elements {
        let words = u8::try_from(values.len() / 8 + 1).unwrap();
        body.extend([*element, words, 0, 0, 0, 0, 0, 0]);
        body.extend_from_slice(values);
    }
    whole(&body)
}

/// A filter whose elements are `body`, with the right header.
fn whole(body: &[u8]) -> Result<Filter, FilterError> {
    let length = u16::try_from(body.len() + 8).unwrap();
    let header = [&length.to_le_bytes()[..], &[0; 6]].concat();
    Filter::parse([header, body.to_vec()].concat().into())
}

fn tagged(tags: TagsBuilder) -> Record {
    let builder = RecordBuilder::new(Kind::CHAT_MESSAGE, key(1).public());
    builder.tags(tags).sign(&key(1)).unwrap()
}

fn matches(filter: &Filter, record: &Record) -> bool {
    filter.matches(&record.view(), Timestamp::MIN)
}

fn tag(kind: u16, value: &[u8]) -> TagsBuilder {
    TagsBuilder::new().raw(TagKind(kind), value).unwrap()
}

#[test]
fn every_filter_of_the_vectors_matches_the_records_listed_there() {
    for case in vectors()["filters"].as_array().unwrap() {
        let filter = Filter::parse(bytes(&case["hex"]).into()).unwrap();
        assert_eq!(filter.is_narrow(), case["narrow"].as_bool().unwrap());
        let listed = case["matches"].as_array().unwrap();
        let listed: Vec<_> = listed.iter().filter_map(|it| it.as_u64()).collect();
        let found: Vec<_> = (0..24_u8)
            .filter(|index| {
                let bytes = record(usize::from(*index));
                let record = RecordRef::parse(&bytes).unwrap();
                filter.matches(&record, Timestamp::MIN)
            })
            .map(u64::from)
            .collect();
        assert_eq!(found, listed, "{}", case["name"]);
    }
}

#[test]
fn the_empty_filter_matches_everything_and_is_not_narrow() {
    let filter = Filter::parse(hex("0800000000000000").into()).unwrap();
    assert!(!filter.is_narrow());
    assert!(matches(&filter, &tagged(TagsBuilder::new())));
}

#[test]
fn reserved_bytes_are_ignored() {
    let filter = Filter::parse(hex("1800ffffffffffff8002ffffffffffff0000000000000001").into());
    assert_eq!(filter.unwrap().since(), Some(at(1)));
}

#[test]
fn the_header_must_announce_exactly_the_bytes_that_are_there() {
    let check = |text: &str, expected| {
        assert_eq!(
            Filter::parse(hex(text).into()).err(),
            Some(expected),
            "{text}"
        );
    };
    let length = |len_bytes, announced_bytes| FilterError::Length {
        len_bytes,
        announced_bytes,
    };
    check("", FilterError::TooShort { len_bytes: 0 });
    check("07000000000000", FilterError::TooShort { len_bytes: 7 });
    check("1000000000000000", length(8, 16));
    check("08000000000000000000000000000000", length(16, 8));
    check("090000000000000000", length(9, 9));
}

#[test]
fn each_broken_rule_of_elements_has_its_own_refusal() {
    let check = |element: u8, values: &[u8], expected| {
        let result = filter(&[(element, values)]).err();
        assert_eq!(result, Some(expected), "{element:#x}");
    };
    for element in [0, 6, 0x7f, 0x86, 0xff] {
        check(element, &[], FilterError::UnknownElement { element });
    }
    for element in [AUTHORS, SIGNERS] {
        check(element, &[9; 24], FilterError::ValueSize { element });
        check(element, &[9; 40], FilterError::ValueSize { element });
        let source = KeyError::SmallOrder;
        check(element, &[0; 32], FilterError::Key { element, source });
        let source = KeyError::NotCanonical;
        check(element, &[0xff; 32], FilterError::Key { element, source });
    }
    check(
        EXCLUDE,
        &[0; 8],
        FilterError::ValueSize { element: EXCLUDE },
    );
    check(EXCLUDE, &[0x80; 32], FilterError::Exclude);
    check(KINDS, &[8; 8], FilterError::Kind(KindError::ReservedFlags));
    let source = TimeError::FirstBit;
    for element in [TIMESTAMPS, SINCE, UNTIL, RECEIVED_SINCE, RECEIVED_UNTIL] {
        check(
            element,
            &[0x80; 8],
            FilterError::Timestamp { element, source },
        );
    }
    for element in [SINCE, UNTIL, RECEIVED_SINCE, RECEIVED_UNTIL] {
        check(element, &[], FilterError::ValueSize { element });
        check(element, &[0; 16], FilterError::ValueSize { element });
    }
    for element in [INCLUDED_TAGS, EXCLUDED_TAGS] {
        let tags = |source| FilterError::Tags { element, source };
        check(
            element,
            &hex("0300010000000000"),
            tags(TagError::TooShort { len_bytes: 3 }),
        );
        check(element, &hex("0900010000000000"), tags(TagError::Overrun));
        check(element, &hex("0400010000000001"), tags(TagError::Padding));
    }
}

#[test]
fn an_element_must_have_a_length_and_end_within_the_filter() {
    let element = AUTHORS;
    let result = whole(&[element, 0, 0, 0, 0, 0, 0, 0]).err();
    assert_eq!(result, Some(FilterError::ZeroLength { element }));
    let result = whole(&[element, 2, 0, 0, 0, 0, 0, 0]).err();
    assert_eq!(result, Some(FilterError::Overrun { element }));
}

#[test]
fn a_second_element_of_a_unique_type_is_ignored_even_when_it_is_wrong() {
    let first = *key(1).public().as_bytes();
    let filter = filter(&[
        (AUTHORS, &first),
        (AUTHORS, &[0; 32]),
        (SINCE, &[0; 8]),
        (SINCE, &[0xff; 8]),
        (EXCLUDE, &[]),
        (EXCLUDE, &[0xff; 32]),
    ])
    .unwrap();
    assert_eq!(filter.authors(), Some(&[first][..]));
    assert_eq!(filter.since(), Some(Timestamp::MIN));
    assert!(matches(&filter, &tagged(TagsBuilder::new())));
}

#[test]
fn a_condition_without_values_is_met_by_nothing_and_an_exclusion_by_everything() {
    let record = tagged(tag(9, b"x"));
    for element in [AUTHORS, SIGNERS, KINDS, TIMESTAMPS, INCLUDED_TAGS] {
        let filter = filter(&[(element, &[])]).unwrap();
        assert!(filter.is_narrow());
        assert!(!matches(&filter, &record), "{element:#x}");
    }
    for element in [EXCLUDE, EXCLUDED_TAGS] {
        let filter = filter(&[(element, &[])]).unwrap();
        assert!(!filter.is_narrow());
        assert!(matches(&filter, &record), "{element:#x}");
    }
}

#[test]
fn tags_are_compared_whole() {
    let wanted = FilterBuilder::new().tags(tag(9, b"abc")).build().unwrap();
    assert!(matches(&wanted, &tagged(tag(9, b"abc"))));
    for other in [tag(9, b"ab"), tag(9, b"abcd"), tag(8, b"abc"), tag(9, b"")] {
        assert!(!matches(&wanted, &tagged(other)));
    }
}

#[test]
fn one_of_each_element_of_included_tags_is_needed() {
    let either = tag(1, b"a").raw(TagKind(1), b"b").unwrap();
    let also = tag(1, b"b").raw(TagKind(2), b"c").unwrap();
    let filter = FilterBuilder::new()
        .tags(either)
        .tags(also)
        .build()
        .unwrap();
    let check = |tags: &[(u16, &[u8])], expected| {
        let tags = tags.iter().fold(TagsBuilder::new(), |all, (kind, value)| {
            all.raw(TagKind(*kind), value).unwrap()
        });
        assert_eq!(matches(&filter, &tagged(tags)), expected);
    };
    check(&[], false);
    check(&[(1, b"a")], false);
    check(&[(2, b"c")], false);
    check(&[(1, b"b")], true);
    check(&[(2, b"c"), (7, b"x"), (1, b"a")], true);
}

#[test]
fn one_of_any_excluded_tag_is_too_many() {
    let filter = FilterBuilder::new()
        .exclude_tags(tag(1, b"a"))
        .exclude_tags(tag(1, b"b"))
        .build()
        .unwrap();
    assert!(matches(&filter, &tagged(TagsBuilder::new())));
    assert!(matches(&filter, &tagged(tag(1, b"c"))));
    assert!(!matches(&filter, &tagged(tag(1, b"a"))));
    assert!(!matches(&filter, &tagged(tag(1, b"b"))));
}

#[test]
fn bounds_of_time_include_their_ends() {
    let record = |nanos| {
        let builder = RecordBuilder::new(Kind::CHAT_MESSAGE, key(1).public());
        builder.timestamp(at(nanos)).sign(&key(1)).unwrap()
    };
    let filter = FilterBuilder::new()
        .since(at(5))
        .until(at(7))
        .build()
        .unwrap();
    for (nanos, expected) in [(4, false), (5, true), (7, true), (8, false)] {
        assert_eq!(matches(&filter, &record(nanos)), expected, "{nanos}");
    }
    let builder = FilterBuilder::new().received_since(at(5));
    let filter = builder.received_until(at(7)).build().unwrap();
    for (nanos, expected) in [(4, false), (5, true), (7, true), (8, false)] {
        let received = filter.matches(&record(99).view(), at(nanos));
        assert_eq!(received, expected, "{nanos}");
    }
}

#[test]
fn an_excluded_record_is_left_out_and_no_other() {
    let (one, other) = (tagged(TagsBuilder::new()), tagged(TagsBuilder::new()));
    let filter = FilterBuilder::new()
        .exclude([one.id().prefix()])
        .build()
        .unwrap();
    assert!(!matches(&filter, &one));
    assert!(matches(&filter, &other));
}

#[test]
fn the_number_of_tag_conditions_is_bounded() {
    let most = limits::FILTER_TAG_CONDITIONS_MAX;
    let elements = vec![(INCLUDED_TAGS, &hex("0400010000000000")[..]); most + 1]
        .iter()
        .map(|(element, values)| (*element, values.to_vec()))
        .collect::<Vec<_>>();
    let borrowed: Vec<(u8, &[u8])> = elements.iter().map(|(e, v)| (*e, &v[..])).collect();
    let result = filter(&borrowed).err();
    assert_eq!(result, Some(FilterError::TooManyTagConditions));
    let filter = filter(&borrowed[..most]).unwrap();
    assert!(matches(&filter, &tagged(tag(1, b""))));
    assert!(!matches(&filter, &tagged(tag(2, b""))));
}

#[test]
fn sets_are_sorted_without_duplicates() {
    let twice = tag(2, b"b").raw(TagKind(1), b"a").unwrap();
    let twice = twice.raw(TagKind(2), b"b").unwrap();
    let (small, large) = (
        key(1).public().min(key(2).public()),
        key(1).public().max(key(2).public()),
    );
    let filter = FilterBuilder::new()
        .authors([large, small, large])
        .kinds([Kind::CHAT_MESSAGE, Kind::PROFILE])
        .timestamps([at(3), at(1), at(3)])
        .tags(twice)
        .build()
        .unwrap();
    assert_eq!(
        filter.authors(),
        Some(&[*small.as_bytes(), *large.as_bytes()][..])
    );
    let kinds = [Kind::PROFILE.to_bytes(), Kind::CHAT_MESSAGE.to_bytes()];
    assert_eq!(filter.kinds(), Some(&kinds[..]));
    assert_eq!(filter.timestamps(), Some(&[at(1), at(3)][..]));
    let [set] = filter.included_tags() else {
        panic!("one set");
    };
    let kinds: Vec<_> = set.iter().map(|tag| tag.kind().0).collect();
    assert_eq!((set.len(), kinds), (2, vec![1, 2]));
}

#[test]
fn every_truncation_of_a_filter_is_refused() {
    for case in vectors()["filters"].as_array().unwrap() {
        let bytes = Bytes::from(bytes(&case["hex"]));
        for end in 0..bytes.len() {
            assert!(Filter::parse(bytes.slice(..end)).is_err(), "{end}");
            // The same with a header that tells the truth about the length.
            let mut cut = bytes.slice(..end).to_vec();
            let length = u16::try_from(end).unwrap().to_le_bytes();
            cut.iter_mut().zip(length).for_each(|(to, from)| *to = from);
            if let Ok(filter) = Filter::parse(cut.into()) {
                assert_eq!(filter.bytes().len(), end);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(element(), 0..6)) {
        let mut body = body.concat();
        body.truncate(65_000);
        body.resize(body.len().next_multiple_of(8), 0);
        if let Ok(filter) = whole(&body) {
            prop_assert_eq!(filter.bytes().len(), body.len() + 8);
            let record = tagged(tag(4, &[]));
            let by_author = filter.authors().is_none_or(|authors| {
                authors.contains(record.view().author().as_bytes())
            });
            prop_assert!(by_author || !matches(&filter, &record));
        }
    }

    #[test]
    fn tags_are_matched_as_by_comparing_each_with_each(
        sets in prop::collection::vec(some_tags(), 0..4),
        excluded in some_tags(),
        has in some_tags(),
    ) {
        let build = |values: &[u8]| values.iter().fold(TagsBuilder::new(), |tags, value| {
            tags.raw(TagKind(1), &[*value]).unwrap()
        });
        let builder = sets.iter().fold(FilterBuilder::new(), |filter, set| filter.tags(build(set)));
        let filter = builder.exclude_tags(build(&excluded)).build().unwrap();
        let expected = sets.iter().all(|set| set.iter().any(|value| has.contains(value)))
            && !excluded.iter().any(|value| has.contains(value));
        prop_assert_eq!(matches(&filter, &tagged(build(&has))), expected);
    }
}

/// Bytes that look like an element more often than chance would have it.
fn element() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec![1_u8, 2, 3, 4, 5, 0x80, 0x81, 0x84, 0x85, 7]);
    let values = prop::collection::vec(0..6_u8, 0..80);
    (kind, 0..8_u8, values)
        .prop_map(|(kind, words, values)| [&[kind, words, 0, 0, 0, 0, 0, 0][..], &values].concat())
}

fn some_tags() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..8_u8, 0..5)
}
