use proptest::prelude::*;

use super::*;
use crate::wire::{
    hash::Hash64,
    key::{KeyError, SecretKey},
    record::Record,
    testing,
    time::TimeError,
};

fn master() -> SecretKey {
    SecretKey::from_seed([1; 32])
}

fn subkey(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos).unwrap()
}

fn signing(seed: u8) -> ListedKey {
    ListedKey::Signing(Attestation::sign(&subkey(seed), master().public()))
}

fn encryption(byte: u8, algorithm: EncryptionAlgorithm) -> ListedKey {
    ListedKey::Encryption(EncryptionKey {
        algorithm,
        key: [byte; 32],
    })
}

fn schedule(keys: &[(KeyMarker, ListedKey)]) -> Record {
    let mut builder = KeyScheduleBuilder::new(master().public());
    for (marker, key) in keys {
        builder = builder.list(*marker, *key).unwrap();
    }
    builder.into_record().unwrap().sign(&master()).unwrap()
}

fn parse(keys: &[(KeyMarker, ListedKey)]) -> KeySchedule {
    KeySchedule::parse(schedule(keys).view()).unwrap()
}

/// The schedule with that payload, and a tag for each of the subkeys 2 to 9.
fn with_payload(payload: Vec<u8>) -> Result<KeySchedule, KeyScheduleError> {
    let tags = (2..10).fold(TagsBuilder::new(), |tags, seed| {
        tags.subkey(subkey(seed).public())
    });
    let record = RecordBuilder::new(Kind::KEY_SCHEDULE, master().public())
        .tags(tags)
        .payload(payload)
        .sign(&master())
        .unwrap();
    KeySchedule::parse(record.view())
}

fn one_entry() -> Vec<u8> {
    let record = schedule(&[(KeyMarker::ActiveSigning, signing(2))]);
    record.view().payload().to_vec()
}

/// The fault of the one entry after its bytes from `place` on were replaced.
fn check(place: usize, bytes: &[u8], expected: EntryFault) {
    let mut payload = one_entry();
    payload[place..place + bytes.len()].copy_from_slice(bytes);
    let index = 0;
    let fault = expected;
    assert_eq!(
        with_payload(payload),
        Err(KeyScheduleError::Entry { index, fault })
    );
}

#[test]
fn an_attestation_entry_has_the_bytes_of_the_specification() {
    let payload = one_entry();
    let head = "0100 9800 0000 0000 0000000000000000";
    let start = "2c2898f58b 00 4000";
    let public = subkey(2).public();
    let signed = [
        testing::hex(&start.replace(' ', "")).as_slice(),
        public.as_bytes(),
        master().public().as_bytes(),
    ]
    .concat();
    let signature = subkey(2).sign(&Hash64::of(&signed));
    let head = testing::hex(&head.replace(' ', ""));
    let expected = [head.as_slice(), &signed, signature.as_bytes()].concat();
    assert_eq!(payload, expected);
    let schedule = with_payload(payload).unwrap();
    let attestation = schedule.attestations().next().unwrap();
    assert_eq!(attestation.signed_bytes().as_slice(), signed);
    assert_eq!(attestation.signature(), signature);
    assert_eq!(attestation.subkey(), Some(public));
}

#[test]
fn an_encryption_entry_has_the_bytes_of_the_specification() {
    let key = encryption(0xab, EncryptionAlgorithm::X25519);
    let record = schedule(&[(KeyMarker::OutOfUse(Some(at(0x0102))), key)]);
    let golden = format!(
        "0200 3800 4f00 0000 0000000000000102 d6daf0bd33 00 0000 {}",
        "ab".repeat(32)
    );
    assert_eq!(
        record.view().payload(),
        testing::hex(&golden.replace(' ', ""))
    );
    let tags: Vec<_> = record
        .view()
        .tags()
        .map(|tag| tag.bytes().to_vec())
        .collect();
    let tag = format!("2800 1000 00000000 {}", "ab".repeat(32));
    assert_eq!(tags, [testing::hex(&tag.replace(' ', ""))]);
}

#[test]
fn every_marker_comes_back_from_its_bytes() {
    let keys = [
        (KeyMarker::ActiveSigning, signing(2)),
        (KeyMarker::Revoked(at(1)), signing(3)),
        (KeyMarker::RevokedFrom(at(2)), signing(4)),
        (KeyMarker::OutOfUse(None), signing(5)),
        (KeyMarker::OutOfUse(Some(at(3))), signing(6)),
        (
            KeyMarker::ActiveEncryption,
            encryption(7, EncryptionAlgorithm::X25519),
        ),
        (
            KeyMarker::ActiveEncryption,
            encryption(8, EncryptionAlgorithm::Secp256k1),
        ),
        (
            KeyMarker::ActiveNostr,
            encryption(8, EncryptionAlgorithm::Secp256k1),
        ),
        (
            KeyMarker::Revoked(at(4)),
            encryption(9, EncryptionAlgorithm::X25519),
        ),
    ];
    let schedule = parse(&keys);
    let read: Vec<_> = schedule
        .entries()
        .iter()
        .map(|entry| (entry.marker(), *entry.key()))
        .collect();
    assert_eq!(read, keys);
    let state = |seed| schedule.signing_key(&subkey(seed).public());
    assert_eq!(state(2), Some(SigningKeyState::Active));
    assert_eq!(state(3), Some(SigningKeyState::Revoked));
    assert_eq!(state(4), Some(SigningKeyState::RevokedFrom(at(2))));
    assert_eq!(state(5), Some(SigningKeyState::OutOfUse));
    assert_eq!(state(6), Some(SigningKeyState::OutOfUse));
    assert_eq!(state(7), None);
    let active: Vec<_> = schedule.active_signing_keys().collect();
    assert_eq!(active, [subkey(2).public()]);
    assert_eq!(schedule.master(), master().public());
}

