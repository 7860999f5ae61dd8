use proptest::prelude::*;

use super::*;
use crate::wire::{
    hash::Hash64,
    testing::{array, bytes, record, vectors},
};

#[test]
fn every_record_of_the_vectors_has_the_fields_listed_there() {
    for case in vectors()["records"].as_array().unwrap() {
        let whole = bytes(&case["hex"]);
        let record = RecordRef::parse(&whole).unwrap();
        let text = |name: &str| case[name].as_str().unwrap();
        assert_eq!(record.bytes(), whole);
        assert_eq!(record.id().as_bytes(), &array(&case["id"]));
        assert_eq!(record.address().as_bytes(), &array(&case["address"]));
        assert_eq!(record.nonce()[..], whole[48..56]);
        assert_eq!(record.kind().to_string(), text("kind"));
        assert_eq!(record.author().to_string(), text("author"));
        assert_eq!(record.signer().to_string(), text("signer"));
        assert_eq!(record.timestamp().nanos().to_string(), text("timestamp_ns"));
        assert_eq!(record.tag_bytes(), bytes(&case["tags_hex"]));
        assert_eq!(record.signature(), &array(&case["signature"]));
        let payload_bytes = case["payload_len"].as_u64().unwrap();
        assert_eq!(
            record.payload().len().to_string(),
            payload_bytes.to_string()
        );
        // The vectors print the flags as a number, so the record's first byte is the last.
        let [.., flags] = array::<8>(&case["flags"]);
        assert_eq!(record.flags(), RecordFlags(flags));
        let hash = Hash64::of(record.signed_bytes());
        assert_eq!(hash.as_bytes(), &array(&case["hash64"]));
        assert_eq!(RecordId::new(record.timestamp(), &hash), record.id());
    }
}

#[test]
fn a_flag_is_read_from_its_bit() {
    let flags = RecordFlags(FLAG_FROM_AUTHOR);
    assert!(flags.from_author() && !flags.zstd());
    let flags = RecordFlags(FLAG_ZSTD);
    assert!(flags.zstd() && !flags.from_author());
}

#[test]
fn the_keys_of_notify_tags_are_those_of_the_record() {
    let whole = record(0);
    let notified: Vec<_> = RecordRef::parse(&whole).unwrap().notifies().collect();
    let expected = vectors()["keys"][1]["public"].as_str().unwrap();
    assert_eq!(notified, [expected.parse().unwrap()]);
}

/// Record 10 of the vectors, changed by `change`, must be refused with `expected`.
fn check(change: impl FnOnce(&mut Vec<u8>), expected: RecordError) {
    let mut bytes = record(10);
    change(&mut bytes);
    assert_eq!(RecordRef::parse(&bytes).err(), Some(expected));
}

#[test]
fn each_rule_has_its_own_refusal() {
    let len_bytes = record(10).len();
    check(
        |it| it.truncate(151),
        RecordError::TooShort { len_bytes: 151 },
    );
    let too_long = limits::RECORD_MAX_BYTES + 8;
    check(
        |it| it.resize(too_long, 0),
        RecordError::TooLong {
            len_bytes: too_long,
        },
    );
    check(
        |it| it.extend([0; 8]),
        RecordError::Length {
            len_bytes: len_bytes + 8,
            announced_bytes: len_bytes,
        },
    );
    check(
        |it| it[146] = 63,
        RecordError::SignatureLength { len_bytes: 63 },
    );
    check(|it| it[136] |= 0x40, RecordError::SignatureScheme);
    check(|it| it[136] |= 0x80, RecordError::SignatureScheme);
    for reserved in [0x02, 0x08, 0x10, 0x20] {
        check(|it| it[136] |= reserved, RecordError::ReservedFlags);
    }
    check(|it| it[137] = 1, RecordError::ReservedFlags);
    check(|it| it[138] = 1, RecordError::ReservedFlags);
    let both_first_bits = |it: &mut Vec<u8>| {
        it[0] |= 0x80;
        it[128] |= 0x80;
    };
    check(both_first_bits, RecordError::Timestamp(TimeError::FirstBit));
    check(|it| it[0] |= 0x80, RecordError::TimestampsDiffer);
    check(|it| it[7] ^= 1, RecordError::TimestampsDiffer);
    check(|it| it[135] ^= 1, RecordError::TimestampsDiffer);
    check(|it| it[48] &= 0x7f, RecordError::NonceBit);
    let kind = |error| RecordError::Kind(error);
    check(|it| it[62] = 1, kind(KindError::ReservedFlags));
    check(|it| it[63] = 0x0b, kind(KindError::ReservedAccess));
    check(
        |it| it[64..96].fill(0),
        RecordError::AuthorKey(KeyError::SmallOrder),
    );
    check(
        |it| it[64..96].fill(0xff),
        RecordError::AuthorKey(KeyError::NotCanonical),
    );
    check(
        |it| it[96..128].fill(0),
        RecordError::SigningKey(KeyError::SmallOrder),
    );
}

