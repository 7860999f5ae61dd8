use proptest::prelude::*;

use super::*;
use crate::wire::{
    key::SecretKey,
    testing::{bytes, hex, record, vectors},
};

fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed([seed; 32]).public()
}

fn reference() -> Reference {
    Reference::from_bytes(record(0).first_chunk().unwrap()).unwrap()
}

#[test]
fn a_notify_tag_has_the_bytes_the_specification_gives_it() {
    let expected = [&hex("2800010000000000")[..], key(1).as_bytes()].concat();
    assert_eq!(TagsBuilder::new().notify(key(1)).into_bytes(), expected);
}

#[test]
fn a_reply_tag_has_the_bytes_the_specification_gives_it() {
    let area = TagsBuilder::new()
        .reply(Kind::MICROBLOG_ROOT, reference())
        .into_bytes();
    let start = hex("4000020000000000000000010001001c");
    assert_eq!(area, [&start[..], reference().as_bytes()].concat());
}

#[test]
fn a_url_tag_has_the_bytes_of_the_vectors() {
    let area = TagsBuilder::new()
        .url(3, "https://example.com/a?b=c")
        .unwrap()
        .into_bytes();
    let expected = "210024000300000068747470733a2f2f6578616d706c652e636f6d2f613f623d63";
    assert_eq!(area, hex(expected));
    assert_eq!(area, bytes(&vectors()["records"][2]["tags_hex"])[..33]);
}

#[test]
fn every_core_tag_says_what_was_put_in() {
    let kind = Kind::CHAT_MESSAGE;
    let builder = TagsBuilder::new()
        .notify(key(1))
        .reply(kind, reference())
        .root(kind, reference())
        .nostr(&[7; 32])
        .subkey(key(2))
        .user_mention(8, key(3))
        .server_mention(9, key(4))
        .quote(10, kind, reference())
        .url(11, "a")
        .and_then(|tags| tags.image(12, "bc"))
        .and_then(|tags| tags.video(13, "ü"))
        .unwrap();
    let expected = [
        CoreTag::Notify(key(1)),
        CoreTag::Reply(kind, reference()),
        CoreTag::Root(kind, reference()),
        CoreTag::Nostr(&[7; 32]),
        CoreTag::Subkey(key(2)),
        CoreTag::UserMention(8, key(3)),
        CoreTag::ServerMention(9, key(4)),
        CoreTag::Quote(10, kind, reference()),
        CoreTag::Url(11, "a"),
        CoreTag::Image(12, "bc"),
        CoreTag::Video(13, "ü"),
    ];
    let said: Vec<_> = builder.tags().map(|tag| tag.core()).collect();
    assert_eq!(said, expected.map(Some));
}

#[test]
fn only_a_well_formed_notify_tag_names_a_key() {
    let check = |kind, value: &[u8], expected| {
        let area = TagsBuilder::new().raw(kind, value).unwrap();
        let tag = area.tags().next().unwrap();
        assert_eq!(tag.notify_key(), expected);
    };
    let good = [&[0; 4][..], key(1).as_bytes()].concat();
    let reserved = [&[9; 4][..], key(1).as_bytes()].concat();
    check(TagKind::NOTIFY, &good, Some(key(1)));
    check(TagKind::NOTIFY, &reserved, Some(key(1)));
    check(TagKind::SUBKEY, &good, None);
    check(TagKind::NOTIFY, &good[..35], None);
    check(TagKind::NOTIFY, &[&good[..], &[0]].concat(), None);
    check(TagKind::NOTIFY, &[0; 36], None);
    check(TagKind::NOTIFY, &[], None);
    check(TagKind::NOTIFY, &[0; 3], None);
}

#[test]
fn a_core_tag_with_a_value_of_another_form_says_nothing() {
    let bad_kind = [&[0; 10][..], &[0xff, 0xff], reference().as_bytes()].concat();
    let cases = [
        (TagKind::REPLY, vec![0; 59]),
        (TagKind::ROOT, bad_kind),
        (TagKind::NOSTR, vec![0; 37]),
        (TagKind::SUBKEY, vec![0; 36]),
        (TagKind::QUOTE, vec![]),
        (TagKind::URL, vec![0; 3]),
        (TagKind::URL, vec![0, 0, 0, 0, 0xff]),
        (TagKind(0x99), vec![0; 36]),
    ];
    for (kind, value) in cases {
        let area = TagsBuilder::new().raw(kind, &value).unwrap();
        assert_eq!(area.tags().next().unwrap().core(), None, "{kind:?}");
    }
}