#[test]
fn the_harshest_entry_of_a_key_holds() {
    let check = |markers: &[KeyMarker], expected| {
        let keys: Vec<_> = markers.iter().map(|marker| (*marker, signing(2))).collect();
        let reversed: Vec<_> = keys.iter().rev().copied().collect();
        for keys in [keys, reversed] {
            let state = parse(&keys).signing_key(&subkey(2).public());
            assert_eq!(state, Some(expected));
        }
    };
    let (active, unused) = (KeyMarker::ActiveSigning, KeyMarker::OutOfUse(None));
    check(&[active, active], SigningKeyState::Active);
    check(&[active, unused], SigningKeyState::OutOfUse);
    let (early, late) = (KeyMarker::RevokedFrom(at(1)), KeyMarker::RevokedFrom(at(2)));
    check(
        &[active, late, early, unused],
        SigningKeyState::RevokedFrom(at(1)),
    );
    check(
        &[early, KeyMarker::Revoked(at(9))],
        SigningKeyState::Revoked,
    );
    assert_eq!(
        parse(&[(active, signing(2)), (unused, signing(2))])
            .active_signing_keys()
            .count(),
        0
    );
}

#[test]
fn an_empty_schedule_lists_nothing() {
    let schedule = parse(&[]);
    assert!(schedule.entries().is_empty());
    assert_eq!(schedule.signing_key(&subkey(2).public()), None);
}

#[test]
fn each_way_an_entry_can_be_wrong_is_told_apart() {
    check(0, &[0], EntryFault::Kind(0));
    check(0, &[2], EntryFault::Length);
    check(0, &[3], EntryFault::Kind(3));
    check(2, &[15], EntryFault::Length);
    check(2, &[151], EntryFault::Length);
    check(2, &[153], EntryFault::Truncated);
    check(2, &[0xff, 0xff], EntryFault::Truncated);
    check(4, &[2], EntryFault::Marker(2));
    check(4, &[0, 1], EntryFault::Marker(0x100));
    check(4, &[1], EntryFault::Mismatch);
    check(4, &[0x80], EntryFault::Mismatch);
    check(4, &[0x40], EntryFault::NoTimestamp);
    check(4, &[0x41], EntryFault::NoTimestamp);
    check(16, &[0], EntryFault::Magic);
    check(20, &[0], EntryFault::Magic);
    check(21, &[2], EntryFault::Algorithm(2));
    check(22, &[63], EntryFault::SignatureLength(63));
    check(22, &[64, 1], EntryFault::SignatureLength(320));
    check(24, &[0; 32], EntryFault::Key(KeyError::SmallOrder));
    check(24, &[0xff; 32], EntryFault::Key(KeyError::NotCanonical));
    check(56, &[0; 32], EntryFault::Master);
}

#[test]
fn a_timestamp_with_its_top_bit_set_is_refused_under_every_marker() {
    for marker in [0, 0x40, 0x41, 0x4f] {
        let mut payload = one_entry();
        payload[4] = marker;
        payload[8] = 0x80;
        let Err(KeyScheduleError::Entry { fault, .. }) = with_payload(payload) else {
            panic!("marker {marker:#x} was read");
        };
        assert!(
            matches!(fault, EntryFault::Timestamp(TimeError::FirstBit)),
            "{fault:?}"
        );
    }
}

#[test]
fn reserved_bytes_are_ignored_and_so_is_a_timestamp_that_nobody_needs() {
    let mut payload = one_entry();
    for place in [1, 6, 7, 15] {
        payload[place] = 0xff;
    }
    let state = with_payload(payload)
        .unwrap()
        .signing_key(&subkey(2).public());
    assert_eq!(state, Some(SigningKeyState::Active));
}

#[test]
fn a_secp256k1_key_is_read_and_never_signs_records() {
    let mut payload = one_entry();
    payload[21] = 1;
    for marker in [0, 0x80] {
        payload[4] = marker;
        let schedule = with_payload(payload.clone()).unwrap();
        assert_eq!(schedule.entries().len(), 1);
        assert_eq!(schedule.attestations().count(), 0);
        assert_eq!(schedule.signing_key(&subkey(2).public()), None);
        assert_eq!(schedule.active_signing_keys().count(), 0);
    }
}