#[test]
fn flag_bytes_three_to_seven_are_ignored() {
    let mut bytes = record(10);
    bytes[139..144].fill(0xff);
    assert!(RecordRef::parse(&bytes).is_ok());
}

#[test]
fn lengths_that_do_not_fit_are_refused_however_large() {
    for at in [144, 148] {
        for high in [1, 0x10, 0xff] {
            let mut bytes = record(10);
            bytes[at + 1] = high;
            bytes[151] = high;
            let error = RecordRef::parse(&bytes).err();
            assert!(matches!(error, Some(RecordError::Length { .. })));
        }
    }
    let mut bytes = record(10);
    bytes[144..152].fill(0xff);
    let error = RecordRef::parse(&bytes).err();
    assert!(matches!(error, Some(RecordError::Length { .. })));
}

#[test]
fn malformed_tags_are_not_the_fault_of_the_record() {
    let mut bytes = record(0);
    bytes[152] = 0xff;
    let record = RecordRef::parse(&bytes).unwrap();
    assert_eq!(record.tags().count(), 0);
    assert_eq!(record.notifies().count(), 0);
}

#[test]
fn every_truncation_of_a_record_is_refused() {
    for index in [0, 10] {
        let bytes = record(index);
        for end in 0..bytes.len() {
            assert!(RecordRef::parse(&bytes[..end]).is_err(), "{end}");
        }
    }
}

#[test]
fn what_needs_no_signature_check_is_refused_of_the_broken_vectors() {
    let by_form = [
        "id timestamp differs from signed timestamp",
        "truncated by one byte",
        "eight trailing bytes",
        "reserved flag bit set (unsigned)",
        "address nonce first bit clear (unsigned)",
        "length of payload too large",
    ];
    let mut refused = Vec::new();
    for case in vectors()["invalid_records"].as_array().unwrap() {
        if RecordRef::parse(&bytes(&case["hex"])).is_err() {
            refused.push(case["why"].as_str().unwrap());
        }
    }
    assert_eq!(refused, by_form);
}

#[test]
fn a_record_is_shared_not_copied() {
    let bytes = Bytes::from(record(3));
    let parsed = Record::parse(bytes.clone()).unwrap();
    assert_eq!(parsed.bytes().as_ptr(), bytes.as_ptr());
    assert_eq!(parsed.clone().bytes().as_ptr(), bytes.as_ptr());
    let range = bytes.as_ptr_range();
    assert!(range.contains(&parsed.view().payload().as_ptr()));
}

#[test]
fn a_record_is_printed_and_read_back() {
    let parsed = Record::parse(record(5).into()).unwrap();
    let text = parsed.to_string();
    assert!(text.starts_with("morecord0"));
    assert_eq!(text.parse::<Record>(), Ok(parsed));
    let error = text["mo".len()..].parse::<Record>();
    assert!(matches!(error, Err(RecordError::Text(_))));
    let too_long = format!("morecord0{}", "y".repeat(1_677_730));
    let error = too_long.parse::<Record>();
    assert_eq!(error, Err(RecordError::Text(HumanError::Length)));
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(record) = RecordRef::parse(&bytes) {
            prop_assert_eq!(record.bytes(), &bytes);
        }
    }

    #[test]
    fn a_changed_record_is_refused_or_can_be_looked_at(
        index in 0..10_usize,
        changes in prop::collection::vec((0..456_usize, any::<u8>()), 1..6),
    ) {
        let mut bytes = record(index);
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(record) = Record::parse(bytes.into()) {
            let view = record.view();
            let parts = [view.tag_bytes().len(), view.payload().len()].map(padded);
            let sum = HEADER_BYTES + SIGNATURE_BYTES + parts.iter().sum::<usize>();
            prop_assert_eq!(sum, view.bytes().len());
            prop_assert!(view.tags().count() <= view.tag_bytes().len() / 4);
            prop_assert!(view.timestamp() <= Timestamp::MAX);
            let shown = format!("{record:?}");
            prop_assert!(shown.len() < 300);
        }
    }
}