#[test]
fn tags_end_at_the_padding() {
    let area = hex("0500070061 0400080000 00".replace(' ', "").as_str());
    let kinds: Vec<_> = Tags::new(&area).map(|tag| tag.kind().0).collect();
    assert_eq!(kinds, [7, 8]);
    assert!(Tags::parse_strict(&area).is_ok());
}

#[test]
fn tags_end_silently_at_the_first_malformed_one_unless_read_strictly() {
    let check = |text: &str, found, expected| {
        let area = hex(text);
        assert_eq!(Tags::new(&area).count(), found, "{text}");
        assert_eq!(Tags::parse_strict(&area).map(|_| ()), expected, "{text}");
    };
    check("", 0, Ok(()));
    check("00", 0, Ok(()));
    check("0000000000000000", 0, Ok(()));
    check("04000100", 1, Ok(()));
    check("0400010000", 1, Ok(()));
    check(
        "0300010004000100",
        0,
        Err(TagError::TooShort { len_bytes: 3 }),
    );
    check(
        "0100010004000100",
        0,
        Err(TagError::TooShort { len_bytes: 1 }),
    );
    check("040001000900010000000000", 1, Err(TagError::Overrun));
    check("0400010004", 1, Err(TagError::Overrun));
    check("040001000400", 1, Err(TagError::Overrun));
    check("ffff0100", 0, Err(TagError::Overrun));
    check("040001000000000001", 1, Err(TagError::Padding));
    check("0000040001000000", 0, Err(TagError::Padding));
}

#[test]
fn a_value_is_as_long_as_its_length_field_allows() {
    let longest = vec![1; 65_531];
    let area = TagsBuilder::new().raw(TagKind(5), &longest).unwrap();
    assert_eq!(area.tags().next().unwrap().value(), longest);
    let len_bytes = 65_532;
    let error = TagsBuilder::new().raw(TagKind(5), &vec![1; len_bytes]);
    assert_eq!(error.err(), Some(TagError::TooLong { len_bytes }));
    let error = TagsBuilder::new().url(0, &"x".repeat(65_528));
    assert_eq!(error.err(), Some(TagError::TooLong { len_bytes }));
}

#[test]
fn the_tags_of_the_vectors_fill_their_areas() {
    for record in vectors()["records"].as_array().unwrap() {
        let area = bytes(&record["tags_hex"]);
        let tags = Tags::parse_strict(&area).unwrap();
        let whole: usize = tags.map(|tag| tag.bytes().len()).sum();
        assert_eq!(whole, area.len());
        assert!(tags.into_iter().all(|tag| tag.core().is_some()));
    }
}

proptest! {
    #[test]
    fn tags_come_back_in_order(values in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..40)), 0..10)) {
        let mut builder = TagsBuilder::new();
        for (kind, value) in &values {
            builder = builder.raw(TagKind(*kind), value).unwrap();
        }
        let area = builder.into_padded_bytes();
        prop_assert!(area.len().is_multiple_of(8));
        let tags = Tags::parse_strict(&area).unwrap();
        let read: Vec<_> = tags.map(|tag| (tag.kind().0, tag.value().to_vec())).collect();
        prop_assert_eq!(read, values);
    }

    #[test]
    fn any_area_is_answered_and_strict_reading_finds_the_same_tags(area in prop::collection::vec(0..12_u8, 0..80)) {
        let tags: Vec<_> = Tags::new(&area).collect();
        let whole: usize = tags.iter().map(|tag| tag.bytes().len()).sum();
        prop_assert!(whole <= area.len());
        if let Ok(strict) = Tags::parse_strict(&area) {
            prop_assert_eq!(strict.collect::<Vec<_>>(), tags);
        }
    }
}