#[test]
fn every_truncation_is_refused() {
    let payload = [one_entry(), one_entry()].concat();
    for end in 1..payload.len() {
        let read = with_payload(payload[..end].to_vec());
        assert_eq!(read.is_ok(), end == payload.len() / 2, "{end}");
    }
}

#[test]
fn only_the_master_key_signs_its_schedule() {
    let builder = KeyScheduleBuilder::new(master().public());
    let record = builder.clone().into_record().unwrap();
    let foreign = record.clone().sign(&subkey(2)).unwrap();
    assert_eq!(
        KeySchedule::parse(foreign.view()),
        Err(KeyScheduleError::Signer)
    );
    let packed = record.zstd(true).sign(&master()).unwrap();
    assert_eq!(
        KeySchedule::parse(packed.view()),
        Err(KeyScheduleError::Compressed)
    );
    let other = RecordBuilder::new(Kind::PROFILE, master().public());
    let other = other.sign(&master()).unwrap();
    assert_eq!(
        KeySchedule::parse(other.view()),
        Err(KeyScheduleError::Kind)
    );
}

#[test]
fn every_listed_key_needs_its_tag() {
    let keys = [
        (KeyMarker::ActiveSigning, signing(2)),
        (
            KeyMarker::ActiveEncryption,
            encryption(3, EncryptionAlgorithm::X25519),
        ),
    ];
    let whole = schedule(&keys);
    let bare = RecordBuilder::new(Kind::KEY_SCHEDULE, master().public())
        .payload(whole.view().payload().to_vec());
    let first_only = bare
        .clone()
        .tags(TagsBuilder::new().subkey(subkey(2).public()));
    let untagged = |builder: RecordBuilder, index| {
        let record = builder.sign(&master()).unwrap();
        let read = KeySchedule::parse(record.view());
        assert_eq!(read, Err(KeyScheduleError::Untagged { index }));
    };
    untagged(first_only, 1);
    // A tag of another type that names the key does not do.
    untagged(
        bare.clone()
            .tags(TagsBuilder::new().notify(subkey(2).public())),
        0,
    );
    // Nor one whose reserved bytes are not zero: looked up by the whole tag, it names nobody.
    let value = [&[1, 0, 0, 0], subkey(2).public().as_bytes().as_slice()].concat();
    let odd = TagsBuilder::new().raw(TagKind::SUBKEY, &value).unwrap();
    untagged(bare.clone().tags(odd), 0);
    untagged(bare, 0);
}

#[test]
fn the_schedules_of_one_master_replace_each_other() {
    let empty = schedule(&[]);
    let one = schedule(&[(KeyMarker::ActiveSigning, signing(2))]);
    assert_eq!(empty.view().address(), one.view().address());
}

#[test]
fn what_contradicts_itself_is_not_built() {
    let builder = KeyScheduleBuilder::new(subkey(9).public());
    let foreign = builder.clone().list(KeyMarker::ActiveSigning, signing(2));
    assert_eq!(foreign.unwrap_err(), EntryFault::Master);
    let key = encryption(3, EncryptionAlgorithm::X25519);
    let mismatch = builder.list(KeyMarker::ActiveSigning, key);
    assert_eq!(mismatch.unwrap_err(), EntryFault::Mismatch);
}

#[test]
fn the_number_of_entries_is_bounded() {
    let entry = one_entry();
    let most = entry.repeat(limits::KEY_SCHEDULE_ENTRIES_MAX);
    let entries = with_payload(most.clone()).unwrap().entries().len();
    assert_eq!(entries, limits::KEY_SCHEDULE_ENTRIES_MAX);
    let more = [most, entry].concat();
    assert_eq!(with_payload(more), Err(KeyScheduleError::TooManyEntries));
}

#[test]
fn the_key_schedules_of_the_vectors_hold_none() {
    let records = testing::vectors()["records"].as_array().unwrap();
    let mut seen = 0;
    for index in 0..records.len() {
        let record = Record::parse(testing::record(index).into()).unwrap();
        if record.view().kind() == Kind::KEY_SCHEDULE {
            assert!(KeySchedule::parse(record.view()).is_err());
            seen += 1;
        }
    }
    assert!(seen > 0);
}

proptest! {
    #[test]
    fn any_payload_is_answered(payload in prop::collection::vec(any::<u8>(), 0..400)) {
        let least_bytes = with_payload(payload.clone()).map_or(0, |it| it.entries().len() * 56);
        prop_assert!(least_bytes <= payload.len());
    }

    #[test]
    fn any_change_of_an_entry_is_answered(place in 0..152_usize, byte in any::<u8>()) {
        let mut payload = one_entry();
        payload[place] = byte;
        prop_assert!(with_payload(payload).map_or(0, |it| it.entries().len()) <= 1);
    }
}
